# SPDX-License-Identifier: Apache-2.0
"""The group `layers`: how far eigenvectors of the Hessian lie in a single layer."""

from __future__ import annotations

from harness.metrics.metric import Metric

FAILURE = (
    "Of an eigenvalue that is repeated, or nearly, a single vector means nothing, and nothing is given. An eigenvalue "
    "that Lanczos has not met may be nearer than the gap says."
)
"""How these numbers can mislead."""

ESTIMATOR = (
    "From the Ritz vector of the survey, or an eigenvector of the dense matrix. A layer is kernel and bias together; "
    "the shares of all layers are in layers.jsonl. NaN where the error bar exceeds 0.1."
)


def _share(which: str, eigenvalue: str) -> Metric:
    return Metric(
        label=f"largest share of a layer, {which}",
        group="layers",
        unit="fraction",
        direction="none",
        definition=f"Largest share of one layer in the squared norm of the unit eigenvector of {eigenvalue}.",
        estimator=ESTIMATOR,
        source="Mathematics D17.",
        error="layer_share_error",
    )


ROWS: dict[str, Metric] = {
    "layer_share_largest": _share("λ_max", "the largest eigenvalue"),
    "layer_share_least": _share("λ_min", "the least eigenvalue"),
    "layer_share_nearest": _share("nearest 1/η", "the eigenvalue nearest 1/eta"),
    "layer_share_error": Metric(
        label="error of the shares of layers",
        group="layers",
        unit="fraction",
        direction="lower",
        definition="Largest bound of the sine of the angle between a vector and the eigenvector, among those whose "
        "shares are given: residual over gap, as far as all eigenvalues near it are known.",
        estimator="As defined.",
        source="Davis & Kahan, SIAM J. Numer. Anal. 1970; mathematics D17.",
        bar="bound",
    ),
}
