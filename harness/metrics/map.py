# SPDX-License-Identifier: Apache-2.0
"""The group `map`: how far the derivative of the gradient-descent map is from being singular."""

from __future__ import annotations

from harness.metrics.metric import (
    COUNT_ERROR,
    DENSE_OR_LANCZOS,
    EDGE,
    EIGENVALUE_ERROR,
    KUCZYNSKI,
    PAPER,
    PARLETT,
    WEYL,
    Metric,
)

FAILURE = (
    "1/eta lies inside the spectrum, where Lanczos converges last: what was not seen may be nearer, so values are "
    "bounds; counts above 1/eta are exact where the verdict is invertible. Clustered eigenvalues, and a kink at "
    "theta, blur it; the minimum over a run falls with the number of looks. Near the singular set a determinant by "
    "probes scatters widely."
)
"""How these numbers can mislead."""


def _count_error(symbol: str, level: str) -> Metric:
    """Returns the error bar of the count of the eigenvalues above a level, which its label writes as `symbol`."""
    return Metric(
        label=f"eigenvalues at {symbol}",
        group="map",
        unit="count",
        direction="lower",
        definition=f"Number of eigenvalues within their error bars of {level}: by how many that count may be off.",
        estimator=COUNT_ERROR,
        source="Definition.",
        bar="bound",
    )


