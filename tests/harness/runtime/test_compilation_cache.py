# SPDX-License-Identifier: Apache-2.0
"""A second start compiles nothing and computes the same bits; what a killed process left does no harm."""

from __future__ import annotations

import collections
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness.runtime import compilation_cache, device

EVENTS = "/jax/compilation_cache/"


def begun(folder: pathlib.Path, **environment: str) -> subprocess.Popen[str]:
    """Starts a process that keeps its programs in a folder."""
    names = {"JAX_COMPILATION_CACHE_DIR": str(folder), **environment}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, __file__], env={**os.environ, **names}, stdout=pipe, stderr=pipe, text=True
    )


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Returns what a process counted and computed."""
    out, said = process.communicate()
    assert process.returncode == 0, said
    assert not said.strip(), "jax or XLA has something to say about what was kept"
    return json.loads(out)


def start(folder: pathlib.Path, **environment: str) -> dict[str, Any]:
    return ended(begun(folder, **environment))


def entries(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob("*/*-cache"))


def test_a_second_start_compiles_nothing_and_computes_the_same_bits(tmp_path: pathlib.Path) -> None:
    first, second = start(tmp_path), start(tmp_path)
    assert first["compiled"] == len(entries(tmp_path)) > 0
    assert (second["compiled"], second["found"]) == (0, first["compiled"])
    assert second["digest"] == first["digest"]

    torn = entries(tmp_path)[0]
    torn.write_bytes(torn.read_bytes()[:-9])
    third = start(tmp_path)
    assert third["compiled"] == 1, "half an entry is made again"
    assert third["digest"] == first["digest"]
    zlib.decompress(torn.read_bytes())

    other = start(tmp_path, PJRT_NPROC="3")
    assert other["compiled"] > 0, "programs for another number of threads are others"
    flags = start(tmp_path, XLA_FLAGS="--xla_cpu_max_isa=SSE4_2")
    assert flags["compiled"] > 0, "so are those with other flags"


def test_starts_at_once_share_a_folder(tmp_path: pathlib.Path) -> None:
    digests = {ended(process)["digest"] for process in [begun(tmp_path) for _ in range(3)]}
    last = start(tmp_path)
    assert (last["compiled"], digests) == (0, {last["digest"]})


def test_the_longest_unused_go_first(tmp_path: pathlib.Path) -> None:
    for age, name in ((3, "old"), (1, "new"), (2, "middle")):
        (tmp_path / f"{name}-cache").write_bytes(b"(" + bytes(99))
        os.utime(tmp_path / f"{name}-cache", (1000 - age, 1000 - age))
    (tmp_path / "notes.txt").write_text("not ours")
    compilation_cache.tidy(tmp_path, limit=250)
    assert {path.name for path in tmp_path.iterdir()} == {
        "new-cache",
        "middle-cache",
        "notes.txt",
        compilation_cache.CHECKED,
    }


@pytest.mark.parametrize("content", [b"", zlib.compress(bytes(range(200)))[:-1], zlib.compress(b"whole")])
def test_what_is_not_whole_is_deleted(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "one-cache").write_bytes(content)
    compilation_cache.tidy(tmp_path)
    assert (tmp_path / "one-cache").exists() is (content == zlib.compress(b"whole"))


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "file"))
    compilation_cache.keep("here")


def test_the_place_is_the_one_that_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    assert compilation_cache.folder() == tmp_path / "gdzoo" / "xla"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "mine"))
    assert compilation_cache.folder() == tmp_path / "mine"


if __name__ == "__main__":
    counts: collections.Counter[str] = collections.Counter()
    jax.monitoring.register_event_listener(lambda event, **_: counts.update([event.removeprefix(EVENTS)]))
    device.configure("cpu")

    @jax.jit
    def steps(theta: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 50, lambda _, t: t - 0.1 * jax.grad(lambda t: jnp.sum(jnp.sin(t @ t.T)))(t), theta)

    end = np.asarray(steps(jax.random.normal(jax.random.key(0), (64, 64))))
    digest = hashlib.sha256(end.tobytes()).hexdigest()
    print(json.dumps({"found": counts["cache_hits"], "compiled": counts["cache_misses"], "digest": digest}))
