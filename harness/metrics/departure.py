# SPDX-License-Identifier: Apache-2.0
"""The group `departure`: whether a run moves along the steepest negative direction of H."""

from __future__ import annotations

from harness.metrics.metric import Metric

FAILURE = (
    "A least eigenvalue that is repeated has many eigenvectors, of which one is taken: alignment is then too small. "
    "The way between two checkpoints is not one step."
)
"""How these numbers can mislead."""

ROWS: dict[str, Metric] = {
    "departure_alignment": Metric(
        label="alignment with the steepest negative direction",
        group="departure",
        unit="1",
        direction="none",
        definition="|<Δ, v>| / |Δ| of the way Δ from the checkpoint before, v the unit eigenvector of the least "
        "eigenvalue of H there.",
        estimator="v by ARPACK, to a relative residual of 1e-6; NaN where it does not converge.",
        source="Mathematics section 5.",
    ),
    "departure_curvature": Metric(
        label="curvature at the checkpoint before",
        group="departure",
        unit="loss units per parameter unit squared",
        direction="none",
        definition="v'Hv at the checkpoint before: its λ_min, found by another method than the survey's.",
        estimator="The Rayleigh quotient of ARPACK's vector.",
        source="Mathematics section 5.",
        error="departure_curvature_error",
    ),
    "departure_curvature_error": Metric(
        label="error of that curvature",
        group="departure",
        unit="loss units per parameter unit squared",
        direction="lower",
        definition="|Hv − (v'Hv) v|: an eigenvalue lies so near.",
        estimator="As defined.",
        source="Residual bound for symmetric matrices.",
        bar="bound",
    ),
}
