# SPDX-License-Identifier: Apache-2.0
"""Bundles of rows that rest on code or files of their author's: reported, and nothing of them is run or opened."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import numpy as np
import pytest

from harness import errors, specs
from harness.records import run_folder
from leaderboard.board import theorem
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import process, reading, verify
from tests import builders, front_door

CODE = """
import pathlib
import jax
pathlib.Path(__file__).with_name("imported").touch()

def build(options, inputs, outputs):
    size = inputs[0] * inputs[1] * inputs[2]
    return (
        lambda key: {"w": jax.random.normal(key, (size, outputs))},
        lambda params, x: x.reshape(len(x), -1) @ params["w"],
    )
"""
PARTS: dict[str, dict[str, Any]] = {
    "code": {"model": {"family": "code", "build": "stranger:build"}},
    "file": {"data": {"name": "file", "path": "own.npz"}, "model": builders.mlp(2)},
}
SAID = {
    "code": "not recomputed: its network is code of its author's, stranger:build, which is not run here",
    "file": "not recomputed: its data are a file of its author's, which is no part of a bundle",
}


@pytest.fixture(params=list(PARTS))
def own(request: pytest.FixtureRequest, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Any]:
    """Which kind it is, and the bundle of its one run; code and file lie where gdzoo is called."""
    monkeypatch.chdir(home)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (home / "stranger.py").write_text(CODE, encoding="utf-8")
    np.savez("own.npz", x=np.eye(3), y=np.eye(3))
    (home / "mine").mkdir()
    (home / "mine" / "own.yaml").write_text(builders.spec_text(**PARTS[request.param]), encoding="utf-8")
    done = front_door.say("run", "mine/own.yaml", "--no-store", home=home)
    assert done.code == 0, done.err
    (cell,) = specs.read("mine/own.yaml").cells
    files = bundles.make(cell, [run_folder.folder(cell.suite, cell.run_id(0))], None)
    return request.param, reading.parse(files)


def test_it_stays_reported_and_nothing_of_it_is_run_or_opened(
    own: tuple[str, Any], home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, bundle = own
    touched = home / "imported"
    assert touched.exists() == (kind == "code"), "the run itself imported it, in a process of its own"
    touched.unlink(missing_ok=True)
    monkeypatch.setattr(process, "recompute", lambda *a, **k: pytest.fail("something is recomputed"))
    (home / "own.npz").unlink()
    for level in ("reported", "recomputed", "replayed"):
        found = verify.verify(bundle, level)
        assert found.confirmed and found.verdict.label == "reported"
        assert found.verdict.note == ("" if level == "reported" else SAID[kind])
    assert not touched.exists() and "stranger" not in sys.modules
    assert bundle.cell.cell_id == bundle.manifest.cell_id
    known = theorem.known(bundle.runs[0])
    assert known is not None and theorem.LABELS[known.covered] == {"code": "not known", "file": "Theorem 1"}[kind]


def test_the_process_that_recomputes_refuses_it_too(own: tuple[str, Any], home: pathlib.Path) -> None:
    _, bundle = own
    (home / "imported").unlink(missing_ok=True)
    with pytest.raises(errors.Rejected, match="rejected: the .* of somebody's own, and no"):
        process.recompute(bundle, process.Request("replayed", "x"))
    assert not (home / "imported").exists()
