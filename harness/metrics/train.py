# SPDX-License-Identifier: Apache-2.0
"""The group `train`: the risk, its gradient, accuracy and progress at the parameters theta."""

from __future__ import annotations

from harness.metrics.metric import EIGENVALUE_UNIT, Metric

FAILURE = (
    "Measured at checkpoint steps only, in float64 at parameters that were trained in the run's own precision; what a "
    "float32 step rounds away is not seen. Where the infimum of the risk is not known, a gap is not known either."
)
"""How these numbers can mislead."""

ROWS: dict[str, Metric] = {
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
        unit=EIGENVALUE_UNIT,
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
    "displacement": Metric(
        label="distance from the planted point",
        group="train",
        unit="parameter units",
        direction="none",
        definition="‖θ − θ_p‖, θ_p the minimum or saddle that the run was planted at.",
        estimator="Exact.",
        source="Definition.",
    ),
}
