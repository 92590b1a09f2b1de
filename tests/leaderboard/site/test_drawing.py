# SPDX-License-Identifier: Apache-2.0
"""Drawings: every dot, line and step of a staircase where it belongs, worked out by hand."""

from __future__ import annotations

import json
import math
from types import ModuleType
from typing import Any

import pytest

from harness.records import histogram
from leaderboard.board import cell as cells
from leaderboard.board import optimisers
from leaderboard.export import document, parsing
from leaderboard.site import drawing


def run(sample: ModuleType, seed: int, records: list[dict[str, Any]], **changes: Any) -> document.Run:
    said = sample.facts("hand", seed, **changes)
    lines = "\n".join(json.dumps(record) for record in records)
    return parsing.parse_run(json.dumps(said), lines, sample.cell_yaml(said))


def logged(step: int, **values: float) -> dict[str, Any]:
    return {"step": step, "values": values}


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split() for pair in path.strip("MZ").split("L"))]


def test_step_size_against_margin_has_a_dot_for_each_seed_where_it_belongs(sample: ModuleType) -> None:
    both = [(0.1, 1.0), (1.0, 0.01), (0.1**0.5, 0.1)]
    runs = tuple(
        run(sample, seed, [logged(0, loss=1.0, sigma_min=sigma, sigma_min_error=0.0)], eta=eta)
        for seed, (eta, sigma) in enumerate(both)
    )
    found = drawing.scatter(drawing.seeds(cells.Cell(runs)))
    assert found is not None
    # the axes hold a decade and two, and 0.05 more at either end, over 550 x 250 pixels from (70, 260)
    assert [dot.x for dot in found.dots] == [
        pytest.approx(70 + 550 * x, abs=0.06) for x in (0.05 / 1.1, 1.05 / 1.1, 0.5)
    ]
    assert [dot.y for dot in found.dots] == [
        pytest.approx(260 - 250 * y, abs=0.06) for y in (2.05 / 2.1, 0.05 / 2.1, 0.5)
    ]
    assert [tick.label for tick in found.across] == ["0.1", "1"]
    assert [tick.label for tick in found.up] == ["0.01", "0.1", "1"]
    assert drawing.scatter(drawing.seeds(cells.Cell(runs[:1]))) is None


def test_the_fan_is_the_median_in_a_band_over_the_steps_that_all_seeds_logged(sample: ModuleType) -> None:
    losses = {0: (1.0, 10.0, 4.0), 9: (0.1, 1.0, 0.2), 99: (0.01, 0.1, 0.03)}
    runs = tuple(
        run(
            sample, seed, [logged(step, loss=values[seed]) for step, values in losses.items() if (seed, step) != (1, 9)]
        )
        for seed in range(3)
    )
    found = drawing.fan([cells.Cell(runs)])
    assert found is not None and len(found.lines) == 1
    line = found.lines[0]
    assert line.label.endswith(", 3 seeds")
    low, high = -2.05, 1.05  # decades of the axis

    def place(step: int, loss: float) -> tuple[float, float]:
        across = math.log1p(step) / math.log1p(99)
        return round(70 + 550 * across, 1), round(260 - 250 * (math.log10(loss) - low) / (high - low), 1)

    assert points(line.path) == [place(0, 4.0), place(99, 0.03)], "seed 1 did not log step 9"
    assert points(line.band) == [place(0, 1.0), place(99, 0.01), place(99, 0.1), place(0, 10.0)]
    assert [tick.label for tick in found.across] == ["0", "1", "10"]


def test_a_single_seed_has_no_band_and_cells_without_a_loss_no_line(sample: ModuleType) -> None:
    alone = cells.Cell((run(sample, 0, [logged(0, loss=1.0), logged(5, loss=0.5)]),))
    silent = cells.Cell((run(sample, 0, [logged(0, sigma_min=0.5)]),))
    found = drawing.fan([silent, alone])
    assert found is not None and [bool(line.band) for line in found.lines] == [False]
    assert drawing.fan([silent]) is None and drawing.fan([]) is None


