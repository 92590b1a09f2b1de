# SPDX-License-Identifier: Apache-2.0
"""COLUMNS: what the board says about a cell, once, for the page and for the terminal.

To add a column, add a row here: a label, a definition, and a pure function from a cell to an `Entry`.
"""

from __future__ import annotations

import collections
import dataclasses
import typing
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from harness import metrics
from harness.records import ends, survival
from leaderboard.board import cell as cells
from leaderboard.board import interval, number, score, theorem
from leaderboard.export import document

Bound = Literal["", "≤", "≥", "≈"]


class Entry(NamedTuple):
    """One entry of the table.

    Attributes:
        main: What is printed.
        sort: What the column is sorted by; None goes last.
        note: A second, quieter line: the range of the seeds, an interval, a setting.
        mark: A sign with a name: a verdict or one of cells.MARKS.
    """

    main: str
    sort: float | str | None
    note: str = ""
    mark: str = ""


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
    entry: Callable[[cells.Cell], Entry]
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


def optimizer(run: document.Run) -> str:
    """Returns the optimiser and its settings in a few words, for example `sgd, batch 64, reshuffling`."""
    part = run.part("optimizer")
    schedule = part.get("schedule")
    words = [
        str(part["name"]).replace("_", " "),
        f"momentum {part['momentum']}" if "momentum" in part else "",
        f"batch {part['batch_size']}" if part.get("batch_size") else "",
        str(part.get("sampling", "")) if part.get("batch_size") else "",
        str(schedule.get("name")) if isinstance(schedule, dict) else "",
    ]
    return ", ".join(word for word in words if word not in ("", "replacement", "constant"))


def learning_rate(run: document.Run) -> str:
    """Returns the step size as the spec gives it: a number, or `c / λ_max(0)`."""
    rate = run.part("optimizer").get("learning_rate")
    if isinstance(rate, dict) and isinstance(rate.get("eta_lambda"), int | float):
        return f"{number.show(float(str(rate['eta_lambda'])))}\u00a0/\u00a0λ_max(0)"
    return number.show(float(rate)) if isinstance(rate, int | float) else number.MISSING


def activation(run: document.Run) -> str:
    """Returns the activation as the spec gives it, for example `relu` or `leaky_relu 0.2`; empty without one."""
    said = run.part("model").get("activation")
    if isinstance(said, dict):
        return ", ".join(f"{name} {value}" for name, value in said.items())
    return str(said or "")


SETTLED = ("n_above_inv_eta",)
"""What a proof leaves no doubt about: no eigenvalue that Lanczos never saw is above 1/eta."""


def bound(cell: cells.Cell, metric: str) -> Bound:
    """Returns the sign that a metric carries in this cell: none with the whole spectrum, METRICS' with a part of it."""

    def open_(run: document.Run) -> bool:
        settled = metric in SETTLED and run.verdict == "invertible" and theorem.proven(run) is None
        return run.curvature == "lanczos" and not settled

    return metrics.METRICS[metric].bound if any(open_(run) for run in cell.runs) else ""


def margin(found: cells.Margin | None, sign: str) -> str:
    """Returns the margin of a run as it is printed: a number with its error bar, or the interval that is known."""
    if found is None:
        return number.MISSING
    if found.lower:
        return number.show_interval(found.lower, found.upper)
    return number.show(found.value, found.error, sign)


def _cell(cell: cells.Cell) -> Entry:
    run = cell.first
    size = f"{run.parameters:,} parameters"
    parts = [str(run.part("model")["family"]), activation(run), size, run.dataset.name]
    return Entry(run.label, run.label, " · ".join(part for part in parts if part))


def _eta(cell: cells.Cell) -> Entry:
    spread = cells.eta(cell)
    note = f"{optimizer(cell.first)}; {learning_rate(cell.first)}"
    return Entry(number.show(spread.median), spread.median, note)


def _eta_lambda_start(cell: cells.Cell) -> Entry:
    return _spread(cells.at_start(cell, "eta_sharpness"))


