# SPDX-License-Identifier: Apache-2.0
"""The group `minimum`: whether the global minimum near theta attracts gradient descent and SGD."""

from __future__ import annotations

from harness.metrics.metric import EIGENVALUE_UNIT, FLEGAL, WEYL, Metric

FAILURE = (
    "Theorems A and B of Chemnitz & Engel are about smooth networks at regular minima; smoothness in pieces makes "
    "them numbers of the piece, and regularity is not checked. Undefined for ce on labels, whose infimum is not "
    "attained. Sign 0 is undecided."
)
"""How these numbers can mislead."""

CHEMNITZ = "Chemnitz & Engel, JMLR 26(134), 2025, arXiv 2407.20209"

ROWS: dict[str, Metric] = {
    "mu": Metric(
        label="exponent of GD μ",
        group="minimum",
        unit="nats per step",
        direction="none",
        definition="μ = max log|1 − eta h| over the eigenvalues h other than 0 of the Gauss-Newton matrix: the "
        "exponent of gradient descent at the global minimum near theta. Below 0 the minimum attracts, above 0 it does "
        "not.",
        estimator="All eigenvalues, through the N K outputs; above 5,000 of them the largest alone, exact above 0. Of "
        "the linearised network: exact where every example is fitted.",
        source=CHEMNITZ + "; mathematics section 2.",
        error="mu_error",
    ),
    "mu_error": Metric(
        label="error of μ",
        group="minimum",
        unit="nats per step",
        direction="lower",
        definition="How far rounding may have moved μ.",
        estimator="Error bar of the eigenvalue, over |1 − eta h|.",
        source=WEYL,
        bar="modelled",
    ),
    "lambda": Metric(
        label="exponent of SGD λ",
        group="minimum",
        unit="nats per step",
        direction="none",
        definition="λ = lim (1/n) log of the norm of n steps of SGD, linearised at the global minimum near theta, on "
        "the range of J'. Below 0 the minimum attracts, above 0 it does not. With sampling: reshuffling it is that of "
        "an epoch's product, per step, with cyclic that of a period's; the theorem behind the signs is about "
        "independent batches.",
        estimator="Growth of three vectors over 32 means of at least 4 epochs and 64 steps, after as many as two of "
        "them: two begin where the whole batch is steepest, one at random. Without sampling where r = 1 and batches "
        "are few, and for cyclic batches up to r = 512.",
        source=CHEMNITZ + "; mathematics section 2.",
        error="lambda_error",
    ),
    "lambda_error": Metric(
        label="half-width of λ",
        group="minimum",
        unit="nats per step",
        direction="lower",
        definition="Half the width of the 95 % interval of λ, transients of the vectors' starts among it, cut off at "
        "λ from above; where it holds 0 the sign is undecided.",
        estimator="Student's t over the means; from below the overlap of two vectors over the steps, from above what a "
        "vector drawn at random may lack of any direction (1 in 40).",
        source=FLEGAL,
        bar="95 %",
    ),
    "lambda_lower": Metric(
        label="λ from below",
        group="minimum",
        unit="nats per step",
        direction="none",
        definition="E log|det(I − (eta/b) K_SS)| / r ≤ λ: the mean of all r exponents; K_SS is the kernel of a batch.",
        estimator="Mean over 256 independent batches; over a period of cyclic ones.",
        source="Mathematics section 2.",
        error="lambda_lower_error",
    ),
    "lambda_lower_error": Metric(
        label="half-width of λ from below",
        group="minimum",
        unit="nats per step",
        direction="lower",
        definition="Half the width of its 95 % interval.",
        estimator="Student's t over 256 batches; rounding for cyclic ones.",
        source="Mathematics section 2.",
        bar="95 %",
    ),
    "lambda_upper": Metric(
        label="λ from above",
        group="minimum",
        unit="nats per step",
        direction="none",
        definition="1/2 log of the spectral radius of E[A_S ⊗ A_S] ≥ λ, A_S a step of SGD: below 0 mean squares "
        "shrink. Of independent batches alone: not given for cyclic ones, nor for the batches of an epoch.",
        estimator="ARPACK to 1e-10 for r up to 128; above, up to 2,000, 1/2 log of the largest eigenvalue of E[A_S²], "
        "which is not less.",
        source="Jensen's inequality; Wu, Ma & E, NeurIPS 2018.",
    ),
    "mean_square_step": Metric(
        label="mean-square threshold of η",
        group="minimum",
        unit="parameter units squared per loss unit",
        direction="none",
        definition="2 / λ_max(C⁺D): the step size below which mean squares of SGD shrink at the minimum. Of "
        "independent batches alone, as λ from above.",
        estimator="ARPACK to 1e-10, for r up to 128; not given above.",
        source="Mulayoff & Michaeli, arXiv 2306.07850.",
    ),
    "absorption": Metric(
        label="absorption exponent κ",
        group="minimum",
        unit="1",
        direction="none",
        definition="Where λ > 0: a run begun at distance d from the minimum ends on the rounding floor f all the same "
        "with a chance of about (f/d)^κ. Not given where λ is not above 0 by more than its error.",
        estimator="E|m|^(−κ) = 1 where all multipliers m are known; else 2 λ / s², s² the variance of growth per step.",
        source="Mathematics section 4.",
    ),
    "ntk_rank": Metric(
        label="rank of J",
        group="minimum",
        unit="count",
        direction="none",
        definition="Rank r of the Jacobian of all N K outputs, weighed by the curvature of the loss.",
        estimator="Eigenvalues of the Gram matrix above its rounding.",
        source="Jacot, Gabriel & Hongler, NeurIPS 2018, arXiv 1806.07572.",
    ),
    "ntk_deficit": Metric(
        label="rank deficit",
        group="minimum",
        unit="count",
        direction="lower",
        definition="What the rank lacks of N K (N (K − 1) under cross-entropy). 0 is what Chemnitz & Engel's H1 asks "
        "for.",
        estimator="As the rank.",
        source=CHEMNITZ + ".",
    ),
    "ntk_least": Metric(
        label="least kernel eigenvalue",
        group="minimum",
        unit=EIGENVALUE_UNIT,
        direction="none",
        definition="Least eigenvalue of the neural tangent kernel over N, 0 where the rank falls short: the constant "
        "of the Polyak-Łojasiewicz inequality at theta.",
        estimator="Dense, through the N K outputs, up to 5,000 of them.",
        source="Liu, Zhu & Belkin, arXiv 2003.00307.",
        error="ntk_least_error",
    ),
    "ntk_least_error": Metric(
        label="error of the least kernel eigenvalue",
        group="minimum",
        unit=EIGENVALUE_UNIT,
        direction="lower",
        definition="Rounding of the eigenvalues of the Gram matrix, over N.",
        estimator="eps times its size times its largest eigenvalue.",
        source=WEYL,
        bar="modelled",
    ),
    "kantorovich": Metric(
        label="Kantorovich number",
        group="minimum",
        unit="1",
        direction="lower",
        definition="β |r| / σ_min(J)²: up to 1/2, a solution that fits every example lies within 2 |r| / σ_min(J).",
        estimator="β, the Lipschitz constant of J, by 8 steps of ascent of |d²f[v, v]|: from below. half_mse, full "
        "rank.",
        source="Kantorovich; mathematics section 4.",
    ),
}
