# SPDX-License-Identifier: Apache-2.0
"""Memory: how many vectors of length P a Lanczos run of m steps holds at its peak; each case in its own process.

The peak of the resident set during a second run, above what was resident before it, when everything is compiled. The
network is wide and has few examples, so that vectors are nearly all there is. What is freed goes back to the system at
once here, so that what is counted is held, and not what the C library keeps for later (device.KEPT). Linux only.
"""

from __future__ import annotations

import ctypes
import gc
import json
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

from harness import config as configs

EXAMPLES = 8


class Case(NamedTuple):
    """A run of `steps` products on an MLP with two hidden layers of `width`, in a precision."""

    width: int
    steps: int
    precision: str


class Held(NamedTuple):
    """What was seen: number of parameters, bytes of a vector, bytes above what was resident before."""

    size: int
    vector: int
    above: int

    @property
    def vectors(self) -> float:
        """The bytes in vectors."""
        return self.above / self.vector


def measured(case: Case) -> Held:
    """Runs a case in a process of its own.

    Raises:
        RuntimeError: If that process fails; its last line is in the message.
    """
    command = [sys.executable, "-m", "harness.bench.memory", *map(str, case)]
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no output"])[-1])
    return Held(**json.loads(done.stdout.strip().splitlines()[-1]))


def hold(case: Case) -> Held:
    """Runs a case in this process, twice, and watches the second run."""
    import jax
    import jax.numpy as jnp

    import zoo
    from harness.curvature import lanczos, operators
    from harness.risk import objective

    config = zoo.FAMILIES["mlp"].config.model_validate(
        {"family": "mlp", "hidden": [case.width, case.width], "activation": "tanh"}
    )
    model = zoo.build("mlp", config, inputs=(8, 8, 1), outputs=10)
    goal = objective.objective(model, configs.Ce(name="ce"))
    key = jax.random.key(0)
    theta = goal.init(key).astype(case.precision)
    x = jax.random.normal(key, (EXAMPLES, 8, 8, 1), case.precision)
    batch = objective.Batch(x, jnp.eye(10, dtype=case.precision)[:EXAMPLES], jnp.ones(EXAMPLES, case.precision))
    program = lanczos.lanczos(operators.hessian(goal.risk), goal.size, capacity=case.steps)

    def run() -> None:
        lanczos.run(program, program.at((theta, batch)), key, lambda known: len(known.values) >= case.steps)

    run()
    before = _fresh()
    run()
    return Held(goal.size, goal.size * theta.dtype.itemsize, _kib("VmHWM") * 1024 - before)


def _fresh() -> int:
    """Gives free memory back, lets the peak start from here, and returns the bytes that are resident."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _kib("VmRSS") * 1024


def _kib(what: str) -> int:
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(rf"^{what}:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None, f"the system does not tell {what}"
    return int(found[1])


if __name__ == "__main__":
    from harness.runtime import device

    device.configure("cpu")
    device.keep_memory(2**16)
    width, steps, precision = sys.argv[1:]
    print(json.dumps(hold(Case(int(width), int(steps), precision))._asdict()))
