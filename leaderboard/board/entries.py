# SPDX-License-Identifier: Apache-2.0
"""Entries: what each column of `table.COLUMNS` prints for a cell, one pure function for each."""

from __future__ import annotations

import collections
import math
import typing
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from harness import metrics
from harness.records import ends, survival
from leaderboard.board import cell as cells
from leaderboard.board import interval, number, score, settings, theorem
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


Column = Callable[[cells.Cell], Entry]
"""What fills a column: a pure function of a cell."""

MISSING = Entry(number.MISSING, None, "", "n/a")
"""The entry of a cell that has no such number."""

SETTLED = ("n_above_inv_eta",)
"""What the verdict `invertible` leaves no doubt about: no eigenvalue that Lanczos never saw is above 1/eta."""

SEEDS: dict[cells.Mark, str] = {"incomplete": "missing", "unlearned": "learned nothing"}
"""What is said of marked seeds where it is not the name of the mark."""


def configuration(cell: cells.Cell) -> Entry:
    """Returns the label of a cell, with its family, activation, number of parameters and data set."""
    run = cell.first
    size = f"{run.parameters:,} parameters"
    parts = [str(run.part("model")["family"]), settings.activation(run), size, run.dataset.name]
    return Entry(run.label, run.label, " · ".join(part for part in parts if part))


def step_size(cell: cells.Cell) -> Entry:
    """Returns the median step size of the seeds, with the optimiser and the rule that the spec gives."""
    spread = cells.eta(cell)
    note = f"{settings.optimizer(cell.first)}; {settings.learning_rate(cell.first)}"
    return Entry(number.show(spread.median), spread.median, note)


def at_start(metric: str) -> Column:
    """Returns what prints the seeds' values of a metric at the first checkpoint."""
    return lambda cell: of_spread(cells.at_start(cell, metric))


def at_end(metric: str) -> Column:
    """Returns what prints the seeds' values of a metric at the last checkpoint."""
    return lambda cell: of_spread(cells.at_end(cell, metric))


def over_run(metric: str) -> Column:
    """Returns what prints the seeds' values of a metric of whole runs."""
    return lambda cell: of_spread(cells.over_run(cell, metric))


def verdict(cell: cells.Cell) -> Entry:
    """Returns the weakest verdict among the seeds, how many have which, and which map it is about."""
    weakest = cells.verdict(cell)
    if weakest is None:
        return MISSING
    counts = [(name, sum(run.verdict == name for run in cell.runs)) for name in cells.VERDICTS]
    note = ", ".join(f"{count} {name}" for name, count in counts if count and count < len(cell.runs))
    everyone = f"all {len(cell.runs)} seeds" if len(cell.runs) > 1 else "1 seed"
    maps = dict.fromkeys(theorem.iterated(run) for run in cell.runs)
    return Entry(weakest, float(list(cells.VERDICTS).index(weakest)), _join(note or everyone, *maps), weakest)


def statement(cell: cells.Cell) -> Entry:
    """Returns the statement that covers a cell, whether its risk is one piece, and which step sizes are bad."""
    known = theorem.known(cell.first)
    if known is None:
        return MISSING
    notes = ["one piece" if known.one_piece else "in pieces", f"bad η: {known.bad}"]
    return Entry(theorem.LABELS[known.covered], float(list(theorem.LABELS).index(known.covered)), "; ".join(notes))


def margin(cell: cells.Cell) -> Entry:
    """Returns the median of the seeds' margins, their range, and at how many steps they were looked at."""
    spread, error = cells.margin(cell)
    low, high = cells.checkpoints(cell)
    looks = f"{low}" if low == high else f"{low}–{high}"
    if spread.median is None:
        return MISSING
    lower = cells.margin_lower(cell)
    seeds = number.show_range([*lower.values, *spread.values]) if len(spread.values) > 1 else ""
    main = shown_margin(cells.Margin(spread.median, error, 0, lower.median), bound(cell, "sigma_min"))
    return Entry(main, spread.median if lower.median is None else lower.median, _join(seeds, f"at {looks} steps"))


def crossings(cell: cells.Cell) -> Entry:
    """Returns the crossings of 1/eta of the seeds that ended; ≈ where the counts are only bounds."""
    return crossings_of(cell.ended, "≈" if bound(cell, "n_above_inv_eta") else "")


def loss_gap(cell: cells.Cell) -> Entry:
    """Returns the seeds' loss gaps at the end, in which a seed that diverged counts as infinity."""
    spread = cells.loss_gap(cell)
    return of_spread(spread)._replace(mark="diverged" if spread.median == math.inf else "")


