# SPDX-License-Identifier: Apache-2.0
"""What the runs of specs will cost here: a table, core hours, and what more tasks at once gain and take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import rich.console
import rich.table

from harness import config, specs
from harness.jobs import engines, progress
from harness.jobs.engines import local
from harness.runs import outline
from harness.runtime import machine, memory
from harness.training import shared

if TYPE_CHECKING:
    from harness.runs import estimate


class Cost(NamedTuple):
    """What all runs of some specs cost here.

    Attributes:
        seconds: One after the other, compilation included.
        busy: Core seconds.
        longest: Seconds of the longest run, its compilation included.
        bytes: Memory of the process that needs most.
    """

    seconds: float
    busy: float
    longest: float
    bytes: int


def show(
    found: Sequence[specs.Spec],
    outlines: Mapping[config.Cell, outline.Outline],
    parts: Mapping[config.Cell, estimate.Parts],
    console: rich.console.Console,
) -> None:
    """Prints what the runs of each spec will take here, and all of them together.

    Args:
        found: The specs.
        outlines: Of all their cells.
        parts: What was measured of the first cells of those specs that could be tried.
        console: Where to print.
    """
    from harness.runs import estimate

    table = rich.table.Table("spec", box=None, header_style="bold")
    for header in ("compiling", "a run", "all its runs", "core hours", "memory"):
        table.add_column(header, justify="right", no_wrap=True)
    costs = []
    for spec in found:
        measured = spec.cells[0]
        if measured not in parts:
            continue
        told = []
        for cell in spec.cells:
            own = estimate.scaled(parts[measured], measured, outlines[measured], cell, outlines[cell])
            told.append(estimate.estimate(cell, outlines[cell], own))
        compiling = parts[measured].compile * len({shared.of(cell) for cell in spec.cells})
        every = compiling + sum(one.run * cell.seeds for one, cell in zip(told, spec.cells, strict=True))
        longest = parts[measured].compile + max(one.run for one in told)
        cost = Cost(every, every * parts[measured].cores, longest, max(one.bytes for one in told))
        costs.append(cost)
        runs = _ends([one.run for one in told], progress.duration)
        sizes = _ends([one.bytes for one in told], memory.shown)
        row = (progress.duration(compiling), runs, progress.duration(every), hours(cost.busy), sizes)
        table.add_row(f"{spec.suite}/{spec.name}", *row)
    console.print(table)
    left_out = len(found) - len(costs)
    without = f"; {left_out} spec{'' if left_out == 1 else 's'} not estimated: no data, or too large to try"
    for line in lines(together(costs), machine.cores(), local.tasks_at_once(engines.Options())):
        console.print(line + (without if left_out else ""), highlight=False, soft_wrap=True)
        left_out = 0


def together(costs: Sequence[Cost]) -> Cost:
    """Returns the cost of the runs of several specs."""
    return Cost(
        sum(cost.seconds for cost in costs),
        sum(cost.busy for cost in costs),
        max(cost.longest for cost in costs),
        max(cost.bytes for cost in costs),
    )


def lines(cost: Cost, cores: int, usual: int) -> list[str]:
    """Returns what all runs cost one after the other, and what they take with more tasks at once.

    Args:
        cost: Of all of them.
        cores: Cores of this machine.
        usual: Tasks at once where nobody says how many.
    """
    told = [f"all of that, one after the other: about {progress.duration(cost.seconds)}, {hours(cost.busy)} core hours"]
    for jobs in sorted({usual, cores} - {1}):
        which = " (as `gdzoo run` takes here)" if jobs == usual else ""
        wall, size = progress.duration(at_once(cost, cores, jobs)), memory.shown(jobs * cost.bytes)
        told.append(f"with --jobs {jobs}{which}: about {wall}, {size} of memory at most")
    return told


def at_once(cost: Cost, cores: int, jobs: int) -> float:
    """Returns the seconds of all runs with so many at once: no core does two things, and no run is cut in two."""
    return max(cost.seconds / jobs, cost.busy / cores, cost.longest)


def hours(seconds: float) -> str:
    """Returns core seconds as core hours, to two digits."""
    return f"{seconds / 3600:.2g}" if seconds < 360_000 else f"{seconds / 3600:,.0f}"


def _ends(values: Sequence[float], shown: Callable[[float], str]) -> str:
    """Returns the least and the largest of some values in words: `12 s`, `12 s to 4 min`."""
    return " to ".join(dict.fromkeys(shown(value) for value in (min(values), max(values))))
