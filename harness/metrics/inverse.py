# SPDX-License-Identifier: Apache-2.0
"""The group `inverse`: whether one step of gradient descent can be undone."""

from __future__ import annotations

from harness.metrics.metric import PAPER, Metric

FAILURE = "Newton may stall at a fold or a kink: a preimage that is not found is no proof that there is none."
"""How these numbers can mislead."""

ROWS: dict[str, Metric] = {
    "inverse_residual": Metric(
        label="residual of the inverse",
        group="inverse",
        unit="steps",
        direction="lower",
        definition="|z − eta grad L(z) − θ'| over |θ' − θ| for the z that Newton's method finds from θ', the next "
        "point of full-batch descent. Large where it stalled.",
        estimator="Damped Newton with MINRES in float64, 400 products at most.",
        source="Mathematics D8; Paige & Saunders, SIAM J. Numer. Anal. 1975.",
    ),
    "inverse_distance": Metric(
        label="distance of the inverse",
        group="inverse",
        unit="steps",
        direction="none",
        definition="|z − θ| over |θ' − θ| for the same z: 0 where one step back leads where it came from, else another "
        "point is taken to θ' too.",
        estimator="As the residual.",
        source=PAPER + ", Lemma 10; mathematics D8.",
        error="inverse_distance_error",
    ),
    "inverse_distance_error": Metric(
        label="error of the inverse",
        group="inverse",
        unit="steps",
        direction="lower",
        definition="The larger of the residual over sigma_min at theta and the length of the next Newton step.",
        estimator="First order: it says how far z is from a solution where the residual is small.",
        source="Newton's method.",
        bar="modelled",
    ),
    "other_preimages": Metric(
        label="other preimages found",
        group="inverse",
        unit="count",
        direction="none",
        definition="Number of points besides theta that one full-batch step takes to θ' as well, as found from 3 "
        "starts: θ', and two a step's length from theta. A fold, not a singularity.",
        estimator="Solutions with a residual below 1e-8 steps, further apart than their error bars. A lower bound.",
        source="Mathematics D8.",
    ),
}
