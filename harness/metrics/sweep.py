# SPDX-License-Identifier: Apache-2.0
"""The group `sweep`: the map at other step sizes, with the parameters held fixed."""

from __future__ import annotations

from harness.metrics.metric import Metric

FAILURE = (
    "It is known on the piece of theta and for the eigenvalues that were found; a repeated eigenvalue that Lanczos "
    "saw once counts once."
)
"""How these numbers can mislead."""

ROWS: dict[str, Metric] = {
    "sweep_zeros": Metric(
        label="zeros checked",
        group="sweep",
        unit="count",
        direction="none",
        definition="Number of critical step sizes 1/lambda_i up to 1000/lambda_max that were checked at frozen theta.",
        estimator="All of them where the spectrum is dense, with multiplicity; else those of the 10 largest "
        "eigenvalues at most.",
        source="Mathematics D12.",
    ),
    "sweep_zero": Metric(
        label="largest σ_min at a zero",
        group="sweep",
        unit="1",
        direction="lower",
        definition="Largest sigma_min(I − H/lambda_i) found over the checked critical step sizes; 0 if the spectrum is "
        "right, in exact arithmetic.",
        estimator="|v − Hv/lambda_i| by explicit products, v from another decomposition than lambda_i; each bounds "
        "sigma_min from above.",
        source="Mathematics D12.",
        error="sweep_zero_error",
    ),
    "sweep_zero_error": Metric(
        label="allowed σ_min at a zero",
        group="sweep",
        unit="1",
        direction="lower",
        definition="Largest error bar of a lambda_i plus twice the residual of its v, over lambda_i: what the value "
        "may be if every lambda_i is right.",
        estimator="As defined.",
        source="Triangle inequality.",
        bar="bound",
    ),
    "sweep_regular": Metric(
        label="regular step sizes",
        group="sweep",
        unit="fraction",
        direction="none",
        definition="Share of 400 log-spaced step sizes from 0.1/lambda_max to 1000/lambda_max at which sigma_min "
        "exceeds 100 times its error bar, at frozen theta.",
        estimator="From the known eigenvalues; those that Lanczos never saw are not covered.",
        source="Mathematics D12.",
        bound="≤",
    ),
}