def _verdict(cell: cells.Cell) -> Entry:
    found = cells.verdict(cell)
    if found is None:
        return Entry(number.MISSING, None, "", "n/a")
    counts = [(name, sum(run.verdict == name for run in cell.runs)) for name in cells.VERDICTS]
    note = ", ".join(f"{count} {name}" for name, count in counts if count and count < len(cell.runs))
    everyone = f"all {len(cell.runs)} seeds" if len(cell.runs) > 1 else "1 seed"
    told = dict.fromkeys(theorem.iterated(run) for run in cell.runs)
    return Entry(found, float(list(cells.VERDICTS).index(found)), _join(note or everyone, *told), found)


def _theorem(cell: cells.Cell) -> Entry:
    says = theorem.known(cell.first)
    if says is None:
        return Entry(number.MISSING, None, "", "n/a")
    notes = ["one piece" if says.one_piece else "in pieces", f"bad η: {says.bad}"]
    return Entry(theorem.LABELS[says.covered], float(list(theorem.LABELS).index(says.covered)), "; ".join(notes))


def _margin(cell: cells.Cell) -> Entry:
    spread, error = cells.margin(cell)
    low, high = cells.checkpoints(cell)
    looks = f"{low}" if low == high else f"{low}–{high}"
    if spread.median is None:
        return Entry(number.MISSING, None, "", "n/a")
    lower = cells.margin_lower(cell)
    seeds = number.show_range([*lower.values, *spread.values]) if len(spread.values) > 1 else ""
    note = _join(seeds, f"at {looks} steps")
    main = margin(cells.Margin(spread.median, error, 0, lower.median), bound(cell, "sigma_min"))
    return Entry(main, spread.median if lower.median is None else lower.median, note)


def crossings(runs: Sequence[document.Run], sign: str) -> Entry:
    """Returns the crossings of some runs; where they are not told from jumps, the changes of the count, and says so."""
    total, told, jumps, open_ = (cells.changes(runs, what) for what in ("all", "crossings", "jumps", "unresolved"))
    if len(told.values) < len(total.values):
        entry = _spread(total, sign)
        return entry._replace(main=f"{entry.main} changes", note=_join(entry.note, "of the count: not told from jumps"))
    left = any(open_.values)
    entry = _spread(told, sign or ("≥" if left else ""))
    others = f"{number.show(jumps.median)} jumps at kinks" if any(not run.one_piece for run in runs) else ""
    return entry._replace(note=_join(entry.note, others, f"{number.show(open_.median)} unresolved" if left else ""))


def _crossings(cell: cells.Cell) -> Entry:
    return crossings(cell.ended, "≈" if bound(cell, "n_above_inv_eta") else "")


def _loss_gap(cell: cells.Cell) -> Entry:
    spread = cells.loss_gap(cell)
    return _spread(spread)._replace(mark="diverged" if spread.median == float("inf") else "")


def _end(cell: cells.Cell) -> Entry:
    counts = collections.Counter(run.end.point for run in cell.ended if run.end and run.end.point)
    if not counts:
        return Entry(number.MISSING, None, "", "n/a")
    order = typing.get_args(ends.Word)
    point, count = min(counts.items(), key=lambda item: (-item[1], order.index(item[0])))
    share, runs = interval.wilson(count, counts.total()), counts.total()
    others = [f"{n} {word}" for word, n in counts.items() if word != point]
    spread = f" ({100 * share.low:.0f}–{100 * share.high:.0f}\u00a0%)" if runs > 1 else ""
    return Entry(point, float(order.index(point)), "; ".join([f"{count}/{runs}{spread}", *others]))


def _target(cell: cells.Cell) -> Entry:
    if not cell.first.part("target"):
        return Entry(number.MISSING, None, "", "n/a")
    reached = [float(run.reached_at) for run in cell.ended if run.reached_at is not None]
    missed = [float(run.steps[-1]) for run in cell.ended if run.reached_at is None and run.steps]
    if not reached and not missed:
        return Entry(number.MISSING, None, "", "n/a")
    median = survival.median(reached, missed).value
    low, high = survival.share(len(reached), len(reached) + len(missed))
    shown = f"median {number.show(median)} steps" if median < float("inf") else "fewer than half"
    share = f"{len(reached)}/{len(reached) + len(missed)}"
    return Entry(share, median, f"{shown}; {100 * low:.0f}–{100 * high:.0f}\u00a0%")


