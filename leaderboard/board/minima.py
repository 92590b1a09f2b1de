# SPDX-License-Identifier: Apache-2.0
"""Minima: which step sizes reach a global minimum, and what the exponent of the map says there.

A sweep is a set of configurations of one spec that differ in the step size alone, as many as LEAST or more, each given
as eta lambda_max at the start, with an infimum that is attained. Its columns are those numbers as the specs give them,
so that no square mixes two, nor anything below 1 or 2 with anything above.

Chemnitz & Engel (JMLR 26(134), 2025, arXiv 2407.20209): gradient descent (SGD) reaches a neighbourhood of a regular
global minimum with positive probability where the exponent mu (lambda) of its map there is below 0, and with none where
it is above. So no minimum that was reached may have one above 0; each that has is listed.
"""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

from harness.config import canonical
from harness.records import ends
from leaderboard.board import cell as cells
from leaderboard.board import interval, score, settings
from leaderboard.export import document

LEAST = 3
"""Step sizes from which on cells make a sweep."""

GOAL: ends.Word = "global minimum"
DOMAIN = "gdzoo-sweep-1:"


class Reached(NamedTuple):
    """A run that ended at a global minimum.

    Attributes:
        run_id: What names it.
        sign: Of the exponent there: -1 or 1 where it is away from 0 by more than its error bar, 0 where it is not;
            None where none was measured.
        sharpness: eta lambda_max there; None where it was not measured.
    """

    run_id: str
    sign: int | None
    sharpness: float | None


class Swept(NamedTuple):
    """What the page takes of a cell.

    Attributes:
        suite, spec, cell_id: What names it.
        sweep: The hash of everything but its step size.
        network, optimiser: Its settings in a few words.
        descent: Whether steps see the whole batch.
        start: eta lambda_max at the start, as the spec gives it.
        ended: How many seeds ended.
        diverged: How many of them diverged.
        stationary: How many ended at a stationary point that is no global minimum.
        saddles: How many of these at a strict saddle.
        reached: Those that ended at a global minimum.
    """

    suite: str
    spec: str
    cell_id: str
    sweep: str
    network: str
    optimiser: str
    descent: bool
    start: float
    ended: int
    diverged: int
    stationary: int
    saddles: int
    reached: tuple[Reached, ...]

    @property
    def share(self) -> score.Share:
        """How many of the seeds that ended are at a global minimum."""
        return score.share(len(self.reached), self.ended)

    @property
    def look(self) -> Literal["none", "some", "half", "most", "all", "diverged"]:
        """The class of its square: by that share, or that all diverged."""
        if self.diverged == self.ended:
            return "diverged"
        hits, trials = len(self.reached), self.ended
        if not hits:
            return "none"
        return (
            "all" if hits == trials else "some" if 3 * hits <= trials else "half" if 3 * hits <= 2 * trials else "most"
        )


class Row(NamedTuple):
    """A sweep: its settings, and for each step size of its table the cell, None where nothing was run."""

    network: str
    optimiser: str
    squares: tuple[Swept | None, ...]


class Table(NamedTuple):
    """The sweeps of a spec, and the step sizes that stand above their squares."""

    suite: str
    spec: str
    starts: tuple[float, ...]
    rows: tuple[Row, ...]


class Said(NamedTuple):
    """What the runs of all sweeps say together.

    Attributes:
        below: Of the runs at a global minimum, those at which the exponent is below 0 by more than its error bar.
        within: At how many it is 0 within it.
        above: Those at which it is above: suite, cell and run.
        unmeasured: At how many none was measured.
        sharp: Of gradient descent's, those whose eta lambda_max is at most 2 by measurement.
        saddles: Of the runs that end at a stationary point, those that end at a strict saddle.
        diverged: How many diverged.
        ended: How many ended.
    """

    below: int
    within: int
    above: tuple[tuple[Swept, Reached], ...]
    unmeasured: int
    sharp: score.Share
    saddles: score.Share
    diverged: int
    ended: int

    @property
    def reached(self) -> int:
        """How many ended at a global minimum."""
        return self.below + self.within + len(self.above) + self.unmeasured


