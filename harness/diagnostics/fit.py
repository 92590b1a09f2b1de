# SPDX-License-Identifier: Apache-2.0
"""How well the network fits its training set."""

from __future__ import annotations

import math

from harness.diagnostics import plan
from harness.diagnostics import point as points
from harness.records import square

METRICS = ("loss", "loss_gap", "relative_gap", "grad_norm", "pl_ratio", "train_accuracy", "chance", "eta")

ROUNDING = 1e-12
"""Share of the risk of the best constant prediction below which its distance from the infimum is rounding."""


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs, in gradients: risk and gradient, and a forward pass for the accuracy."""
    return 1 + plan.FORWARD


def measure(point: points.Point) -> dict[str, float]:
    """Returns loss, gap to the infimum, gradient norm and what it is for that gap, accuracy, next step size."""
    gap, scale = point.loss - point.infimum, point.constant - point.infimum
    return {
        "loss": point.loss,
        "loss_gap": gap,
        "relative_gap": gap / scale if scale > ROUNDING * abs(point.constant) else math.nan,
        "grad_norm": point.grad_norm,
        "pl_ratio": square.square(point.grad_norm) / (2 * gap) if gap > 0 else math.nan,
        "train_accuracy": point.accuracy,
        "chance": point.chance,
        "eta": point.eta,
    }
