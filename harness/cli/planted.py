# SPDX-License-Identifier: Apache-2.0
"""Tables of what runs from planted points did (harness/records/behaviour.py says what that is)."""

from __future__ import annotations

import collections
import math
from collections.abc import Mapping, Sequence

import rich.console
import rich.markup
import rich.table

from harness import config, records
from harness.records import run_folder
from harness.records.behaviour import behaviour, escape


def show(cells: Sequence[config.Cell], seeds: int | None, console: rich.console.Console) -> None:
    """Prints what the runs of cells that begin at planted points show, if there are any.

    Args:
        cells: The cells.
        seeds: How many seeds were run of each; None for as many as its spec asks for.
        console: Where.
    """
    folders = {
        cell: [run_folder.folder(cell.suite, cell.run_id(seed)) for seed in range(seeds or cell.seeds)]
        for cell in cells
    }
    recorded = {cell: [run_folder.read_records(folder) for folder in found] for cell, found in folders.items()}
    _minima(recorded, console)
    _escapes(recorded, console)


Recorded = Mapping[config.Cell, Sequence[Sequence[records.Record]]]


def _minima(recorded: Recorded, console: rich.console.Console) -> None:
    shown = [(cell, one) for cell, runs in recorded.items() for run in runs if (one := behaviour(cell, run))]
    if not shown:
        return
    counts: collections.Counter[tuple[str, str]] = collections.Counter((one.said, one.seen) for _, one in shown)
    table = rich.table.Table(title=f"{len(shown)} runs from planted minima", box=None, header_style="bold")
    for header in ("exponent", "stayed", "left"):
        table.add_column(header, justify="left" if header == "exponent" else "right")
    for said, sign in (("attracts", "< 0"), ("undecided", "0 within its error"), ("repels", "> 0")):
        table.add_row(sign, *(str(counts[said, seen]) for seen in ("stayed", "left")))
    console.print(table)
    reasons = collections.Counter((cell.label, one.why) for cell, one in shown if one.why)
    for (label, why), count in reasons.items():
        console.print(f"{count} of {rich.markup.escape(label)}: {why}", highlight=False)


def _escapes(recorded: Recorded, console: rich.console.Console) -> None:
    found = {cell: escape([run[0].values for run in runs if run]) for cell, runs in recorded.items()}
    shown = {cell: one for cell, one in found.items() if one}
    if not shown:
        return
    table = rich.table.Table(title="escape from planted saddles", box=None, header_style="bold")
    table.add_column("configuration", overflow="fold")
    for header in ("left", "95 %", "median steps", "95 %", "predicted", "ratio"):
        table.add_column(header, justify="right", no_wrap=True)
    for cell, one in shown.items():
        table.add_row(
            rich.markup.escape(cell.label),
            f"{one.left} of {one.runs}",
            f"{one.share[0]:.2f} to {one.share[1]:.2f}",
            f"{one.median:g}",
            f"{one.interval[0]:g} to {one.interval[1]:g}",
            f"{one.predicted:.4g}",
            "·" if math.isnan(one.ratio) else f"{one.ratio:.3f}",
        )
    console.print(table)
