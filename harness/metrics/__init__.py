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

Bar = Literal["", "bound", "95 %", "modelled"]

BARS: dict[Bar, str] = {
    "bound": "the value cannot be off by more, as far as rounding is as modelled",
    "95 %": "half the width of a 95 % interval over what was drawn, with bounds of what was not",
    "modelled": "the size of what the value may be off by, to first order or as a model of rounding; no bound",
}
"""What an error bar says."""


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
        bar: What it says, if it is an error bar: one of BARS.
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
    bar: Bar = ""

    def key(self, name: str) -> str:
        """Returns the metric's key in MLflow, for example `map/sigma_min`."""
        return f"{self.group}/{name}"


PAPER = "Craciun & Ghoshdastidar, NeurIPS 2025, arXiv 2510.24466"
EDGE = "Cohen et al., ICLR 2021, arXiv 2103.00065"
DENSE_OR_LANCZOS = (
    "Dense symmetric eigenvalues of the float64 Hessian for small nets; above that, Lanczos with full "
    "reorthogonalisation in float64, where the error bar is the residual of the Ritz pair. The rounding in H itself is "
    "in the error bar as a model says it is."
)
EIGENVALUE_ERROR = (
    "Ritz residual, or the backward error of the dense solver, which are bounds; plus the rounding in H, which is "
    "modelled: products in which each operation rounds at random (Monte Carlo arithmetic), 8 times their spread."
)
UNSURE = (
    "Count of the known eigenvalues whose error bars reach the level; of a Lanczos run, by the bar of rounding alone."
)

