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
    made = rows.Table("cells", list(map(rows.of_cell, board)), len(board), [])
    assert rows.ordered(made, table.VIEWS["minima"]) == [3, 2, 0, 1], "9/9 before 1/1 before 0/1 before unknown"
    assert rows.ordered(made, table.VIEWS["non-singularity"]) == [0, 1, 2, 3]


def test_rows_of_ones_own_say_so(sample: ModuleType) -> None:
    row = rows.of_cell(sample.cell_of_ends([None]))
    own, other = (dict(rows.scripts("cells", [one])) for one in (rows.mine(row), row))
    assert "★ yours" in own["data/cells/non-singularity-0.js"].decode()
    assert re.search(r'[ "]mine"', own["data/cells/flags.js"].decode()) and b'"mine"' in own["data/cells.js"]
    assert not any(b"mine" in content.replace(b"determine", b"") for content in other.values())
