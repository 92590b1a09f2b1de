# SPDX-License-Identifier: Apache-2.0
"""METRICS: every number that gdzoo records, its meaning and its source.

This is the one table for the log, the export, the site and the documentation. Symbols: L the empirical risk
(mean over examples), theta the parameters, P their number, H the Hessian of L at theta on the full training
set, lambda_i its eigenvalues, eta the step size, G(theta) = theta - eta grad L(theta) the gradient-descent map,
whose derivative is DG = I - eta H.
"""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Metric:
    """One recorded number.

    Attributes:
        label: What tables and axes print.
        group: First half of its key in MLflow (`<group>/<name>`).
        unit: Unit in words; "1" for a dimensionless number, "nats" for a natural logarithm.
        direction: Whether smaller or larger is better, or neither.
        definition: One sentence that defines it.
        estimator: How it is computed, and when that is exact.
        source: Where the definition comes from.
        error: Name of the metric that holds its error bar, if it has one.
        bound: What the value is when the spectrum is known in part only (`curvature` = lanczos).
    """

    label: str
    group: str
    unit: str
    direction: Literal["lower", "higher", "none"]
    definition: str
    estimator: str
    source: str
    error: str | None = None
    bound: Literal["", "≤", "≥", "≈"] = ""

    def key(self, name: str) -> str:
        """Returns the metric's key in MLflow, for example `map/sigma_min`."""
        return f"{self.group}/{name}"


PAPER = "Craciun & Ghoshdastidar, NeurIPS 2025, arXiv 2510.24466"
EDGE = "Cohen et al., ICLR 2021, arXiv 2103.00065"
DENSE_OR_LANCZOS = (
    "Dense symmetric eigenvalues of the float64 Hessian for small nets; above that, Lanczos with full "
    "reorthogonalisation in float64, where the error bar is the residual of the Ritz pair."
)

