# SPDX-License-Identifier: Apache-2.0
"""A cell: margins, marks, order, against answers computed by hand."""

from __future__ import annotations

import json
import math
from types import ModuleType

from leaderboard.board import cell as cells
from leaderboard.board import interval, number, table
from leaderboard.export import document, parsing


def test_margin_is_the_median_of_the_seeds_least_with_its_own_error_bar(hand: cells.Cell) -> None:
    spread, error = cells.margin(hand)
    assert (spread.median, spread.values, error) == (0.25, [0.125, 0.25, 0.375], 0.02)
    assert cells.margin_of(hand.runs[0]) == cells.Margin(0.25, 0.02, 1)


def test_median_of_two_seeds_takes_the_larger_error_bar(hand: cells.Cell) -> None:
    spread, error = cells.margin(cells.Cell(hand.runs[:2]))
    assert (spread.median, error) == (0.1875, 0.02)


def test_a_seed_that_diverged_has_an_infinite_loss_gap_and_no_end_values(hand: cells.Cell) -> None:
    assert cells.loss_gap(hand) == interval.Spread(0.25, [0.125, 0.25, math.inf])
    assert cells.at_end(hand, "eta_sharpness") == interval.Spread(1.875, [1.75, 2.0])


def test_interrupted_and_failed_seeds_are_marked_and_kept_out_of_the_numbers(sample: ModuleType) -> None:
    runs = [
        sample.run("a", 0, seeds=5),
        sample.run("a", 1, seeds=5, status="interrupted", verdict=None, steps=sample.STEPS[:2]),
        sample.run("a", 2, seeds=5, status="failed", verdict=None, steps=(), eta=None),
    ]
    cell = cells.Cell(tuple(runs))
    assert cells.marks(cell) == [("failed", 1), ("interrupted", 1), ("incomplete", 2)]
    assert table.COLUMNS["seeds"].entry(cell).main == "1/5"
    assert cells.margin(cell) == cells.margin(cells.Cell((runs[0],)))


def test_marks_and_trust_labels_differ_by_their_signs() -> None:
    assert {"n/a", "failed", "diverged", "censored", "budget"} <= set(cells.MARKS)
    assert len({sign for sign, _ in cells.MARKS.values()}) == len(cells.MARKS)
    assert len({sign for sign, _ in cells.TRUST.values()}) == len(cells.TRUST) == 4


def test_an_error_bar_that_is_not_finite_is_infinite_not_absent(sample: ModuleType) -> None:
    curves = {"log_abs_det": [-1.0, -2.0], "log_abs_det_error": [0.5, "inf"], "loss": [1.0, 0.5]}
    run = sample.run_of_curves(0, curves, verdict="undecided")
    assert [cells.error_bar(run, "log_abs_det", t) for t in (0, 1)] == [0.5, math.inf]
    assert cells.error_bar(run, "loss", 1) is None
    assert number.show(-2.0, cells.error_bar(run, "log_abs_det", 1)) == "−2 ± ∞"


def test_singular_comes_first_then_undecided_then_invertible_then_the_margin(sample: ModuleType) -> None:
    def cell(name: str, verdict: str, margin: float) -> document.Run:
        said = sample.facts(name, verdict=verdict, label=name)
        line = json.dumps({"step": 0, "values": {"sigma_min": margin}})
        return parsing.parse_run(json.dumps(said), line, sample.cell_yaml(said))

    runs = [
        cell("a", "invertible", 0.1),
        cell("b", "singular", 0.3),
        cell("c", "undecided", 0.2),
        cell("d", "undecided", 0.1),
    ]
    assert [found.first.label for found in cells.cells(sample.board_of(runs))] == ["b", "d", "c", "a"]
