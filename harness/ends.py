# SPDX-License-Identifier: Apache-2.0
"""End: what kind of point a run ended at, decided by the last of its records, with the numbers that decided.

The rules, the first that holds (mathematics, section 4):

- `diverged`: the loss or its gradient stopped being finite.
- `global minimum`: the infimum is attained by some prediction and the loss is within GAP of it.
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
from typing import Any, Literal, NamedTuple

from harness import losses, records

Word = Literal[
    "global minimum",
    "approaching infimum",
    "other minimum",
    "strict saddle",
    "degenerate",
    "not stationary",
    "diverged",
]

GAP = 1e-6
"""Loss above the infimum that counts as none, in loss units: what float32 training reaches."""

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


def end(cell: Any, recorded: Sequence[records.Record], *, diverged: bool) -> End:
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
    planted = not isinstance(getattr(cell.data, "targets", "labels"), str)
    kind = losses.kind(cell.loss, planted=planted)
    gap = values.get("loss_gap", math.nan)
    if kind == "attained" and gap <= GAP:
        return End("global minimum", _chosen(values, "loss_gap", "train_accuracy", "ntk_deficit", "kantorovich"))
    if kind == "approached" and values.get("margin", -math.inf) > 0:
        return End("approaching infimum", _chosen(values, "margin", "margin_bound", "loss_gap"))
    if "sharpness" not in values:
        return End(None, _chosen(values, "loss_gap", "grad_norm"))
    return _stationary(cell, values, gap)


def _stationary(cell: Any, values: dict[str, float], gap: float) -> End:
    """Returns what the gradient and the spectrum say of a point that is no global minimum."""
    top, least, bar = values["sharpness"], values["lambda_min"], values["lambda_min_error"]
    above = gap if math.isfinite(gap) else values["loss"] if cell.loss.name != "output" else math.nan
    seen = _chosen(values, "grad_norm", "pl_ratio", "loss_gap", "sharpness", "lambda_min", "lambda_min_error")
    steepest = 2 * max(top, abs(least)) * above
    if math.isnan(steepest):
        return End(None, seen)
    if values["grad_norm"] ** 2 > STATIONARY * max(steepest, 0.0):
        return End("not stationary", seen)
    if least + bar < -FLAT * max(top, 0.0):
        return End("strict saddle", seen)
    flat = top <= values["sharpness_error"] or least + bar < 0
    return End("degenerate" if flat else "other minimum", seen)


def _chosen(values: dict[str, float], *names: str) -> dict[str, float]:
    return {name: values[name] for name in names if math.isfinite(values.get(name, math.nan))}
