# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a spec, in words: the place, the value, what is allowed and the nearest name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from harness import errors
from harness.specs import allowed, strict_yaml

if TYPE_CHECKING:
    import pydantic
    from pydantic_core import ErrorDetails

UNIONS = (
    *("data", "subset", "targets", "model", "activation", "loss", "start", "optimizer", "learning_rate"),
    *("schedule", "diagnostics"),
)
"""Fields after which pydantic's locations name the chosen variant; a test holds them against the schema."""


class Problem(NamedTuple):
    """One problem.

    Attributes:
        path: Where it is.
        text: What it is.
        key: Whether it is about the key rather than about the value.
        where: In which cell it arises, for what no single value of the file is to blame for.
    """

    path: strict_yaml.Path
    text: str
    key: bool = False
    where: str = ""


def input_error(document: strict_yaml.Document, found: Iterable[Problem]) -> errors.InputError:
    """Returns the error that lists problems in the order of the file, strict_yaml.MAX_PROBLEMS at most."""
    ordered = sorted(found, key=lambda problem: strict_yaml.position(document, problem.path, key=problem.key))
    lines = (strict_yaml.message(document, each.path, each.text + each.where, key=each.key) for each in ordered)
    return errors.InputError(strict_yaml.listed(list(lines)))


def explained(error: pydantic.ValidationError, mapping: dict[str, Any], schema: allowed.Schema) -> Iterator[Problem]:
    """Yields pydantic's errors in our words.

    Args:
        error: What pydantic found in `mapping`.
        mapping: What was validated.
        schema: The JSON Schema of spec files.
    """
    found = error.errors(include_url=False)
    unknown = [_untagged(each["loc"]) for each in found if each["type"] == "extra_forbidden"]
    for each in found:
        # A default that depends on a wrong field is not a problem of its own, nor is the absence of a misspelt key.
        if each["type"] == "default_factory_not_called":
            continue
        if each["type"] == "missing" and _misspelt(_untagged(each["loc"]), unknown):
            continue
        # Nor is a list too short because what stands in it is wrong.
        if each["type"] == "too_short" and each["input"]:
            continue
        yield _explained(each, mapping, schema)


def _misspelt(missing: strict_yaml.Path, unknown: list[strict_yaml.Path]) -> bool:
    """Tells whether an unknown key beside a missing one is most likely that key."""
    name = str(missing[-1])
    return any(path[:-1] == missing[:-1] and errors.nearest(str(path[-1]), [name]) for path in unknown)


def _explained(found: ErrorDetails, mapping: dict[str, Any], schema: allowed.Schema) -> Problem:
    path, value = _untagged(found["loc"]), found["input"]
    names = allowed.names(schema, path, mapping)
    options = allowed.values(schema, path, mapping)
    match found["type"]:
        case "extra_forbidden":
            names = allowed.keys(schema, path[:-1], mapping)
            text = f"unknown key; allowed: {', '.join(names)}{errors.nearest(str(path[-1]), names)}"
            return Problem(path, text, key=True)
        case "value_error":
            return Problem(path, str(found["ctx"]["error"]), key=True)
        case "no_layer":
            near = (errors.nearest(str(key), allowed.kinds(schema, path, mapping)) for key in value)
            return Problem(path, f"{strict_yaml.shown(value)} is not allowed; allowed: {options}{''.join(near)}")
        case "missing":
            return Problem(path, f"missing; allowed: {options}", key=True)
        case "union_tag_not_found" | "union_tag_invalid" if isinstance(value, dict):
            tag = found["ctx"]["discriminator"].strip("'")
            path, options = (*path, tag), ", ".join(names)
            if tag not in value:
                return Problem(path, f"missing; allowed: {options}", key=True)
            value = value[tag]
    hint = errors.nearest(value, names) if isinstance(value, str) else ""
    if tag := isinstance(value, str) and value in names and allowed.tag(schema, path, mapping):
        hint = f"; write {{{tag}: {value}}}"
    if found["type"] == "int_type" and isinstance(value, float) and value.is_integer():
        hint = f"; write {value:.0f}"[:40]
    return Problem(path, f"{strict_yaml.shown(value)} is not allowed; allowed: {options}{hint}")


def _untagged(location: tuple[str | int, ...]) -> strict_yaml.Path:
    """Returns the path in the file of one of pydantic's locations.

    Where layers are listed, the variant is named after each index, and after the number of features.
    """
    path: list[str | int] = []
    parts = iter(location)
    for part in parts:
        path.append(part)
        layers = path[:2] == ["model", "layers"]
        if path[0] != "grid" and (part in UNIONS or (layers and (part == "dense" or isinstance(part, int)))):
            next(parts, None)
    return tuple(path)
