# SPDX-License-Identifier: Apache-2.0
"""The group `hessian`: the ends of the spectrum of H, and how many of its eigenvalues are negative."""

from __future__ import annotations

from harness.metrics.metric import (
    COUNT_ERROR,
    DENSE_OR_LANCZOS,
    EDGE,
    EIGENVALUE_ERROR,
    EIGENVALUE_UNIT,
    KUCZYNSKI,
    PARLETT,
    Metric,
)

FAILURE = (
    "Lanczos bounds extreme eigenvalues from inside: one that the starting vector hardly contains stays unseen. At a "
    "kink of the activation H is that of the piece, and bends that lie on the kink are not in it."
)
"""How these numbers can mislead."""


def _end_error(symbol: str, name: str, end: str) -> Metric:
    """Returns the error bar of the `end` ("largest" or "least") eigenvalue of H."""
    return Metric(
        label=f"error of {symbol}",
        group="hessian",
        unit=EIGENVALUE_UNIT,
        direction="lower",
        definition=f"An eigenvalue of H lies within this distance of the printed {name}: the {end} one, if the whole "
        "spectrum is known.",
        estimator=EIGENVALUE_ERROR,
        source=PARLETT,
        bar="bound",
    )


ROWS: dict[str, Metric] = {
    "sharpness": Metric(
        label="sharpness λ_max",
        group="hessian",
        unit=EIGENVALUE_UNIT,
        direction="none",
        definition="Largest eigenvalue of H. With part of the spectrum the largest that was found, which it is not "
        "less than; how much larger it may be says sharpness_upper.",
        estimator=DENSE_OR_LANCZOS,
        source=EDGE,
        error="sharpness_error",
        bound="≥",
    ),
    "sharpness_error": _end_error("λ_max", "sharpness", "largest"),
    "sharpness_upper": Metric(
        label="λ_max from above",
        group="hessian",
        unit=EIGENVALUE_UNIT,
        direction="none",
        definition="What no eigenvalue of H exceeds, up to a model of the rounding in H; infinite where nothing is "
        "known.",
        estimator="Dense: the sharpness and its error bar. Lanczos: the larger of the sharpness and what bounds the "
        "eigenvalues that were not taken out, and the residual of those that were; as sure as the lower bound of "
        "sigma_min.",
        source=KUCZYNSKI + "; harness/curvature/exclusion.py.",
    ),
    "lambda_min": Metric(
        label="least eigenvalue λ_min",
        group="hessian",
        unit=EIGENVALUE_UNIT,
        direction="none",
        definition="Least eigenvalue of H; negative at a strict saddle. With part of the spectrum the least that was "
        "found, which it does not exceed; how much less it may be says lambda_min_lower.",
        estimator=DENSE_OR_LANCZOS,
        source="Lee et al., COLT 2016, arXiv 1602.04915",
        error="lambda_min_error",
        bound="≤",
    ),
    "lambda_min_error": _end_error("λ_min", "least eigenvalue", "least"),
    "lambda_min_lower": Metric(
        label="λ_min from below",
        group="hessian",
        unit=EIGENVALUE_UNIT,
        direction="none",
        definition="What no eigenvalue of H is less than, up to a model of the rounding in H; minus infinity where "
        "nothing is known.",
        estimator="Dense: the least eigenvalue less its error bar. Lanczos: 32 products or more on the complement of "
        "the eigenvalues that were taken out, as for sharpness_upper. They leave room of about half the width of what "
        "was not taken out, so it is far below where the least eigenvalue is small.",
        source=KUCZYNSKI + "; harness/curvature/exclusion.py.",
    ),
    "n_negative": Metric(
        label="negative eigenvalues",
        group="hessian",
        unit="count",
        direction="none",
        definition="Number of eigenvalues of H below 0 by more than twice the least error bar of the spectrum. Not "
        "given where the spectrum is known in part: most lie near 0, where Lanczos tells neither them nor how many.",
        estimator="Count of all eigenvalues.",
        source="Mathematics D4.",
        error="n_negative_error",
    ),
    "n_negative_error": Metric(
        label="eigenvalues at the level of n_negative",
        group="hessian",
        unit="count",
        direction="lower",
        definition="Number of eigenvalues within their error bars of the level below which n_negative counts: by how "
        "many that may be off. One that is 0 in all but rounding is not among them.",
        estimator=COUNT_ERROR,
        source="Definition.",
        bar="bound",
    ),
}
