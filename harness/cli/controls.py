# SPDX-License-Identifier: Apache-2.0
"""The table of controls: what specs expect of their runs, what the runs show, and whether that agrees."""

from __future__ import annotations

import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import rich.console
import rich.table

from harness import config, diagnostics
from harness.records import run_folder
from harness.specs import expected


class Outcome(NamedTuple):
    """How many expectations agree, how many do not, and how many runs have no records here to compare."""

    agree: int
    disagree: int
    absent: int


def show(cells: Sequence[config.Cell], seeds: int | None, console: rich.console.Console) -> Outcome:
    """Prints expected, found and verdict for every cell that expects something.

    Args:
        cells: The cells.
        seeds: How many seeds were run of each; None for as many as its spec asks for.
        console: Where.
    """
    table = rich.table.Table(box=None, header_style="bold")
    for header in ("control", "what", "expected", "found", "allowed"):
        table.add_column(header, overflow="fold")
    table.add_column("", no_wrap=True)
    absent = 0
    rows: list[expected.Found] = []
    for cell in cells:
        found: dict[str, list[expected.Found]] = {}
        for seed in range((seeds or cell.seeds) if cell.expected else 0):
            folder = run_folder.folder(cell.suite, cell.run_id(seed))
            facts = run_folder.read_plain(folder)
            if facts is None:
                absent += 1
                continue
            for row in found_in(folder, cell, facts):
                found.setdefault(row.name, []).append(row)
        label = cell.label
        for name, group in found.items():
            room = f"± {max(row.error for row in group):.1g}" if any(row.error for row in group) else ""
            table.add_row(label, name, expected.shown(group[0].expected), _found(group), room, _verdict(group))
            rows += group
            label = ""
    agree = sum(row.agrees for row in rows)
    disagree = len(rows) - agree
    asked = {must: [row.agrees for row in rows if row.fires is must] for must in (True, False)}
    if agree + disagree:
        console.print(table)
        fired, silent = (f"{sum(asked[must])} of {len(asked[must])}" for must in (True, False))
        console.print(f"detector: {fired} fired where it must, {silent} silent where it must be", highlight=False)
        console.print(f"controls: {agree} agree, {disagree} disagree", highlight=False)
    if absent:
        console.print(f"{absent} runs that expect something have no records here to compare", highlight=False)
    return Outcome(agree, disagree, absent)


def found_in(folder: pathlib.Path, cell: config.Cell, facts: Mapping[str, Any]) -> list[expected.Found]:
    """Returns what the run in a folder shows of what is expected of its cell."""
    recorded = run_folder.read_records(folder)
    one_piece = bool(facts.get("theory", {}).get("one_piece"))
    together = diagnostics.summary(recorded, one_piece=one_piece, trace=run_folder.read_trace(folder))
    return expected.compare(cell.expected, facts, recorded, together)


def _found(group: Sequence[expected.Found]) -> str:
    """Returns what the seeds of a cell show: one value, or the median of numbers with the least and the largest."""
    values = [row.found for row in group]
    numbers = [value for value in values if isinstance(value, int | float)]
    if len(set(values)) == 1 or len(numbers) < len(values):
        return ", ".join(dict.fromkeys(map(expected.shown, values)))
    return f"{statistics.median(numbers):.5g} ({min(numbers):.4g} to {max(numbers):.4g})"


def _verdict(group: Sequence[expected.Found]) -> str:
    agree, runs = sum(row.agrees for row in group), len(group)
    words = ("agrees" if agree else "disagrees") if runs == 1 else f"{agree} of {runs} agree"
    return f"[green]{words}[/]" if agree == runs else f"[red]{words}[/]"