def end_point(cell: cells.Cell) -> Entry:
    """Returns the kind of point that most seeds ended at, with Wilson's interval, and the other kinds."""
    counts = collections.Counter(run.end.point for run in cell.ended if run.end and run.end.point)
    if not counts:
        return MISSING
    order = typing.get_args(ends.Word)
    point, count = min(counts.items(), key=lambda item: (-item[1], order.index(item[0])))
    runs = counts.total()
    share = f" ({_percent(score.share(count, runs))})" if runs > 1 else ""
    others = [f"{n} {word}" for word, n in counts.items() if word != point]
    return Entry(point, float(order.index(point)), "; ".join([f"{count}/{runs}{share}", *others]))


def target(cell: cells.Cell) -> Entry:
    """Returns how many seeds met the target of their spec, and the median steps to it by Kaplan and Meier."""
    if not cell.first.part("target"):
        return MISSING
    reached = [float(run.reached_at) for run in cell.ended if run.reached_at is not None]
    missed = [float(run.steps[-1]) for run in cell.ended if run.reached_at is None and run.steps]
    if not reached and not missed:
        return MISSING
    median = survival.median(reached, missed).value
    low, high = survival.share(len(reached), len(reached) + len(missed))
    steps = f"median {number.show(median)} steps" if median < math.inf else "fewer than half"
    share = f"{len(reached)}/{len(reached) + len(missed)}"
    return Entry(share, median, f"{steps}; {100 * low:.0f}–{100 * high:.0f}\u00a0%")


def came_to(goal: score.Aim) -> Column:
    """Returns what prints how many seeds came to an aim, in cells that have it."""

    def entry(cell: cells.Cell) -> Entry:
        share = score.hits(cell, goal)
        if share is None:
            return MISSING
        return Entry(f"{share.hits}/{share.trials}", share.interval.low, _percent(share))

    return entry


def runtime(cell: cells.Cell) -> Entry:
    """Returns the average runtime to the target with its interval; all that was spent where no seed met it."""
    runtime = score.runtime(cell)
    if runtime is None:
        return MISSING
    if runtime.value == math.inf:
        return Entry(number.show(runtime.spent, bound="≥"), runtime.value, "no seed met it", "budget")
    low, high = (number.show(end) for end in runtime.interval)
    return Entry(number.show(runtime.value), runtime.value, f"{low}–{high}" if len(cell.ended) > 1 else "")


def exponent(cell: cells.Cell) -> Entry:
    """Returns the exponent at the last step, what its sign says, and how many displaced runs agree with it."""
    exponent = score.exponent(cell)
    if exponent is None:
        return MISSING
    name = {"mu": "μ", "lambda": "λ"}[exponent.name]
    agree = exponent.agree and f"{exponent.agree.hits}/{exponent.agree.trials} runs agree ({_percent(exponent.agree)})"
    note = _join(f"{name} {exponent.says}", number.show_range(exponent.spread.values), agree or "")
    return Entry(shown_metric(exponent.name, exponent.spread.median, exponent.error), exponent.spread.median, note)


def saddle(cell: cells.Cell) -> Entry:
    """Returns the saddle that the runs were planted at, and whether it is strict."""
    start = str(cell.first.part("start").get("name", ""))
    if not start.endswith("saddle") and start != "origin":
        return MISSING
    name, least = start.replace("_", " "), cells.at_start(cell, "saddle_least").median
    if least is None:
        return Entry(name, start)
    error = max((cells.error_bar(run, "saddle_least", 0) or 0.0 for run in cell.ended), default=0.0)
    kind = "strict" if least < -error else "not strict"
    return Entry(name, start, _join(kind, f"λ_min {number.show(least, error)}"))


def escaped(cell: cells.Cell) -> Entry:
    """Returns how many seeds left the planted saddle; the others are censored."""
    escape = score.escape(cell)
    if escape is None:
        return MISSING
    left = escape.left
    mark = "censored" if left.hits < left.trials else ""
    return Entry(f"{left.hits}/{left.trials}", left.interval.low, _percent(left), mark)


def escape_ratio(cell: cells.Cell) -> Entry:
    """Returns the steps to leave the planted saddle over those that linear theory predicts."""
    escape = score.escape(cell)
    if escape is None or escape.ratio is None:
        return MISSING
    low, high = (number.show(end) for end in (escape.ratio.low, escape.ratio.high))
    return Entry(number.show(escape.ratio.value), escape.ratio.value, f"{low}–{high}")


def alignment(cell: cells.Cell) -> Entry:
    """Returns the share of the displacement that lay in the steepest negative directions when the runs left."""
    escape = score.escape(cell)
    return MISSING if escape is None else of_spread(escape.alignment)


