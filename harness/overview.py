# SPDX-License-Identifier: Apache-2.0
"""Tables about specs on the terminal: what would be run, and how far it is."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import rich.console
import rich.table

from harness import runlog
from harness import spec as specs

STATUSES = ("finished", "diverged", "running", "interrupted", "failed", "missing")


def show(found: Sequence[specs.Spec], console: rich.console.Console) -> None:
    """Prints, for each cell, how many of its runs are in each status, by their run folders."""
    counts: dict[specs.Cell, collections.Counter[str]] = {}
    for cell in (cell for spec in found for cell in spec.cells):
        folders = [runlog.folder(cell.suite, cell.run_id(seed)) for seed in range(cell.seeds)]
        counts[cell] = collections.Counter(runlog.status(folder) for folder in folders)
    total = sum(counts.values(), collections.Counter())
    table = rich.table.Table(box=None, header_style="bold")
    table.add_column("cell", overflow="fold")
    table.add_column("id", no_wrap=True)
    shown = [status for status in STATUSES if total[status]]
    for status in shown:
        table.add_column(status, justify="right", no_wrap=True)
    for cell, count in counts.items():
        table.add_row(f"{cell.suite}/{cell.label}", cell.cell_id, *(str(count[status] or "·") for status in shown))
    console.print(table)
    console.print(", ".join(f"{total[s]} {s}" for s in STATUSES if total[s]) or "no runs", highlight=False)


def check(found: Sequence[specs.Spec], console: rich.console.Console) -> None:
    """Builds each cell's network, takes one small step with it, and prints what a run would be.

    Raises:
        errors.InputError: If a data set cannot be had.
    """
    from harness import experiment

    table = rich.table.Table(
        "cell", "parameters", "examples", "steps", "checkpoints", "curvature", "runs", "loss, one step on", box=None
    )
    cells = [cell for spec in found for cell in spec.cells]
    with console.status("building and stepping once") as status:
        for i, cell in enumerate(cells):
            status.update(f"{i + 1} of {len(cells)}: {cell.label}")
            trial = experiment.trial(cell)
            table.add_row(
                cell.label,
                f"{trial.parameters:,}",
                f"{trial.examples:,}",
                f"{cell.steps:,}",
                str(cell.checkpoints),
                trial.curvature,
                str(cell.seeds),
                f"{trial.before:.4g} → {trial.after:.4g}",
            )
    console.print(table)
    runs = sum(cell.seeds for cell in cells)
    console.print(f"{len(found)} specs, {len(cells)} cells, {runs} runs: all valid", highlight=False)
