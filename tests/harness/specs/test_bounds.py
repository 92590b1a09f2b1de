# SPDX-License-Identifier: Apache-2.0
"""Every bound that the schema for editors states is where the reader draws the line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Annotated, Any

import pydantic
import pytest

from harness import specs
from zoo.config import Config

SCHEMA = json.loads(specs.schema_json())["$defs"]


def _classes(of: type[Config] = Config) -> Iterator[type[Config]]:
    for kind in of.__subclasses__():
        yield kind
        yield from _classes(kind)


def _bounded(node: Any) -> Iterator[dict[str, Any]]:
    """Yields the parts of a field's schema that are numbers, texts or lists with bounds."""
    for one in [node, *node.get("anyOf", ())]:
        if one.get("type") in ("number", "integer", "string", "array"):
            yield one


def _steps(one: dict[str, Any], at: float, way: int) -> float:
    if one["type"] == "integer":
        return int(at) + way
    return math.nextafter(float(at), way * math.inf)


def _cases(one: dict[str, Any]) -> Iterator[tuple[Any, bool]]:
    """Yields values at the bounds and beyond, and whether they are allowed."""
    whole = one["type"] == "integer"
    for name, way in (("minimum", -1), ("maximum", 1)):
        if name in one:
            yield (int(one[name]) if whole else float(one[name])), True
            yield _steps(one, one[name], way), False
    for name, way in (("exclusiveMinimum", 1), ("exclusiveMaximum", -1)):
        if name in one:
            yield (int(one[name]) if whole else float(one[name])), False
            yield _steps(one, one[name], way), True
    if one["type"] == "string" and "pattern" not in one:
        for name, way in (("minLength", -1), ("maxLength", 1)):
            if name in one and one[name] + way >= 0:
                yield "x" * one[name], True
                yield "x" * (one[name] + way), False


FIELDS = [
    (kind, name, one)
    for kind in sorted(set(_classes()), key=lambda kind: kind.__name__)
    if kind.__name__ in SCHEMA
    for name, node in SCHEMA[kind.__name__].get("properties", {}).items()
    if name in kind.model_fields
    for one in _bounded(node)
    if any(True for _ in _cases(one))
]


def test_there_are_bounds_and_every_class_is_known() -> None:
    assert len(FIELDS) > 60


@pytest.mark.parametrize(
    ("kind", "name", "one"), FIELDS, ids=lambda part: getattr(part, "__name__", None) or str(part)[:40]
)
def test_a_bound_is_where_the_schema_says(kind: type[Config], name: str, one: dict[str, Any]) -> None:
    field = kind.model_fields[name]
    reader: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(Annotated[field.annotation, field])  # type: ignore
    for value, allowed in _cases(one):
        try:
            reader.validate_python(value, strict=one["type"] == "integer")
            taken = True
        except pydantic.ValidationError:
            taken = False
        assert taken == allowed, f"{kind.__name__}.{name}: {value!r} {'is refused' if allowed else 'is taken'}"