METRICS: dict[str, Metric] = {
    "loss": Metric(
        label="loss L",
        group="train",
        unit="loss units",
        direction="lower",
        definition="Empirical risk L(theta): the mean of the per-example loss over the training set.",
        estimator="One pass over the training set in float64.",
        source="Definition.",
    ),
    "loss_gap": Metric(
        label="loss gap L − L*",
        group="train",
        unit="loss units",
        direction="lower",
        definition="L(theta) minus the infimum L* of the risk over all predictions: 0 for half_mse, the mean entropy "
        "of the (smoothed) targets for smoothed_ce and ce. Not given where L* is not known: under weight decay.",
        estimator="Exact, given L; L* is attained by a network that interpolates (never, for ce with labels).",
        source="Definition; the entropy of the targets is in harness/losses.py.",
    ),
    "grad_norm": Metric(
        label="gradient norm ‖∇L‖",
        group="train",
        unit="loss units per parameter unit",
        direction="lower",
        definition="Euclidean norm of the gradient of L at theta.",
        estimator="One full-batch gradient in float64.",
        source="Definition.",
    ),
    "train_accuracy": Metric(
        label="training accuracy",
        group="train",
        unit="fraction",
        direction="higher",
        definition="Share of training examples whose largest output is at their label.",
        estimator="Exact count.",
        source="Definition.",
    ),
    "sharpness": Metric(
        label="sharpness λ_max",
        group="hessian",
        unit="loss units per squared parameter unit",
        direction="none",
        definition="Largest eigenvalue of H.",
        estimator=DENSE_OR_LANCZOS,
        source=EDGE,
        error="sharpness_error",
        bound="≥",
    ),
    "sharpness_error": Metric(
        label="error of λ_max",
        group="hessian",
        unit="loss units per squared parameter unit",
        direction="lower",
        definition="An eigenvalue of H lies within this distance of the printed sharpness.",
        estimator="Ritz residual, or the backward error of the dense solver.",
        source="Parlett, The Symmetric Eigenvalue Problem, 1980, ch. 4.",
    ),
    "eta_sharpness": Metric(
        label="η·λ_max",
        group="map",
        unit="1",
        direction="none",
        definition="Step size times sharpness: at 1 the top eigenvalue makes DG singular, 2 is the edge of stability.",
        estimator="Product of eta and the sharpness.",
        source=EDGE,
        bound="≥",
    ),
    "lambda_min": Metric(
        label="least eigenvalue λ_min",
        group="hessian",
        unit="loss units per squared parameter unit",
        direction="none",
        definition="Least eigenvalue of H; negative at a strict saddle.",
        estimator=DENSE_OR_LANCZOS,
        source="Lee et al., COLT 2016, arXiv 1602.04915",
        error="lambda_min_error",
        bound="≤",
    ),
    "lambda_min_error": Metric(
        label="error of λ_min",
        group="hessian",
        unit="loss units per squared parameter unit",
        direction="lower",
        definition="An eigenvalue of H lies within this distance of the printed least eigenvalue.",
        estimator="Ritz residual, or the backward error of the dense solver.",
        source="Parlett, The Symmetric Eigenvalue Problem, 1980, ch. 4.",
    ),
    "sigma_min": Metric(
        label="σ_min(I − ηH)",
        group="map",
        unit="1",
        direction="higher",
        definition="Least singular value of DG, min_i |1 − eta lambda_i|: the relative distance of eta to the nearest "
        "critical step size 1/lambda_i. 0 where the map is singular.",
        estimator=DENSE_OR_LANCZOS + " Lanczos proves an upper bound; the lower one is a number of its own.",
        source=PAPER + ", Lemma 10; mathematics D1.",
        error="sigma_min_error",
        bound="≤",
    ),
    "sigma_min_error": Metric(
        label="error of σ_min",
        group="map",
        unit="1",
        direction="lower",
        definition="How far sigma_min may move when every known eigenvalue moves within its own error bar.",
        estimator="From the eigenvalues' error bars times eta; eigenvalues that Lanczos never saw are "
        "covered by the proven lower bound alone.",
        source="Weyl's inequality.",
    ),
    "sigma_min_lower": Metric(
        label="proven lower bound of σ_min",
        group="map",
        unit="1",
        direction="higher",
        definition="What sigma_min is not less than; 0 where nothing is proven.",
        estimator="Dense: sigma_min less its error bar. Lanczos: the nearest of the converged eigenvalues, less their "
        "common residual, or what bounds all others: a further run of 32 products from a random start on their "
        "complement, whose largest Ritz value falls short by more than is allowed for with probability 1e-12 at most.",
        source="Kuczynski & Wozniakowski, SIAM J. Matrix Anal. Appl. 1992; the proof used is in "
        "harness/curvature/exclusion.py.",
    ),
    "log_abs_det": Metric(
        label="log|det(I − ηH)|",
        group="map",
        unit="nats",
        direction="none",
        definition="Sum over all eigenvalues of log|1 − eta lambda_i|: the logarithm of the map's change of volume.",
        estimator="Exact from the dense spectrum; else converged eigenvalues exactly and stochastic Lanczos "
        "quadrature on their orthogonal complement, with the exact trace of H as control variate where the network is "
        "piecewise linear.",
        source="Ubaru, Chen & Saad, SIAM J. Matrix Anal. Appl. 2017; deflation: mathematics D3.",
        error="log_abs_det_error",
        bound="≈",
    ),
    "log_abs_det_error": Metric(
        label="error of log|det|",
        group="map",
        unit="nats",
        direction="lower",
        definition="Propagated eigenvalue error (dense); or the sum of one standard error over probes, the deflated "
        "eigenvalues' propagated errors, and the change when a probe's last step is dropped (lanczos).",
        estimator="Standard error: sample standard deviation over 8 probe vectors divided by the square root of 8.",
        source="Hutchinson, Commun. Stat. Simul. Comput. 1990.",
    ),
    "n_above_inv_eta": Metric(
        label="eigenvalues above 1/η",
        group="map",
        unit="count",
        direction="none",
        definition="Number of eigenvalues of H above 1/eta; the sign of det DG is (−1) to this power.",
        estimator="Count of the known eigenvalues; Lanczos gives a lower bound.",
        source="Mathematics D4.",
        bound="≥",
    ),
    "n_above_two_inv_eta": Metric(
        label="eigenvalues above 2/η",
        group="map",
        unit="count",
        direction="none",
        definition="Number of eigenvalues of H above 2/eta: directions in which the linearised map is unstable.",
        estimator="Count of the known eigenvalues; Lanczos gives a lower bound.",
        source=EDGE,
        bound="≥",
    ),
    "n_negative": Metric(
        label="negative eigenvalues",
        group="hessian",
        unit="count",
        direction="none",
        definition="Number of eigenvalues of H below 0 beyond rounding (the least error bar of the spectrum).",
        estimator="Count of the known eigenvalues; Lanczos gives a lower bound.",
        source="Mathematics D4.",
        bound="≥",
    ),
    "gap_above": Metric(
        label="gap above 1/η",
        group="map",
        unit="1",
        direction="none",
        definition="Least eta lambda_i − 1 over the eigenvalues above 1/eta; infinite if there is none.",
        estimator=DENSE_OR_LANCZOS + " Lanczos proves an upper bound only.",
        source="Mathematics D2.",
        error="gap_error",
        bound="≤",
    ),
    "gap_below": Metric(
        label="gap below 1/η",
        group="map",
        unit="1",
        direction="none",
        definition="Least 1 − eta lambda_i over the eigenvalues at or below 1/eta; infinite if there is none.",
        estimator=DENSE_OR_LANCZOS + " Lanczos proves an upper bound only.",
        source="Mathematics D2.",
        error="gap_error",
        bound="≤",
    ),
    "gap_error": Metric(
        label="error of the gaps",
        group="map",
        unit="1",
        direction="lower",
        definition="eta times the larger error bar of the two eigenvalues next to 1/eta.",
        estimator="Ritz residual, or the backward error of the dense solver.",
        source="Parlett, The Symmetric Eigenvalue Problem, 1980, ch. 4.",
    ),
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
        estimator="sqrt(P) eps (|g| + |g'| + |H(θ' − θ)|) / |g' − g|.",
        source="Rounding analysis; a model, not a proven bound.",
    ),
    "crossings": Metric(
        label="crossings with a phase",
        group="run",
        unit="count",
        direction="none",
        definition="Number of times that one eigenvalue alone passed 1/eta between two consecutive recorded steps.",
        estimator="Exact count over records one step apart; others are not looked at.",
        source="Mathematics D2.",
    ),
    "crossing_p": Metric(
        label="p-value of the crossing phases",
        group="run",
        unit="1",
        direction="none",
        definition="Kolmogorov-Smirnov p-value of the phases a/(a + b) against the uniform law: small if the run seeks "
        "or shuns the singular set. a and b are the passing eigenvalue's distances from 1/eta before and after.",
        estimator="Exact for few phases. Phases of one run are taken as independent; few of them have little power.",
        source="Mathematics D2; Kolmogorov 1933.",
    ),
    "closest_over_null": Metric(
        label="closest approach over chance",
        group="run",
        unit="1",
        direction="none",
        definition="Least recorded sigma_min over 1/(2 rho T), which chance gives for T records and a density rho of "
        "eigenvalues of eta H near 1.",
        estimator="rho from the gap around 1/eta. Crude, of order 1: records of a run at rest are not independent.",
        source="Mathematics D2.",
    ),
    "log_volume": Metric(
        label="accumulated log-volume",
        group="run",
        unit="nats",
        direction="none",
        definition="Sum over the steps of a run of log|det DG| at the point each starts from.",
        estimator="Exact if each step was recorded; else straight lines between records.",
        source="Mathematics D6.",
        error="log_volume_error",
        bound="≈",
    ),
    "log_volume_error": Metric(
        label="error of the log-volume",
        group="run",
        unit="nats",
        direction="lower",
        definition="Error bars of log|det| added up, and half the change between records times the steps between them.",
        estimator="As defined; between records it is the size of what is not known, not a bound.",
        source="Triangle inequality.",
    ),
}
