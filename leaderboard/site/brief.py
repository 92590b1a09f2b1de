# SPDX-License-Identifier: Apache-2.0
"""Briefs: what the pages of the whole board take of each cell, so that its runs are read once and put back.

A brief is small, holds no curve, and lies on disk like the runs; memory holds its place and what it is sorted by.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from leaderboard.board import cell as cells
from leaderboard.board import minima, optimisers, phase, scope, tally
from leaderboard.export import document, shelf, spool
from leaderboard.site import drawing, overview, rows, spreadsheet


class Brief(NamedTuple):
    """What the pages of the whole board take of a cell.

    Attributes:
        key: What names it.
        spec: Of its first run.
        ended: When its latest run ended.
        verdict: The weakest claim among its seeds.
        row: Its row of the table of cells.
        sheet: Its line of the spreadsheets.
        seeds: Step sizes and margins, for the drawing of its spec.
        counted, placed, seen, tried, swept, pictured: What the counts, the phase table, the scope, the optimisers, the
            minima and the pictures of the first page take of it.
    """

    key: shelf.Key
    spec: str
    ended: str
    verdict: document.Verdict | None
    row: rows.Row
    sheet: list[object]
    seeds: list[drawing.Seed]
    counted: tally.Counted
    placed: phase.Placed
    seen: scope.Seen
    tried: optimisers.Tried | None
    swept: minima.Swept | None
    pictured: overview.Taken


class _Kept(NamedTuple):
    """Where a brief and the rows of its runs lie, and what cells stand in the order of."""

    rank: tuple[Any, ...]
    key: shelf.Key
    spec: str
    brief: spool.Place
    runs: spool.Place


class Briefs:
    """The briefs of the cells of a board, in the order of its tables, each read when it is asked for."""

    def __init__(self, folder: pathlib.Path | None = None) -> None:
        """Makes it empty; `folder` is where it keeps them, by default that of temporary files."""
        self._briefs: spool.Spool[Brief] = spool.Spool(folder)
        self._runs: spool.Spool[tuple[rows.Row, ...]] = spool.Spool(folder)
        self._kept: list[_Kept] = []
        self.runs_count = 0

    def __len__(self) -> int:
        """How many cells there are."""
        return len(self._kept)

    def __iter__(self) -> Iterator[Brief]:
        """Reads them all, one by one."""
        return self.of(range(len(self._kept)))

    def add(self, cell: cells.Cell) -> None:
        """Takes the brief of a cell, and the rows of its runs."""
        first = cell.first
        made, own = of(cell), rows.of_runs(cell)
        key = (first.suite, first.cell_id)
        self._kept.append(_Kept(cells.rank(cell), key, first.spec, self._briefs.put(made), self._runs.put(own)))
        self.runs_count += len(own)

    def sort(self) -> None:
        """Puts them in the order of the tables; to be said when all are there."""
        self._kept.sort(key=lambda kept: kept.rank)

    def of(self, places: Iterable[int]) -> Iterator[Brief]:
        """Reads those at some places, one by one."""
        return (self._briefs.get(self._kept[at].brief) for at in places)

    def runs(self) -> Iterator[rows.Row]:
        """Reads the rows of all runs, in the order of their cells and seeds."""
        return (row for kept in self._kept for row in self._runs.get(kept.runs))

    def by_spec(self) -> dict[tuple[str, str], list[int]]:
        """Returns the places of the cells of each suite and spec."""
        found: dict[tuple[str, str], list[int]] = {}
        for at, kept in enumerate(self._kept):
            found.setdefault((kept.key[0], kept.spec), []).append(at)
        return found

    def keys(self, places: Iterable[int]) -> list[shelf.Key]:
        """Returns what names the cells at some places."""
        return [self._kept[at].key for at in places]


def of(cell: cells.Cell) -> Brief:
    """Returns the brief of a cell."""
    first = cell.first
    counted = tally.counted(cell)
    return Brief(
        key=(first.suite, first.cell_id),
        spec=first.spec,
        ended=max(run.ended for run in cell.runs),
        verdict=cells.verdict(cell),
        row=rows.of_cell(cell, counted.flags),
        sheet=spreadsheet.row(cell),
        seeds=drawing.seeds(cell),
        counted=counted,
        placed=phase.placed(cell),
        seen=scope.seen(cell),
        tried=optimisers.tried(cell),
        swept=minima.swept(cell),
        pictured=overview.taken(cell),
    )
