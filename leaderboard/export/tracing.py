# SPDX-License-Identifier: Apache-2.0
"""The trace of a stranger's run: read strictly, and made short for a page."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from harness import diagnostics
from harness.records import traces
from leaderboard.export import document, parsing, text

FILES = {"trace.jsonl": 1 << 19, "steps.csv": 1 << 17}
"""The files of a trace as bundles and stores hold them, and the bytes that each may have."""

DRAWN = 160
"""Trace points of a run that a page draws."""

LOSSES = 200
"""Steps of a run whose loss a page draws."""


class Read(NamedTuple):
    """The trace of a run, as its files say.

    Attributes:
        points: Its trace points, in the order of their steps.
        seen: What its steps saw.
    """

    points: list[traces.TracePoint]
    seen: traces.Steps


def with_trace(run: document.Run, trace: str, steps: str) -> document.Run:
    """Returns a run with what a page shows of its trace, from the text of its two files; arguments as in `read`."""
    found = read(trace, steps, run)
    return run if found is None or not found.points else run.model_copy(update={"trace": shown(found, run)})


def read(trace: str, steps: str, run: document.Run) -> Read | None:
    """Returns the trace of a run from the text of its two files; None where its cell asks for none.

    Args:
        trace: Text of `trace.jsonl`; empty where there is none.
        steps: Text of `steps.csv`; empty where there is none.
        run: The run.

    Raises:
        ValueError: They are no trace of this run; says why, in one line.
    """
    asked = run.part("trace")
    if not asked:
        if trace or steps:
            raise ValueError("it has a trace, and its configuration asks for none")
        return None
    points = _points(trace, int(str(asked.get("top", 0))) + 1)
    seen = _seen(steps)
    last = max(run.steps, default=0)
    if any(step > last for step in (*(point.step for point in points), *seen.step.tolist())):
        raise ValueError(f"its trace goes on behind its last record, at step {last}")
    return Read(points, seen)


def shown(found: Read, run: document.Run) -> document.Trace:
    """Returns what a page shows of the trace of a run."""
    points = _drawn(found.points)
    losses = traces.Steps(*(column[_outline(found.seen.loss)] for column in found.seen))
    with np.errstate(all="ignore"):  # a stranger's numbers may be as large as they come
        said = diagnostics.RUN["flow"].measure(run.recorded, one_piece=run.one_piece, trace=found.points)
    return document.Trace(
        steps=tuple(point.step for point in points),
        eta=tuple(point.eta for point in points),
        values=tuple(tuple(map(_finite, column)) for column in zip(*(point.values for point in points), strict=True)),
        errors=tuple(tuple(map(_finite, column)) for column in zip(*(point.errors for point in points), strict=True)),
        batch_sharpness=tuple(_finite(point.batch_sharpness) for point in points),
        batch_sharpness_error=tuple(_finite(point.batch_sharpness_error) for point in points),
        missed=tuple((point.missed or 0) + bool(point.least_missed) for point in points),
        loss_steps=tuple(losses.step.tolist()),
        losses=tuple(map(_finite, losses.loss.tolist())),
        summary={name: value for name, value in said.items() if math.isfinite(value)},
    )


def _drawn(points: Sequence[traces.TracePoint]) -> list[traces.TracePoint]:
    """Returns at most DRAWN trace points: half as `traces.shortened` says, half even on a logarithmic axis of steps."""
    if len(points) <= DRAWN:
        return list(points)
    steps = np.array([point.step for point in points])
    even = np.searchsorted(steps, np.expm1(np.linspace(0, np.log1p(steps[-1]), DRAWN // 2)).round())
    chosen = {points[min(place, len(points) - 1)].step for place in even.tolist()}
    others = [point for point in points if point.step not in chosen]
    chosen |= {point.step for point in traces.shortened(others, DRAWN - len(chosen))}
    return [point for point in points if point.step in chosen]


def _outline(losses: np.ndarray) -> np.ndarray:
    """Returns the places of the losses (k,) that a page draws: all of few.

    Of many the least and the largest of each of LOSSES / 2 stretches, half of which are even on a linear axis and half
    on a logarithmic one: so what goes up and down from step to step is drawn as far as it goes.
    """
    count = len(losses)
    if count <= LOSSES:
        return np.arange(count)
    linear, logarithmic = np.linspace(0, count, LOSSES // 4 + 1), np.geomspace(1, count, LOSSES // 4)
    bounds = np.unique(np.concatenate([linear, logarithmic]).round().astype(int))
    ends = [
        low + place(losses[low:high]) for low, high in itertools.pairwise(bounds) for place in (np.argmin, np.argmax)
    ]
    return np.unique([*ends, count - 1])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


_NUMBERS = frozenset((*traces.NUMBERS, "step", "values", "errors", "products", "missed", "least_missed"))


def _points(source: str, values: int) -> list[traces.TracePoint]:
    """Returns the trace points of the lines of a `trace.jsonl`, each with so many eigenvalues."""
    lines = source.splitlines()
    for number, line in enumerate(lines, start=1):
        _require_point(parsing.parse_json(line, f"trace.jsonl line {number}"), f"trace.jsonl line {number}")
    points = traces.load(lines)
    for before, point in zip([None, *points], points, strict=False):
        place = f"trace.jsonl, step {point.step}"
        top = [value for value in point.values[:-1] if not math.isnan(value)]
        if len(point.values) != values or len(point.errors) != values:
            raise ValueError(f"{place} has not {values} eigenvalues and error bars")
        if top != sorted(top, reverse=True) or any(error < 0 for error in point.errors):
            raise ValueError(f"{place} has eigenvalues that do not descend, or an error bar below 0")
        if not point.eta > 0 or not math.isfinite(point.eta):
            raise ValueError(f"{place} has no step size")
        if before is not None and before.step >= point.step:
            raise ValueError(f"{place} stands there twice")
    if len(points) != len(lines):
        raise ValueError("trace.jsonl has a line that is no trace point of its own")
    return points


def _require_point(plain: Any, place: str) -> None:
    """Makes sure that a line is a trace point by its keys and types.

    Raises:
        ValueError: It is not; says why.
    """
    if not isinstance(plain, dict) or not {"step", "eta", "values", "errors", "products"} <= set(plain):
        raise ValueError(f"{place} is no trace point")
    if unknown := sorted(set(plain) - _NUMBERS):
        raise ValueError(f"{place} has the unknown key {text.clean(unknown[0])[:80]!r}")
    whole = [plain["step"], plain["products"], *([plain["missed"]] if plain.get("missed") is not None else [])]
    if any(type(value) is not int or not 0 <= value <= 10**15 for value in whole):
        raise ValueError(f"{place} has a count that is no whole number")
    if not isinstance(plain.get("least_missed"), bool | None):
        raise ValueError(f"{place} has a `least_missed` that is neither true nor false")
    lists = [plain["values"], plain["errors"]]
    if not all(isinstance(one, list) and len(one) <= 64 for one in lists):
        raise ValueError(f"{place} has no lists of eigenvalues and error bars")
    for value in (*(plain[name] for name in traces.NUMBERS if name in plain), *lists[0], *lists[1]):
        parsing.number(value, place)


def _seen(source: str) -> traces.Steps:
    """Returns what a `steps.csv` says: a header, then a step, a loss and a norm on each line, the steps increasing."""
    lines = source.splitlines()
    if lines[:1] not in ([], [traces.HEADER]):
        raise ValueError("steps.csv does not begin with its header")
    rows = [line.split(",") for line in lines[1:]]
    for number, row in enumerate(rows, start=2):
        if len(row) != 3 or not row[0].isascii() or not row[0].isdecimal() or len(row[0]) > 15:
            raise ValueError(f"steps.csv line {number} is not a step and two numbers")
        _require_numbers(row[1:], number)
    steps = [int(row[0]) for row in rows]
    if any(after <= before for before, after in itertools.pairwise(steps)):
        raise ValueError("steps.csv has steps that do not increase")
    return traces.load_steps(lines)


def _require_numbers(cells: Sequence[str], number: int) -> None:
    try:
        right = all(math.isfinite(float(cell)) and len(cell) <= 40 for cell in cells)
    except ValueError:
        right = False
    if not right:
        raise ValueError(f"steps.csv line {number} is not a step and two numbers")
