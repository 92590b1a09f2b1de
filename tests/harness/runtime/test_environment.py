# SPDX-License-Identifier: Apache-2.0
"""The environment: whatever it says of jax and numpy, numbers are the same or the profile of the run is another."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import jax

from harness import workspace
from harness.runtime import environment

HARMLESS_FLAGS = 60
"""Flags of jax that the table calls harmless, at most: those that are new are not."""

OTHER = {
    "JAX_ENABLE_X64": "0",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_RANDOM_SEED_OFFSET": "7",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_DISABLE_JIT": "1",
    "JAX_DEBUG_NANS": "1",
    "JAX_DEBUG_INFS": "1",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "PYTHONHASHSEED": "12345",
    "LC_ALL": "C",
    "LANG": "tr_TR.UTF-8",
    "TZ": "Pacific/Chatham",
}
"""Other values of what is pinned, and of what no number depends on."""

SHORT = """
import hashlib, json, sys
from harness.runtime import lapack; lapack.limit()
from harness.runtime import device
device.configure("cpu")
import jax
from harness import specs
from harness.runs import keys, measure
from harness.training import problem
spec = '''schema: 1
title: short
data: {name: random_labels, examples: 6, shape: [1, 1, 3], classes: 3}
model: {family: mlp, hidden: [3], activation: gelu}
loss: {name: half_mse}
optimizer: {name: gd, learning_rate: 1000.0}
steps: 9
seeds: 1
'''
cell = specs.parse(spec, file="t.yaml", suite="tests", name="t").cells[0]
ready = problem.problem(cell)
theta = problem.start(cell, ready, keys.of_run(0).start)
state = ready.trainer.begin(theta[None], jax.numpy.ones(1, theta.dtype) * 1000, jax.numpy.zeros(1, int))
etas = jax.numpy.ones(1, theta.dtype) * 1000
after = ready.trainer.advance(state, etas, keys.of_run(0).batches[None], ready.batch, 9)
found = measure.measure(ready, measure.Where(theta, 0.1, keys.of_run(0).top), ["margin"])
bits = [theta, *after, ready.arrays.x, sorted(found.items())]
text = "".join(str(leaf.tolist() if hasattr(leaf, "tolist") else leaf) for leaf in jax.tree.leaves(bits))
print(json.dumps([hashlib.sha256(text.encode()).hexdigest(), device.profile()]))
"""


def alone(**variables: str) -> list[object]:
    """Returns a hash of a short run that diverges, and the profile, of a process with some more variables."""
    path = os.pathsep.join(filter(None, (str(workspace.CHECKOUT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", SHORT],
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout)
    return found


def test_every_flag_of_jax_is_pinned_or_harmless_or_in_the_profile() -> None:
    harmless = []
    for flag in jax.config.values:
        name = flag.upper()
        if flag in environment.PINNED:
            assert name in OTHER, "tried below"
        elif not environment.foreign({name: "1"}):
            harmless.append(name)
    assert all(name.startswith(environment.HARMLESS) for name in harmless) and len(harmless) < HARMLESS_FLAGS
    assert environment.foreign(
        {"NPY_DISABLE_CPU_FEATURES": "AVX2", "HOME": "/", "XLA_FLAGS": "", "JAX_FLAG_OF_2030": ""}
    ) == {
        "NPY_DISABLE_CPU_FEATURES": "AVX2",
        "JAX_FLAG_OF_2030": "",
    }
    assert {name for name in OTHER if name.startswith("JAX_")} == {name.upper() for name in environment.PINNED}


def test_what_is_pinned_and_what_no_number_depends_on_change_no_bit() -> None:
    assert alone(**OTHER) == alone()


def test_a_variable_that_may_change_numbers_makes_another_profile() -> None:
    _, profile = alone(JAX_SOFTMAX_CUSTOM_JVP="0", NPY_DISABLE_CPU_FEATURES="")
    assert isinstance(profile, dict) and profile["exact"] is False
    assert profile["environment"] == {"JAX_SOFTMAX_CUSTOM_JVP": "0", "NPY_DISABLE_CPU_FEATURES": ""}
