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
    table = rich.table.Table("suite", "cell", "id", *STATUSES, box=None, header_style="bold")
    for column in table.columns[3:]:
        column.justify = "right"
    total: collections.Counter[str] = collections.Counter()
    for spec in found:
        for cell in spec.cells:
            folders = [runlog.folder(cell.suite, cell.run_id(seed)) for seed in range(cell.seeds)]
            counts = collections.Counter(runlog.status(folder) for folder in folders)
            total += counts
            table.add_row(cell.suite, cell.label, cell.cell_id, *(str(counts[s] or "·") for s in STATUSES))
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
