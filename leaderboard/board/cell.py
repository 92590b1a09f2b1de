# SPDX-License-Identifier: Apache-2.0
"""A cell of the board: all seeds of one configuration, and the numbers that are drawn from them.

Every number of a cell comes from its own runs and from nothing else, so that a row never moves because another row
came or went. What the seeds say is a median with the full range of the seeds. Seeds that ended (finished or diverged)
count; interrupted and failed ones were not looked at as often, so they are shown as marks and kept out of the numbers.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from harness import metrics
from harness.records import learning, statuses
from harness.records import verdict as verdict_rule
from leaderboard.board import interval
from leaderboard.export import document

Mark = Literal["n/a", "failed", "diverged", "interrupted", "incomplete", "censored", "budget", "unlearned"]
MARKS: dict[Mark, tuple[str, str]] = {
    "n/a": ("–", "there is no such number here"),
    "failed": ("✕", "a seed stopped with an error"),
    "diverged": ("↗", "the parameters left every bound; a result, not an error"),
    "interrupted": ("‖", "a seed was stopped from outside and can go on"),
    "incomplete": ("◔", "fewer seeds are on the board than the spec asks for"),
    "censored": ("›", "a seed was watched to the end without the event; it counts as later, it is not dropped"),
    "budget": ("≥", "no seed came there within its steps; what they spent together is a lower bound"),
    "unlearned": (
        "∅",
        "a seed learned nothing: at its last step its loss is not below that of the best constant prediction, or its "
        "accuracy not above chance",
    ),
}

VERDICTS: dict[document.Verdict, tuple[str, str]] = {
    "singular": (
        "◆",
        "a step size of the run is known in closed form, and exactly, to make the map singular: it takes a set of "
        "positive measure to a null set. That is said of the map, not of the points of the run, and no measurement can "
        "claim it",
    ),
    "undecided": (
        "◇",
        f"at some logged step σ_min is not more than {verdict_rule.MARGIN:g} times its error bar, or nothing excludes "
        "an eigenvalue at 1/η among those that were never seen; the page of the run says at which step, and why",
    ),
    "invertible": (
        "●",
        "I − ηH is invertible at every point that was looked at: in float64 a lower bound of σ_min above 0 is known "
        "at each logged step, up to a model of the rounding in H, and stays above 0 with that rounding "
        f"{verdict_rule.MARGIN:g} times as large; by the whole "
        "spectrum, or by Lanczos and what excludes the eigenvalues it never saw (false with probability 1e-12 at most "
        "for each step, which add up over a run)",
    ),
}


TRUST: dict[str, tuple[str, str]] = {
    "reported": ("○", "schema, hashes and ranges were checked"),
    "recomputed": ("◐", "start, first and last steps and spectral claims were computed again"),
    "replayed": ("●", "the whole run was repeated from its seed"),
    "disputed": ("⚑", "somebody computed another number, and the reason stands there"),
}
"""How far a row was checked; the sign tells the labels apart without colour."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """All seeds of one configuration.

    Attributes:
        runs: Its runs, sorted by seed; at least one.
        trust: How far it was checked; None where it was not submitted.
    """

    runs: tuple[document.Run, ...]
    trust: document.Trust | None = None

    @property
    def first(self) -> document.Run:
        """The run whose settings stand for all seeds (they differ in nothing that this is used for)."""
        return self.runs[0]

    @property
    def ended(self) -> tuple[document.Run, ...]:
        """The runs that ended by themselves."""
        return tuple(run for run in self.runs if run.status in statuses.ENDED)

    @property
    def seeds(self) -> int:
        """How many seeds the spec asks for; the largest number that any of the runs knew of."""
        return max(run.seeds for run in self.runs)


class Margin(NamedTuple):
    """The least sigma_min of one run over its checkpoints.

    Attributes:
        value: It; with a part of the spectrum an upper bound of it.
        error: Its error bar.
        step: Where it was.
        lower: With a part of the spectrum what sigma_min was proven not to be less than at any checkpoint, 0 if nothing
            is; None with the whole spectrum.
    """

    value: float
    error: float | None
    step: int
    lower: float | None = None

    @property
    def upper(self) -> float:
        """What it is not more than."""
        return self.value + (self.error or 0.0)


def cells(export: document.Export) -> list[Cell]:
    """Returns the cells of an export: singular first, then undecided, invertible, none; then by margin ascending."""
    ordered = sorted(export.runs, key=lambda run: (run.suite, run.cell_id, run.seed))
    grouped = itertools.groupby(ordered, key=lambda run: (run.suite, run.cell_id))
    trust = {(one.suite, one.cell_id): one for one in export.trust}
    return sorted((Cell(tuple(runs), trust.get(place)) for place, runs in grouped), key=rank)


def verdict(cell: Cell) -> document.Verdict | None:
    """Returns the weakest claim among the seeds: singular before undecided before invertible; None without any."""
    present = {run.verdict for run in cell.runs}
    return next((name for name in VERDICTS if name in present), None)


def marks(cell: Cell) -> list[tuple[Mark, int]]:
    """Returns the marks of a cell with the number of seeds each stands for; empty when all is well."""
    statuses: tuple[Literal["failed", "diverged", "interrupted"], ...] = ("failed", "diverged", "interrupted")
    found: list[tuple[Mark, int]] = [(name, sum(run.status == name for run in cell.runs)) for name in statuses]
    found.append(("incomplete", cell.seeds - len(cell.runs)))
    found.append(("unlearned", sum(bool(unlearned(run)) for run in cell.runs)))
    return [(name, count) for name, count in found if count > 0]


def unlearned(run: document.Run) -> str | None:
    """Returns why a run that finished learned nothing (records/learning.py); empty if it did, None if unknown."""
    if run.status != "finished":
        return None
    return learning.nothing({name: values[-1] for name, values in run.curves.items() if values}, run.examples)


def margin_of(run: document.Run) -> Margin | None:
    """Returns the least sigma_min over the checkpoints of a run; None when no checkpoint has one."""
    values = run.curves.get("sigma_min", ())
    known = [(value, index) for index, value in enumerate(values) if value is not None]
    if not known:
        return None
    value, index = min(known)  # of equal values the first
    lowers = run.curves.get("sigma_min_lower", (None,))
    lower = min((known or 0.0) for known in lowers) if run.curvature == "lanczos" else None
    return Margin(value, error_bar(run, "sigma_min", index), run.steps[index], lower)


def margin(cell: Cell) -> tuple[interval.Spread, float | None]:
    """Returns the seeds' margins and the error bar of their median: the largest of the runs in the middle."""
    found = sorted((m for run in cell.ended if (m := margin_of(run)) is not None), key=lambda m: m.value)
    middle = found[(len(found) - 1) // 2 : len(found) // 2 + 1]
    known = [item.error for item in middle if item.error is not None]
    return interval.spread([item.value for item in found]), max(known) if known else None


def margin_lower(cell: Cell) -> interval.Spread:
    """Returns the lower ends of the seeds' margins, where they are intervals."""
    return interval.spread([found.lower for run in cell.ended if (found := margin_of(run)) is not None])


def crossings_of(run: document.Run) -> float | None:
    """Returns how many eigenvalues crossed 1/eta between a run's looks; None where crossings and jumps are not told."""
    found = run.changes
    return None if found is None or math.isnan(found.crossings) else found.crossings


def changes(runs: Sequence[document.Run], what: Literal["all", "crossings", "jumps", "unresolved"]) -> interval.Spread:
    """Returns the runs' numbers of changes of the count, or of crossings or jumps where they are told apart."""
    found = [getattr(told, what) for run in runs if (told := run.changes) is not None]
    return interval.spread([value for value in found if not math.isnan(value)])


def at_start(cell: Cell, metric: str) -> interval.Spread:
    """Returns the seeds' values of a metric at the first checkpoint."""
    return interval.spread([at(run, metric, 0) for run in cell.ended])


def at_end(cell: Cell, metric: str) -> interval.Spread:
    """Returns the seeds' values of a metric at the last checkpoint; a run that diverged has none."""
    return interval.spread([at(run, metric, -1) for run in cell.ended if run.status == "finished"])


def over_run(cell: Cell, metric: str) -> interval.Spread:
    """Returns the seeds' values of a metric of whole runs."""
    return interval.spread([run.summary.get(metric) for run in cell.ended])


def loss_gap(cell: Cell) -> interval.Spread:
    """Returns the seeds' loss gaps at the end; a seed that diverged counts as infinity, so failing never helps."""
    values = [at(run, "loss_gap", -1) if run.status == "finished" else math.inf for run in cell.ended]
    return interval.spread(values)


def eta(cell: Cell) -> interval.Spread:
    """Returns the seeds' step sizes."""
    return interval.spread([run.eta for run in cell.runs])


def diverged(cell: Cell) -> tuple[int, int]:
    """Returns how many of the seeds that ended have diverged, and how many ended."""
    return sum(run.status == "diverged" for run in cell.ended), len(cell.ended)


def checkpoints(cell: Cell) -> tuple[int, int]:
    """Returns the least and the greatest number of checkpoints that a seed's margin was taken over."""
    counts = [sum(value is not None for value in run.curves.get("sigma_min", ())) for run in cell.ended]
    return min(counts, default=0), max(counts, default=0)


def at(run: document.Run, metric: str, index: int) -> float | None:
    """Returns a run's value of a metric at the checkpoint with this index; None where there is none."""
    values = run.curves.get(metric, ())
    return values[index] if values else None


def error_bar(run: document.Run, metric: str, index: int) -> float | None:
    """Returns the error bar of a run's value at a checkpoint; None where the metric has none.

    A value whose error bar is not finite in the records (the export holds null there) has an infinite one.
    """
    error = metrics.METRICS[metric].error
    if error is None or at(run, metric, index) is None:
        return None
    known = at(run, error, index)
    return math.inf if known is None else known


def rank(cell: Cell) -> tuple[int, float, str, str, str, str]:
    """Returns what cells stand in the order of: see `cells`."""
    found = verdict(cell)
    place = list(VERDICTS).index(found) if found else len(VERDICTS)
    low = margin_lower(cell).median
    median = margin(cell)[0].median if low is None else low
    first = cell.first
    return place, math.inf if median is None else median, first.suite, first.spec, first.label, cell.first.cell_id
