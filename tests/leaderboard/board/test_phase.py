# SPDX-License-Identifier: Apache-2.0
"""The phase table against an answer computed by hand."""

from __future__ import annotations

from types import ModuleType

from leaderboard.board import cell as cells
from leaderboard.board import phase


def test_no_square_of_the_phase_table_lies_on_both_sides_of_a_power_of_two(sample: ModuleType) -> None:
    def at(start: float, end: str, name: str) -> cells.Cell:
        values = [{"eta_sharpness": start}, {"eta_sharpness": 1.0}]
        cell = {"data": {"name": "digits", "examples": 100 + len(name)}}
        return cells.Cell((sample.run_of_rows(0, values, end={"point": end, "because": {}}, cell=cell),))

    board = [
        at(1 - 1e-12, "global minimum", "a"),
        at(1.99, "not stationary", "bb"),
        at(2.0, "not stationary", "ccc"),
        at(0.99, "not stationary", "dddd"),
        at(100.0, "not stationary", "eeeee"),
    ]
    (row,) = phase.rows(map(phase.placed, board))
    shown = {phase.HEADINGS[at]: square for at, square in enumerate(row.squares) if square}
    assert {key: (one.found and one.found[:2]) for key, one in shown.items()} == {
        "1/2 to 1": (0, 1),
        "1 to 2": (1, 2),
        "2 to 4": (0, 1),
        "≥ 8": (0, 1),
    }
    assert (shown["1 to 2"].least, shown["1 to 2"].most, shown["≥ 8"].most) == (1, 2, None)
