# SPDX-License-Identifier: Apache-2.0
"""How well the network fits its training set."""

from __future__ import annotations

from harness.diagnostics import plan
from harness.diagnostics import point as points

METRICS = ("loss", "loss_gap", "grad_norm", "train_accuracy", "eta")


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs, in gradients: risk and gradient, and a forward pass for the accuracy."""
    return 1 + plan.FORWARD


def measure(point: points.Point) -> dict[str, float]:
    """Returns loss, its gap to the infimum, gradient norm, accuracy, and the step size of the next step."""
    return {
        "loss": point.loss,
        "loss_gap": point.loss - point.infimum,
        "grad_norm": point.grad_norm,
        "train_accuracy": point.accuracy,
        "eta": point.eta,
    }
