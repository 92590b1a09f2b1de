# SPDX-License-Identifier: Apache-2.0
"""The counts of the first screen, against answers computed by hand."""

from __future__ import annotations

import re
from types import ModuleType

from leaderboard.board import cell as cells
from leaderboard.board import tally
from leaderboard.site import pages

GELU = {"model": {"family": "mlp", "hidden": [4], "activation": "gelu"}}
"""What changes of a cell so that its risk is one piece."""


def test_flags_of_the_first_screen(hand: cells.Cell, sample: ModuleType) -> None:
    assert tally.flags(hand) == ["diverged"], "the count changed, by crossings or by jumps"
    counted = {"sigma_min": [0.5, 0.5], "n_above_inv_eta": [0, 2]}
    assert "crossed" in tally.flags(cells.Cell((sample.run_of_curves(0, counted, cell=GELU),)))
    assert "invertible" in tally.flags(cells.Cell((sample.run("a"),)))


def test_counts_of_a_partial_spectrum_prove_no_crossing(sample: ModuleType) -> None:
    curves = {"sigma_min": [0.5, 0.5], "sigma_min_error": [0.1, 0.1], "n_above_inv_eta": [1.0, 3.0]}
    for method, verdict, expected in (
        ("dense", "undecided", ["crossed"]),
        ("lanczos", "undecided", []),
        ("lanczos", "invertible", ["crossed"]),
    ):
        cell = cells.Cell((sample.run_of_curves(0, curves, curvature=method, verdict=verdict, cell=GELU),))
        assert [flag for flag in tally.flags(cell) if flag == "crossed"] == expected


def test_the_counts_of_a_board_by_hand(sample: ModuleType) -> None:
    """A cell certified and at a minimum; one with one seed of two there; at a saddle; degenerate; at the edge."""
    edge = [{"eta_sharpness": 1.0}, {"eta_sharpness": 2.0}]
    known = [
        (["global minimum", "global minimum"], "invertible", [{"loss": 1.0}, {"loss": 0.5}]),
        (["global minimum", "not stationary"], "undecided", [{"loss": 1.0}, {"loss": 0.5}]),
        (["strict saddle", "strict saddle"], "undecided", [{"loss": 1.0}, {"loss": 0.5}]),
        (["degenerate", "diverged"], "undecided", [{"loss": 1.0}, {"loss": 0.5}]),
        ([None, None], "invertible", edge),
    ]
    board = [
        cells.Cell(
            tuple(
                sample.run_of_rows(seed, values, verdict=verdict, end={"point": end, "because": {}},
                     cell={"data": {"name": "digits", "examples": 100 + number}})
                for seed, end in enumerate(ends)
            )
        )
        for number, (ends, verdict, values) in enumerate(known)
    ]  # fmt: skip
    counts = {one.flag: (one.count, one.total) for one in tally.tallies(map(tally.counted, board))}
    minima = {"invertible": (2, 5), "minimum": (1, 4), "saddle": (2, 6), "edge": (1, 5)}
    assert counts == minima | {"target": (0, 0), "infimum": (0, 0)}
    words = {one.flag: one.shown for one in tally.tallies(map(tally.counted, board))}
    assert words["saddle"] == "2 of 6 runs whose end is stationary"
    assert words["target"] == words["infimum"] == "not tested here"


def test_runs_that_a_target_ended_are_at_no_minimum(sample: ModuleType) -> None:
    """11 of 75 cells were called `global minimum from every seed` for meeting a target at a gap of 0.09 to 0.25."""
    counts = {one.flag: one.shown for one in tally.tallies([tally.counted(sample.cell_with_target(40, 60))])}
    assert counts["target"] == "1 of 1 configurations with a target"
    assert counts["minimum"] == counts["saddle"] == "not tested here"
    page = pages.render(sample.board_of(sample.cell_with_target(40, 60).runs))["index.html"].decode()
    assert "not tested here" in page
    assert re.search(r"<small>Target met</small></th>.{,900}>2/2<", page, re.DOTALL)
