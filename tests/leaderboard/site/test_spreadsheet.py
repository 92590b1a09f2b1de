# SPDX-License-Identifier: Apache-2.0
"""The table of cells as files."""

from __future__ import annotations

import csv
import io
from types import ModuleType

import pytest

from leaderboard.board import cell as cells
from leaderboard.site import spreadsheet


def test_a_dense_margin_has_both_ends_in_the_files(hand: cells.Cell, sample: ModuleType) -> None:
    (row,) = csv.DictReader(io.StringIO(b"".join(spreadsheet.to_csv([spreadsheet.row(hand)])).decode()))
    assert float(row["margin_lower_median"]) == pytest.approx(0.25 - 0.02)


def test_csv_has_full_precision_and_no_formula(sample: ModuleType) -> None:
    board = sample.board_of([sample.run("a", label="=HYPERLINK(1)", eta=0.1234567890123)])
    written = spreadsheet.to_csv(map(spreadsheet.row, cells.cells(board)))
    (row,) = csv.DictReader(io.StringIO(b"".join(written).decode()))
    assert row["label"] == "'=HYPERLINK(1)"
    assert row["eta_median"] == "0.1234567890123"
    assert float(row["margin_median"]) == cells.margin_of(board.runs[0]).value
