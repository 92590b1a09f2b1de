# SPDX-License-Identifier: Apache-2.0
"""Tallies: the counts of the first screen and of the terminal, each of those cells or runs that it is asked of."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

from harness.records import ends, verdict
from leaderboard.board import cell as cells
from leaderboard.board import entries, score

UNTESTED = "not tested here"
"""What is said of a count that is asked of nothing on this board."""


@dataclasses.dataclass(frozen=True)
class Tally:
    """One count.

    Attributes:
        flag: The name in `flags` that the filter shows.
        heading: What is counted.
        count: How many.
        total: Of how many.
        unit: Cells or runs, and which of them.
        sentence: What it means.
    """

    flag: str
    heading: str
    count: int
    total: int
    unit: str
    sentence: str

    @property
    def shown(self) -> str:
        """The count in words, for a terminal."""
        return f"{self.count} of {self.total} {self.unit}" if self.total else UNTESTED


class Counted(NamedTuple):
    """What the counts take of a cell.

    Attributes:
        flags: Of which counts on the overview it is one.
        asked: Which goals are asked of it.
        stationary: The points that its runs ended at, where those are stationary.
    """

    flags: tuple[str, ...]
    asked: tuple[score.Aim, ...]
    stationary: tuple[str, ...]


def counted(cell: cells.Cell) -> Counted:
    """Returns what the counts take of a cell."""
    points = [run.end.point for run in cell.ended if run.end is not None]
    return Counted(
        tuple(flags(cell)),
        tuple(goal for goal in score.GOALS if score.hits(cell, goal) is not None),
        tuple(point for point in points if point in ends.STATIONARY_WORDS),
    )


def tallies(rows: Iterable[Counted]) -> list[Tally]:
    """Returns the counts of a board's cells."""
    held: collections.Counter[str] = collections.Counter()
    asked: collections.Counter[str] = collections.Counter()
    stationary: collections.Counter[str] = collections.Counter()
    count = 0
    for row in rows:
        count += 1
        held.update(row.flags)
        asked.update(row.asked)
        stationary.update(row.stationary)
    return [
        Tally(
            "invertible",
            "I − ηH invertible at every logged step",
            held["invertible"],
            count,
            "configurations",
            f"For every seed σ_min is above 0, with rounding {verdict.MARGIN:g} times as large, at each step that was "
            "looked at; with heavy ball the map of (θ, v) is invertible everywhere.",
        ),
        *(
            Tally(goal, row.every, held[goal], asked[goal], row.asked, row.definition)
            for goal, row in score.GOALS.items()
        ),
        Tally(
            "saddle",
            "stopped at a strict saddle",
            stationary["strict saddle"],
            stationary.total(),
            "runs whose end is stationary",
            "The gradient is as good as 0 there, and λ_min is below 0 by more than its error bar.",
        ),
        Tally(
            "edge",
            "ended at the edge of stability",
            held["edge"],
            count,
            "configurations",
            f"The median of η·λ_max at the last step lies between {score.EDGE.low} and {score.EDGE.high}.",
        ),
    ]


def flags(cell: cells.Cell) -> list[str]:
    """Returns the names of the counts on the overview that this cell belongs to."""
    found = cells.verdict(cell)
    # Differences between the lower bounds that Lanczos gives prove no crossing.
    crossed = not entries.bound(cell, "n_above_inv_eta") and any(cells.crossings_of(run) for run in cell.ended)
    end = cells.at_end(cell, "eta_sharpness").median
    came = {goal: score.hits(cell, goal) for goal in score.GOALS}
    names: dict[str, bool] = {
        "invertible": found == "invertible",
        "crossed": crossed,
        **{goal: share is not None and share.hits == share.trials for goal, share in came.items()},
        "saddle": any(run.end and run.end.point == "strict saddle" for run in cell.ended),
        "edge": end is not None and score.EDGE.low <= end <= score.EDGE.high,
        "diverged": cells.diverged(cell)[0] > 0,
    }
    return [name for name, belongs in names.items() if belongs]
