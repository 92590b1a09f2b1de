# SPDX-License-Identifier: Apache-2.0
"""The table of controls: what specs expect of their runs, what the runs show, and whether that agrees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import rich.console
import rich.table

from harness import expected, runlog
from harness import spec as specs


class Outcome(NamedTuple):
    """How many expectations agree, how many do not, and how many runs have no records here to compare."""

    agree: int
    disagree: int
    absent: int


def show(cells: Sequence[specs.Cell], seeds: int | None, console: rich.console.Console) -> Outcome:
    """Prints expected, found and verdict for every cell that expects something.

    Args:
        cells: The cells.
        seeds: How many seeds were run of each; None for as many as its spec asks for.
        console: Where.
    """
    table = rich.table.Table(box=None, header_style="bold")
    table.add_column("control", overflow="fold")
    for header in ("what", "expected", "found", "allowed"):
        table.add_column(header, no_wrap=True)
    table.add_column("")
    agree = disagree = absent = 0
    asked: dict[bool, list[bool]] = {True: [], False: []}
    for cell in cells:
        for seed in range((seeds or cell.seeds) if cell.expected else 0):
            folder = runlog.folder(cell.suite, cell.run_id(seed))
            facts = runlog.read(folder)
            if facts is None:
                absent += 1
                continue
            for row in expected.compare(cell.expected, facts, runlog.read_records(folder)):
                agree, disagree = agree + row.agrees, disagree + (not row.agrees)
                if row.fires is not None:
                    asked[row.fires].append(row.agrees)
                words = "[green]agrees[/]" if row.agrees else "[red]disagrees[/]"
                room = f"± {row.error:.1g}" if row.error else ""
                table.add_row(
                    cell.label, row.name, expected.shown(row.expected), expected.shown(row.found), room, words
                )
    if agree + disagree:
        console.print(table)
        fired, silent = (f"{sum(asked[must])} of {len(asked[must])}" for must in (True, False))
        console.print(f"detector: {fired} fired where it must, {silent} silent where it must be", highlight=False)
        console.print(f"controls: {agree} agree, {disagree} disagree", highlight=False)
    if absent:
        console.print(f"{absent} runs that expect something have no records here to compare", highlight=False)
    return Outcome(agree, disagree, absent)
