# SPDX-License-Identifier: Apache-2.0
"""What a spec expects of its runs: exact values known in closed form, held against what was recorded.

`expected` maps `start.METRIC` and `end.METRIC` (the first and the last record), `verdict` and `status` to lists with a
value for each cell of the grid, or one value for all. It belongs to the spec file, as its title does: it changes no
number and no name. A number agrees if it lies within its own error bar plus TOLERANCE of what is expected.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from harness import errors, metrics, problems, records, statuses, strict_yaml, verdict

TOLERANCE = 1e-10
"""Of numbers up to 1 in modulus; of larger ones relative to them. Rounding of a short float64 run."""

WORDS = {"verdict": typing.get_args(verdict.Verdict), "status": statuses.ENDED}
MOMENTS = ("start", "end")


class Expected(NamedTuple):
    """One thing that a cell's runs are expected to show."""

    name: str
    value: float | str


class Found(NamedTuple):
    """What was expected and what was found.

    Attributes:
        name: What it is, as in the spec.
        expected: What the spec says.
        found: What the run says; None where it says nothing.
        error: The allowed distance; 0 for words.
    """

    name: str
    expected: float | str
    found: float | str | None
    error: float

    @property
    def agrees(self) -> bool:
        """Whether they are the same up to the allowed distance."""
        if isinstance(self.expected, str) or isinstance(self.found, str) or self.found is None:
            return self.expected == self.found
        return abs(self.found - self.expected) <= self.error

    @property
    def fires(self) -> bool | None:
        """Whether a detector of singularity must fire here, must be silent, or is not asked (None)."""
        if self.name == "verdict":
            return {"singular": True, "certified": False}.get(str(self.expected))
        return self.expected == 0 if self.name.endswith((".sigma_min", ".state_sigma_min")) else None


def of_cell(fields: Mapping[str, Sequence[Any]], index: int) -> tuple[Expected, ...]:
    """Returns what is expected of the cell at an index of the grid; `fields` has been found right."""
    return tuple(Expected(name, values[0] if len(values) == 1 else values[index]) for name, values in fields.items())


def check(fields: Mapping[str, Sequence[Any]], cells: int) -> Iterator[problems.Problem]:
    """Yields what is wrong with the `expected` of a spec with so many cells."""
    names = [*WORDS, *(f"{moment}.{name}" for moment in MOMENTS for name in metrics.METRICS)]
    for name, values in fields.items():
        if name not in names:
            text = f"is not known; allowed: {', '.join(WORDS)}, start.METRIC, end.METRIC"
            yield problems.Problem(("expected", name), f"{text}{errors.nearest(name, names)}", key=True)
            continue
        if len(values) not in (1, cells):
            text = f"{len(values)} values; allowed: {cells}, one for each cell, or 1"
            yield problems.Problem(("expected", name), text, key=True)
        for i, value in enumerate(values):
            if name in WORDS:
                wrong, what = value not in WORDS[name], ", ".join(WORDS[name])
            else:
                wrong, what = isinstance(value, bool) or not isinstance(value, int | float), "a number"
            if wrong:
                text = f"{strict_yaml.shown(value)} is not allowed; allowed: {what}"
                yield problems.Problem(("expected", name, i), text)


def compare(expected: Sequence[Expected], facts: Mapping[str, Any], recorded: Sequence[records.Record]) -> list[Found]:
    """Returns what a run shows of what is expected.

    Args:
        expected: What is expected of its cell.
        facts: Its `run.json`.
        recorded: Its records.
    """
    return [_compare(one, facts, recorded) for one in expected]


def shown(value: float | str | None) -> str:
    """Returns a value as tables of controls print it, with digits that show what disagrees."""
    return "·" if value is None else value if isinstance(value, str) else f"{value:.10g}"


def _compare(one: Expected, facts: Mapping[str, Any], recorded: Sequence[records.Record]) -> Found:
    if isinstance(one.value, str):
        return Found(one.name, one.value, facts.get(one.name), 0.0)
    moment, name = one.name.split(".")
    if not recorded:
        return Found(one.name, one.value, None, 0.0)
    values = recorded[0 if moment == "start" else -1].values
    bar = values.get(metrics.METRICS[name].error or "", 0.0)
    found = values.get(name)
    room = TOLERANCE * max(1.0, abs(one.value)) + (bar if math.isfinite(bar) else 0.0)
    return Found(one.name, float(one.value), found, room)
