# SPDX-License-Identifier: Apache-2.0
"""Branches: the bits of the run that they begin at, where nothing is changed; from a bundle too; and bad ones."""

from __future__ import annotations

import functools
import pathlib

import numpy as np
import pytest

from harness import config, errors, workspace
from harness.records import run_folder
from harness.runs import run as runs
from leaderboard.bundles import bundle, submissions
from tests import builders

cell = functools.partial(builders.cell, data=builders.digits(20), steps=24, checkpoints=4, diagnostics=["fit"], seeds=3)
RULES = [
    builders.gd(0.3),
    *(builders.sgd(0.3, 8, sampling=sampling) for sampling in ("replacement", "reshuffling", "cyclic")),
]


def run(one: config.Cell, *seeds: int) -> list[pathlib.Path]:
    return runs.run_seeds(one, seeds, device="cpu", command="gdzoo run t.yaml")


def end(folder: pathlib.Path) -> np.ndarray:
    found = run_folder.load_state(folder)
    assert found is not None
    return found[1]["theta"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule['name']} {rule.get('sampling', '')}")
def test_a_branch_that_changes_nothing_repeats_the_bits(rule: builders.Part, home: pathlib.Path) -> None:
    one = cell(optimizer=rule)
    (whole,) = run(one, 1)
    step = sorted(run_folder.load_states(whole))[-2]
    again = cell(optimizer=rule, steps=24 - step, start={"name": "branch", "run": one.run_id(1), "step": step})
    (same,) = run(again, 1)
    assert end(same).tobytes() == end(whole).tobytes()
    (other,) = run(again, 2)
    drawn = rule.get("sampling") in ("replacement", "reshuffling")
    assert (end(other).tobytes() != end(whole).tobytes()) == drawn, "another seed draws other batches"
    changed = cell(optimizer={**rule, "learning_rate": 0.1}, steps=24 - step, start=again.start.model_dump())
    assert end(run(changed, 1)[0]).tobytes() != end(whole).tobytes()


def test_a_branch_begins_at_what_a_bundle_holds_and_may_be_displaced(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = cell()
    (whole,) = run(one, 0)
    at = run_folder.load_states(whole)[24]["theta"]
    monkeypatch.setenv("GDZOO_BOARD", str(home / "board"))
    submissions.write(bundle.make(one, [whole], None), submissions.path_of("submissions", one.suite, one.cell_id))
    monkeypatch.setenv("GDZOO_HOME", str(home / "elsewhere"))
    start = {"name": "branch", "run": one.run_id(0), "step": 24, "perturbation": 0.5}
    (folder,) = run(cell(start=start), 0)
    began = run_folder.load_states(folder)[0]["theta"].astype("f8")
    assert np.linalg.norm(began - at) == pytest.approx(0.5, rel=1e-6)


def test_a_branch_of_nothing_says_what_is_missing(home: pathlib.Path) -> None:
    one = cell()
    run(one, 0)
    for start, words in (
        ({"run": "0123456789ab-s0", "step": 0}, "no run 0123456789ab-s0 is in"),
        ({"run": one.run_id(0), "step": 23}, "has no state at step 23; it has some at 0, "),
    ):
        with pytest.raises(errors.InputError, match=words):
            run(cell(start={"name": "branch", **start}), 0)
    wider = cell(model=builders.mlp(5), start={"name": "branch", "run": one.run_id(0), "step": 0})
    with pytest.raises(errors.InputError, match="the network of this spec has"):
        run(wider, 0)
    assert workspace.runs().is_dir()
