# SPDX-License-Identifier: Apache-2.0
"""`gdzoo list`: the tables of what exists, printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import rich.console
import rich.table

import zoo
from harness import data, errors, metrics, starts, workspace
from harness.risk import losses
from harness.specs import grid
from harness.training import optimizers
from zoo import activations

WHOLE = 14
"""A column whose cells have at most so many characters is never broken."""

Rows = tuple[tuple[str, ...], Iterable[tuple[str, ...]]]


def show(what: str, console: rich.console.Console) -> None:
    """Prints one table, or the names of the tables where `what` is empty.

    Raises:
        errors.InputError: If there is no such table.
    """
    if not what:
        for name, table_of in TABLES.items():
            console.print(f"[bold]{name:12}[/] {len(list(table_of()[1])):3}  gdzoo list {name}", highlight=False)
        return
    if what not in TABLES:
        raise errors.InputError(
            f"there is no list of '{what}'; allowed: {', '.join(TABLES)}{errors.nearest(what, TABLES)}"
        )
    header, rows = TABLES[what]()
    rows = list(rows)
    table = rich.table.Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    for i, name in enumerate(header):
        table.add_column(name, no_wrap=max(len(row[i]) for row in rows) <= WHOLE)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _families() -> Rows:
    return ("family", "setting", "parameters", "fields", "source"), [
        (
            name if setting == next(iter(row.settings)) else "",
            setting,
            f"{settings.parameters:,}",
            grid.flow(settings.fields)[1:-1],
            settings.source,
        )
        for name, row in zoo.FAMILIES.items()
        for setting, settings in row.settings.items()
    ]


def _activations() -> Rows:
    return ("activation", "formula", "regularity", "breaks at", "φ(0), φ′(0)", "source"), [
        (
            name,
            row.formula,
            row.regularity,
            ", ".join(f"{b:g}" for b in row.breakpoints) or "·",
            f"{row.value_at_0:.4g}, {row.slope_at_0:.4g}",
            row.source,
        )
        for name, row in activations.ACTIVATIONS.items()
    ]


def _datasets() -> Rows:
    return ("data set", "what it is", "shape", "training examples", "outputs", "licence", "needs"), [
        (
            name,
            row.title,
            "given" if row.shape is None else "x".join(map(str, row.shape)),
            "given" if row.train_examples is None else f"{row.train_examples:,}",
            "given" if row.classes is None else str(row.classes),
            row.licence,
            "nothing" if row.download is None else f"a download of {row.download[1]}, once",
        )
        for name, row in data.DATASETS.items()
    ]


def _losses() -> Rows:
    return ("loss", "of one example", "normalisation", "infimum of the risk, without weight decay"), [
        (name, row.formula, row.normalisation, row.infimum) for name, row in losses.LOSSES.items()
    ]


def _optimizers() -> Rows:
    return ("optimizer", "map", "|det| of its derivative", "batch", "source"), [
        (name, row.map, row.determinant, row.batch, row.source) for name, row in optimizers.OPTIMIZERS.items()
    ]


def _starts() -> Rows:
    return ("start", "where it is"), list(starts.STARTS.items())


def _diagnostics() -> Rows:
    from harness import diagnostics

    return ("diagnostic", "what it asks", "when", "in auto", "cost each time"), [
        (
            name,
            row.title,
            row.schedule,
            "·" if not row.auto else "yes" if name in diagnostics.DEFAULT else "if it applies",
            "the survey of H, shared" if row.surveys and row.cost == "nothing" else row.cost,
        )
        for name, row in diagnostics.DIAGNOSTICS.items()
    ]


def _metrics() -> Rows:
    return ("metric", "in MLflow", "unit", "bar", "definition"), [
        (name, row.key(name), row.unit, row.bar, row.definition) for name, row in metrics.METRICS.items()
    ]


def _specs() -> Rows:
    from harness import specs

    return ("spec", "title", "configurations", "seeds"), [
        (f"{found.suite}/{found.name}", found.title, str(len(found.cells)), str(found.seeds))
        for found in specs.read_all([workspace.CHECKOUT / "specs"])
    ]


TABLES: dict[str, Callable[[], Rows]] = {
    "families": _families,
    "activations": _activations,
    "datasets": _datasets,
    "losses": _losses,
    "optimizers": _optimizers,
    "starts": _starts,
    "diagnostics": _diagnostics,
    "metrics": _metrics,
    "specs": _specs,
}
