# SPDX-License-Identifier: Apache-2.0
"""End: what kind of point a run ended at, decided by the last of its records, with the numbers that decided.

The rules, the first that holds (mathematics, section 4):

- `diverged`: the loss or its gradient stopped being finite.
- `infimum refuted`: the loss is below the infimum by more than rounding, so the one that the spec gives is none.
- `global minimum`: the infimum is attained by some prediction, the loss is within GAP of it, in units of what the best
  constant prediction is above it, and no eigenvalue is known to be negative beyond FLAT. The unit does not depend on
  the scale of the targets, nor on where the run began; where it is 0 or not known the gap at the start is the unit.
- `approaching infimum`: the infimum is attained by none (ce on labels), and the least margin is above 0: scaling the
  outputs takes the loss to it.
- `not stationary`: |grad L|^2 > STATIONARY 2 lambda_max (L - L*), which is 1 at most for a quadratic risk (L* taken as
0
  where it is not known, for losses that are never negative).
- `strict saddle`: stationary, and lambda_min is below -FLAT lambda_max by more than its error bar.
- `degenerate`: stationary, and the curvature decides nothing: no eigenvalue is positive beyond its error bar, or the
  least is negative beyond it and above -FLAT lambda_max.
- `other minimum`: stationary, and no eigenvalue known to be negative: a minimum to second order, above the infimum, or
  where the infimum is not known ("local").

Lanczos bounds lambda_min from above only; a minimum found by it is one as far as Lanczos saw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from harness import config, records
from harness.records import square
from harness.risk import losses

Word = Literal[
    "global minimum",
    "approaching infimum",
    "other minimum",
    "strict saddle",
    "degenerate",
    "not stationary",
    "infimum refuted",
    "diverged",
]

STATIONARY_WORDS: tuple[Word, ...] = ("global minimum", "other minimum", "strict saddle", "degenerate")
"""Where the gradient is as good as 0."""

GAP = {"float32": 1e-8, "float64": 1e-10}
"""Relative gap that counts as none, by training precision. Measured floors of gradient descent on small MLPs, half_mse
and smoothed_ce, 2e5 steps: 1e-12 to 8e-11 in float32, which stops where a step is less than half a unit in the last
place of a parameter; 1e-28 and 0 in float64, where the least that a loss tells from its infimum is 1e-15."""

ROUNDING = 1e-10
"""Share of the losses of a run that a loss below the infimum may be by rounding."""

STATIONARY = 1e-8
"""Share of the steepest squared gradient that counts as none."""

FLAT = 1e-3
"""Share of lambda_max below which negative curvature may be that of a minimum nearby."""


class End(NamedTuple):
    """Where a run ended.

    Attributes:
        word: What kind of point it is; None where the records do not say.
        because: The numbers that decided, by name in metrics.METRICS.
    """

    word: Word | None
    because: dict[str, float]


def end(cell: config.Recipe, recorded: Sequence[records.Record], *, diverged: bool) -> End:
    """Returns where a run of a cell ended.

    Args:
        cell: Its cell.
        recorded: Its records.
        diverged: Whether it diverged.
    """
    if diverged:
        return End("diverged", {})
    if not recorded:
        return End(None, {})
    values = recorded[-1].values
    if _refuted(recorded):
        return End("infimum refuted", _chosen(values, "loss", "loss_gap"))
    planted = isinstance(cell.data.targets, config.Planted)
    kind = losses.kind(cell.loss, planted=planted)
    gap, relative = values.get("loss_gap", math.nan), relative_gap(recorded)
    if kind == "attained" and relative <= GAP[cell.precision] and not _bent(values):
        names = ("loss_gap", "train_accuracy", "ntk_deficit", "kantorovich", "lambda_min", "lambda_min_error")
        return End("global minimum", {"relative_gap": relative, **_chosen(values, *names)})
    if kind == "approached" and values.get("margin", -math.inf) > 0:
        return End("approaching infimum", _chosen(values, "margin", "margin_bound", "loss_gap"))
    if "sharpness" not in values:
        return End(None, _chosen(values, "loss_gap", "grad_norm"))
    return _stationary(cell, values, gap)


def relative_gap(recorded: Sequence[records.Record]) -> float:
    """Returns the last gap over that of the best constant prediction or, where that is 0 or not known, over the first.

    NaN where the infimum is not known; of a run that began at the infimum 0 while it is there, else infinite.
    """
    last = recorded[-1].values
    known, gap = last.get("relative_gap", math.nan), last.get("loss_gap", math.nan)
    if math.isfinite(known) or math.isnan(gap):
        return known
    first = recorded[0].values.get("loss_gap", math.nan)
    return gap / first if first > 0 else 0.0 if gap <= 0 else math.inf


def _refuted(recorded: Sequence[records.Record]) -> bool:
    """Says whether a loss is below the infimum by more than the rounding of the losses seen so far."""
    size = 0.0
    for values in (one.values for one in recorded):
        loss, gap = values.get("loss", math.nan), values.get("loss_gap", math.nan)
        size = max(size, abs(loss), abs(loss - gap))
        if gap < -ROUNDING * size:
            return True
    return False


def _bent(values: dict[str, float]) -> bool:
    """Says whether an eigenvalue is negative beyond its error bar, and beyond what a minimum nearby may have."""
    if "lambda_min" not in values:
        return False
    return values["lambda_min"] + values["lambda_min_error"] < -FLAT * max(values["sharpness"], 0.0)


def _stationary(cell: config.Recipe, values: dict[str, float], gap: float) -> End:
    """Returns what the gradient and the spectrum say of a point that is no global minimum."""
    top, least, bar = values["sharpness"], values["lambda_min"], values["lambda_min_error"]
    above = gap if math.isfinite(gap) else values["loss"] if cell.loss.name != "output" else math.nan
    names = ("grad_norm", "pl_ratio", "loss_gap", "relative_gap", "sharpness", "lambda_min", "lambda_min_error")
    seen = _chosen(values, *names)
    steepest = 2 * max(top, abs(least)) * above
    if math.isnan(steepest):
        return End(None, seen)
    if square.square(values["grad_norm"]) > STATIONARY * max(steepest, 0.0):
        return End("not stationary", seen)
    if _bent(values):
        return End("strict saddle", seen)
    flat = top <= values["sharpness_error"] or least + bar < 0
    return End("degenerate" if flat else "other minimum", seen)


def _chosen(values: dict[str, float], *names: str) -> dict[str, float]:
    return {name: values[name] for name in names if math.isfinite(values.get(name, math.nan))}
