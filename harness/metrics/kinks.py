# SPDX-License-Identifier: Apache-2.0
"""The group `kinks`: where the risk of a piecewise analytic network is not smooth, and what that does to a step."""

from __future__ import annotations

from harness.metrics.metric import Metric

FAILURE = (
    "Distances are to first order along a straight segment or in units of preactivations; kinks that lie behind the "
    "first are not seen. Crossings and jumps are those of the straight segment between two looks, not of the "
    "trajectory."
)
"""How these numbers can mislead."""

ROWS: dict[str, Metric] = {
    "kink_distance": Metric(
        label="distance to a kink",
        group="kinks",
        unit="preactivation units",
        direction="none",
        definition="Least distance of a preactivation from a breakpoint, or of a max-pool's entry from its tie, over "
        "all units and examples; ties that are exact are left out. Infinite for an analytic network.",
        estimator="One forward pass in float64; exact up to rounding. Not the distance that theta has to move.",
        source="Mathematics D9.",
    ),
    "flip_fraction": Metric(
        label="flipped signs",
        group="kinks",
        unit="fraction",
        direction="none",
        definition="Share of the signs of all margins (which side of a kink) that differ from the checkpoint step "
        "before; 0 means the same analytic piece, as far as the training set can tell. Not given at the first.",
        estimator="Exact count; a sign that flips twice between two checkpoint steps is not seen.",
        source="Mathematics D9.",
    ),
    "segment_exit": Metric(
        label="exit from the piece",
        group="kinks",
        unit="fraction of the step",
        direction="none",
        definition="Share of the way from theta to theta − eta grad L(theta) at which the first sign of a margin "
        "flips; infinite if the next point lies on the same piece.",
        estimator="Bisection on all signs in float64, over chunks of examples. A flip that is undone before the place "
        "found is not seen, so it is an upper bound.",
        source="Mathematics D9.",
        error="segment_exit_error",
    ),
    "segment_exit_error": Metric(
        label="error of the exit",
        group="kinks",
        unit="fraction of the step",
        direction="lower",
        definition="Width of the last bracket: at its lower end the signs are those of theta, at its upper end not.",
        estimator="At most a millionth of the exit, and 1e-12 for a point on a kink.",
        source="Bisection.",
        bar="bound",
    ),
    "crossings_between": Metric(
        label="crossings since the last look",
        group="kinks",
        unit="count",
        direction="none",
        definition="Number of eigenvalues that pass 1/eta continuously on the straight segment from the checkpoint "
        "step before to this one: in between, I − eta H is singular. Not given at the first.",
        estimator="The segment is bisected by counts above 1/eta (Lanczos) until all signs of margins are the same at "
        "both ends of each bracket in which the count changes. What undoes itself between two counts is not seen.",
        source="Mathematics D4; continuity of eigenvalues on a piece.",
    ),
    "jumps_between": Metric(
        label="jumps since the last look",
        group="kinks",
        unit="count",
        direction="none",
        definition="Number of eigenvalues that come to the other side of 1/eta at a kink on the same segment, where H "
        "jumps. Not given at the first.",
        estimator="Brackets around one kink, a millionth as long as where it lies at most, across which an eigenvalue "
        "of eta H moves by more than 100 times their length.",
        source="Mathematics D4 and D9.",
    ),
    "changes_unresolved": Metric(
        label="unresolved changes since the last look",
        group="kinks",
        unit="count",
        direction="lower",
        definition="By how much the count above 1/eta changes in the brackets that were left when counting had cost "
        "twice as much as a survey. Not given at the first.",
        estimator="What bisection left open.",
        source="Definition.",
    ),
    "gradient_defect": Metric(
        label="gradient defect",
        group="kinks",
        unit="1",
        direction="lower",
        definition="|g' − g − H(θ' − θ)| / |g' − g| over the next full-batch step θ' = θ − eta g: what share of the "
        "gradient's change the Hessian does not explain. Near 1, readings of the Hessian say little of the step.",
        estimator="Two gradients and one product in float64. Third derivatives count too, so it is not 0 on one piece.",
        source="Mathematics D9.",
        error="gradient_defect_error",
    ),
    "gradient_defect_error": Metric(
        label="error of the gradient defect",
        group="kinks",
        unit="1",
        direction="lower",
        definition="Rounding of the two gradients and the product over |g' − g|; large where the run has come to rest.",
        estimator="Modelled: 8 times the root mean square of what changes when each operation rounds at random, which "
        "takes every example's summand at its own size.",
        source="Parker, UCLA CSD-970002, 1997; harness/curvature/rounding.py.",
        bar="modelled",
    ),
}
