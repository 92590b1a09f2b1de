# SPDX-License-Identifier: Apache-2.0
"""The table: its views, what a terminal prints of it, and rows that do not move."""

from __future__ import annotations

from types import ModuleType

from leaderboard.board import cell as cells
from leaderboard.board import table
from leaderboard.export import document
from leaderboard.site import rows as site_rows


def test_a_row_does_not_move_when_others_come_or_go(sample: ModuleType) -> None:
    board = sample.export()
    rows = {row[0] for row in _entries(board)}
    assert len(rows) == 8
    for gone in rows:
        rest = [run for run in board.runs if run.cell_id != gone]
        assert _entries(sample.board_of(rest)) == [row for row in _entries(board) if row[0] != gone]


def _entries(board: document.Export) -> list[tuple[str, ...]]:
    return [
        (cell.first.cell_id, *(str(column.entry(cell)) for column in table.COLUMNS.values()))
        for cell in cells.cells(board)
    ]


def test_summary_is_the_table_of_the_page_without_second_lines(sample: ModuleType) -> None:
    header, rows = table.summary(site_rows.of_cell(cell).entries for cell in cells.cells(sample.export()))
    assert header == ("Configuration", "Verdict", "Margin min σ_min", "Crossings of 1/η", "Loss gap at end", "Seeds")
    assert len(rows) == 8
    assert {len(row) for row in rows} == {len(header)}
    assert rows[0][:2] == ("vit · activation=gelu", "singular")
    assert next(row for row in rows if row[0] == "fast")[-2:] == ("∞", "3/3 ↗")


def test_views_name_columns_and_are_narrow_enough() -> None:
    for view in table.VIEWS.values():
        assert set(view.columns) <= set(table.COLUMNS) and len(view.columns) <= 10
        assert view.columns[0] == "cell" and (not view.sort or view.sort in view.columns)
        assert {"seeds", "eta"} <= set(view.columns), "every row says how many seeds it has"
