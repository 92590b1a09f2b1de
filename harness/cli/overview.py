# SPDX-License-Identifier: Apache-2.0
"""Tables about specs on the terminal: what would be run, and how far it is."""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import rich.console
import rich.markup
import rich.table

from harness import config, diagnostics, errors, specs, theory
from harness.cli import costs
from harness.diagnostics import flow, trace_plan
from harness.diagnostics import plan as plans
from harness.jobs import progress, task
from harness.records import run_folder, statuses
from harness.runs import outline
from harness.specs import strict_yaml
from harness.theory.ingredients import Ingredient
from harness.training import optimizers

if TYPE_CHECKING:
    from harness.runs import estimate

TRIAL_UP_TO = 2_000_000
"""Parameters of the largest network that `check` takes a step with."""

NAMED = 2
"""Most cells that a sentence names."""

STATUS_ORDER = {"outside": 0, "extension F7": 1, "extension F11": 2, "theorem 1": 3}


def show(found: Sequence[specs.Spec], console: rich.console.Console, shards: int = 0) -> None:
    """Prints, for each cell, how many of its runs are in each status, by their run folders; with shards for each share.

    Args:
        found: The specs, as they were given to `gdzoo run`.
        console: Where to print.
        shards: Into how many shares `gdzoo run --shard` cuts their runs; 0 prints no shares.
    """
    cells = [cell for spec in found for cell in spec.cells]
    runs = {
        cell: [run_folder.status(run_folder.folder(cell.suite, cell.run_id(seed))) for seed in range(cell.seeds)]
        for cell in cells
    }
    total = collections.Counter(status for some in runs.values() for status in some)
    table = rich.table.Table(box=None, header_style="bold")
    table.add_column("configuration", overflow="fold")
    table.add_column("id", no_wrap=True)
    shown = [status for status in statuses.ALL if total[status]]
    for status in shown:
        table.add_column(status, justify="right", no_wrap=True)
    for cell in cells:
        words = [str(runs[cell].count(status) or "·") for status in shown]
        table.add_row(rich.markup.escape(f"{cell.suite}/{cell.label}"), cell.cell_id, *words)
    console.print(table)
    console.print(", ".join(f"{total[s]} {s}" for s in shown) or "no runs", highlight=False)
    if shards:
        _shares([status for cell in cells for status in runs[cell]], shards, console)


