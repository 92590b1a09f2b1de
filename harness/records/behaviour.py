# SPDX-License-Identifier: Apache-2.0
"""What runs from planted points did, against what mu, lambda and lambda_min say of those points.

A planted minimum attracts where the exponent of the map that is trained (mu, or lambda for SGD) is below 0, and repels
where it is above; a run stayed if it ends within STAYS times its displacement. Runs from planted saddles leave, in a
time that linear theory predicts, or are censored. Intervals are those of records/survival.py.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from harness import config, records
from harness.records import survival

STAYS = 10.0
"""A run that ends within so many of its displacements has stayed."""

Said = Literal["attracts", "undecided", "repels"]
Seen = Literal["stayed", "left"]


class Behaviour(NamedTuple):
    """What was said of a planted minimum, what a run did, and why they differ where they do."""

    said: Said
    seen: Seen
    why: str


def behaviour(cell: config.Recipe, recorded: Sequence[records.Record]) -> Behaviour | None:
    """Returns what a run displaced from a planted minimum shows; None for any other, and where mu is not recorded."""
    if cell.start.name != "planted_minimum" or not cell.start.perturbation or len(recorded) < 2:
        return None
    first, last = recorded[0].values, recorded[-1].values
    name = "mu" if cell.optimizer.batch_size is None else "lambda"
    exponent, bar = first.get(name, math.nan), first.get(f"{name}_error", math.inf)
    if math.isnan(exponent) or "displacement" not in first:
        return None
    said: Said = "repels" if exponent > bar else "attracts" if exponent < -bar else "undecided"
    stayed = last["displacement"] <= STAYS * first["displacement"]
    seen: Seen = "stayed" if stayed else "left"
    return Behaviour(said, seen, _why(said, seen, exponent, last, recorded[-1].step))


def _why(said: Said, seen: Seen, exponent: float, last: Mapping[str, float], steps: int) -> str:
    """Returns what explains that a run did not do what was said, if anything does."""
    if said == "repels" and seen == "stayed":
        if exponent * steps < math.log(STAYS) + 2:
            return f"{exponent * steps:.1f} nats of growth in {steps} steps are too few"
        kappa = last.get("absorption", math.nan)
        return f"rounding absorbed it: kappa {kappa:.2f}" if math.isfinite(kappa) else "not explained"
    if said == "attracts" and seen == "left":
        square = last.get("lambda_upper", math.nan)
        return "mean squares grow, so excursions are long" if square > 0 else "the displacement is not small"
    return ""


class Escape(NamedTuple):
    """What the runs of a cell from a planted saddle show.

    Attributes:
        runs: How many there are.
        left: How many left; the others are censored.
        share: Wilson's 95 % interval of left over runs.
        median: Steps after which half have left, by Kaplan and Meier; infinite if they have not.
        interval: Its 95 % interval.
        predicted: Median of the predicted steps.
        ratio: Median of measured over predicted, over those that left.
    """

    runs: int
    left: int
    share: tuple[float, float]
    median: float
    interval: tuple[float, float]
    predicted: float
    ratio: float


def escape(found: Sequence[Mapping[str, float]]) -> Escape | None:
    """Returns what runs from one saddle show, from their first records' values; None without any."""
    found = [values for values in found if not math.isnan(values.get("escape_steps", math.nan))]
    if not found:
        return None
    left = [values["escape_steps"] for values in found if math.isfinite(values["escape_steps"])]
    stayed = [values["escape_watched"] for values in found if not math.isfinite(values["escape_steps"])]
    median = survival.median(left, stayed)
    ratios = [values["escape_ratio"] for values in found if math.isfinite(values.get("escape_ratio", math.nan))]
    return Escape(
        len(found),
        len(left),
        survival.share(len(left), len(found)),
        median.value,
        (median.low, median.high),
        statistics.median(values["escape_predicted"] for values in found),
        statistics.median(ratios) if ratios else math.nan,
    )