def eigenvalues_above(cell: cells.Cell) -> Entry:
    """Returns how many eigenvalues lie above 1/eta at the last step, and how many above 2/eta."""
    first, second = (cells.at_end(cell, name) for name in ("n_above_inv_eta", "n_above_two_inv_eta"))
    if first.median is None:
        return MISSING
    error, second_error = (
        cells.at_end(cell, f"{name}_error").median for name in ("n_above_inv_eta", "n_above_two_inv_eta")
    )
    note = f"{number.show(second.median, second_error)} above 2/η; {number.show_range(first.values)}"
    return Entry(number.show(first.median, error, bound=bound(cell, "n_above_inv_eta")), first.median, note)


def edge_time(cell: cells.Cell) -> Entry:
    """Returns the share of the logged steps that the seeds spent at the edge of stability."""
    return of_spread(score.edge_time(cell))


def trust(cell: cells.Cell) -> Entry:
    """Returns how far the row was checked."""
    label = score.trust(cell)
    return Entry(label, float(list(cells.TRUST).index(label)), "", label)


def seeds(cell: cells.Cell) -> Entry:
    """Returns how many of the seeds that the spec asks for have ended, and the marks of the others."""
    ended, asked = len(cell.ended), cell.seeds
    marks = cells.marks(cell)
    words = [f"{cells.MARKS[mark][0]} {_marked(cell, mark, count)}" for mark, count in marks]
    return Entry(f"{ended}/{asked}", ended / asked, "; ".join(words), marks[0][0] if marks else "")


def bound(cell: cells.Cell, metric: str) -> Bound:
    """Returns the sign that a metric carries in this cell: none with the whole spectrum, METRICS' with a part of it."""

    def is_bound(run: document.Run) -> bool:
        settled = metric in SETTLED and run.verdict == "invertible" and theorem.proven(run) is None
        return run.curvature == "lanczos" and not settled

    return metrics.METRICS[metric].bound if any(is_bound(run) for run in cell.runs) else ""


BARS = {"95 %": "95\u00a0%", "modelled": "model"}
"""What stands behind an error bar that is no bound (METRICS' `bar`)."""


def shown_metric(name: str, value: float | None, error: float | None, sign: str = "") -> str:
    """Returns a metric as it is printed: its sign, its error bar, and of which kind that is if it is no bound."""
    shown = number.show(value, error, sign)
    kind = metrics.METRICS[metrics.METRICS[name].error or name].bar
    return f"{shown} ({BARS[kind]})" if "±" in shown and kind in BARS else shown


def shown_margin(found: cells.Margin | None, sign: str) -> str:
    """Returns the margin of a run as it is printed: a number with its error bar, or the interval that is known."""
    if found is None:
        return number.MISSING
    if found.lower:
        return number.show_interval(found.lower, found.upper)
    return number.show(found.value, found.error, sign)


def crossings_of(runs: Sequence[document.Run], sign: str) -> Entry:
    """Returns the crossings of some runs; where they are not told from jumps, the changes of the count, and says so."""
    changes, told, jumps, unresolved = (
        cells.changes(runs, what) for what in ("all", "crossings", "jumps", "unresolved")
    )
    if len(told.values) < len(changes.values):
        entry = of_spread(changes, sign)
        return entry._replace(main=f"{entry.main} changes", note=_join(entry.note, "of the count: not told from jumps"))
    some_unresolved = any(unresolved.values)
    entry = of_spread(told, sign or ("≥" if some_unresolved else ""))
    others = f"{number.show(jumps.median)} jumps at kinks" if any(not run.one_piece for run in runs) else ""
    left = f"{number.show(unresolved.median)} unresolved" if some_unresolved else ""
    return entry._replace(note=_join(entry.note, others, left))


def of_spread(spread: interval.Spread, sign: str = "") -> Entry:
    """Returns a median, with the range of the seeds as its note."""
    if spread.median is None:
        return MISSING
    main = number.show(spread.median)
    return Entry(f"{sign} {main}" if sign else main, spread.median, number.show_range(spread.values, main))


def _marked(cell: cells.Cell, mark: cells.Mark, count: int) -> str:
    """Returns how many seeds have a mark, in words."""
    if mark == "diverged":
        share = score.share(count, len(cell.ended))
        return f"{share.hits}/{share.trials} diverged ({_percent(share)})"
    return f"{count} {SEEDS.get(mark, mark)}"


def _percent(share: score.Share) -> str:
    """Returns the interval of a share in percent."""
    low, high = share.interval
    return f"{100 * low:.0f}–{100 * high:.0f}\u00a0%"


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
