# SPDX-License-Identifier: Apache-2.0
"""Scores: what the seeds of a cell are entitled to say together of targets, minima, saddles and stability.

Meeting a target, approaching an infimum and being at a global minimum are three things. A run has one of them for its
aim (`aim`): a run that a target ends goes no further, so it does not test the others.

One rule for page, terminal and CSV. A number comes from the runs of its own cell alone, so that a row never moves when
another comes or goes. Failures count: a seed that missed is spent, not dropped.
"""

from __future__ import annotations

import functools
import json
import math
from typing import Any, Literal, NamedTuple

import numpy as np
import pydantic

from harness import config
from harness.records import behaviour as behaviours
from harness.records import ends, survival
from harness.risk import losses
from leaderboard.board import cell as cells
from leaderboard.board import interval, number
from leaderboard.export import document

Aim = Literal["target", "minimum", "infimum"]

LOSSES = (config.HalfMse, config.SmoothedCe, config.Ce, config.Output)
_LOSS: pydantic.TypeAdapter[config.Loss] = pydantic.TypeAdapter(config.Loss)


class Goal(NamedTuple):
    """What runs can come to.

    Attributes:
        label: The heading of its count.
        every: What is said of a cell of which every seed came there.
        definition: What it means.
        asked: Of which cells it is asked.
    """

    label: str
    every: str
    definition: str
    asked: str


GAPS = f"{number.show(ends.GAP['float32'])} in float32 and {number.show(ends.GAP['float64'])} in float64"

GOALS: dict[Aim, Goal] = {
    "target": Goal(
        "Target met",
        "met the target of its spec from every seed",
        "The loss came down to the target that the spec sets, where the run ended. A target is no minimum: nothing is "
        "said of what lies below it.",
        "configurations with a target",
    ),
    "minimum": Goal(
        "Global minimum",
        "at a global minimum from every seed",
        f"The loss is at an infimum that is attained, up to {GAPS} of what the best constant prediction is above it, "
        f"and no eigenvalue is known to be negative by more than {number.show(ends.FLAT)} λ_max.",
        "configurations with an attained infimum, no target",
    ),
    "infimum": Goal(
        "Near infimum",
        "approaching an infimum from every seed",
        "No prediction attains the infimum (ce on labels), and every example is classified right: scaling the outputs "
        "leads to it.",
        "configurations with ce on labels, no target",
    ),
}
"""By aim. The one source of these words for page, terminal, files and MLflow."""

END: dict[Aim, ends.Word] = {"minimum": "global minimum", "infimum": "approaching infimum"}

EDGE = interval.Interval(1.9, 2.2)
"""eta lambda_max that counts as the edge of stability."""

DRAWS = 2000
"""Bootstrap samples of the seeds; from one fixed random stream, so that a board's bytes repeat."""


class Share(NamedTuple):
    """k of n, and Wilson's 95 % interval."""

    hits: int
    trials: int
    interval: interval.Interval


class Runtime(NamedTuple):
    """Gradients of the whole risk spent by all seeds for each that met its target, and its 95 % bootstrap interval.

    Attributes:
        value: Infinite where no seed met it.
        spent: Gradients that all seeds spent together: a lower bound where none did.
        interval: Percentiles over the seeds drawn with replacement; infinite at the top where none of a draw met it.
    """

    value: float
    spent: float
    interval: interval.Interval


class Exponent(NamedTuple):
    """mu of gradient descent, or lambda of SGD, at the last checkpoint: the seeds' median, and its error bar."""

    name: Literal["mu", "lambda"]
    spread: interval.Spread
    error: float
    says: Literal["attracts", "repels", "undecided"]
    agree: Share | None


class Escape(NamedTuple):
    """What runs from a planted saddle did.

    Attributes:
        left: How many left it.
        ratio: Median of steps to leave over the prediction by Kaplan and Meier; NaN where there is no prediction.
        alignment: Of the displacement with the negative directions when they left.
    """

    left: Share
    ratio: survival.Median | None
    alignment: interval.Spread


def share(hits: int, trials: int) -> Share:
    """Returns hits of trials with Wilson's interval."""
    return Share(hits, trials, interval.wilson(hits, trials))


def aim(run: document.Run) -> Aim | None:
    """Returns which of GOALS is asked of a run; None where its infimum is not known and it has no target."""
    if run.part("target"):
        return "target"
    known: dict[losses.Kind | None, Aim] = {"attained": "minimum", "approached": "infimum"}
    return known.get(_kind(run))


def attained(run: document.Run) -> bool:
    """Says whether the infimum of a run's risk is known to be attained, so that a global minimum can be reached."""
    return _kind(run) == "attained"


def _kind(run: document.Run) -> losses.Kind | None:
    """Returns what kind of infimum a run's risk has; None where it is not known."""
    loss = _loss(json.dumps(run.part("loss"), sort_keys=True))
    planted = not isinstance(run.part("data").get("targets", "labels"), str)
    return None if loss is None else losses.kind(loss, planted=planted)


