# SPDX-License-Identifier: Apache-2.0
"""The grid of a spec: dotted paths, each with a list of values; a cell for each point of their product."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from harness import errors
from harness.specs import problems, strict_yaml

MAX_CELLS = 10_000

Point: TypeAlias = tuple[int, ...]
"""For each axis, the index of its value."""


class Axis(NamedTuple):
    """One line of a grid.

    Attributes:
        name: The dotted path.
        path: Its keys.
        values: Its values, as they are written.
    """

    name: str
    path: tuple[str, ...]
    values: tuple[Any, ...]


def axes(
    grid: Mapping[str, tuple[Any, ...]], resolved: dict[str, Any], document: strict_yaml.Document
) -> tuple[Axis, ...]:
    """Returns the lines of a grid.

    Args:
        grid: Dotted path to values.
        resolved: The recipe that the grid varies, defaults written out; its paths are those that a grid may have.
        document: The file, for places.

    Raises:
        errors.InputError: If a path leads nowhere or into another one, or there are too many cells.
    """
    lines = tuple(Axis(name, tuple(name.split(".")), values) for name, values in grid.items())
    paths = list(_paths(resolved))
    found: list[problems.Problem] = []
    for i, axis in enumerate(lines):
        if axis.name not in paths:
            text = f"unknown path; allowed: {', '.join(paths)}{errors.nearest(axis.name, paths)}"
            found.append(problems.Problem(("grid", axis.name), text, key=True))
        for other in lines[:i]:
            if all(a == b for a, b in zip(axis.path, other.path, strict=False)):
                text = f"overlaps with grid.{other.name}; keep one"
                found.append(problems.Problem(("grid", axis.name), text, key=True))
    count = math.prod(len(axis.values) for axis in lines)
    if count > MAX_CELLS:
        text = f"{count:,} configurations; allowed: at most {MAX_CELLS:,}"
        found.append(problems.Problem(("grid",), text, key=True))
    if found:
        raise problems.input_error(document, found)
    return lines


def mappings(
    lines: tuple[Axis, ...], written: dict[str, Any], resolved: dict[str, Any]
) -> Iterator[tuple[Point, dict[str, Any]]]:
    """Yields each point with the recipe there, as if it had been written; the last axis varies fastest.

    Args:
        lines: The axes.
        written: The recipe as it stands in the file.
        resolved: The same with defaults written out, for what a path leads through and the file leaves out.
    """
    for point in itertools.product(*(range(len(axis.values)) for axis in lines)):
        mapping = written
        for axis, i in zip(lines, point, strict=True):
            mapping = _replaced(mapping, resolved, axis.path, axis.values[i])
        yield point, mapping


def label(name: str, lines: tuple[Axis, ...], resolved: dict[str, Any]) -> str:
    """Returns how a cell differs inside its spec: `mlp · activation=relu · optimizer=gd`.

    Args:
        name: Name of the spec.
        lines: The axes.
        resolved: The cell's recipe, defaults written out.
    """
    tails = [axis.path[-1] for axis in lines]
    words = [name]
    for axis in lines:
        key = axis.name if tails.count(axis.path[-1]) > 1 else axis.path[-1]
        value = functools.reduce(operator.getitem, axis.path, resolved)
        words.append(f"{key}={_called(value, axis.values)}")
    return " · ".join(words)


def blamed(problem: problems.Problem, lines: tuple[Axis, ...], point: Point) -> problems.Problem:
    """Returns the problem of a cell with its path as it stands in the file: in the grid if its value does."""
    for axis, i in zip(lines, point, strict=True):
        if problem.path[: len(axis.path)] == axis.path:
            return problem._replace(path=("grid", axis.name, i, *problem.path[len(axis.path) :]))
    if not lines or problem.path[:1] == ("grid",):
        return problem
    values = (f"{axis.name}={flow(axis.values[i])}" for axis, i in zip(lines, point, strict=True))
    return problem._replace(where=f" (where {', '.join(values)})"[:400])


def twin(lines: tuple[Axis, ...], point: Point, other: Point) -> problems.Problem:
    """Returns the problem that two points give the same cell."""
    axis, i, j = next((axis, i, j) for axis, i, j in zip(lines, point, other, strict=True) if i != j)
    text = f"{strict_yaml.shown(axis.values[i])} gives the same configuration as grid.{axis.name}[{j}]; keep one"
    return problems.Problem(("grid", axis.name, i), text)


def flow(value: Any) -> str:
    """Returns a plain value as YAML writes it on one line."""
    match value:
        case dict():
            return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(flow, value)) + "]"
        case str():
            return value
        case _:
            return strict_yaml.shown(value)


def _called(value: Any, values: tuple[Any, ...]) -> str:
    """Returns what people call a value of an axis: the name of a mapping, and where others share it what tells them.

    Args:
        value: The value, defaults written out.
        values: All of the axis, as they are written.
    """
    if any(_name(each) is None for each in values):
        return flow(value)
    alike = [dict(_leaves(each)) for each in values if _name(each) == _name(value)]
    paths = dict.fromkeys(path for leaves in alike for path in leaves)
    telling = [path for path in paths if len({flow(leaves.get(path)) for leaves in alike}) > 1]
    found = dict(_leaves(value))
    return ", ".join([str(_name(value)), *(f"{path[-1]} {flow(found[path])}" for path in telling if path in found)])


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields path and value of everything in a mapping that is no mapping itself."""
    if not isinstance(value, dict):
        yield path, value
        return
    for key, item in value.items():
        yield from _leaves(item, (*path, key))


def _name(value: Any) -> str | None:
    """Returns the `name` or `family` of a mapping, which is how people call what it describes; None without one."""
    name = value.get("name", value.get("family")) if isinstance(value, dict) else None
    return name if isinstance(name, str) else None


def _replaced(mapping: dict[str, Any], resolved: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    head, rest = path[0], path[1:]
    if rest:
        value = _replaced(mapping.get(head, resolved[head]), resolved[head], rest, value)
    return {**mapping, head: value}


def _paths(mapping: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yields the dotted paths of a nested mapping."""
    for key, value in mapping.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{key}.")
