# SPDX-License-Identifier: Apache-2.0
"""Scope: how far what a board says reaches: how large its networks are, on which data, looked at how often."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from leaderboard.board import cell as cells

NAMED = 4
"""Most data sets that are named."""


class Seen(NamedTuple):
    """What the scope takes of a cell.

    Attributes:
        networks: A hash of each network with its inputs.
        parameters: Of each run.
        looks: Logged steps of each run.
        submitted: Whether it was submitted.
        data, examples, shape: Of its first run.
    """

    networks: frozenset[bytes]
    parameters: tuple[int, ...]
    looks: tuple[int, ...]
    submitted: bool
    data: str
    examples: int
    shape: str


def seen(cell: cells.Cell) -> Seen:
    """Returns what the scope takes of a cell."""
    networks = {json.dumps([run.part("model"), run.dataset.shape, run.parameters], sort_keys=True) for run in cell.runs}
    run = cell.first
    return Seen(
        frozenset(hashlib.sha256(network.encode()).digest() for network in networks),
        tuple(run.parameters for run in cell.runs),
        tuple(len(run.steps) for run in cell.runs),
        cell.trust is not None,
        run.dataset.name,
        run.examples,
        "×".join(map(str, run.dataset.shape)),
    )


def sentences(rows: Iterable[Seen]) -> str:
    """Returns the scope of some cells in two sentences; empty without cells."""
    networks: set[bytes] = set()
    sizes, looks = _Span(), _Span()
    data: dict[str, _Data] = {}
    runs = cells_seen = submitted = 0
    for row in rows:
        networks |= row.networks
        sizes.widen(row.parameters)
        looks.widen(row.looks)
        data.setdefault(row.data, _Data()).add(row)
        runs += len(row.looks)
        cells_seen += 1
        submitted += row.submitted
    if not cells_seen:
        return ""
    share = "none" if not submitted else "all" if submitted == cells_seen else f"{submitted} of {cells_seen}"
    return (
        f"{len(networks):,} network{_s(len(networks))} of {sizes.shown} parameters on {_named(data)}. "
        f"{runs:,} run{_s(runs)} of {cells_seen:,} configuration{_s(cells_seen)}, "
        f"each looked at on {looks.shown} of its steps; "
        f"{share} of the configurations {'was' if submitted == 1 else 'were'} submitted "
        "as bundles that anyone can check."
    )


class _Span:
    """The least and the largest of some whole numbers."""

    def __init__(self) -> None:
        self.low: int | None = None
        self.high = 0

    def widen(self, values: Sequence[int]) -> None:
        self.low, self.high = min(values if self.low is None else (self.low, *values)), max(self.high, *values)

    @property
    def shown(self) -> str:
        return f"{self.low:,}" if self.low == self.high else f"{self.low:,} to {self.high:,}"


class _Data:
    """A data set: how many cells have it, how many examples they see, and of which shapes."""

    def __init__(self) -> None:
        self.cells = 0
        self.examples = _Span()
        self.shapes: set[str] = set()

    def add(self, row: Seen) -> None:
        self.cells += 1
        self.examples.widen([row.examples])
        self.shapes.add(row.shape)


def _named(data: dict[str, _Data]) -> str:
    """Returns the data sets with the number and the shape of the examples seen, the most frequent first."""
    often = sorted(data, key=lambda name: -data[name].cells)[:NAMED]
    named = [
        f"{name} ({data[name].examples.shown} examples of {' or '.join(sorted(data[name].shapes)[:2])})"
        for name in often
    ]
    others = len(data) - len(named)
    return ", ".join([*named, f"{others} other{_s(others)}"] if others else named)


def _s(count: int) -> str:
    return "" if count == 1 else "s"