@functools.lru_cache(maxsize=256)
def _loss(part: str) -> config.Loss | None:
    """Returns the `loss` part of a cell from its JSON; None where this version does not understand it."""
    fields = json.loads(part)
    known = {field for kind in LOSSES for field in kind.model_fields}
    try:
        return _LOSS.validate_python({name: value for name, value in fields.items() if name in known})
    except ValueError:
        return None


def hit(run: document.Run) -> bool | None:
    """Says whether a run came to its aim; None if that is unknown, or it has none."""
    goal = aim(run)
    if goal is None or goal == "target":
        return None if goal is None else run.reached_at is not None
    return run.end.point == END[goal] if run.end and run.end.point else None


def spent(run: document.Run) -> float:
    """Returns how many gradients of the whole risk the steps of a run took."""
    steps = run.reached_at or run.diverged_at or (run.steps[-1] if run.steps else 0)
    batch = run.part("optimizer").get("batch_size") or run.examples
    return steps * float(str(batch)) / max(run.examples, 1)


def trust(cell: cells.Cell) -> str:
    """Returns the label in cells.TRUST that the checks of a row earned: the verifier's, else those of document.py."""
    return cell.trust.label if cell.trust else "reported"


def hits(cell: cells.Cell, goal: Aim | None = None) -> Share | None:
    """Returns how many seeds came to their aim; None where that is not known of any, or their aim is not `goal`."""
    if goal is not None and aim(cell.first) != goal:
        return None
    known = [found for run in cell.ended if (found := hit(run)) is not None]
    return share(sum(known), len(known)) if known else None


def runtime(cell: cells.Cell) -> Runtime | None:
    """Returns the average runtime to the target, failures included; None where the spec sets none.

    References:
        Hansen et al., COCO, Optimization Methods and Software 36, 2021 (average runtime).
    """
    if aim(cell.first) != "target" or not cell.ended:
        return None
    costs = np.array([spent(run) for run in cell.ended])
    reached = np.array([run.reached_at is not None for run in cell.ended], float)
    value = float(costs.sum() / reached.sum()) if reached.any() else math.inf
    drawn = np.random.default_rng(0).integers(len(costs), size=(DRAWS, len(costs)))
    with np.errstate(divide="ignore"):
        ratios = costs[drawn].sum(1) / reached[drawn].sum(1)
    low, high = np.quantile(ratios, [0.025, 0.975], method="inverted_cdf")  # interpolating would meet inf - inf
    return Runtime(value, float(costs.sum()), interval.Interval(float(low), float(high)))


def exponent(cell: cells.Cell) -> Exponent | None:
    """Returns the exponent at the runs' ends, what its sign says, and whether displaced runs did so; None without."""
    name: Literal["mu", "lambda"] = "lambda" if cell.first.part("optimizer").get("batch_size") else "mu"
    found = [
        (value, cells.error_bar(run, name, -1)) for run in cell.ended if (value := cells.at(run, name, -1)) is not None
    ]
    if not found:
        return None
    spread = interval.spread([value for value, _ in found])
    error = max(math.inf if bar is None else bar for _, bar in found)
    median = spread.median or 0.0
    says: Any = "repels" if median > error else "attracts" if median < -error else "undecided"
    return Exponent(name, spread, error, says, _agreement(cell, name))


def _agreement(cell: cells.Cell, name: str) -> Share | None:
    """Returns of how many displaced runs the sign at the start was right, among those of which it says something."""
    right = []
    for run in cell.ended:
        first, last = cells.at(run, "displacement", 0), cells.at(run, "displacement", -1)
        value, bar = cells.at(run, name, 0), cells.error_bar(run, name, 0)
        if not run.part("start").get("perturbation") or None in (first, last) or value is None or bar is None:
            continue
        if abs(value) > bar and first:
            left = run.status == "diverged" or (last or 0) > behaviours.STAYS * first
            right.append(left == (value > 0))
    return share(sum(right), len(right)) if right else None


def escape(cell: cells.Cell) -> Escape | None:
    """Returns what the runs of a cell that measured their escape from a planted saddle did; None for others."""
    left = watched = 0
    alignments: list[float | None] = []
    ratios: list[float] = []
    open_ratios: list[float] = []
    for run in cell.ended:
        looks = cells.at(run, "escape_watched", 0)
        if looks is None:
            continue
        watched += 1
        steps, predicted = cells.at(run, "escape_steps", 0), cells.at(run, "escape_predicted", 0)
        left += steps is not None
        alignments.append(cells.at(run, "escape_alignment", 0))
        if predicted:
            (ratios if steps is not None else open_ratios).append((looks if steps is None else steps) / predicted)
    if not watched:
        return None
    median = survival.median(ratios, open_ratios) if ratios or open_ratios else None
    return Escape(share(left, watched), median, interval.spread(alignments))


def edge_time(cell: cells.Cell) -> interval.Spread:
    """Returns for each seed the share of its logged steps at which eta lambda_max lay in EDGE."""

    def of(run: document.Run) -> float | None:
        known = [value for value in run.curves.get("eta_sharpness", ()) if value is not None]
        return sum(EDGE.low <= value <= EDGE.high for value in known) / len(known) if known else None

    return interval.spread([of(run) for run in cell.ended])
