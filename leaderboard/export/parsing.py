# SPDX-License-Identifier: Apache-2.0
"""Parsing: from the text of a stranger's files to a checked run, with one line that says what is wrong."""

from __future__ import annotations

import json
import math
from typing import Any

import pydantic

from harness import errors, metrics
from harness.risk import layout
from leaderboard.export import document, text


def parse_run(facts: str, records: str, cell_yaml: str) -> document.Run:
    """Reads a run from the text of its three artifacts.

    Args:
        facts: Text of `run.json`.
        records: Text of `records.jsonl`.
        cell_yaml: Text of `cell.yaml`.

    Returns:
        The checked run.

    Raises:
        ValueError: Says what is wrong, in one line.
    """
    fields = parse_json(facts, "run.json")
    if not isinstance(fields, dict) or fields.pop("schema", None) != 1:
        raise ValueError("run.json is not a mapping with schema 1")
    steps, curves = _columns(records)
    places = fields.pop("layout", None)  # for whoever reads the bundle; pages say nothing of it
    for name in ("theory", "bad_step"):  # cell_theory.py works them out again from the cell, which the hash vouches for
        fields.pop(name, None)
    for name in ("together", "reason", "profile", "seconds_training", "seconds_measuring"):
        fields.pop(name, None)
    fields["mixed"] = len(fields.pop("environments", ())) > 1
    fields |= {"steps": steps, "curves": curves, "cell_yaml": cell_yaml}
    try:
        run = document.Run.model_validate_json(json.dumps(fields, allow_nan=False))
    except pydantic.ValidationError as error:
        raise ValueError(explain(error)) from None
    layout.load(places, run.parameters, "layout")
    return run


def parse_json(source: str, name: str) -> Any:
    """Parses JSON without its extensions: no duplicate keys, no NaN or Infinity literals, limited depth."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in items]
        if len(set(keys)) != len(keys):
            raise ValueError(f"{name} has a key twice: {text.clean(max(keys, key=keys.count))[:80]!r}")
        return dict(items)

    def constant(literal: str) -> float:
        raise ValueError(f"{name} holds the number {literal}, which JSON does not have")

    try:
        return json.loads(source, object_pairs_hook=pairs, parse_constant=constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"{name} is not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply") from None


def explain(error: pydantic.ValidationError) -> str:
    """Returns the first of pydantic's complaints in one short line."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    shown = (
        "" if isinstance(first["input"], dict | list | tuple | document.Run) else f", not {str(first['input'])[:80]!r}"
    )
    return text.clean(f"{place}: {message}{shown}" if place else message)


def _columns(records: str) -> tuple[list[int], dict[str, list[float | None]]]:
    """Turns the lines of `records.jsonl` into one list of steps and one list per metric, null for what is missing."""
    steps: list[int] = []
    rows: list[dict[str, float | None]] = []
    for count, line in enumerate(records.splitlines(), start=1):
        name = f"records.jsonl line {count}"
        record = parse_json(line, name)
        if not isinstance(record, dict) or set(record) != {"step", "values"} or not isinstance(record["values"], dict):
            raise ValueError(f"{name} is not {{step, values}}")
        if type(record["step"]) is not int:
            raise ValueError(f"{name} has a step that is not a whole number")
        unknown = sorted(set(record["values"]) - document.CURVES)
        if unknown:
            shown = text.clean(unknown[0])[:80]
            raise ValueError(f"{name} has the unknown metric {shown!r}{errors.nearest(shown, document.CURVES)}")
        steps.append(record["step"])
        rows.append({key: number(value, f"{name}, {key}") for key, value in record["values"].items()})
    seen = set().union(*rows)
    present = [name for name in metrics.METRICS if name in seen]
    return steps, {name: [row.get(name) for row in rows] for name in present}


def number(value: object, place: str) -> float | None:
    """Returns a number of a stranger's JSON; None for what is not finite, which stands there as a text or null.

    Raises:
        ValueError: It is no number.
    """
    if value is None or value in ("nan", "inf", "-inf"):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{place} is not a number: {text.clean(str(value))[:80]!r}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{place} is too large") from None


def _finite(literal: str) -> float:
    value = float(literal)
    if not math.isfinite(value):
        raise ValueError(f"the number {literal[:40]} is too large")
    return value
