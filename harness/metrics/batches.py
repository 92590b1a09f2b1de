# SPDX-License-Identifier: Apache-2.0
"""The group `batches`: the singular values and determinants of the maps of single mini-batches."""

from __future__ import annotations

from harness.metrics.metric import DENSE_OR_LANCZOS, PAPER, WEYL, Metric

FAILURE = "The batches are a sample: what is worst among them is not what is worst of all."
"""How these numbers can mislead."""

ROWS: dict[str, Metric] = {
    "batch_sigma_min_worst": Metric(
        label="least σ_min(I − ηH_B)",
        group="batches",
        unit="1",
        direction="higher",
        definition="Least sigma_min(I − eta H_B) over 8 mini-batches B, H_B the Hessian of the risk of B. The batches "
        "are the same at every checkpoint step and for every seed.",
        estimator=DENSE_OR_LANCZOS + " Lanczos proves an upper bound only.",
        source=PAPER + ", Theorem 1; mathematics D10.",
        error="batch_sigma_min_error",
        bound="≤",
    ),
    "batch_sigma_min_median": Metric(
        label="median σ_min(I − ηH_B)",
        group="batches",
        unit="1",
        direction="higher",
        definition="Median of sigma_min(I − eta H_B) over the same 8 mini-batches.",
        estimator="As the least.",
        source="Mathematics D10.",
        error="batch_sigma_min_error",
        bound="≤",
    ),
    "batch_sigma_min_error": Metric(
        label="error of σ_min(I − ηH_B)",
        group="batches",
        unit="1",
        direction="lower",
        definition="Largest error bar of sigma_min among the 8 mini-batches.",
        estimator="From the eigenvalues' error bars times eta; it says nothing of batches that were not asked.",
        source=WEYL,
        bar="bound",
    ),
    "batch_log_abs_det_worst": Metric(
        label="least log|det(I − ηH_B)|",
        group="batches",
        unit="nats",
        direction="none",
        definition="Least log|det(I − eta H_B)| over the same 8 mini-batches.",
        estimator="As log|det(I − ηH)|.",
        source="Mathematics D10.",
        error="batch_log_abs_det_error",
        bound="≈",
    ),
    "batch_log_abs_det_median": Metric(
        label="median log|det(I − ηH_B)|",
        group="batches",
        unit="nats",
        direction="none",
        definition="Median of log|det(I − eta H_B)| over the same 8 mini-batches.",
        estimator="As log|det(I − ηH)|.",
        source="Mathematics D10.",
        error="batch_log_abs_det_error",
        bound="≈",
    ),
    "batch_log_abs_det_error": Metric(
        label="error of log|det(I − ηH_B)|",
        group="batches",
        unit="nats",
        direction="lower",
        definition="Largest error bar of log|det(I − eta H_B)| among the 8 mini-batches: 95 % for each of them alone.",
        estimator="As the error of log|det|.",
        source="As the error of log|det|.",
        bar="95 %",
    ),
}
