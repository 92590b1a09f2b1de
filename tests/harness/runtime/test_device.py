# SPDX-License-Identifier: Apache-2.0
"""What bits depend on is pinned and recorded; what a user pins wins; what a device cannot do is said."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from harness import config, errors
from harness.risk import objective
from harness.runtime import device, sharding
from harness.tracking import store

CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
OWN = ("PJRT_NPROC", "NPROC", "XLA_FLAGS")


def digest() -> str:
    """Returns a hash of a short run in float32 and a Hessian-vector product in float64.

    1024 examples through 64-128-128-10, which one thread and two sum in another order.
    """
    fields = zoo.FAMILIES["mlp"].config.model_validate({"family": "mlp", "hidden": [128, 128], "activation": "relu"})
    goal = objective.objective(zoo.build("mlp", fields, inputs=(8, 8, 1), outputs=10), config.Ce(name="ce"))
    random = np.random.default_rng(0)
    arrays = random.normal(size=(1024, 8, 8, 1)), np.eye(10)[random.integers(0, 10, 1024)], np.ones(1024)
    batch, exact = (
        objective.Batch(*(jnp.asarray(array, dtype) for array in arrays)) for dtype in ("float32", "float64")
    )

    @jax.jit
    def steps(theta: jax.Array, batch: objective.Batch) -> jax.Array:
        return jax.lax.fori_loop(0, 20, lambda _, t: t - 0.1 * jax.grad(goal.risk)(t, batch), theta)

    @jax.jit
    def product(theta: jax.Array, batch: objective.Batch) -> jax.Array:
        return jax.jvp(lambda t: jax.grad(goal.risk)(t, batch), (theta,), (theta,))[1]

    end = steps(goal.init(jax.random.key(0)), batch)
    found = product(end.astype("float64"), exact)
    return hashlib.sha256(np.asarray(end).tobytes() + np.asarray(found).tobytes()).hexdigest()


def alone(cores: list[int], **environment: str) -> dict[str, Any]:
    """Returns what a process of its own finds, kept to some cores, with nothing pinned but what it is given."""
    clean = {name: value for name, value in os.environ.items() if name not in OWN}
    done = subprocess.run(
        [sys.executable, __file__, *map(str, cores)],
        env={**clean, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "machine" not in done.stderr.lower(), "a compiled program was made for another machine"
    return json.loads(done.stdout)


@pytest.mark.skipif(len(CORES) < 2, reason="needs two cores to compare one with")
def test_bits_are_those_of_one_core_of_two_and_of_the_next_process() -> None:
    one = alone(CORES[:1], JAX_ENABLE_COMPILATION_CACHE="false")
    two, again = alone(CORES[:2]), alone(CORES[:2])  # the last at least runs what was compiled before
    assert one == two == again
    assert one["profile"]["exact"] is True
    assert one["profile"]["threads"] == device.THREADS


@pytest.mark.slow
@pytest.mark.skipif(len(CORES) < 2, reason="needs two cores to compare one with")
def test_a_run_leaves_the_same_bytes_on_one_core_and_on_two(home: pathlib.Path, store_uri: str) -> None:
    from tests import builders  # not at the top: this file is a script too, and alone on its path

    text = builders.spec_text(
        data=builders.digits(100),
        model=builders.mlp(64, 64, activation="relu"),
        optimizer=builders.sgd(0.05, 10),
        curvature="lanczos",
        steps=40,
        checkpoints=4,
    )
    (home / "bits.yaml").write_text(text)
    left = []
    for cores in (CORES[:1], CORES[:2]):
        names = {"GDZOO_HOME": str(home), "OMP_NUM_THREADS": "1", "JAX_ENABLE_COMPILATION_CACHE": "false"}
        clean = {name: value for name, value in os.environ.items() if name not in OWN}
        start = f"import os; os.sched_setaffinity(0, {cores}); import gdzoo; gdzoo.main()"
        command = [sys.executable, "-c", start, "run", str(home / "bits.yaml"), "--device", "cpu"]
        done = subprocess.run(command, env={**clean, **names}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        files = [file for file in (home / "runs").rglob("*") if file.suffix in (".jsonl", ".safetensors")]
        left.append({file.name: file.read_bytes() for file in files})
        shutil.rmtree(home / "runs")
        (home / "mlflow.db").unlink()
        store.init(store_uri)
    assert len(left[0]) >= 3
    assert left[0] == left[1]


def test_what_a_user_pins_wins_and_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OWN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NPROC", "7")
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_deterministic_ops=false --xla_cpu_max_isa=SSE4_2")
    device._pin(1)
    assert "PJRT_NPROC" not in os.environ
    found = device.profile()
    assert found["threads"] == 7
    assert found["exact"] is False
    assert "--xla_gpu_deterministic_ops=false" in found["xla_flags"]
    if platform.machine() in device.X86:
        assert found["isa"] == "SSE4_2"


def test_pinning_twice_is_pinning_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OWN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/nowhere")
    device._pin(1)
    once = {name: os.environ.get(name) for name in OWN}
    device._pin(1)
    assert {name: os.environ.get(name) for name in OWN} == once
    assert once["PJRT_NPROC"] == str(device.THREADS)
    assert once["XLA_FLAGS"] is not None
    assert once["XLA_FLAGS"].startswith("--xla_dump_to=/nowhere --xla_gpu_deterministic_ops=true")


def test_devices_that_meet_have_threads_to_wait_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OWN:
        monkeypatch.delenv(name, raising=False)
    device._pin(8)
    assert os.environ["PJRT_NPROC"] == "16"


def test_the_profile_says_what_numbers_are_made_with() -> None:
    found = device.profile()
    assert (found["platform"], found["devices"], found["processes"]) == ("cpu", 1, 1)
    assert (found["x64"], found["matmul_precision"], found["threefry_partitionable"]) == (True, "highest", True)
    assert found["deterministic"] is True
    json.dumps(found)


def test_more_devices_than_there_are_is_wrong_input() -> None:
    with pytest.raises(errors.InputError) as caught:
        device.configure("auto", 3)
    text = "--devices: 3 is not allowed; allowed: 1 to 1, the cpus that jax shows; --device cpu makes them of its cores"
    assert str(caught.value).startswith(text)


def test_a_tpu_trains_in_float32_and_is_measured_on_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a CPU that says it is a TPU: where arrays go, not how a TPU computes."""
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    with pytest.raises(errors.InputError, match="precision: 'float64' is not allowed on a TPU"):
        device.check("float64")
    device.check("float32")
    placed, theta = sharding.place(np.ones((2, 1)), "float64"), sharding.exact(jnp.ones(3, "float32"))
    for array in (placed, theta):
        assert array.dtype == "float64"
        assert array.committed, "it stays on the host's CPU, and draws the computation there"
    assert not sharding.place(np.ones((2, 1)), "float32").committed


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_kept_where_the_c_library_is_glibc() -> None:
    assert device.keep_memory()


class Other:
    """A C library without mallopt."""


class Refusal:
    """A mallopt that refuses every setting."""

    def __call__(self, _what: int, _value: int) -> int:
        """Says no."""
        return 0


@pytest.mark.parametrize("library", [Other(), OSError("no such library"), TypeError("a name is needed")])
def test_another_c_library_is_left_alone(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(_name: None) -> Any:
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(ctypes, "CDLL", opened)
    assert not device.keep_memory()


def test_a_refusal_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = types.SimpleNamespace(mallopt=Refusal())
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: refusing)
    assert not device.keep_memory()


if __name__ == "__main__":
    os.sched_setaffinity(0, map(int, sys.argv[1:]))
    device.configure("cpu")
    print(json.dumps({"digest": digest(), "profile": device.profile()}))
