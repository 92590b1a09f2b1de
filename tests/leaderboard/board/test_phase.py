# SPDX-License-Identifier: Apache-2.0
"""The phase table against an answer computed by hand."""

from __future__ import annotations

from types import ModuleType

import pytest

from leaderboard.board import cell as cells
from leaderboard.board import phase


def test_the_phase_table_puts_a_cell_at_the_nearest_power_of_two(sample: ModuleType) -> None:
    def at(start: float, end: str, name: str) -> cells.Cell:
        values = [{"eta_sharpness": start}, {"eta_sharpness": 1.0}]
        cell = {"data": {"name": "digits", "examples": 100 + len(name)}}
        return cells.Cell((sample.run_of_rows(0, values, end={"point": end, "because": {}}, cell=cell),))

    board = [at(1.4, "global minimum", "a"), at(1.5, "not stationary", "bb"), at(100.0, "not stationary", "ccc")]
    (row,) = phase.rows(map(phase.placed, board))
    shown = {phase.HEADINGS[at]: square for at, square in enumerate(row.squares) if square}
    assert {key: (one.found and one.found[:2]) for key, one in shown.items()} == {
        "1": (1, 1),
        "2": (0, 1),
        "≥ 8": (0, 1),
    }
    assert (shown["1"].least, shown["≥ 8"].most) == (pytest.approx(2**-0.5), None)