FAILURES: dict[str, str] = {
    "train": "Measured at checkpoint steps only, in float64 at parameters that were trained in the run's own "
    "precision; what a float32 step rounds away is not seen. Where the infimum of the risk is not known, a gap is not "
    "known either.",
    "hessian": "Lanczos bounds extreme eigenvalues from inside: one that the starting vector hardly contains stays "
    "unseen. At a kink of the activation H is that of the piece, and bends that lie on the kink are not in it.",
    "map": "1/eta lies inside the spectrum, where Lanczos converges last: what was not seen may be nearer, so values "
    "are bounds; counts above 1/eta are exact where the verdict is invertible. Clustered eigenvalues, and a kink at "
    "theta, blur it; the minimum over a run falls with the number of looks. Near the singular set a determinant by "
    "probes scatters widely.",
    "kinks": "Distances are to first order along a straight segment or in units of preactivations; kinks that lie "
    "behind the first are not seen. Crossings and jumps are those of the straight segment between two looks, not of "
    "the trajectory.",
    "batches": "The batches are a sample: what is worst among them is not what is worst of all.",
    "sweep": "It is known on the piece of theta and for the eigenvalues that were found; a repeated eigenvalue that "
    "Lanczos saw once counts once.",
    "inverse": "Newton may stall at a fold or a kink: a preimage that is not found is no proof that there is none.",
    "exponents": "Means over finitely many steps, with directions in which H vanishes held at 0; a trajectory that "
    "still changes has no limit yet.",
    "minimum": "Theorems A and B of Chemnitz & Engel are about smooth networks at regular minima; smoothness in pieces "
    "makes them numbers of the piece, and regularity is not checked. Undefined for ce on labels, whose infimum is not "
    "attained. Sign 0 is undecided.",
    "saddle": "Above 5,000 parameters only the ends of the spectrum are known. At radii at which the risk is no longer "
    "quadratic the predicted time is off, and with several unstable directions alignment is below 1.",
    "departure": "A least eigenvalue that is repeated has many eigenvectors, of which one is taken: alignment is then "
    "too small. The way between two checkpoints is not one step.",
    "run": "Read from the records alone: what happened between two of them is not seen, and the p-value takes "
    "crossings for independent.",
}
"""How the numbers of a group can mislead; one entry for each group of METRICS."""

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
    "eta": Metric(
        label="step size η",
        group="train",
        unit="parameter units squared per loss unit",
        direction="none",
        definition="Step size of the step that is taken from here: learning_rate times the factor of the schedule.",
        estimator="The number in the training precision.",
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
        source="Definition; the entropy of the targets is in harness/risk/losses.py.",
    ),
    "relative_gap": Metric(
        label="relative gap",
        group="train",
        unit="1",
        direction="lower",
        definition="(L − L*) / (L_c − L*), L_c the risk of the best constant prediction: 1 where nothing is learned "
        "that does not hold of all examples alike, 0 at the infimum; for half_mse the share of the targets' variance "
        "that is not explained. Not given where L* is not known, nor where a constant attains it.",
        estimator="Exact, given L: L_c is the infimum of the risk if all inputs were equal.",
        source="Definition; harness/risk/losses.py.",
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
    "pl_ratio": Metric(
        label="PL ratio",
        group="train",
        unit="loss units per squared parameter unit",
        direction="none",
        definition="‖∇L‖² / (2 (L − L*)): where the risk has a Polyak-Łojasiewicz constant this is at least as large, "
        "and gradient descent converges at that rate. Small on a plateau. Not given where L* is not known or reached.",
        estimator="Exact, given L, its gradient and L*.",
        source="Polyak, USSR Comput. Math. Math. Phys. 1963; Liu, Zhu & Belkin, arXiv 2003.00307.",
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
    "chance": Metric(
        label="chance accuracy",
        group="train",
        unit="fraction",
        direction="none",
        definition="Share of training examples in the largest class: the accuracy of the best constant prediction.",
        estimator="Exact count.",
        source="Definition.",
    ),
    "sharpness": Metric(
        label="sharpness λ_max",
        group="hessian",
        unit="loss units per squared parameter unit",
        direction="none",
        definition="Largest eigenvalue of H. With part of the spectrum the largest that was found, which it is not "
        "less than; how much larger it may be says sharpness_upper.",
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
        definition="An eigenvalue of H lies within this distance of the printed sharpness: the largest one, if the "
        "whole spectrum is known.",
        estimator=EIGENVALUE_ERROR,
        source="Parlett, The Symmetric Eigenvalue Problem, 1980, ch. 4.",
        bar="bound",
    ),
    "sharpness_upper": Metric(
        label="λ_max from above",
        group="hessian",
        unit="loss units per squared parameter unit",
        direction="none",
        definition="What no eigenvalue of H exceeds, up to a model of the rounding in H; infinite where nothing is "
        "known.",
        estimator="Dense: the sharpness and its error bar. Lanczos: the larger of the sharpness and what bounds the "
        "eigenvalues that were not taken out, and the residual of those that were; as sure as the lower bound of "
        "sigma_min.",
        source="Kuczynski & Wozniakowski, SIAM J. Matrix Anal. Appl. 1992; harness/curvature/exclusion.py.",
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
        definition="Least eigenvalue of H; negative at a strict saddle. With part of the spectrum the least that was "
        "found, which it does not exceed; how much less it may be says lambda_min_lower.",
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
        definition="An eigenvalue of H lies within this distance of the printed least eigenvalue: the least one, if "
        "the whole spectrum is known.",
        estimator=EIGENVALUE_ERROR,
        source="Parlett, The Symmetric Eigenvalue Problem, 1980, ch. 4.",
        bar="bound",
    ),
    "lambda_min_lower": Metric(
        label="λ_min from below",
        group="hessian",
        unit="loss units per squared parameter unit",
        direction="none",
        definition="What no eigenvalue of H is less than, up to a model of the rounding in H; minus infinity where "
        "nothing is known.",
        estimator="Dense: the least eigenvalue less its error bar. Lanczos: 32 products on the complement of the "
        "eigenvalues that were taken out, as for sharpness_upper. They leave room of about half the width of what was "
        "not taken out, so it is far below where the least eigenvalue is small.",
        source="Kuczynski & Wozniakowski, SIAM J. Matrix Anal. Appl. 1992; harness/curvature/exclusion.py.",
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
        source="Weyl's inequality.",
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
        "common residual, or what bounds all others: a further run of 32 products from a random start on their "
        "complement, whose largest Ritz value falls short by more than is allowed for with probability 1e-12 at most.",
        source="Kuczynski & Wozniakowski, SIAM J. Matrix Anal. Appl. 1992; the proof used is in "
        "harness/curvature/exclusion.py.",
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
        source="Weyl's inequality.",
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
        definition="Propagated eigenvalue error (dense, a bound); or the sum of half the width of the 95 % interval "
        "over probes, the deflated eigenvalues' propagated errors, and the change when a probe's last step is dropped "
        "(lanczos).",
        estimator="Student's t over 8 probe vectors, drawn for each cell, seed and step.",
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
        source="Weyl's inequality.",
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
    "n_above_inv_eta_error": Metric(
        label="eigenvalues at 1/η",
        group="map",
        unit="count",
        direction="lower",
        definition="Number of eigenvalues within their error bars of 1/eta: by how many that count may be off.",
        estimator=UNSURE,
        source="Definition.",
        bar="bound",
    ),
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
    "n_above_two_inv_eta_error": Metric(
        label="eigenvalues at 2/η",
        group="map",
        unit="count",
        direction="lower",
        definition="Number of eigenvalues within their error bars of 2/eta: by how many that count may be off.",
        estimator=UNSURE,
        source="Definition.",
        bar="bound",
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
        estimator=UNSURE,
        source="Definition.",
        bar="bound",
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
        definition="The larger of the two, eta times the error bar of the eigenvalue and 2^-52 max(1, eta |lambda|).",
        estimator=EIGENVALUE_ERROR,
        source="Parlett, The Symmetric Eigenvalue Problem, 1980, ch. 4.",
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
        source="Weyl's inequality.",
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
    "exponent": Metric(
        label="top exponent",
        group="exponents",
        unit="nats per step",
        direction="none",
        definition="Mean growth of log|δ| per step, δ ← (I − eta H(θ_t)) δ, along 64 steps of the trained map (for SGD "
        "of mini-batches) that begin 16 steps after theta.",
        estimator="QR of 2 columns after each step, in float64. 0 or more where H has directions in which it vanishes.",
        source="Benettin et al., Meccanica 1980; mathematics D7.",
        error="exponent_error",
    ),
    "exponent_error": Metric(
        label="error of the top exponent",
        group="exponents",
        unit="nats per step",
        direction="lower",
        definition="Half the width of the 95 % interval over 8 means of 8 consecutive steps: how well these steps tell "
        "their own mean. Of the limit of a stationary trajectory the start, drawn at random, may hide log √P nats.",
        estimator="Student's t over batch means, plus rounding.",
        source="Flegal & Jones, Ann. Stat. 2010.",
        bar="95 %",
    ),
    "second_exponent": Metric(
        label="second exponent",
        group="exponents",
        unit="nats per step",
        direction="none",
        definition="The same for the second column of the QR: with the first, the growth of areas.",
        estimator="As the top exponent.",
        source="Benettin et al., Meccanica 1980; mathematics D7.",
        error="second_exponent_error",
    ),
    "second_exponent_error": Metric(
        label="error of the second exponent",
        group="exponents",
        unit="nats per step",
        direction="lower",
        definition="As that of the top exponent.",
        estimator="Batch means, plus rounding.",
        source="Flegal & Jones, Ann. Stat. 2010.",
        bar="95 %",
    ),
    "relative_progress": Metric(
        label="relative progress",
        group="train",
        unit="1",
        direction="none",
        definition="(L(θ′) − L(θ)) / (eta ‖∇L‖²) of one full-batch step θ′: −1 without curvature, near 0 at the edge "
        "of stability.",
        estimator="Exact, in float64.",
        source="Ahn, Zhang & Sra, ICML 2022.",
    ),
    "directional_smoothness": Metric(
        label="η times directional smoothness",
        group="train",
        unit="1",
        direction="none",
        definition="⟨g, g − g′⟩ / ‖g‖², g and g′ the gradients before and after one full-batch step: eta times the "
        "curvature along the step, near 2 at the edge of stability.",
        estimator="Exact, in float64.",
        source="Ahn, Zhang & Sra, ICML 2022.",
    ),
    "margin": Metric(
        label="least margin",
        group="train",
        unit="output units",
        direction="higher",
        definition="Least, over the training examples, of the output of the label minus the largest other output. "
        "Above 0 it proves that the infimum of ce is 0: the outputs can be scaled.",
        estimator="One forward pass, in float64.",
        source="Mathematics section 4.",
    ),
    "margin_bound": Metric(
        label="loss bound of the margin",
        group="train",
        unit="loss units",
        direction="lower",
        definition="log(1 + (K − 1) exp(−margin)): the cross-entropy on labels is at most that.",
        estimator="Exact, given the margin.",
        source="Mathematics section 4.",
    ),
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
        source="Chemnitz & Engel, JMLR 26(134), 2025, arXiv 2407.20209; mathematics section 2.",
        error="mu_error",
    ),
    "mu_error": Metric(
        label="error of μ",
        group="minimum",
        unit="nats per step",
        direction="lower",
        definition="How far rounding may have moved μ.",
        estimator="Error bar of the eigenvalue, over |1 − eta h|.",
        source="Weyl's inequality.",
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
        source="Chemnitz & Engel, JMLR 26(134), 2025, arXiv 2407.20209; mathematics section 2.",
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
        source="Flegal & Jones, Ann. Stat. 2010.",
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
        source="Chemnitz & Engel, JMLR 26(134), 2025, arXiv 2407.20209.",
    ),
    "ntk_least": Metric(
        label="least kernel eigenvalue",
        group="minimum",
        unit="loss units per squared parameter unit",
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
        unit="loss units per squared parameter unit",
        direction="lower",
        definition="Rounding of the eigenvalues of the Gram matrix, over N.",
        estimator="eps times its size times its largest eigenvalue.",
        source="Weyl's inequality.",
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
    "displacement": Metric(
        label="distance from the planted point",
        group="train",
        unit="parameter units",
        direction="none",
        definition="‖θ − θ_p‖, θ_p the minimum or saddle that the run was planted at.",
        estimator="Exact.",
        source="Definition.",
    ),
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
        unit="loss units per squared parameter unit",
        direction="none",
        definition="Least eigenvalue of the Hessian at the planted saddle; the saddle is strict where it is negative.",
        estimator="Dense, in float64, up to 5,000 parameters; above a Ritz value of ARPACK.",
        source="Lee et al., COLT 2016; mathematics section 5.",
        error="saddle_least_error",
    ),
    "saddle_least_error": Metric(
        label="error of λ_min at the saddle",
        group="saddle",
        unit="loss units per squared parameter unit",
        direction="lower",
        definition="Rounding of the matrix and of its eigenvalues; above 5,000 parameters the residual |Hv − (v'Hv)v|.",
        estimator="As that of dense spectra; above the largest residual of the vectors that were found.",
        source="Weyl's inequality; the residual bound for symmetric matrices.",
        bar="bound",
    ),
    "saddle_predicted": Metric(
        label="λ_min as constructed",
        group="saddle",
        unit="loss units per squared parameter unit",
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
        unit="loss units per squared parameter unit",
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
        unit="loss units per squared parameter unit",
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
        source="Flegal & Jones, Ann. Stat. 2010.",
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
    "departure_alignment": Metric(
        label="alignment with the steepest negative direction",
        group="departure",
        unit="1",
        direction="none",
        definition="|<Δ, v>| / |Δ| of the way Δ from the checkpoint before, v the unit eigenvector of the least "
        "eigenvalue of H there.",
        estimator="v by ARPACK, to a relative residual of 1e-6; NaN where it does not converge.",
        source="Mathematics section 5.",
    ),
    "departure_curvature": Metric(
        label="curvature at the checkpoint before",
        group="departure",
        unit="loss units per parameter unit squared",
        direction="none",
        definition="v'Hv at the checkpoint before: its λ_min, found by another method than the survey's.",
        estimator="The Rayleigh quotient of ARPACK's vector.",
        source="Mathematics section 5.",
        error="departure_curvature_error",
    ),
    "departure_curvature_error": Metric(
        label="error of that curvature",
        group="departure",
        unit="loss units per parameter unit squared",
        direction="lower",
        definition="|Hv − (v'Hv) v|: an eigenvalue lies so near.",
        estimator="As defined.",
        source="Residual bound for symmetric matrices.",
        bar="bound",
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
    "count_changes": Metric(
        label="changes of the count above 1/η",
        group="run",
        unit="count",
        direction="none",
        definition="Sum over the records of |change of the number of eigenvalues of H above 1/eta|: crossings of 1/eta "
        "and, where the risk has pieces, jumps of H at kinks.",
        estimator="Exact count of what the records say; changes that undo each other between two of them are not seen.",
        source="Mathematics D4.",
        bound="≈",
    ),
    "crossings": Metric(
        label="crossings of 1/η",
        group="run",
        unit="count",
        direction="none",
        definition="Number of eigenvalues of H that passed 1/eta continuously between records: in between, I − eta H "
        "is singular. Where the risk is analytic everywhere, all changes of the count are crossings; else those that "
        "`changes` found. Not given where it was not asked.",
        estimator="Sum over the records; a lower bound where some changes are unresolved.",
        source="Mathematics D4; continuity of eigenvalues on a piece.",
        bound="≈",
    ),
    "jumps": Metric(
        label="jumps over 1/η at kinks",
        group="run",
        unit="count",
        direction="none",
        definition="Number of eigenvalues of H that came to the other side of 1/eta at a kink, where H jumps, without "
        "passing it. 0 where the risk is analytic everywhere; not given where it was not asked.",
        estimator="Sum over the records; a lower bound where some changes are unresolved.",
        source="Mathematics D4 and D9.",
        bound="≈",
    ),
    "phases": Metric(
        label="crossings with a phase",
        group="run",
        unit="count",
        direction="none",
        definition="Number of times that one eigenvalue alone crossed 1/eta between two consecutive recorded steps; "
        "where the risk has pieces, of those that are known to be no jump at a kink.",
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
    "episodes": Metric(
        label="saddle episodes",
        group="run",
        unit="count",
        direction="none",
        definition="Number of stretches of records whose PL ratio is below a tenth of the run's geometric mean, on "
        "which λ_min is below 0 by more than its error bar, and which end.",
        estimator="From the records; short plateaus between records are not seen.",
        source="Mathematics section 5.",
    ),
    "episode_steps": Metric(
        label="longest saddle episode",
        group="run",
        unit="steps",
        direction="none",
        definition="Steps from the first record on the longest episode to the first after it.",
        estimator="From the records, to one gap between them.",
        source="Mathematics section 5.",
    ),
    "episode_negative": Metric(
        label="negative eigenvalues on the longest episode",
        group="run",
        unit="count",
        direction="none",
        definition="Number of eigenvalues below 0 at the record of the longest episode where the gradient is least.",
        estimator="n_negative there; not given where the spectrum is known in part.",
        source="Mathematics section 5.",
    ),
    "episode_rate": Metric(
        label="rate of leaving over its prediction",
        group="run",
        unit="1",
        direction="none",
        definition="Growth of log|∇L| per step from the least gradient on the longest episode to its last record (or "
        "the first after it), over log(1 + eta |λ_min|) at the least gradient: 1 in linear theory of descent.",
        estimator="From the records; low where other directions fade meanwhile.",
        source="Mathematics section 5.",
    ),
    "episode_alignment": Metric(
        label="alignment at the exit of an episode",
        group="run",
        unit="1",
        direction="none",
        definition="departure_alignment of the first record after the longest episode.",
        estimator="That of `departure`, where the spec asks for it.",
        source="Mathematics section 5.",
    ),
    "episode_depth": Metric(
        label="depth of saddle episodes",
        group="run",
        unit="1",
        direction="none",
        definition="Least PL ratio on an episode, over the run's geometric mean.",
        estimator="From the records.",
        source="Mathematics section 5.",
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
        bar="modelled",
    ),
}
