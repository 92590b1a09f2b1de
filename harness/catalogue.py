# SPDX-License-Identifier: Apache-2.0
"""`gdzoo list`: the tables of what exists, printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import rich.console
import rich.table

import zoo
from harness import data, errors, losses, metrics, optimizers, starts, workspace
from zoo import activations

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
    table = rich.table.Table(*header, box=None, header_style="bold", padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _families() -> Rows:
    return ("family", "what it is", "fields"), [
        (name, row.title, ", ".join(field for field in row.config.model_fields if field != "family"))
        for name, row in zoo.FAMILIES.items()
    ]


def _activations() -> Rows:
    return ("activation", "formula", "regularity", "source"), [
        (name, row.formula, row.regularity, row.source) for name, row in activations.ACTIVATIONS.items()
    ]


def _datasets() -> Rows:
    return ("data set", "what it is", "training examples", "classes", "licence", "needs"), [
        (
            name,
            row.title,
            f"{row.train_examples:,}",
            str(row.classes),
            row.licence,
            "nothing" if row.download is None else f"a download of {row.download[1]}, once",
        )
        for name, row in data.DATASETS.items()
    ]


def _losses() -> Rows:
    return ("loss", "of one example", "infimum of the risk"), [
        (name, row.formula, row.infimum) for name, row in losses.LOSSES.items()
    ]


def _optimizers() -> Rows:
    return ("optimizer", "map", "batch", "source"), [
        (name, row.map, row.batch, row.source) for name, row in optimizers.OPTIMIZERS.items()
    ]


def _starts() -> Rows:
    return ("start", "where it is"), list(starts.STARTS.items())


def _diagnostics() -> Rows:
    from harness import diagnostics

    return ("diagnostic", "metrics", "cost per checkpoint step"), [
        (name, ", ".join(row.metrics), row.cost) for name, row in diagnostics.DIAGNOSTICS.items()
    ]


def _metrics() -> Rows:
    return ("metric", "in MLflow", "unit", "definition"), [
        (name, row.key(name), row.unit, row.definition) for name, row in metrics.METRICS.items()
    ]


def _specs() -> Rows:
    from harness import spec

    return ("spec", "title", "cells", "seeds"), [
        (f"{found.suite}/{found.name}", found.title, str(len(found.cells)), str(found.seeds))
        for found in spec.read_all([workspace.CHECKOUT / "specs"])
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
