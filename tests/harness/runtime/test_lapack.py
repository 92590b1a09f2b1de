# SPDX-License-Identifier: Apache-2.0
"""LAPACK: pinned before numpy is loaded, unless the user set something else; recorded; the same for a verifier."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from harness import workspace
from harness.runtime import device, lapack
from leaderboard.bundles import process

NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE")

LOADED = """
from harness.runtime import lapack
lapack.limit()
import json, scipy.linalg, threadpoolctl
found = [one for one in threadpoolctl.threadpool_info() if one["internal_api"] == "openblas"]
print(json.dumps([[one["architecture"], one["num_threads"]] for one in found]))
"""


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    lapack.settings.cache_clear()
    yield
    lapack.settings.cache_clear()


def loaded(**environment: str) -> list[list[object]]:
    """What the OpenBLAS of numpy and of scipy say that they use, in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if name not in NAMES}
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, cwd=workspace.CHECKOUT, env=clean | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif("OPENBLAS_CORETYPE" not in lapack.settings(), reason="needs a CPU with AVX2")
def test_openblas_uses_one_thread_and_the_kernels_that_are_told() -> None:
    found = loaded()
    assert found and all(one == [lapack.KERNELS, 1] for one in found)
    found = loaded(OPENBLAS_CORETYPE="Sandybridge", OMP_NUM_THREADS="2")
    assert all(one == ["Sandybridge", 2] for one in found), "what a user sets wins"


@pytest.mark.parametrize(
    ("said", "kernels"),
    [
        ("flags : fpu sse4_2 avx avx2 fma", lapack.KERNELS),
        ("flags : fpu sse4_2 avx", None),
        ("Features : fp asimd", None),
    ],
)
def test_kernels_that_a_cpu_cannot_run_are_not_told(
    said: str, kernels: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pathlib.Path, "read_text", lambda *_, **__: said)
    assert lapack.settings().get("OPENBLAS_CORETYPE") == kernels
    assert lapack.settings()["OMP_NUM_THREADS"] == "1"


def test_no_list_of_cpus_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError("/proc/cpuinfo")

    monkeypatch.setattr(pathlib.Path, "read_text", missing)
    assert lapack.settings() == {"OMP_NUM_THREADS": "1"}


def test_other_kernels_are_recorded_and_promise_no_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    if "OPENBLAS_CORETYPE" not in lapack.settings():
        pytest.skip("needs a CPU with AVX2")
    monkeypatch.setenv("OPENBLAS_CORETYPE", lapack.KERNELS)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    found = device.profile()
    assert (found["lapack_kernels"], found["exact"]) == (lapack.KERNELS, True)
    monkeypatch.setenv("OPENBLAS_CORETYPE", "SkylakeX")
    found = device.profile()
    assert (found["lapack_kernels"], found["exact"]) == ("SkylakeX", False)


def test_a_verifier_has_the_settings_of_runs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    assert process.environment(tmp_path).items() >= lapack.settings().items()
    for name in lapack.settings():
        monkeypatch.setenv(name, "mine")
        assert process.environment(tmp_path)[name] == "mine"