def test_a_long_run_has_few_knots_and_keeps_its_ends(sample: ModuleType) -> None:
    alone = cells.Cell((run(sample, 0, [logged(step, loss=1 / (1 + step)) for step in range(500)]),))
    found = drawing.fan([alone])
    assert found is not None
    drawn = points(found.lines[0].path)
    assert len(drawn) <= drawing.KNOTS
    assert (drawn[0][0], drawn[-1][0]) == (drawing.LEFT, drawing.RIGHT)


def test_a_dot_is_hollow_where_another_optimiser_is_as_fast_and_as_far_from_singular(sample: ModuleType) -> None:
    """Two problems; on the first 1/0.1 beats 2/0.05 and not 3/0.5; on the second nothing is compared with the first."""

    def row(name: str, *known: tuple[str, float, float]) -> optimisers.Row:
        ratios, held = {}, []
        for activation, ratio, margin in known:
            part = {
                "model": {"family": "mlp", "hidden": [4], "activation": activation},
                "optimizer": {"name": name, "learning_rate": 0.1},
                "target": {"loss_gap": 0.1},
            }
            one = run(sample, 0, [logged(0, loss=1.0, sigma_min=margin)], cell=part, seeds=1)
            key = str(optimisers.problem(one))
            ratios[key] = ratio
            held.append(optimisers.Tried(one.suite, one.cell_id, one.spec, name, key, None, margin))
        return optimisers.Row(name, ratios, (), 0.0, None, "", None, tuple(held))

    rows = [
        row("gd", ("relu", 1.0, 0.1), ("gelu", 9.0, 0.01)),
        row("slow", ("relu", 2.0, 0.05), ("gelu", math.inf, 0.5)),
        row("careful", ("relu", 3.0, 0.5)),
    ]
    found = drawing.pareto(rows)
    assert found is not None
    assert [(dot.label.split(":")[0], dot.hollow) for dot in found.dots] == [
        ("gd", False),
        ("gd", False),
        ("slow", True),
        ("careful", False),
    ], "what missed its target has no dot"
    assert "3 of 4 dots" in found.title
    assert drawing.pareto(rows[2:]) is None


def test_spectra_are_stairs_around_one_over_eta(sample: ModuleType) -> None:
    kept = [{"step": 0, "complete": False, "first": 22, "counts": [9, 0, 3]}]
    found = drawing.spectra(run(sample, 0, [logged(0, loss=1.0)], histograms=kept))
    assert found is not None
    (line,) = found.lines
    assert line.label.startswith("step 0: 12 known of ")

    def place(bins: float, count: int) -> tuple[float, float]:
        return round(70 + 550 * (bins + 2) / 30, 1), round(260 - 250 * math.log1p(count) / math.log1p(9), 1)

    stairs = [(22, 0), (22, 9), (23, 9), (23, 0), (24, 0), (24, 3), (25, 3), (25, 0)]
    assert points(line.path) == [place(*stair) for stair in stairs]
    first, second = found.marks
    assert (first.label, first.at) == ("1/η", place(24, 0)[0])
    assert (second.label, second.at) == ("2/η", place(8 * math.log10(1999), 0)[0])
    assert [tick.label for tick in found.across] == ["0", "0.01", "1"]
    assert drawing.spectra(run(sample, 0, [logged(0, loss=1.0)])) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"step": 1, "complete": True, "first": 0, "counts": [1]},
        {"step": 0, "complete": True, "first": 0, "counts": [10**14]},
        {"step": 0, "complete": True, "first": histogram.FURTHEST, "counts": [1]},
        {"step": 0, "complete": True, "first": 0, "counts": []},
        {"step": 0, "complete": True, "first": 0, "counts": [-1]},
        {"step": 0, "complete": "yes", "first": 0, "counts": [1]},
    ],
)
def test_a_histogram_that_cannot_be_is_refused(sample: ModuleType, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="histogram"):
        run(sample, 0, [logged(0, loss=1.0)], histograms=[wrong])
