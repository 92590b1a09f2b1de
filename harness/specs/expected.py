# SPDX-License-Identifier: Apache-2.0
"""What a spec expects of its runs: exact values known in closed form, held against what was recorded.

`expected` maps `start.METRIC` and `end.METRIC` (the first and the last record), `run.METRIC` (what its records and its
trace say together), `verdict`, `status` and `point` (where a run ended, harness/records/ends.py) to lists with a value
for each cell of the grid, or one value for all. It belongs to the spec file, as its title does: it changes no number
and no name. A number agrees if it lies within its own error bar plus TOLERANCE of what is expected; where the
literature gives no exact number, `{between: [low, high]}` says what agrees, and `published: x` what was published.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from harness import errors, metrics, records
from harness.config.expected import Expected, Range, Value
from harness.records import ends, statuses, verdict
from harness.specs import problems, strict_yaml

TOLERANCE = 1e-10
"""Of numbers up to 1 in modulus; of larger ones relative to them. Rounding of a short float64 run."""

WORDS = {
    "verdict": typing.get_args(verdict.Verdict),
    "status": statuses.ENDED,
    "point": typing.get_args(ends.Word),
}
MOMENTS = ("start", "end", "run")


class Found(NamedTuple):
    """What was expected and what was found.

    Attributes:
        name: What it is, as in the spec.
        expected: What the spec says.
        found: What the run says; None where it says nothing.
        error: The allowed distance; 0 for words.
    """

    name: str
    expected: Value
    found: float | str | None
    error: float

    @property
    def agrees(self) -> bool:
        """Whether they are the same up to the allowed distance."""
        if isinstance(self.expected, str) or isinstance(self.found, str) or self.found is None:
            return self.expected == self.found
        if isinstance(self.expected, Range):
            return self.expected.low - self.error <= self.found <= self.expected.high + self.error
        return abs(self.found - self.expected) <= self.error

    @property
    def fires(self) -> bool | None:
        """Whether a detector of singularity must fire here, must be silent, or is not asked (None)."""
        if self.name == "verdict":
            return {"singular": True, "invertible": False}.get(str(self.expected))
        return self.expected == 0 if self.name.endswith((".sigma_min", ".state_sigma_min")) else None


def of_cell(fields: Mapping[str, Sequence[Any]], index: int) -> tuple[Expected, ...]:
    """Returns what is expected of the cell at an index of the grid; `fields` has been found right."""
    return tuple(
        Expected(name, of_plain(values[0] if len(values) == 1 else values[index])) for name, values in fields.items()
    )


def of_plain(value: Any) -> Value:
    """Returns a value as it is compared from what stands in a spec or in run.json, which `check` has found right."""
    if isinstance(value, Mapping):
        low, high = map(float, value["between"])
        return Range(low, high, value.get("published"))
    return verdict.current(value) if isinstance(value, str) else float(value)


def plain(value: Value) -> Any:
    """Returns a value as it stands in a spec."""
    if not isinstance(value, Range):
        return value
    said = {} if value.published is None else {"published": value.published}
    return {"between": [value.low, value.high], **said}


def check(fields: Mapping[str, Sequence[Any]], cells: int) -> Iterator[problems.Problem]:
    """Yields what is wrong with the `expected` of a spec with so many cells."""
    names = [*WORDS, *(f"{moment}.{name}" for moment in MOMENTS for name in metrics.METRICS if _said(moment, name))]
    for name, values in fields.items():
        if name not in names:
            text = f"is not known; allowed: {', '.join(WORDS)}, start.METRIC, end.METRIC, run.METRIC"
            yield problems.Problem(("expected", name), f"{text}{errors.nearest(name, names)}", key=True)
            continue
        if len(values) not in (1, cells):
            text = f"{len(values)} values; allowed: {cells}, one for each configuration, or 1"
            yield problems.Problem(("expected", name), text, key=True)
        for i, value in enumerate(values):
            if name in WORDS:
                wrong, what = verdict.current(value) not in WORDS[name], ", ".join(WORDS[name])
            else:
                wrong, what = not (_number(value) or _range(value)), "a number, {between: [low, high]}"
            if wrong:
                text = f"{strict_yaml.shown(value)} is not allowed; allowed: {what}"
                yield problems.Problem(("expected", name, i), text)


def _said(moment: str, name: str) -> bool:
    """Says whether a metric may be expected at a moment: of a run, those that its records or its trace say together."""
    return moment != "run" or metrics.METRICS[name].group in ("run", "trace")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _range(value: Any) -> bool:
    if not isinstance(value, Mapping) or not {"between"} <= set(value) <= {"between", "published"}:
        return False
    edges = value["between"]
    ordered = isinstance(edges, list | tuple) and len(edges) == 2 and all(map(_number, edges)) and edges[0] <= edges[1]
    return ordered and (value.get("published") is None or _number(value["published"]))


def compare(
    expected: Sequence[Expected],
    facts: Mapping[str, Any],
    recorded: Sequence[records.Record],
    together: Mapping[str, float] | None = None,
) -> list[Found]:
    """Returns what a run shows of what is expected.

    Args:
        expected: What is expected of its cell.
        facts: Its `run.json`.
        recorded: Its records.
        together: What they, and its trace, say together (harness/diagnostics, RUN); nothing unless given.
    """
    return [_compare(one, facts, recorded, together or {}) for one in expected]


def shown(value: Value | None) -> str:
    """Returns a value as tables of controls print it, with digits that show what disagrees."""
    if isinstance(value, Range):
        published = "" if value.published is None else f" (published: {value.published:.10g})"
        return f"{value.low:.10g} to {value.high:.10g}{published}"
    return "·" if value is None else value if isinstance(value, str) else f"{value:.10g}"


def _compare(
    one: Expected, facts: Mapping[str, Any], recorded: Sequence[records.Record], together: Mapping[str, float]
) -> Found:
    if isinstance(one.value, str):
        said = (facts.get("end") or {}).get("point") if one.name == "point" else facts.get(one.name)
        return Found(one.name, one.value, said, 0.0)
    moment, name = one.name.split(".")
    if not recorded:
        return Found(one.name, one.value, None, 0.0)
    values = {"start": recorded[0].values, "end": recorded[-1].values, "run": together}[moment]
    bar = values.get(metrics.METRICS[name].error or "", 0.0)
    found = values.get(name)
    size = max(map(abs, one.value[:2])) if isinstance(one.value, Range) else abs(one.value)
    room = TOLERANCE * max(1.0, size) + (bar if math.isfinite(bar) else 0.0)
    return Found(one.name, one.value, found, room)
