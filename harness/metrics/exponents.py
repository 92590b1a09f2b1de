# SPDX-License-Identifier: Apache-2.0
"""The group `exponents`: Lyapunov exponents along the trajectory of a run."""

from __future__ import annotations

from harness.metrics.metric import FLEGAL, Metric

FAILURE = (
    "Means over finitely many steps, with directions in which H vanishes held at 0; a trajectory that still changes "
    "has no limit yet."
)
"""How these numbers can mislead."""

ROWS: dict[str, Metric] = {
    "exponent": Metric(
        label="top exponent",
        group="exponents",
        unit="nats per step",
        direction="none",
        definition="Mean growth of log|δ| per step, δ ← (I − eta H(θ_t)) δ, along 64 steps of the trained map (for SGD "
        "of mini-batches) that begin 16 steps after theta.",
        estimator="QR of 2 columns after each step, in float64. 0 or more where H has directions in which it vanishes.",
        source="Benettin et al., Meccanica 1980; mathematics D7.",
        error="exponent_error",
    ),
    "exponent_error": Metric(
        label="error of the top exponent",
        group="exponents",
        unit="nats per step",
        direction="lower",
        definition="Half the width of the 95 % interval over 8 means of 8 consecutive steps: how well these steps tell "
        "their own mean. Of the limit of a stationary trajectory the start, drawn at random, may hide log √P nats.",
        estimator="Student's t over batch means, plus rounding.",
        source=FLEGAL,
        bar="95 %",
    ),
    "second_exponent": Metric(
        label="second exponent",
        group="exponents",
        unit="nats per step",
        direction="none",
        definition="The same for the second column of the QR: with the first, the growth of areas.",
        estimator="As the top exponent.",
        source="Benettin et al., Meccanica 1980; mathematics D7.",
        error="second_exponent_error",
    ),
    "second_exponent_error": Metric(
        label="error of the second exponent",
        group="exponents",
        unit="nats per step",
        direction="lower",
        definition="As that of the top exponent.",
        estimator="Batch means, plus rounding.",
        source=FLEGAL,
        bar="95 %",
    ),
}
