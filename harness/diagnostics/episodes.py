# SPDX-License-Identifier: Apache-2.0
"""Saddle episodes of a run: plateaus of its records on which H has negative eigenvalues (mathematics, section 5).

A plateau is a stretch of records whose Polyak-Lojasiewicz ratio is below LOW of the run's geometric mean; it is an
episode if some record on it has a negative eigenvalue (lambda_min below 0 by more than its error bar) and a later
record is off it again. Of the longest one: where the gradient is least, the number of negative eigenvalues where the
whole spectrum is known; and how fast the run leaves.
Along the least eigenvector the gradient grows like the displacement, by a factor 1 + eta |lambda_min| a step, so

    rate = (log|g_after| - log|g_least|) / (steps between) / log(1 + eta |lambda_min|)

is 1 in linear theory, from the record of least gradient to the last on the plateau, or the first after it where there
is none between. Cost: none. Failure: records are log-spaced, so short plateaus late in a run fall between them, and a
duration is known to one gap on either side; the least gradient lies between records, and other directions fade while
the steepest grows, so the rate comes out low; under momentum and for mini-batches linear theory is another one (NaN
where the record has no lambda_min below 0). How well a step is aligned with the least eigenvector: `departure`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness import records

METRICS = (
    "episodes",
    "episode_steps",
    "episode_depth",
    "episode_negative",
    "episode_rate",
    "episode_alignment",
)
NEEDS = ("pl_ratio", "lambda_min", "lambda_min_error")

LOW = 0.1
"""Share of the geometric mean below which a record is on a plateau."""


def summary(recorded: Sequence[records.Record], *, one_piece: bool = False) -> dict[str, float]:
    """Returns the number of episodes, the longest in steps, the least ratio, and how the run left the longest one.

    Args:
        recorded: The records of a run, in the order of their steps.
        one_piece: Not asked.
    """
    relative = _relative(recorded)
    if relative is None:
        return dict.fromkeys(METRICS, math.nan)
    found = _episodes(recorded, relative)
    spans = [recorded[end].step - recorded[begin].step for begin, end in found]
    left = _left(recorded, *found[spans.index(max(spans))]) if found else (math.nan, math.nan, math.nan)
    return {
        "episodes": float(len(found)),
        "episode_steps": float(max(spans, default=0)),
        "episode_depth": min((float(np.min(relative[begin:end])) for begin, end in found), default=math.nan),
        "episode_negative": left[0],
        "episode_rate": left[1],
        "episode_alignment": left[2],
    }


def spans(recorded: Sequence[records.Record]) -> list[tuple[int, int]]:
    """Returns the episodes of a run, in order: the step of the first record on each, and of the first after it."""
    relative = _relative(recorded)
    found = [] if relative is None else _episodes(recorded, relative)
    return [(recorded[begin].step, recorded[end].step) for begin, end in found]


def _relative(recorded: Sequence[records.Record]) -> np.ndarray | None:
    """Returns each record's PL ratio over the run's geometric mean; None where no ratio is known."""
    ratios = np.array([one.values.get("pl_ratio", math.nan) for one in recorded])
    known = ratios[np.isfinite(ratios) & (ratios > 0)]
    return ratios / math.exp(np.log(known).mean()) if len(known) else None


def _episodes(recorded: Sequence[records.Record], relative: np.ndarray) -> list[tuple[int, int]]:
    """Returns the places of the first record on each episode and of the first after it."""
    found: list[tuple[int, int]] = []
    begin: int | None = None
    for i in range(len(recorded)):
        if relative[i] < LOW:
            begin = i if begin is None else begin
            continue
        if begin is not None and any(map(_bends_down, recorded[begin:i])):
            found.append((begin, i))
        begin = None
    return found


def _bends_down(record: records.Record) -> bool:
    """Says whether H has an eigenvalue below 0 at a record, beyond rounding."""
    values = record.values
    return values.get("lambda_min", math.nan) < -values.get("lambda_min_error", math.nan)


def _left(recorded: Sequence[records.Record], begin: int, end: int) -> tuple[float, float, float]:
    """Returns n_negative at the least gradient of an episode, the rate of leaving, and the alignment at the exit."""

    def of(place: int, name: str) -> float:
        return recorded[place].values.get(name, math.nan)

    least = min(range(begin, end), key=lambda place: (of(place, "grad_norm"), place))
    last = end - 1 if end - 1 > least else end
    law = of(least, "eta") * -of(least, "lambda_min")
    growth = of(last, "grad_norm") / of(least, "grad_norm") if of(least, "grad_norm") > 0 else math.nan
    rate = math.nan
    if law > 0 and growth > 0 and math.isfinite(growth):
        rate = math.log(growth) / (recorded[last].step - recorded[least].step) / math.log1p(law)
    return of(least, "n_negative"), rate, of(end, "departure_alignment")