def swept(cell: cells.Cell) -> Swept | None:
    """Returns what the page takes of a cell; None where it can be part of no sweep."""
    run = cell.first
    rate = run.part("optimizer").get("learning_rate")
    start = rate.get("eta_lambda") if isinstance(rate, dict) else None
    constant = run.part("optimizer").get("schedule", {"name": "constant"}) == {"name": "constant"}
    if not isinstance(start, int | float) or not constant or not cell.ended or not score.attained(run):
        return None
    if run.part("start").get("name", "random") != "random":
        return None
    points = collections.Counter(run.end.point for run in cell.ended if run.end is not None and run.end.point)
    others = [word for word in ends.STATIONARY_WORDS if word != GOAL]
    return Swept(
        run.suite,
        run.spec,
        run.cell_id,
        _sweep(run),
        settings.network(run),
        settings.named_optimizer(run),
        not run.part("optimizer").get("batch_size"),
        float(start),
        len(cell.ended),
        cells.diverged(cell)[0],
        sum(points[word] for word in others),
        points["strict saddle"],
        tuple(_reached(run) for run in cell.ended if run.end is not None and run.end.point == GOAL),
    )


def _sweep(run: document.Run) -> str:
    rule = {name: part for name, part in run.part("optimizer").items() if name != "learning_rate"}
    return canonical.sha256({**run.cell, "optimizer": rule}, DOMAIN)[:12]


def _reached(run: document.Run) -> Reached:
    name = "lambda" if run.part("optimizer").get("batch_size") else "mu"
    value, error = cells.at(run, name, -1), cells.error_bar(run, name, -1)
    sign = None
    if value is not None and error is not None:
        sign = 0 if abs(value) <= error else int(math.copysign(1, value))
    return Reached(run.run_id, sign, cells.at(run, "eta_sharpness", -1))


def sweeps(board: Iterable[Swept]) -> list[Table]:
    """Returns the sweeps of some cells, those of a spec as one table, by suite and spec."""
    groups: dict[tuple[str, str, str], list[Swept]] = {}
    for cell in board:
        groups.setdefault((cell.suite, cell.spec, cell.sweep), []).append(cell)
    kept = [group for group in groups.values() if len({cell.start for cell in group}) >= LEAST]

    def home(group: list[Swept]) -> tuple[str, str]:
        return group[0].suite, group[0].spec

    found = []
    for (suite, spec), some in itertools.groupby(sorted(kept, key=home), key=home):
        own = sorted(some, key=lambda group: (group[0].network, group[0].optimiser))
        starts = tuple(sorted({cell.start for group in own for cell in group}))
        rows = []
        for group in own:
            at = {cell.start: cell for cell in group}
            rows.append(Row(group[0].network, group[0].optimiser, tuple(map(at.get, starts))))
        found.append(Table(suite, spec, starts, tuple(rows)))
    return found


def of(tables: Iterable[Table]) -> list[Swept]:
    """Returns the cells of some tables."""
    return [square for table in tables for row in table.rows for square in row.squares if square is not None]


def said(tables: Iterable[Table]) -> Said:
    """Returns what the runs of some sweeps say together."""
    known = of(tables)
    pairs = [(cell, run) for cell in known for run in cell.reached]
    signs = collections.Counter(run.sign for _, run in pairs)
    descents = [run.sharpness for cell, run in pairs if cell.descent and run.sharpness is not None]
    stationary = sum(cell.stationary for cell in known) + len(pairs)
    return Said(
        signs[-1],
        signs[0],
        tuple((cell, run) for cell, run in pairs if run.sign == 1),
        signs[None],
        score.share(sum(value <= 2 for value in descents), len(descents)),
        score.share(sum(cell.saddles for cell in known), stationary),
        sum(cell.diverged for cell in known),
        sum(cell.ended for cell in known),
    )


def sharpness(cell: Swept) -> interval.Spread:
    """Returns eta lambda_max at the global minima that the seeds of a cell reached."""
    return interval.spread([run.sharpness for run in cell.reached])
