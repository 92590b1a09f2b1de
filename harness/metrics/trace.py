# SPDX-License-Identifier: Apache-2.0
"""The group `trace`: what the trace of a run says, where its spec asks for one."""

from __future__ import annotations

from harness.metrics.metric import EDGE, Metric

FAILURE = (
    "Tracked eigenvalues are followed from step to step and excluded nowhere: one that rises from the bulk may go "
    "unseen until a survey at a checkpoint step finds it, which is counted. Jumps of H at kinks look like crossings."
)
"""How these numbers can mislead."""

ROWS: dict[str, Metric] = {
    "trace_points": Metric(
        label="trace points",
        group="trace",
        unit="count",
        direction="none",
        definition="Number of steps at which the largest eigenvalues and the least one were followed.",
        estimator="Exact count.",
        source="harness/curvature/tracked.py.",
    ),
    "trace_products": Metric(
        label="products of the trace",
        group="trace",
        unit="count",
        direction="none",
        definition="Hessian-vector products that all trace points took, the first included.",
        estimator="Exact count.",
        source="harness/curvature/tracked.py.",
    ),
    "trace_compared": Metric(
        label="trace points compared with a survey",
        group="trace",
        unit="count",
        direction="none",
        definition="Number of trace points at steps at which a certified survey was made too.",
        estimator="Exact count.",
        source="harness/records/traces.py.",
    ),
    "trace_missed": Metric(
        label="eigenvalues that the trace missed",
        group="trace",
        unit="count",
        direction="lower",
        definition="Eigenvalues that surveys at trace points found above the least tracked of the largest ones, or "
        "below the tracked least one, beyond both error bars, and that the trace did not have; summed over the run.",
        estimator="Exact count at the compared points; between them nothing is known. After a miss the trace begins "
        "anew.",
        source="harness/records/traces.py.",
    ),
    "trace_narrow": Metric(
        label="trace points whose window is too small",
        group="trace",
        unit="count",
        direction="lower",
        definition="Trace points at which all tracked largest eigenvalues lie above 1/eta, so that more may: they "
        "have no phase, and changes among them are not seen.",
        estimator="Exact count.",
        source="harness/diagnostics/flow.py.",
    ),
    "trace_crossings": Metric(
        label="changes of the count above 1/η along the trace",
        group="trace",
        unit="count",
        direction="none",
        definition="Sum over consecutive trace points of |change of the number of tracked eigenvalues above 1/eta|: "
        "crossings and, where the risk has pieces, jumps of H at kinks.",
        estimator="A lower bound: changes that undo each other between two points are not seen, nor those above the "
        "window where all of it lies above 1/eta.",
        source="Mathematics D4.",
        bound="≈",
    ),
    "trace_phases": Metric(
        label="crossings with a phase, of the trace",
        group="trace",
        unit="count",
        direction="none",
        definition="Number of times that one eigenvalue alone crossed 1/eta between trace points one step apart; given "
        "where the risk is analytic everywhere.",
        estimator="Exact count over such pairs of trace points.",
        source="Mathematics D2.",
    ),
    "trace_crossing_p": Metric(
        label="p-value of the crossing phases of the trace",
        group="trace",
        unit="1",
        direction="none",
        definition="Kolmogorov-Smirnov p-value of those phases against the uniform law: small if the run seeks or "
        "shuns the singular set.",
        estimator="Phases of one run are taken as independent, which they are not where an eigenvalue goes to and fro.",
        source="Mathematics D2; Kolmogorov 1933.",
    ),
    "trace_closest": Metric(
        label="closest approach along the trace",
        group="trace",
        unit="1",
        direction="none",
        definition="Least |1 − eta λ| plus eta times its error bar, over all tracked eigenvalues and trace points: the "
        "least sigma_min of these points is no larger.",
        estimator="In the precision of the trace.",
        source="Mathematics D1.",
        bound="≤",
    ),
    "trace_closest_over_null": Metric(
        label="closest approach over chance, along the trace",
        group="trace",
        unit="1",
        direction="none",
        definition="Least |1 − eta λ| over the trace points whose window is wide enough, over 1/(2 rho T), which "
        "chance gives for T of them and a density rho of eigenvalues of eta H near 1.",
        estimator="rho from the gap around 1/eta. Crude, of order 1: neighbouring trace points are not independent.",
        source="Mathematics D2.",
    ),
    "trace_edge": Metric(
        label="share of the run at the edge",
        group="trace",
        unit="1",
        direction="none",
        definition="Share of the steps at whose last trace point |eta λ_1 − 2| is at most 0.2.",
        estimator="Between two trace points the earlier one counts.",
        source=EDGE,
    ),
    "trace_episodes": Metric(
        label="saddle episodes along the trace",
        group="trace",
        unit="count",
        direction="none",
        definition="Number of stretches of trace points whose PL ratio is below a tenth of the trace's geometric mean, "
        "on which λ_min is below 0 by more than its error bar, and which end.",
        estimator="As `episodes`, from the trace. λ_min is followed, and may be missed.",
        source="Mathematics section 5.",
    ),
    "trace_episode_steps": Metric(
        label="longest saddle episode along the trace",
        group="trace",
        unit="steps",
        direction="none",
        definition="Steps from the first trace point on the longest episode to the first after it.",
        estimator="From the trace, to one gap between its points.",
        source="Mathematics section 5.",
    ),
    "trace_batch_sharpness": Metric(
        label="η times batch sharpness, second half",
        group="trace",
        unit="1",
        direction="none",
        definition="Mean over the trace points of the second half of a run of eta E[g_B' H_B g_B] / E|g_B|^2 over "
        "mini-batches B: 2 at the edge of stochastic stability.",
        estimator="Mini-batches drawn anew at each trace point, with their own random numbers.",
        source="Andreyev & Beneventano, arXiv 2412.20553.",
        error="trace_batch_sharpness_error",
    ),
    "trace_batch_sharpness_error": Metric(
        label="error of η times batch sharpness",
        group="trace",
        unit="1",
        direction="lower",
        definition="1.96 standard errors of that mean over the drawn mini-batches.",
        estimator="Trace points are taken as independent, each with the standard error of its batches.",
        source="Central limit theorem.",
        bar="95 %",
    ),
}
