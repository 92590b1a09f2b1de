# SPDX-License-Identifier: Apache-2.0
"""The pictures of the first page: the flow of one run, and how near every run came to singular.

The run whose flow is drawn is chosen by a rule that the page states: of the finished runs with a trace the one in which
the tracked eigenvalues changed sides of 1/eta most often; of equals that with most parameters, then the first in the
order of the table.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from leaderboard.board import cell as cells
from leaderboard.board import number, settings
from leaderboard.export import document

LEFT, RIGHT, TOP = 110, 630, 8
"""Where the axis lies in a frame of 640, and where its first lane begins."""

LANE = 44
"""Height of the lane of a family."""

APART = 9
"""Pixels between two dots of a lane, at least: of runs nearer than that the first stands for all."""


class Near(NamedTuple):
    """How near a run came to singular.

    Attributes:
        value: Its least sigma_min, or what that was proven not to be less than.
        error: The error bar of its least sigma_min; infinite where it is not known.
        run_id: What names it.
    """

    value: float
    error: float
    run_id: str


class Taken(NamedTuple):
    """What the pictures take of a cell.

    Attributes:
        suite, family: Its suite, and its network's family as people write it.
        near: Its runs with a distance above 0.
        turns: Changes of side of 1/eta among the tracked eigenvalues of a run, its parameters, and its name: of the run
            with most; None where none has a trace.
    """

    suite: str
    family: str
    near: tuple[Near, ...]
    turns: tuple[int, int, str] | None


class Dot(NamedTuple):
    """A run on the axis: its place, the path of its page, and how many runs it stands for."""

    x: int
    suite: str
    run_id: str
    runs: int


class Lane(NamedTuple):
    """The runs of a family of networks, its place in the list of families, and where it lies."""

    family: str
    y: int
    dots: tuple[Dot, ...]


class Strip(NamedTuple):
    """How near every run came to singular.

    Attributes:
        title: What it says to those who do not see it.
        height: Of the frame.
        lanes: One for each family.
        ticks: Places and labels of powers of 10.
        floor: Up to where the median error bar reaches.
        least: The least distance.
        error: The median error bar.
    """

    title: str
    height: int
    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[int, str], ...]
    floor: int
    least: float
    error: float


def taken(cell: cells.Cell) -> Taken:
    """Returns what the pictures take of a cell."""
    near, turns = [], []
    for run in cell.ended:
        margin = cells.margin_of(run)
        if margin is not None:
            value = margin.value if margin.lower is None else margin.lower
            error = math.inf if margin.error is None else margin.error
            near += [Near(value, error, run.run_id)] if value > 0 else []
        if run.trace is not None and run.trace.steps and run.status == "finished":
            turns.append((int(run.trace.summary.get("trace_crossings") or 0), run.parameters, run.run_id))
    most = max(turns, key=lambda one: one[:2]) if turns else None
    return Taken(cell.first.suite, settings.family(cell.first), tuple(near), most)


def chosen(board: Sequence[Taken]) -> Taken | None:
    """Returns the cell whose run's flow is drawn, by the rule above; None where no run has a trace."""
    known = [one for one in board if one.turns is not None]
    return max(known, key=lambda one: (one.turns or (0, 0, ""))[:2]) if known else None


def strip(board: Iterable[Taken]) -> Strip | None:
    """Returns how near every run came to singular, in a lane for each family; None where no distance is known."""
    known = [(one, near) for one in board for near in one.near]
    if not known:
        return None
    error = statistics.median_low(near.error for _, near in known)
    error = error if math.isfinite(error) else 0.0
    least = min(near.value for _, near in known)
    low = math.floor(math.log10(min(error or least, least)))
    high = math.ceil(math.log10(max(near.value for _, near in known)) + 1e-9)

    def x(value: float) -> int:
        return round(LEFT + (RIGHT - LEFT) * (math.log10(value) - low) / (high - low))

    families: dict[str, list[tuple[int, str, str]]] = {}
    for one, near in known:
        families.setdefault(one.family, []).append((x(near.value), one.suite, near.run_id))
    lanes = tuple(
        Lane(family, TOP + LANE * at + LANE // 2, _thinned(sorted(families[family])))
        for at, family in enumerate(sorted(families))
    )
    step = math.ceil((high - low) / 8)
    ticks = tuple((x(10.0**power), number.show(10.0**power)) for power in range(low, high + 1, step))
    title = (
        f"least sigma_min of {len(known)} runs on a logarithmic axis, a lane for each family of networks; the least is "
        f"{number.show(least)}, the median error bar {number.show(error)}"
    )
    return Strip(title, TOP + LANE * len(lanes) + 34, lanes, ticks, x(error) if error else LEFT, least, error)


def _thinned(places: Sequence[tuple[int, str, str]]) -> tuple[Dot, ...]:
    """Returns a dot for each place that lies APART from the one before, and how many runs it stands for."""
    found: list[Dot] = []
    for x, suite, run_id in places:
        if found and x - found[-1].x < APART:
            found[-1] = found[-1]._replace(runs=found[-1].runs + 1)
        else:
            found.append(Dot(x, suite, run_id, 1))
    return tuple(found)


def run_of(runs: Iterable[document.Run], run_id: str) -> document.Run:
    """Returns the run of that name."""
    return next(run for run in runs if run.run_id == run_id)