def _shares(runs: Sequence[str], shards: int, console: rich.console.Console) -> None:
    """Prints how many runs of each share are in each status, and which shares are done, by the list of all runs."""
    shown = [status for status in statuses.ALL if status in runs]
    table = rich.table.Table("share", "runs", *shown, box=None, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    left = []
    for number in range(1, shards + 1):
        own = [runs[place] for place in task.share(len(runs), (number, shards))]
        table.add_row(f"{number}/{shards}", str(len(own)), *(str(own.count(status) or "·") for status in shown))
        left += [str(number)] if any(status not in statuses.ENDED for status in own) else []
    console.print(table)
    words = f"{shards - len(left)} of {shards} shares are done" + (f"; left: {', '.join(left)}" if left else "")
    console.print(words, highlight=False, soft_wrap=True)


def check(found: Sequence[specs.Spec], console: rich.console.Console) -> None:
    """Traces every cell's risk, takes steps of the first of each spec, and prints what would be run and what it takes.

    The steps are left out where the data set is not prepared or the network has more than TRIAL_UP_TO parameters.

    Raises:
        errors.InputError: If a start does not fit its network, or a network is too large for `curvature: dense`.
        errors.OutOfMemory: If cells do not fit into memory.
    """
    from harness import data
    from harness.runs import estimate, trial

    table = rich.table.Table(box=None, header_style="bold")
    table.add_column("configuration", overflow="fold", ratio=1)
    for header in ("parameters", "runs"):
        table.add_column(header, justify="right", no_wrap=True)
    for header in ("theorem", "one piece", "bad η"):
        table.add_column(header)
    theories: dict[theory.Theory, list[str]] = {}
    bad: dict[str, list[str]] = {}
    measured: list[plans.Plan] = []
    steps: list[str] = []
    too_large: list[str] = []
    outlines: dict[config.Cell, outline.Outline] = {}
    parts: dict[config.Cell, estimate.Parts] = {}
    away: set[str] = set()
    cells = [cell for spec in found for cell in spec.cells]
    first = {spec.cells[0] for spec in found}
    with progress.bar(console, len(cells), "configurations") as bar:
        for cell in cells:
            bar.begin(cell.label, 1)
            known = outlines[cell] = outline.outline(cell)
            theories.setdefault(known.theory, []).append(cell.label)
            if told := _bad_step(cell, known.theory):
                bad.setdefault(told, []).append(cell.label)
            measured.append(known.plan)
            here = data.at_hand(cell.data)
            if not here:
                away.add(getattr(cell.data, "dataset", cell.data.name))
            refused = estimate.too_large(cell, known.parameters, None)
            if cell in first and known.parameters <= TRIAL_UP_TO and here and not refused:
                tried = trial.trial(cell, known)
                parts[cell] = tried.parts
                refused = estimate.too_large(cell, known.parameters, tried.parts)
                finite = math.isfinite(tried.before + tried.after)
                warning = "" if finite else ": not finite, a run will diverge at once"
                steps.append(f"{cell.suite}/{cell.spec}: loss {tried.before:.4g} → {tried.after:.4g}{warning}")
            too_large += [refused] if refused else []
            table.add_row(
                rich.markup.escape(cell.label),
                f"{known.parameters:,}",
                str(cell.seeds),
                known.theory.covered,
                "yes" if known.theory.one_piece else "no",
                known.theory.bad,
            )
            bar.end()
    console.print(table)
    console.print()
    _theory(theories, console)
    _stacks(cells, console)
    for told, labels in bad.items():
        console.print(f"{_which(labels, len(cells))}: {told}", markup=False, highlight=False)
    console.print()
    _diagnostics(measured, console)
    console.print()
    for step in steps:
        console.print(f"one small step of {step}", highlight=False)
    for name in sorted(away):
        console.print(f"data set {name} is not here yet: `gdzoo data prepare {name}` before a run", highlight=False)
    if parts:
        costs.show(found, outlines, parts, console)
    for line in too_large:
        console.print(line, markup=False, highlight=False)
    if too_large:
        raise errors.OutOfMemory(
            f"{_many(len(too_large), 'configuration')} of {len(cells)} cannot be run here: {too_large[0]}"
        )
    runs = sum(cell.seeds for cell in cells)
    console.print(
        f"{_many(len(found), 'spec')}, {_many(len(cells), 'configuration')}, {_many(runs, 'run')}: all valid",
        highlight=False,
    )


def _bad_step(cell: config.Cell, says: theory.Theory) -> str:
    """Returns what is known of the step sizes of a cell's runs; empty where none is bad, or near one that is."""
    rate = cell.optimizer.learning_rate
    if not isinstance(rate, int | float):
        return ""
    used = optimizers.step_sizes(cell, float(np.asarray(rate, cell.precision)))
    match = theory.matches(says, used, cell.precision)
    return "" if match is None else f"{theory.told(says, match)}{': the map is singular' if match.exact else ''}"


def _theory(cells: Mapping[theory.Theory, list[str]], console: rich.console.Console) -> None:
    """Prints what the theorem says of the ingredients of all cells, and of their step sizes."""
    ingredients: dict[Ingredient, list[str]] = {}
    sentences: dict[str, list[str]] = {}
    for says, labels in cells.items():
        for ingredient in says.ingredients:
            ingredients.setdefault(ingredient, []).extend(labels)
        bad = (f"η = {row.label} is bad {row.where} ({row.source})" for row in says.bad_steps)
        covered = f"{says.covered}: {theory.COVERED[says.covered]}"
        for sentence in (covered, says.pieces, *bad, says.others, *says.remarks):
            sentences.setdefault(sentence, []).extend(labels)
    total = sum(len(labels) for labels in cells.values())
    table = rich.table.Table("ingredient", "the theorem", "configurations", "why", box=None, header_style="bold")
    for ingredient, labels in sorted(ingredients.items(), key=lambda item: STATUS_ORDER[item[0].status]):
        count = "all" if len(labels) == total else str(len(labels))
        table.add_row(ingredient.name, ingredient.status, count, ingredient.why)
    console.print(table)
    console.print()
    for sentence, labels in sentences.items():
        console.print(f"{_which(labels, total)}: {sentence}", highlight=False)
    console.print(theory.OURS, highlight=False, soft_wrap=True)


def _stacks(cells: Sequence[config.Cell], console: rich.console.Console) -> None:
    """Prints of each layer of each stack what it gives and what covers it."""
    found: dict[tuple[theory.Part, ...], list[str]] = {}
    for cell in cells:
        found.setdefault(theory.parts(cell), []).append(cell.label)
    for parts, labels in found.items():
        if not parts:
            continue
        console.print(f"\n{_which(labels, len(cells))}: layer by layer", highlight=False)
        table = rich.table.Table("layer", "gives", "the theorem", "ingredients", box=None, header_style="bold")
        for part in parts:
            worst = min((row.status for row in part.ingredients), key=STATUS_ORDER.__getitem__)
            names = ", ".join(row.name for row in part.ingredients)
            table.add_row(rich.markup.escape(strict_yaml.dotted(part.place)), str(part.shape), worst, names)
        console.print(table)


def _which(labels: Sequence[str], total: int) -> str:
    """Returns which of `total` cells are meant: `all`, their labels, or some of them and how many there are."""
    if len(labels) == total:
        return "all"
    shown = ", ".join(labels[:NAMED])
    return shown if len(labels) <= NAMED else f"{shown}, … ({len(labels)} configurations)"


def _diagnostics(measured: Sequence[plans.Plan], console: rich.console.Console) -> None:
    """Prints what is measured of cells and what is left out, why, and what each costs at most next to the training."""
    table = rich.table.Table("diagnostic", "measured", box=None, header_style="bold")
    for header in ("configurations", "gradients a run", "of its training"):
        table.add_column(header, justify="right")
    for name, row in diagnostics.DIAGNOSTICS.items():
        groups: dict[str, list[plans.Plan]] = {}
        for one in measured:
            reason = one.left_out.get(name)
            groups.setdefault(row.schedule if reason is None else f"no: {reason}", []).append(one)
        for words, plans_ in groups.items():
            prices = _range([one.prices[name] for one in plans_])
            shares = _range([one.prices[name] / one.training for one in plans_], percent=True)
            table.add_row(name, words, str(len(plans_)), prices, shares)
        own = set(row.metrics) - set(diagnostics.DIAGNOSTICS)
        withheld = [pair for one in measured for pair in one.left_out.items() if pair[0] in own]
        for (metric, reason), count in collections.Counter(withheld).items():
            table.add_row(f"  {metric}", f"no: {reason}", str(count), "", "")
    if traced := [(one.trace, one.training) for one in measured if one.trace is not None]:
        points = _range([len(trace.steps) for trace, _ in traced])
        prices = _range([trace.cost for trace, _ in traced])
        shares = _range([trace.cost / training for trace, training in traced], percent=True)
        table.add_row("trace", f"at {points} steps", str(len(traced)), prices, shares)
    console.print(table)
    console.print(
        "Costs are upper bounds; the first that reads the survey of the Hessian pays for it.", highlight=False
    )


def cost(cells: Sequence[config.Cell], seeds: int | None) -> str:
    """Returns what the diagnostics of the runs of cells cost next to their training, measured; empty if not recorded.

    Args:
        cells: The cells.
        seeds: How many seeds were run of each; None for as many as its spec asks for.
    """
    training = measuring = 0.0
    for cell in cells:
        for seed in range(seeds or cell.seeds):
            if facts := run_folder.read(run_folder.folder(cell.suite, cell.run_id(seed))):
                training, measuring = training + facts.seconds_training, measuring + facts.seconds_measuring
    if not training:
        return ""
    share = f"{100 * measuring / training:,.0f} % of training"
    return f"diagnostics cost {share}: {progress.duration(measuring)} next to {progress.duration(training)}"


def traced(cells: Sequence[config.Cell], seeds: int | None) -> str:
    """Returns what the traces of the runs of cells found and what they cost, in a line; empty if there are none.

    Args:
        cells: The cells.
        seeds: How many seeds were run of each; None for as many as its spec asks for.
    """
    together: collections.Counter[str] = collections.Counter()
    spent = training = 0.0
    for cell in (cell for cell in cells if cell.trace is not None):
        for seed in range(seeds or cell.seeds):
            folder = run_folder.folder(cell.suite, cell.run_id(seed))
            points, facts = run_folder.read_trace(folder), run_folder.read(folder)
            if not points or facts is None:
                continue
            said = flow.summary([], trace=points)
            together["runs"] += 1
            together.update({name: int(said[name]) for name in flow.COUNTS if math.isfinite(said[name])})
            examples = facts.examples
            spent += trace_plan.spent(cell, examples, len(points), int(said["trace_products"]))
            training += points[-1].step * (cell.optimizer.batch_size or examples) / max(examples, 1)
    if not together["trace_points"]:
        return ""
    points_of = f"{together['trace_points']:,} points in {_many(together['runs'], 'run')}"
    crossed = f"{_many(together['trace_crossings'], 'change')} of the count above 1/η"
    missed = (
        f"{_many(together['trace_missed'], 'eigenvalue')} missed in {_many(together['trace_compared'], 'comparison')}"
    )
    price = f"about {spent / together['trace_points']:.3g} gradients a point"
    share = f", {100 * spent / training:,.0f} % of training" if training else ""
    return f"trace: {points_of}, {crossed}, {missed} with surveys; it cost {price}{share}"


def lived(cells: Sequence[config.Cell], seeds: int | None) -> rich.console.RenderableType:
    """Returns a table of the layer in which each eigenvector lives at the last look, empty where none was asked.

    A cell has the layer of the largest share, on average over the seeds that know it, and its least and largest share.

    Args:
        cells: The cells.
        seeds: How many seeds were run of each; None for as many as its spec asks for.
    """
    heads = ("eigenvector of", "λ_max", "λ_min", "nearest 1/η")
    table = rich.table.Table(*heads, box=None, header_style="bold")
    for cell in cells:
        folders = [run_folder.folder(cell.suite, cell.run_id(seed)) for seed in range(seeds or cell.seeds)]
        last = [kept[-1][1] for folder in folders if (kept := run_folder.read_layers(folder))]
        if last:
            shares = np.stack([one.shares for one in last])
            table.add_row(rich.markup.escape(cell.label), *(_home(last[0].names, shares[:, i]) for i in range(3)))
    return table if table.row_count else ""


def _home(names: Sequence[str], shares: np.ndarray) -> str:
    """Returns the layer of the largest mean share in words, from shares (seeds, layers); NaN rows are not known."""
    known = shares[np.isfinite(shares).all(axis=1)]
    if not len(known):
        return "not known: repeated, or nearly"
    place = int(known.mean(axis=0).argmax())
    ends = dict.fromkeys(f"{value:.2f}" for value in (known[:, place].min(), known[:, place].max()))
    return f"{names[place]} ({' to '.join(ends)})"


def left_out(cells: Sequence[config.Cell], seeds: int | None) -> str:
    """Returns what runs of cells did not measure though it applies to them, in a line; empty if there is nothing.

    Args:
        cells: The cells.
        seeds: How many seeds were run of each; None for as many as its spec asks for.
    """
    counts: collections.Counter[str] = collections.Counter()
    for cell in cells:
        silent = {name for name, row in diagnostics.DIAGNOSTICS.items() if row.why_not(cell)}
        for seed in range(seeds or cell.seeds):
            if facts := run_folder.read(run_folder.folder(cell.suite, cell.run_id(seed))):
                counts.update(name for name in facts.left_out if name not in silent)
    groups: dict[int, list[str]] = {}
    for name, count in counts.items():
        groups.setdefault(count, []).append(name)
    names = "; ".join(f"{', '.join(group)} in {_many(count, 'run')}" for count, group in groups.items())
    return f"not measured: {names}; `gdzoo check` says why and what it would cost" if names else ""


def _range(values: Sequence[float], *, percent: bool = False) -> str:
    """Returns the least and the largest of some numbers: `12`, `12 to 340`."""
    ends = [f"{100 * value:,.0f} %" if percent else f"{value:,.0f}" for value in (min(values), max(values))]
    return " to ".join(dict.fromkeys(ends))


def _many(count: int, noun: str) -> str:
    """Returns `1 cell`, `2 cells`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