ROWS: dict[str, Metric] = {
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
        definition="How far sigma_min may move when every known eigenvalue moves within its own error bar, and "
        "1 − eta lambda by its rounding, 2^-52 max(1, eta |lambda|).",
        estimator="From the eigenvalues' error bars times eta; eigenvalues that Lanczos never saw are "
        "covered by the lower bound alone.",
        source=WEYL,
        bar="bound",
    ),
    "sigma_min_lower": Metric(
        label="lower bound of σ_min",
        group="map",
        unit="1",
        direction="higher",
        definition="What sigma_min is not less than, as far as the model of the rounding in H holds; 0 where nothing "
        "is known.",
        estimator="Dense: sigma_min less its error bar. Lanczos: the nearest of the converged eigenvalues, less their "
        "common residual, or what bounds all others: a further run of 32 products or more from a random start on their "
        "complement, whose largest Ritz value falls short by more than is allowed for with probability 1e-12 at most.",
        source=KUCZYNSKI + "; the proof used is in harness/curvature/exclusion.py.",
    ),
    "sigma_min_lower_error": Metric(
        label="rounding in σ_min's lower bound",
        group="map",
        unit="1",
        direction="lower",
        definition="How much of sigma_min_lower rests on a model of rounding: a verdict asks that it stays above 0 "
        "when that is 100 times as large.",
        estimator="Dense: the error of sigma_min. Lanczos: eta times the least error bar; what residuals lower the "
        "bound by is proven.",
        source=WEYL,
    ),
    "log_abs_det": Metric(
        label="log|det(I − ηH)|",
        group="map",
        unit="nats",
        direction="none",
        definition="Sum over all eigenvalues of log|1 − eta lambda_i|: the logarithm of the map's change of volume.",
        estimator="Exact from the dense spectrum; else converged eigenvalues exactly and Lanczos quadrature "
        "(Gauss-Radau) of random probes on their orthogonal complement, with the exact trace of H as control variate "
        "where the network is piecewise linear.",
        source="Ubaru, Chen & Saad, SIAM J. Matrix Anal. Appl. 2017; bounds by quadrature: Golub & Meurant, Matrices, "
        "Moments and Quadrature, 2010; deflation: mathematics D3.",
        error="log_abs_det_error",
        bound="≈",
    ),
    "log_abs_det_error": Metric(
        label="error of log|det|",
        group="map",
        unit="nats",
        direction="lower",
        definition="Propagated eigenvalue error (dense, a bound); or the sum of half the width of the 95 % interval "
        "over probes, the deflated eigenvalues' propagated errors, and half the distance of two quadratures that hold "
        "a probe's quadratic form between them (lanczos); infinite where what was not deflated may be at 1/eta.",
        estimator="Student's t over 5 probe vectors, drawn for each configuration, seed and step. The quadratures need "
        "a bound of what is left, and are as sure as sigma_min_lower.",
        source="Hutchinson, Commun. Stat. Simul. Comput. 1990.",
        bar="95 %",
    ),
    "state_sigma_min": Metric(
        label="σ_min of the state's map",
        group="map",
        unit="1",
        direction="none",
        definition="Least singular value of the derivative of one step with momentum, as a map of (theta, v) with v in "
        "units of a gradient.",
        estimator="From the eigenvalues of H, each with its own 2 by 2 matrix; an upper bound where some are unknown.",
        source="harness/diagnostics/state.py; control C15.",
        error="state_sigma_min_error",
        bound="≤",
    ),
    "state_sigma_min_error": Metric(
        label="error of the state's σ_min",
        group="map",
        unit="1",
        direction="lower",
        definition="Error bar of the eigenvalue that gives state_sigma_min, times the norm of the derivative of its "
        "2 by 2 matrix by that eigenvalue; and four roundings of that matrix.",
        estimator="From the eigenvalue's error bar.",
        source=WEYL,
        bar="modelled",
    ),
    "state_log_abs_det": Metric(
        label="log|det| of the state's map",
        group="map",
        unit="nats",
        direction="none",
        definition="Logarithm of the change of volume of (theta, v) by one step: P log momentum for heavy_ball, and "
        "log|det(I − ηH)| more for nesterov.",
        estimator="Exact for heavy_ball; for nesterov as log|det(I − ηH)|.",
        source="harness/diagnostics/state.py; control C15.",
        error="state_log_abs_det_error",
        bound="≈",
    ),
    "state_log_abs_det_error": Metric(
        label="error of the state's log|det|",
        group="map",
        unit="nats",
        direction="lower",
        definition="Rounding of P log momentum, and for nesterov the error of log|det(I − ηH)|.",
        estimator="As the error of log|det|.",
        source="Definition.",
        bar="95 %",
    ),
    "n_above_inv_eta": Metric(
        label="eigenvalues above 1/η",
        group="map",
        unit="count",
        direction="none",
        definition="Number of eigenvalues of H above 1/eta; the sign of det DG is (−1) to this power.",
        estimator="Count of the known eigenvalues; Lanczos gives a lower bound, exact where the verdict is invertible.",
        source="Mathematics D4.",
        error="n_above_inv_eta_error",
        bound="≥",
    ),
    "n_above_inv_eta_error": _count_error("1/η", "1/eta"),
    "n_above_two_inv_eta": Metric(
        label="eigenvalues above 2/η",
        group="map",
        unit="count",
        direction="none",
        definition="Number of eigenvalues of H above 2/eta: directions in which the linearised map is unstable.",
        estimator="Count of the known eigenvalues; Lanczos gives a lower bound.",
        source=EDGE,
        error="n_above_two_inv_eta_error",
        bound="≥",
    ),
    "n_above_two_inv_eta_error": _count_error("2/η", "2/eta"),
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
        definition="The larger of the two, eta times the error bar of the eigenvalue and 2^-52 max(1, eta |lambda|).",
        estimator=EIGENVALUE_ERROR,
        source=PARLETT,
        bar="bound",
    ),
    "critical_steps": Metric(
        label="critical step sizes",
        group="map",
        unit="count",
        direction="none",
        definition="Number of step sizes at which I − eta H at this theta is singular: eigenvalues of H above their "
        "own error bar, with multiplicity.",
        estimator="Count of the known eigenvalues; Lanczos gives a lower bound. The run folder keeps them all, with "
        "error bars, in spectra.jsonl.",
        source="Mathematics D11.",
        bound="≥",
    ),
    "critical_step": Metric(
        label="nearest critical step size",
        group="map",
        unit="step size",
        direction="none",
        definition="1/lambda_i for the eigenvalue lambda_i > 0 whose eta lambda_i is nearest to 1; infinite if there "
        "is none.",
        estimator=DENSE_OR_LANCZOS,
        source=PAPER + ", proof of Proposition 11; mathematics D11.",
        error="critical_step_error",
        bound="≈",
    ),
    "critical_step_error": Metric(
        label="error of the critical step size",
        group="map",
        unit="step size",
        direction="lower",
        definition="1/(lambda_i − e) − 1/lambda_i for the error bar e of lambda_i, and 2^-52 / lambda_i.",
        estimator="As defined; the eigenvalue lies within e.",
        source="Monotonicity of 1/lambda.",
        bar="bound",
    ),
}
