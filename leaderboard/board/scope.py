# SPDX-License-Identifier: Apache-2.0
"""Scope: how far what a board says reaches: how large its networks are, on which data, looked at how often."""

from __future__ import annotations

import collections
import json
from collections.abc import Collection, Sequence

from leaderboard.board import cell as cells

NAMED = 4
"""Most data sets that are named."""


def sentences(rows: Sequence[cells.Cell]) -> str:
    """Returns the scope of some cells in two sentences; empty without cells."""
    if not rows:
        return ""
    runs = [run for cell in rows for run in cell.runs]
    networks = {json.dumps([run.part("model"), run.dataset.shape, run.parameters], sort_keys=True) for run in runs}
    looks = [len(run.steps) for run in runs]
    submitted = sum(cell.trust is not None for cell in rows)
    sizes = _ends([run.parameters for run in runs])
    share = "none" if not submitted else "all" if submitted == len(rows) else f"{submitted} of {len(rows)}"
    return (
        f"{len(networks):,} network{_s(networks)} of {sizes} parameters on {_data(rows)}. "
        f"{len(runs):,} run{_s(runs)} of {len(rows):,} configuration{_s(rows)}, "
        f"each looked at on {_ends(looks)} of its steps; "
        f"{share} of the configurations {'was' if submitted == 1 else 'were'} submitted "
        "as bundles that anyone can check."
    )


def _data(rows: Sequence[cells.Cell]) -> str:
    """Returns the data sets with the number and the shape of the examples seen, the most frequent first."""
    counts: collections.Counter[str] = collections.Counter()
    examples: dict[str, list[int]] = {}
    shapes: dict[str, set[str]] = {}
    for run in (cell.first for cell in rows):
        counts[run.dataset.name] += 1
        examples.setdefault(run.dataset.name, []).append(run.examples)
        shapes.setdefault(run.dataset.name, set()).add("×".join(map(str, run.dataset.shape)))
    named = [
        f"{name} ({_ends(examples[name])} examples of {' or '.join(sorted(shapes[name])[:2])})"
        for name, _ in counts.most_common(NAMED)
    ]
    others = len(counts) - len(named)
    return ", ".join([*named, f"{others} other{_s(range(others))}"] if others else named)


def _ends(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _s(values: Collection[object]) -> str:
    return "" if len(values) == 1 else "s"