def _percent(found: score.Share) -> str:
    """Returns an interval in percent, for a second line; without an interval for a single seed."""
    low, high = found.interval
    return f"{100 * low:.0f}–{100 * high:.0f}\u00a0%"


def _came(goal: score.Aim) -> Callable[[cells.Cell], Entry]:
    """Returns what prints how many seeds came to an aim, in cells that have it."""

    def entry(cell: cells.Cell) -> Entry:
        found = score.hits(cell, goal)
        if found is None:
            return Entry(number.MISSING, None, "", "n/a")
        return Entry(f"{found.hits}/{found.trials}", found.interval.low, _percent(found))

    return entry


def _runtime(cell: cells.Cell) -> Entry:
    found = score.runtime(cell)
    if found is None:
        return Entry(number.MISSING, None, "", "n/a")
    if found.value == float("inf"):
        return Entry(number.show(found.spent, bound="≥"), found.value, "no seed met it", "budget")
    low, high = (number.show(end) for end in found.interval)
    return Entry(number.show(found.value), found.value, f"{low}–{high}" if len(cell.ended) > 1 else "")


def _exponent(cell: cells.Cell) -> Entry:
    found = score.exponent(cell)
    if found is None:
        return Entry(number.MISSING, None, "", "n/a")
    name = {"mu": "μ", "lambda": "λ"}[found.name]
    agree = (
        "" if found.agree is None else f"{found.agree.hits}/{found.agree.trials} runs agree ({_percent(found.agree)})"
    )
    main = number.show(found.spread.median, found.error)
    return Entry(
        main, found.spread.median, _join(f"{name} {found.says}", number.show_range(found.spread.values), agree)
    )


def _saddle(cell: cells.Cell) -> Entry:
    start = str(cell.first.part("start").get("name", ""))
    if not start.endswith("saddle") and start != "origin":
        return Entry(number.MISSING, None, "", "n/a")
    least = cells.at_start(cell, "saddle_least").median
    error = max((cells.error_bar(run, "saddle_least", 0) or 0.0 for run in cell.ended), default=0.0)
    kind = "" if least is None else "strict" if least < -error else "not strict"
    return Entry(
        start.replace("_", " "), start, _join(kind, "" if least is None else f"λ_min {number.show(least, error)}")
    )


def _escaped(cell: cells.Cell) -> Entry:
    found = score.escape(cell)
    if found is None:
        return Entry(number.MISSING, None, "", "n/a")
    stuck = found.left.hits < found.left.trials
    return Entry(
        f"{found.left.hits}/{found.left.trials}",
        found.left.interval.low,
        _percent(found.left),
        "censored" if stuck else "",
    )


def _escape_ratio(cell: cells.Cell) -> Entry:
    found = score.escape(cell)
    if found is None or found.ratio is None:
        return Entry(number.MISSING, None, "", "n/a")
    low, high = (number.show(end) for end in (found.ratio.low, found.ratio.high))
    return Entry(number.show(found.ratio.value), found.ratio.value, f"{low}–{high}")


def _alignment(cell: cells.Cell) -> Entry:
    found = score.escape(cell)
    return Entry(number.MISSING, None, "", "n/a") if found is None else _spread(found.alignment)


def _saddle_exponent(cell: cells.Cell) -> Entry:
    return _spread(cells.at_start(cell, "saddle_exponent"))


def _above(cell: cells.Cell) -> Entry:
    first, second = (cells.at_end(cell, name) for name in ("n_above_inv_eta", "n_above_two_inv_eta"))
    if first.median is None:
        return Entry(number.MISSING, None, "", "n/a")
    off, off_second = (
        cells.at_end(cell, f"{name}_error").median for name in ("n_above_inv_eta", "n_above_two_inv_eta")
    )
    note = f"{number.show(second.median, off_second)} above 2/η; {number.show_range(first.values)}"
    return Entry(number.show(first.median, off, bound=bound(cell, "n_above_inv_eta")), first.median, note)


