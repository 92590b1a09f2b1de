# SPDX-License-Identifier: Apache-2.0
"""A row of a bench: one number, how far its rounds spread, and whether it meets its target."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import rich.console
import rich.table

from harness.bench import timing


class Target(NamedTuple):
    """What a number should be: at most, or at least, a bound."""

    bound: float
    most: bool = True

    @property
    def words(self) -> str:
        """`≤ 2.2`, as tables show it."""
        return f"{'≤' if self.most else '≥'} {self.bound:g}"


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        group: What it belongs to; rows of a group stand together.
        what: What was measured.
        value: The number; NaN where it could not be measured, and `note` says why.
        spread: Half the interquartile range of the rounds over their median; None where there are no rounds.
        target: What it should be; None for a number that is only told.
        note: The numbers behind it.
        refused: Whether something that should agree did not, so that there is no number.
    """

    group: str
    what: str
    value: float
    spread: float | None = None
    target: Target | None = None
    note: str = ""
    refused: bool = False

    @property
    def verdict(self) -> str:
        """`met`, `met within error`, `missed`, `refused`, `not measured`, or nothing where there is no target.

        Within error: the number misses its target, by no more than its ±; which of the two is true was not found out.
        """
        if self.refused:
            return "refused"
        if math.isnan(self.value):
            return "not measured"
        if self.target is None:
            return ""
        short = (self.value - self.target.bound) * (1 if self.target.most else -1)
        if short <= 0:
            return "met"
        return "met within error" if short <= (self.spread or 0.0) * abs(self.value) else "missed"

    def as_dict(self) -> dict[str, Any]:
        """Returns the row for JSON."""
        return {
            "group": self.group,
            "what": self.what,
            "value": self.value if math.isfinite(self.value) else None,
            "spread": self.spread,
            "target": None if self.target is None else self.target.words,
            "verdict": self.verdict,
            "note": self.note,
        }


def ratio(group: str, what: str, found: timing.Ratio, target: Target | None = None, note: str = "") -> Row:
    """Returns the row of a ratio."""
    return Row(group, what, found.value, found.spread, target, note)


def absent(group: str, what: str, why: str) -> Row:
    """Returns a row that says why there is no number."""
    return Row(group, what, math.nan, note=why)


def show(rows: Sequence[Row], console: rich.console.Console) -> None:
    """Prints rows, group by group, and how many targets were met."""
    table = rich.table.Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("what", overflow="fold")
    for header in ("value", "±", "target"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("behind it", overflow="fold")
    for group, members in itertools.groupby(rows, key=lambda row: row.group):
        table.add_row(f"[bold]{group}[/]")
        for row in members:
            table.add_row(f"  {row.what}", *_cells(row))
    console.print(table)
    missed = [row for row in rows if row.verdict == "missed"]
    met = sum(row.verdict == "met" for row in rows)
    tied = sum(row.verdict == "met within error" for row in rows)
    left = sum(row.verdict in ("not measured", "refused") for row in rows)
    console.print()
    told = f"{met} targets met, {tied} more within their error, {len(missed)} missed, {left} rows without a number"
    console.print(told, highlight=False)


def _cells(row: Row) -> tuple[str, ...]:
    value = "·" if math.isnan(row.value) else f"{row.value:.3g}"
    spread = "" if row.spread is None else f"{row.spread:.0%}"
    style = {"met": "green", "met within error": "yellow", "missed": "red", "refused": "red"}.get(row.verdict)
    verdict = f"[{style}]{row.verdict}[/]" if style else row.verdict
    return value, spread, "" if row.target is None else row.target.words, verdict, row.note
