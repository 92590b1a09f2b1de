# SPDX-License-Identifier: Apache-2.0
"""What a spec leaves to be found on this machine: hashes of code and of arrays that are its author's own.

They are filled in where a spec file is read from disk, and never where a bundle is: reading one looks at no other file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from harness import errors
from harness.specs import problems
from zoo import code


class Completed(NamedTuple):
    """A recipe as a mapping, with what was found; and what is wrong with it."""

    mapping: dict[str, Any]
    problems: tuple[problems.Problem, ...] = ()


def completed(mapping: dict[str, Any]) -> Completed:
    """Returns a recipe with the hash, and the ingredients, of the code that it names, and what its file holds.

    A hash that stands there is left: where the content is another one, who makes use of it says so.
    """
    found: dict[str, Any] = {}
    wrong: list[problems.Problem] = []
    for part, complete in (("model", _model), ("data", _data)):
        try:
            found[part] = {**mapping[part], **dict(complete(mapping[part]))}
        except (KeyError, TypeError):  # what is no mapping, or is not there, is found out elsewhere
            continue
        except (code.Unsuitable, errors.InputError) as error:
            wrong.append(problems.Problem((part, "path" if part == "data" else "build"), str(error)))
    return Completed({**mapping, **found}, tuple(wrong))


def _model(part: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    part = code.written(part)
    if part["family"] != "code" or not isinstance(part["build"], str) or part.get("sha256") is not None:
        return
    source = code.Source(part["build"])
    yield "sha256", source.sha256
    if part.get("ingredients") is None and source.ingredients is not None:
        yield "ingredients", list(source.ingredients)


def _data(part: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if part["name"] != "file" or not isinstance(part["path"], str) or part.get("holds") is not None:
        return
    from harness.data import file

    yield "holds", file.contents(part["path"])
