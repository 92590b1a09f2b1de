# SPDX-License-Identifier: Apache-2.0
"""The group `saddle`: the saddle that a run was started at, and how the run leaves it."""

from __future__ import annotations

from harness.metrics.metric import EIGENVALUE_UNIT, FLEGAL, Metric

FAILURE = (
    "Above 5,000 parameters only the ends of the spectrum are known. At radii at which the risk is no longer "
    "quadratic the predicted time is off, and with several unstable directions alignment is below 1."
)
"""How these numbers can mislead."""

ROWS: dict[str, Metric] = {
    "saddle_gradient": Metric(
        label="gradient at the saddle",
        group="saddle",
        unit="loss units per parameter unit",
        direction="lower",
        definition="Norm of the gradient at the planted saddle itself: rounding.",
        estimator="Exact, in float64.",
        source="Definition.",
    ),
    "saddle_least": Metric(
        label="λ_min at the saddle",
        group="saddle",
        unit=EIGENVALUE_UNIT,
        direction="none",
        definition="Least eigenvalue of the Hessian at the planted saddle; the saddle is strict where it is negative.",
        estimator="Dense, in float64, up to 5,000 parameters; above a Ritz value of ARPACK.",
        source="Lee et al., COLT 2016; mathematics section 5.",
        error="saddle_least_error",
    ),
    "saddle_least_error": Metric(
        label="error of λ_min at the saddle",
        group="saddle",
        unit=EIGENVALUE_UNIT,
        direction="lower",
        definition="Rounding of the matrix and of its eigenvalues; above 5,000 parameters the residual |Hv − (v'Hv)v|.",
        estimator="As that of dense spectra; above the largest residual of the vectors that were found.",
        source="Weyl's inequality; the residual bound for symmetric matrices.",
        bar="bound",
    ),
    "saddle_predicted": Metric(
        label="λ_min as constructed",
        group="saddle",
        unit=EIGENVALUE_UNIT,
        direction="none",
        definition="What the construction of the saddle says of its least eigenvalue: equal to it for head_saddle, "
        "origin and deep_linear_saddle (of whitened inputs), an upper bound for zero_unit_saddle and split_saddle.",
        estimator="Closed form, of one forward pass.",
        source="Mathematics section 5, S1 to S5.",
    ),
    "saddle_negative": Metric(
        label="negative eigenvalues at the saddle",
        group="saddle",
        unit="count",
        direction="none",
        definition="Number of eigenvalues of the Hessian at the planted saddle below minus their error bar.",
        estimator="Dense, in float64, up to 5,000 parameters; above counted one by one by ARPACK, below −1e-7 of the "
        "largest in modulus, and NaN beyond 32.",
        source="Definition.",
    ),
    "saddle_negative_predicted": Metric(
        label="their number as constructed",
        group="saddle",
        unit="count",
        direction="none",
        definition="Number of negative eigenvalues that the construction says, where it is known.",
        estimator="Closed form.",
        source="Mathematics section 5.",
    ),
    "saddle_curvature": Metric(
        label="second difference at the saddle",
        group="saddle",
        unit=EIGENVALUE_UNIT,
        direction="none",
        definition="(L(θ + h y) − 2 L(θ) + L(θ − h y)) / h² at the saddle, y the eigenvector of the least eigenvalue: "
        "it equals λ_min unless the saddle lies on a kink.",
        estimator="h = 0.00005, float64.",
        source="Definition; mathematics section 5.",
        error="saddle_curvature_error",
    ),
    "saddle_curvature_error": Metric(
        label="error of the second difference",
        group="saddle",
        unit=EIGENVALUE_UNIT,
        direction="lower",
        definition="Difference to that of twice h, plus rounding.",
        estimator="Two differences.",
        source="Definition.",
        bar="modelled",
    ),
    "saddle_exponent": Metric(
        label="exponent at the saddle",
        group="saddle",
        unit="nats per step",
        direction="none",
        definition="Growth of log|δ| per step under I − eta H(θ_s), for SGD of mini-batches: below 0 the saddle "
        "attracts, though it be strict.",
        estimator="log max|1 − eta λ|, dense; for SGD the mean over 512 steps after 256.",
        source="Ziyin et al., arXiv 2303.13093; mathematics section 5.",
        error="saddle_exponent_error",
    ),
    "saddle_exponent_error": Metric(
        label="error of the exponent at the saddle",
        group="saddle",
        unit="nats per step",
        direction="lower",
        definition="Rounding; for SGD half the width of the 95 % interval over 8 means of 64 steps, and what a start "
        "at random may lack of the fastest direction (1 in 40) over the 512 steps.",
        estimator="Student's t over batch means; the quantile of a random overlap.",
        source=FLEGAL,
        bar="95 %",
    ),
    "escape_steps": Metric(
        label="steps to leave",
        group="saddle",
        unit="steps",
        direction="none",
        definition="First step at which the share of θ − θ_s in the eigenspace of λ_min is longer than the radius; "
        "infinite if that did not come in 10 times the predicted time (1,000 steps where there is none): censored.",
        estimator="The map itself, in float64, from the run's start.",
        source="Mathematics section 5.",
    ),
    "escape_watched": Metric(
        label="steps it was watched for",
        group="saddle",
        unit="steps",
        direction="none",
        definition="Steps that were made from the start: until it left, or until it was censored.",
        estimator="Exact.",
        source="Mathematics section 5.",
    ),
    "escape_predicted": Metric(
        label="steps to leave as predicted",
        group="saddle",
        unit="steps",
        direction="none",
        definition="T = log(r/c₀) / log(1 + eta |λ_min|), c₀ the length of that share at the start; infinite at the "
        "saddle itself, and where it is not strict.",
        estimator="Closed form, given λ_min.",
        source="Mathematics section 5.",
    ),
    "escape_ratio": Metric(
        label="measured over predicted",
        group="saddle",
        unit="1",
        direction="none",
        definition="Steps to leave over their prediction; infinite where censored, not given without a prediction.",
        estimator="Quotient.",
        source="Mathematics section 5.",
    ),
    "escape_alignment": Metric(
        label="alignment at the exit",
        group="saddle",
        unit="1",
        direction="none",
        definition="Share of the displacement that lies in the eigenspace of λ_min when the run leaves: 1 if all.",
        estimator="Exact.",
        source="Mathematics section 5.",
    ),
    "escape_drop": Metric(
        label="drop of the loss over its prediction",
        group="saddle",
        unit="1",
        direction="none",
        definition="(L(θ_s) − L(θ)) / (|λ_min| c²/2) when the run leaves, c the length of its share in the eigenspace; "
        "above 1 where other negative directions take part.",
        estimator="Exact.",
        source="Mathematics section 5.",
    ),
}
