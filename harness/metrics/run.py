# SPDX-License-Identifier: Apache-2.0
"""The group `run`: what the records of a whole run say together."""

from __future__ import annotations

from harness.metrics.metric import Metric

FAILURE = (
    "Read from the records alone: what happened between two of them is not seen, and the p-value takes crossings for "
    "independent."
)
"""How these numbers can mislead."""

ROWS: dict[str, Metric] = {
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
    "flips": Metric(
        label="records beyond 2/η with a known flip",
        group="run",
        unit="count",
        direction="none",
        definition="Number of records, but the last, with eta λ_max above 2 at which the sign of flip_coefficient is "
        "known: it exceeds its error bar.",
        estimator="Exact count of what the records say.",
        source="Mathematics D16.",
    ),
    "flips_stable": Metric(
        label="share of stable flips",
        group="run",
        unit="fraction",
        direction="none",
        definition="Share of these whose flip_coefficient is above 0: a stable oscillation is predicted.",
        estimator="From the records.",
        source="Mathematics D16.",
    ),
    "flips_agreeing": Metric(
        label="share of flips that the run agrees with",
        group="run",
        unit="fraction",
        direction="none",
        definition="Share of these after which the loss of the next record is at most twice as large where a stable "
        "oscillation is predicted, and larger than that where it is not.",
        estimator="From the records; a run that diverges has no record after the last one that is finite.",
        source="Mathematics D16.",
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