def _edge_time(cell: cells.Cell) -> Entry:
    return _spread(score.edge_time(cell))


def _closest(cell: cells.Cell) -> Entry:
    return _spread(cells.over_run(cell, "closest_over_null"))


def _phase(cell: cells.Cell) -> Entry:
    return _spread(cells.over_run(cell, "crossing_p"))


def _kink(cell: cells.Cell) -> Entry:
    return _spread(cells.at_end(cell, "gradient_defect"))


def _trust(cell: cells.Cell) -> Entry:
    label = score.trust(cell)
    return Entry(label, float(list(cells.TRUST).index(label)), "", label)


def _eta_lambda_end(cell: cells.Cell) -> Entry:
    return _spread(cells.at_end(cell, "eta_sharpness"))


def _accuracy(cell: cells.Cell) -> Entry:
    return _spread(cells.at_end(cell, "train_accuracy"))


def _seeds(cell: cells.Cell) -> Entry:
    ended, asked = len(cell.ended), cell.seeds
    found = cells.marks(cell)
    words = [f"{cells.MARKS[mark][0]} {_seeds_marked(cell, mark, count)}" for mark, count in found]
    return Entry(f"{ended}/{asked}", ended / asked, "; ".join(words), found[0][0] if found else "")


SEEDS: dict[cells.Mark, str] = {"incomplete": "missing", "unlearned": "learned nothing"}
"""What is said of marked seeds where it is not the name of the mark."""


def _seeds_marked(cell: cells.Cell, mark: cells.Mark, count: int) -> str:
    if mark == "diverged":
        share = interval.wilson(count, len(cell.ended))
        return f"{count}/{len(cell.ended)} diverged ({100 * share.low:.0f}–{100 * share.high:.0f}\u00a0%)"
    return f"{count} {SEEDS.get(mark, mark)}"


