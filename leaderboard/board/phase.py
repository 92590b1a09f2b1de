# SPDX-License-Identifier: Apache-2.0
"""The phase table: for each spec, what became of its seeds by eta lambda_max at the start."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

from leaderboard.board import cell as cells
from leaderboard.board import score

EDGES = (-4, -3, -2, -1, 0, 1, 2, 3)
"""Powers of 2; a cell belongs to the largest that is not above it, so that no square lies on both sides of 1 or 2."""

HEADINGS = ("< 1/8", "1/8 to 1/4", "1/4 to 1/2", "1/2 to 1", "1 to 2", "2 to 4", "4 to 8", "≥ 8")
EXACT = 1e-9
"""Share by which a measured eta lambda_max may lie below the power of 2 that its spec set, by rounding."""

MOST = 15
"""Specs that the first screen shows; the others are found by the filter."""


class Square(NamedTuple):
    """What became of the seeds of a spec at one step size.

    Attributes:
        found: Seeds that came to the aim of the row; None where that is not known.
        doubt: Whether I - eta H is not known to be invertible at the logged steps of a seed.
        diverged: How many seeds diverged.
        ended: How many ended.
        least: From which eta lambda_max on; None for no end.
        most: Up to which.
    """

    found: score.Share | None
    doubt: bool
    diverged: int
    ended: int
    least: float | None
    most: float | None


class Row(NamedTuple):
    """A spec, what its seeds were to come to, and its squares, None where nothing was run."""

    suite: str
    spec: str
    aim: score.Aim | None
    squares: tuple[Square | None, ...]


class Placed(NamedTuple):
    """What the table takes of a cell.

    Attributes:
        suite, spec: Its spec.
        aim: What its seeds were to come to.
        start: Median of eta lambda_max at the start.
        found: How many seeds came to their aim; None where that is not known.
        doubt: Whether I - eta H is not known to be invertible at the logged steps of a seed.
        diverged: How many seeds diverged.
        ended: How many ended.
    """

    suite: str
    spec: str
    aim: score.Aim | None
    start: float | None
    found: score.Share | None
    doubt: bool
    diverged: int
    ended: int


def placed(cell: cells.Cell) -> Placed:
    """Returns what the table takes of a cell."""
    run = cell.first
    return Placed(
        run.suite,
        run.spec,
        score.aim(run),
        cells.at_start(cell, "eta_sharpness").median,
        score.hits(cell),
        any(run.verdict != "invertible" for run in cell.ended),
        *cells.diverged(cell),
    )


def rows(board: Iterable[Placed]) -> list[Row]:
    """Returns the phase table of some cells, by suite and spec; a spec has a row for each aim of its cells."""

    def home(cell: Placed) -> tuple[str, str, str]:
        return cell.suite, cell.spec, cell.aim or ""

    found = []
    for (suite, spec, _), some in itertools.groupby(sorted(board, key=home), key=home):
        group = list(some)
        places: dict[int, list[Placed]] = {}
        for cell in group:
            if cell.start is not None and cell.start > 0:
                places.setdefault(_edge(cell.start), []).append(cell)
        squares = tuple(_square(places[edge], edge) if edge in places else None for edge in EDGES)
        if any(squares):
            found.append(Row(suite, spec, group[0].aim, squares))
    return found


def _edge(start: float) -> int:
    return min(max(math.floor(math.log2(start * (1 + EXACT))), EDGES[0]), EDGES[-1])


def _square(some: list[Placed], edge: int) -> Square:
    known = [cell.found for cell in some if cell.found is not None]
    least = None if edge == EDGES[0] else 2.0**edge
    most = None if edge == EDGES[-1] else 2.0 ** (edge + 1)
    return Square(
        score.share(sum(one.hits for one in known), sum(one.trials for one in known)) if known else None,
        any(cell.doubt for cell in some),
        sum(cell.diverged for cell in some),
        sum(cell.ended for cell in some),
        least,
        most,
    )
