# SPDX-License-Identifier: Apache-2.0
"""The tables of cells and runs as the scripts hold them."""

from __future__ import annotations

import re
from types import ModuleType

from leaderboard.board import table
from leaderboard.site import rows


def test_a_view_stands_in_the_order_of_its_column_with_the_missing_last(sample: ModuleType) -> None:
    board = [
        sample.cell_of_ends(ends, seeds=9)
        for ends in (["not stationary"], [None], ["global minimum"], ["global minimum"] * 9)
    ]
    made = rows.of_cells(board)
    assert rows.ordered(made, table.VIEWS["minima"]) == [3, 2, 0, 1], "9/9 before 1/1 before 0/1 before unknown"
    assert rows.ordered(made, table.VIEWS["non-singularity"]) == [0, 1, 2, 3]


def test_rows_of_ones_own_say_so(sample: ModuleType) -> None:
    board = [sample.cell_of_ends([None])]
    mine = f"quickstart/{board[0].first.cell_id}"
    script = rows.scripts(rows.of_cells(board, {mine}))["data/cells.js"].decode()
    assert "★ yours" in script and re.search(r'[ "]mine"', script)
    assert not re.search(r'[ "]mine"', rows.scripts(rows.of_cells(board))["data/cells.js"].decode())