COLUMNS: dict[str, Column] = {
    "cell": Column(
        "Cell",
        "One configuration with everything resolved except the seed: what the spec's file name and grid say, then "
        "family, activation, number of parameters and data set.",
        _cell,
        numeric=False,
    ),
    "verdict": Column(
        "Verdict",
        "The weakest claim among the seeds: singular (a step size is known to be bad, whatever the run met), undecided "
        "or invertible (I − ηH at the logged steps; nothing is said of the steps in between, nor of the whole map). "
        "With mini-batches it says of which map.",
        _verdict,
        numeric=False,
    ),
    "theorem": Column(
        "Theorem",
        "What says that almost every step size makes the map non-singular: the paper's Theorem 1, its Proposition 11, "
        "or our extension F7; whether the risk is one analytic piece; and the exceptions, bad step sizes: the whole "
        "list, what it leaves possible, or ? where nothing is known in advance.",
        _theorem,
        numeric=False,
        terminal=False,
    ),
    "margin": Column(
        "Margin min σ_min",
        "For each seed the least σ_min(I − ηH) over its checkpoints; shown are the median over the seeds, the error "
        "bar of that median run, the full range of the seeds, and the number of steps looked at. Looking more often "
        "finds smaller values, so margins are comparable only at equal numbers. With part of the spectrum what is "
        "known is an interval, and rows are sorted by its lower end; ≤ where no lower bound above 0 is known.",
        _margin,
    ),
    "crossings": Column(
        "Crossings of 1/η",
        "How many eigenvalues of H passed 1/η between checkpoints, so that I − ηH was singular on the way: the sum of "
        "|change of their number above 1/η| where the risk is analytic everywhere. Where it has pieces, H jumps at "
        "kinks too: each change is bisected along the segment between two checkpoints, jumps are counted apart, and ≥ "
        "says that some changes were not resolved. Where that was not done, the number is of changes of the count, "
        "which may be either. Median and range over the seeds; ≈ when the counts are only bounds.",
        _crossings,
    ),
    "eta": Column(
        "Step size η",
        "Median over the seeds of the step size, with the optimiser and the rule that the spec gives; λ_max(0) is the "
        "sharpness at the start, so a rule gives each seed its own η.",
        _eta,
        terminal=False,
    ),
    "eta_lambda_start": Column(
        "η·λ_max at start",
        "Step size times sharpness at step 0: median over the seeds, and their full range.",
        _eta_lambda_start,
        terminal=False,
    ),
    "eta_lambda_end": Column(
        "η·λ_max at end",
        "Step size times sharpness at the last step, over the seeds that finished: 2 is the edge of stability, 1 is "
        "where the top eigenvalue makes the map singular.",
        _eta_lambda_end,
        terminal=False,
    ),
    "end": Column(
        "Ended at",
        "What kind of point the seeds ended at, the most frequent one with Wilson's 95 % interval: a global minimum "
        f"(a relative gap of at most {score.GAPS}, to an infimum that is attained), approaching an infimum that is not "
        "(ce on labels, least margin above 0), another minimum, a strict saddle or a degenerate point where the "
        "gradient is as good as 0, not stationary, infimum refuted "
        "(the loss is below the one that the spec gives), diverged. Each run's page has the numbers that decided.",
        _end,
        numeric=False,
        terminal=False,
    ),
    "target": Column(
        score.GOALS["target"].label,
        f"{score.GOALS['target'].definition} Seeds of all that ended, with Wilson's 95 % interval, and the median "
        "steps to it by Kaplan and Meier: seeds that missed it are censored at their last step, not dropped.",
        _target,
        terminal=False,
    ),
    "loss_gap": Column(
        "Loss gap at end",
        "L − L* at the last step: median and full range over the seeds. A seed that diverged counts as ∞.",
        _loss_gap,
    ),
    "accuracy": Column(
        "Accuracy at end",
        "Training accuracy at the last step: median and full range over the seeds that finished.",
        _accuracy,
        terminal=False,
    ),
    **{
        goal: Column(
            score.GOALS[goal].label,
            f"{score.GOALS[goal].definition} Of {score.GOALS[goal].asked}: seeds of all whose end is known, with "
            "Wilson's 95 % interval. Sorted by its lower end, so that 1/1 does not stand above 9/10.",
            _came(goal),
            terminal=False,
        )
        for goal in ("minimum", "infimum")
    },
    "runtime": Column(
        "Gradients to target",
        "Average runtime: gradients of the whole risk that all seeds spent, failures included, for each seed that met "
        "the target of its spec; below it the 95 % bootstrap interval over the seeds. ≥ and all that was spent where "
        "no seed did.",
        _runtime,
        terminal=False,
    ),
    "exponent": Column(
        "μ or λ",
        "At the last step, the exponent of gradient descent (μ) or SGD (λ) of Chemnitz & Engel: below 0 the minimum "
        "attracts, above 0 it repels, undecided within the error bar. Where runs were displaced from a planted "
        "minimum: how many did what the sign at the start says.",
        _exponent,
        terminal=False,
    ),
    "saddle": Column(
        "Planted saddle",
        "The saddle that the runs were planted at; strict where λ_min there is below 0 by more than its error bar.",
        _saddle,
        numeric=False,
        terminal=False,
    ),
    "escaped": Column(
        "Left it",
        "Seeds that left the planted saddle within 10 times the predicted time, with Wilson's 95 % interval; the "
        "others are censored.",
        _escaped,
        terminal=False,
    ),
    "escape_ratio": Column(
        "Steps over prediction",
        "Steps to leave over those that linear theory predicts: the median by Kaplan and Meier, in which censored "
        "seeds count, and its 95 % interval.",
        _escape_ratio,
        terminal=False,
    ),
    "alignment": Column(
        "Alignment",
        "Share of the displacement that lay in the steepest negative directions when the run left.",
        _alignment,
        terminal=False,
    ),
    "saddle_exponent": Column(
        "Exponent at the saddle",
        "Growth rate per step of the map that was trained, linearised at the saddle: for SGD it can be below 0 where "
        "λ_min is too, and the saddle attracts.",
        _saddle_exponent,
        terminal=False,
    ),
    "above": Column(
        "λ above 1/η at end",
        "Eigenvalues of the Hessian above 1/η at the last step, and above 2/η: median over the seeds.",
        _above,
        terminal=False,
    ),
    "edge_time": Column(
        "Time at the edge",
        f"Share of the logged steps at which η·λ_max lay between {score.EDGE.low} and {score.EDGE.high}.",
        _edge_time,
        terminal=False,
    ),
    "closest": Column(
        "Closest over null",
        "The least σ_min of the run over what as many looks at the same density of eigenvalues near 1/η would give by "
        "chance: far above 1 the run keeps away from the singular set, near 1 it does not care.",
        _closest,
        terminal=False,
    ),
    "phase": Column(
        "Crossing phase p",
        "Kolmogorov-Smirnov p-value of the phases at which eigenvalues cross 1/η, against uniform: small means that "
        "crossings are not placed by chance. Of crossings alone: jumps of H at kinks have no phase.",
        _phase,
        terminal=False,
    ),
    "kink": Column(
        "Kink defect",
        "Share of the gradient that the second-order model of its own piece does not explain over the last step: how "
        "much kinks matter.",
        _kink,
        terminal=False,
    ),
    "trust": Column(
        "Trust",
        "How the row was checked, set by `gdzoo verify`, never by a claim: ○ reported, its schema, hashes and ranges; "
        "◐ recomputed, its start, first steps, drawn segments and the spectra at both ends; ● replayed, every run "
        "whole from its seed; ⚑ disputed, another number was found.",
        _trust,
        numeric=False,
        terminal=False,
    ),
    "seeds": Column(
        "Seeds",
        "Seeds that ended, of the seeds that the spec asks for, with a mark for each that failed, diverged, was "
        "interrupted, is missing or learned nothing. A share of diverged seeds has Wilson's 95 % interval.",
        _seeds,
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


def summary(export: document.Export) -> Summary:
    """Returns the table as the terminal prints it: the same entries as on the page, without the second lines."""
    shown = {key: column for key, column in COLUMNS.items() if column.terminal}
    rows = tuple(
        tuple(_in_terminal(key, column.entry(cell)) for key, column in shown.items()) for cell in cells.cells(export)
    )
    return Summary(tuple(column.label for column in shown.values()), rows)


def flags(cell: cells.Cell) -> list[str]:
    """Returns the names of the counts on the overview that this cell belongs to."""
    found = cells.verdict(cell)
    # Differences between the lower bounds that Lanczos gives prove no crossing.
    crossed = not bound(cell, "n_above_inv_eta") and any(cells.crossings_of(run) for run in cell.ended)
    end = cells.at_end(cell, "eta_sharpness").median
    came = {goal: score.hits(cell, goal) for goal in score.GOALS}
    names: dict[str, bool] = {
        "invertible": found == "invertible",
        "crossed": crossed,
        **{goal: share is not None and share.hits == share.trials for goal, share in came.items()},
        "saddle": any(run.end and run.end.point == "strict saddle" for run in cell.ended),
        "edge": end is not None and score.EDGE.low <= end <= score.EDGE.high,
        "diverged": cells.diverged(cell)[0] > 0,
    }
    return [name for name, belongs in names.items() if belongs]


def _spread(spread: interval.Spread, sign: str = "") -> Entry:
    if spread.median is None:
        return Entry(number.MISSING, None, "", "n/a")
    main = number.show(spread.median)
    return Entry(f"{sign} {main}" if sign else main, spread.median, number.show_range(spread.values, main))


def _in_terminal(key: str, entry: Entry) -> str:
    sign = cells.MARKS[entry.mark][0] if entry.mark in cells.MARKS and entry.mark != "n/a" else ""
    return f"{entry.main} {sign}".strip() if key == "seeds" else entry.main


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
