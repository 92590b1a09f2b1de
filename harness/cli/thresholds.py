# SPDX-License-Identifier: Apache-2.0
"""Thresholds: the numbers that decide what records and ends say, read from the code with what is said of them there.

`python -m harness.cli.thresholds` prints them as the table that docs/bundle.md holds; a test compares the two.
"""

from __future__ import annotations

import ast
import importlib
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

from harness import workspace

PLACES = (
    "harness/records/verdict.py",
    "harness/records/ends.py",
    "harness/records/behaviour.py",
    "harness/specs/expected.py",
    "harness/theory/certify.py",
    "harness/theory/evidence.py",
    "harness/records/histogram.py",
    "harness/curvature/*.py",
    "harness/risk/jacobian.py",
    "harness/risk/gauss_newton.py",
    "harness/risk/trace.py",
    "harness/diagnostics/*.py",
)
"""Where they stand."""

COSTS = ("harness/curvature/orthogonal.py", "harness/diagnostics/plan.py")
"""Files among them whose numbers are of speed alone."""


class Threshold(NamedTuple):
    """A number in capitals: module and name, its value, and what the code says it is."""

    name: str
    value: float
    meaning: str


def collect() -> Iterator[Threshold]:
    """Yields every number that PLACES name in capitals, in the order of the files; loads what they load."""
    for pattern in PLACES:
        for path in sorted(workspace.CHECKOUT.glob(pattern)):
            if str(path.relative_to(workspace.CHECKOUT)) not in COSTS:
                yield from _of(path)


def table() -> str:
    """Returns them as a table in Markdown."""
    rows = [f"| `{one.name}` | {shown(one.value)} | {one.meaning.replace('|', chr(92) + '|')} |" for one in collect()]
    return "\n".join(["| constant | value | what it is |", "| --- | --- | --- |", *rows]) + "\n"


def shown(value: float) -> str:
    """Returns a number as the table has it: whole ones with all their digits, others with twelve."""
    return str(value) if isinstance(value, int) else f"{value:.12g}"


def _of(path: pathlib.Path) -> Iterator[Threshold]:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    name = ".".join(path.relative_to(workspace.CHECKOUT).with_suffix("").parts)
    for node, after in zip(body, [*body[1:], None], strict=True):
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if not isinstance(target, ast.Name) or not target.id.isupper():
            continue
        value = getattr(importlib.import_module(name), target.id)
        by_key = {f"[{key}]": one for key, one in value.items()} if isinstance(value, dict) else {"": value}
        if all(isinstance(one, int | float) and not isinstance(one, bool) for one in by_key.values()):
            said = after.value if isinstance(after, ast.Expr) else None
            text = said.value if isinstance(said, ast.Constant) and isinstance(said.value, str) else ""
            full = f"{name.removeprefix('harness.')}.{target.id}"
            yield from (Threshold(f"{full}{key}", one, " ".join(text.split())) for key, one in by_key.items())


if __name__ == "__main__":
    print(table(), end="")
