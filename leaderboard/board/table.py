# SPDX-License-Identifier: Apache-2.0
"""COLUMNS: what the board says about a cell, once, for the page and for the terminal.

To add a column, add a row here: a label, a definition, and a pure function from a cell to an `Entry` (entries.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from leaderboard.board import cell as cells
from leaderboard.board import entries, score


@dataclasses.dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        label: Its heading.
        definition: What it means, in a sentence or two; shown on the method page and at the heading.
        entry: The pure function that fills it.
        numeric: Whether it holds numbers, which are set flush right.
        terminal: Whether the terminal shows it too.
    """

    label: str
    definition: str
    entry: entries.Column
    numeric: bool = True
    terminal: bool = True


class View(NamedTuple):
    """A question, and the columns that answer it.

    Attributes:
        label: What it is called.
        question: What it answers, in a sentence.
        columns: Keys of COLUMNS, at most ten.
        sort: The column that rows stand in the order of; empty for the order of cells.cells.
        down: Whether the largest comes first.
    """

    label: str
    question: str
    columns: tuple[str, ...]
    sort: str = ""
    down: bool = False


class Summary(NamedTuple):
    """The table as a terminal prints it."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


COLUMNS: dict[str, Column] = {
    "cell": Column(
        "Configuration",
        "Everything resolved except the seed: what the spec's file name and grid say, then "
        "family, activation, number of parameters and data set.",
        entries.configuration,
        numeric=False,
    ),
    "verdict": Column(
        "Verdict",
        "The weakest claim among the seeds: singular (a step size is known to be bad, whatever the run met), undecided "
        "or invertible (I − ηH at the logged steps; nothing is said of the steps in between, nor of the whole map). "
        "With mini-batches it says of which map.",
        entries.verdict,
        numeric=False,
    ),
    "theorem": Column(
        "Theorem",
        "What says that almost every step size makes the map non-singular: the paper's Theorem 1, its Proposition 11, "
        "or our extension F7; whether the risk is one analytic piece; and the exceptions, bad step sizes: the whole "
        "list, what it leaves possible, or ? where nothing is known in advance.",
        entries.statement,
        numeric=False,
        terminal=False,
    ),
    "margin": Column(
        "Margin min σ_min",
        "For each seed the least σ_min(I − ηH) over its checkpoints; shown are the median over the seeds, the error "
        "bar of that median run, the full range of the seeds, and the number of steps looked at. Looking more often "
        "finds smaller values, so margins are comparable only at equal numbers. With part of the spectrum what is "
        "known is an interval, and rows are sorted by its lower end; ≤ where no lower bound above 0 is known.",
        entries.margin,
    ),
    "crossings": Column(
        "Crossings of 1/η",
        "How many eigenvalues of H passed 1/η between checkpoints, so that I − ηH was singular on the way: the sum of "
        "|change of their number above 1/η| where the risk is analytic everywhere. Where it has pieces, H jumps at "
        "kinks too: each change is bisected along the segment between two checkpoints, jumps are counted apart, and ≥ "
        "says that some changes were not resolved. Where that was not done, the number is of changes of the count, "
        "which may be either. Median and range over the seeds; ≈ when the counts are only bounds.",
        entries.crossings,
    ),
    "eta": Column(
        "Step size η",
        "Median over the seeds of the step size, with the optimiser and the rule that the spec gives; λ_max(0) is the "
        "sharpness at the start, so a rule gives each seed its own η.",
        entries.step_size,
        terminal=False,
    ),
    "eta_lambda_start": Column(
        "η·λ_max at start",
        "Step size times sharpness at step 0: median over the seeds, and their full range.",
        entries.at_start("eta_sharpness"),
        terminal=False,
    ),
    "eta_lambda_end": Column(
        "η·λ_max at end",
        "Step size times sharpness at the last step, over the seeds that finished: 2 is the edge of stability, 1 is "
        "where the top eigenvalue makes the map singular.",
        entries.at_end("eta_sharpness"),
        terminal=False,
    ),
    "end": Column(
        "Ended at",
        "What kind of point the seeds ended at, the most frequent one with Wilson's 95 % interval: a global minimum "
        f"(a relative gap of at most {score.GAPS}, to an infimum that is attained), approaching an infimum that is not "
        "(ce on labels, least margin above 0), another minimum, a strict saddle or a degenerate point where the "
        "gradient is as good as 0, not stationary, infimum refuted "
        "(the loss is below the one that the spec gives), diverged. Each run's page has the numbers that decided.",
        entries.end_point,
        numeric=False,
        terminal=False,
    ),
    "target": Column(
        score.GOALS["target"].label,
        f"{score.GOALS['target'].definition} Seeds of all that ended, with Wilson's 95 % interval, and the median "
        "steps to it by Kaplan and Meier: seeds that missed it are censored at their last step, not dropped.",
        entries.target,
        terminal=False,
    ),
    "loss_gap": Column(
        "Loss gap at end",
        "L − L* at the last step: median and full range over the seeds. A seed that diverged counts as ∞.",
        entries.loss_gap,
    ),
    "accuracy": Column(
        "Accuracy at end",
        "Training accuracy at the last step: median and full range over the seeds that finished.",
        entries.at_end("train_accuracy"),
        terminal=False,
    ),
    **{
        goal: Column(
            score.GOALS[goal].label,
            f"{score.GOALS[goal].definition} Of {score.GOALS[goal].asked}: seeds of all whose end is known, with "
            "Wilson's 95 % interval. Sorted by its lower end, so that 1/1 does not stand above 9/10.",
            entries.came_to(goal),
            terminal=False,
        )
        for goal in ("minimum", "infimum")
    },
    "runtime": Column(
        "Gradients to target",
        "Average runtime: gradients of the whole risk that all seeds spent, failures included, for each seed that met "
        "the target of its spec; below it the 95 % bootstrap interval over the seeds. ≥ and all that was spent where "
        "no seed did.",
        entries.runtime,
        terminal=False,
    ),
    "exponent": Column(
        "μ or λ",
        "At the last step, the exponent of gradient descent (μ) or SGD (λ) of Chemnitz & Engel: below 0 the minimum "
        "attracts, above 0 it repels, undecided within the error bar. Where runs were displaced from a planted "
        "minimum: how many did what the sign at the start says.",
        entries.exponent,
        terminal=False,
    ),
    "saddle": Column(
        "Planted saddle",
        "The saddle that the runs were planted at; strict where λ_min there is below 0 by more than its error bar.",
        entries.saddle,
        numeric=False,
        terminal=False,
    ),
    "escaped": Column(
        "Left it",
        "Seeds that left the planted saddle within 10 times the predicted time, with Wilson's 95 % interval; the "
        "others are censored.",
        entries.escaped,
        terminal=False,
    ),
    "escape_ratio": Column(
        "Steps over prediction",
        "Steps to leave over those that linear theory predicts: the median by Kaplan and Meier, in which censored "
        "seeds count, and its 95 % interval.",
        entries.escape_ratio,
        terminal=False,
    ),
    "alignment": Column(
        "Alignment",
        "Share of the displacement that lay in the steepest negative directions when the run left.",
        entries.alignment,
        terminal=False,
    ),
    "saddle_exponent": Column(
        "Exponent at the saddle",
        "Growth rate per step of the map that was trained, linearised at the saddle: for SGD it can be below 0 where "
        "λ_min is too, and the saddle attracts.",
        entries.at_start("saddle_exponent"),
        terminal=False,
    ),
    "above": Column(
        "λ above 1/η at end",
        "Eigenvalues of the Hessian above 1/η at the last step, and above 2/η: median over the seeds.",
        entries.eigenvalues_above,
        terminal=False,
    ),
    "edge_time": Column(
        "Time at the edge",
        f"Share of the logged steps at which η·λ_max lay between {score.EDGE.low} and {score.EDGE.high}.",
        entries.edge_time,
        terminal=False,
    ),
    "closest": Column(
        "Closest over null",
        "The least σ_min of the run over what as many looks at the same density of eigenvalues near 1/η would give by "
        "chance: far above 1 the run keeps away from the singular set, near 1 it does not care.",
        entries.over_run("closest_over_null"),
        terminal=False,
    ),
    "phase": Column(
        "Crossing phase p",
        "Kolmogorov-Smirnov p-value of the phases at which eigenvalues cross 1/η, against uniform: small means that "
        "crossings are not placed by chance. Of crossings alone: jumps of H at kinks have no phase.",
        entries.over_run("crossing_p"),
        terminal=False,
    ),
    "kink": Column(
        "Kink defect",
        "Share of the gradient that the second-order model of its own piece does not explain over the last step: how "
        "much kinks matter.",
        entries.at_end("gradient_defect"),
        terminal=False,
    ),
    "trust": Column(
        "Trust",
        "How the row was checked, set by `gdzoo verify`, never by a claim: ○ reported, its schema, hashes and ranges; "
        "◐ recomputed, its start, first steps, drawn segments and the spectra at both ends; ● replayed, every run "
        "whole from its seed; ⚑ disputed, another number was found.",
        entries.trust,
        numeric=False,
        terminal=False,
    ),
    "seeds": Column(
        "Seeds",
        "Seeds that ended, of the seeds that the spec asks for, with a mark for each that failed, diverged, was "
        "interrupted, is missing or learned nothing. A share of diverged seeds has Wilson's 95 % interval.",
        entries.seeds,
    ),
}


VIEWS: dict[str, View] = {
    "non-singularity": View(
        "Non-singularity",
        "How near the trajectory comes to where the map is singular, and how often eigenvalues cross 1/η.",
        (
            "cell",
            "verdict",
            "margin",
            "crossings",
            "closest",
            "phase",
            "eta",
            "eta_lambda_start",
            "seeds",
            "trust",
        ),
    ),
    "minima": View(
        "Targets and minima",
        "How many seeds met a target and at what price, came to a global minimum or near an infimum, and whether it "
        "attracts: three counts, each of the runs that it is asked of.",
        ("cell", "target", "runtime", "minimum", "infimum", "end", "loss_gap", "exponent", "eta", "seeds"),
        "minimum",
        True,
    ),
    "saddles": View(
        "Saddles",
        "Whether runs leave strict saddles, and in the time that linear theory predicts.",
        ("cell", "saddle", "escaped", "escape_ratio", "alignment", "saddle_exponent", "end", "eta", "seeds", "trust"),
        "escaped",
        True,
    ),
    "stability": View(
        "Stability",
        "Where η·λ_max starts and ends against 1, where the map is singular, and 2, where it is unstable.",
        (
            "cell",
            "eta_lambda_start",
            "eta_lambda_end",
            "above",
            "edge_time",
            "kink",
            "accuracy",
            "theorem",
            "eta",
            "seeds",
        ),
        "eta_lambda_end",
        True,
    ),
}
"""What the overview shows; the first is the default."""


def summary(cells_entries: Iterable[Mapping[str, entries.Entry]]) -> Summary:
    """Returns the table as the terminal prints it: the same entries as on the page, without the second lines.

    Args:
        cells_entries: By column, the entries of each cell.
    """
    shown = {key: column for key, column in COLUMNS.items() if column.terminal}
    rows = tuple(tuple(_in_terminal(key, told[key]) for key in shown) for told in cells_entries)
    return Summary(tuple(column.label for column in shown.values()), rows)


def _in_terminal(key: str, entry: entries.Entry) -> str:
    sign = cells.MARKS[entry.mark][0] if entry.mark in cells.MARKS and entry.mark != "n/a" else ""
    return f"{entry.main} {sign}".strip() if key == "seeds" else entry.main
