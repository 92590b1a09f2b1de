# SPDX-License-Identifier: Apache-2.0
"""What runs will cost: core hours, and what more tasks at once gain, against counts by hand."""

from __future__ import annotations

import pathlib

import pytest
import rich.console

from harness import specs
from harness.cli import costs
from harness.runs import estimate, outline
from harness.runtime import machine
from tests import builders

HOUR = 3600.0


@pytest.mark.parametrize(
    ("busy", "cores", "jobs", "seconds"),
    [
        (8.0, 4, 1, 8 * HOUR),
        (8.0, 4, 2, 4 * HOUR),
        (8.0, 4, 8, 2 * HOUR),  # four cores do eight core hours
        (16.0, 4, 2, 4 * HOUR),  # each run keeps two cores busy
        (16.0, 4, 4, 4 * HOUR),  # so more at once gain nothing
        (8.0, 64, 64, HOUR),  # the longest run
    ],
)
def test_more_at_once_is_bounded_by_cores_and_by_the_longest_run(
    busy: float, cores: int, jobs: int, seconds: float
) -> None:
    cost = costs.Cost(8 * HOUR, busy * HOUR, HOUR, 2**30)
    assert costs.at_once(cost, cores, jobs) == pytest.approx(seconds)


def test_what_all_runs_cost_is_said_for_one_and_for_more_at_once() -> None:
    cost = costs.Cost(8 * HOUR, 8 * HOUR, HOUR, 10**9)
    assert costs.lines(cost, 4, 2) == [
        "all of that, one after the other: about 8 h, 8 core hours",
        "with --jobs 2 (as `gdzoo run` takes here): about 4 h, 2 GB of memory at most",
        "with --jobs 4: about 2 h, 4 GB of memory at most",
    ]
    assert costs.lines(cost, 1, 1) == ["all of that, one after the other: about 8 h, 8 core hours"]


def test_the_whole_grid_and_all_its_seeds_are_counted(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 1)
    grid = {"steps": 100, "checkpoints": 4, "seeds": 9, "grid": {"optimizer.learning_rate": [0.1, 0.2]}}
    spec = specs.parse(builders.spec_text(**grid), file="t.yaml", suite="tests", name="t")
    outlines = {cell: outline.outline(cell) for cell in spec.cells}
    parts = {spec.cells[0]: estimate.Parts(7.0, 0.5, 2.0, 0.1, 1000, 2.0)}
    costs.show([spec], outlines, parts, rich.console.Console(width=200))
    one = estimate.estimate(spec.cells[0], outlines[spec.cells[0]], parts[spec.cells[0]]).run
    whole = 7.0 + 2 * 9 * one
    out = capsys.readouterr().out
    assert f"{costs.hours(2 * whole)} core hours" in out
    assert costs.hours(2 * whole) == f"{2 * whole / 3600:.2g}"
