# SPDX-License-Identifier: Apache-2.0
"""Layout: which numbers of theta are which parameter of the network (docs/bundle.md).

A network's parameters are a tree of named arrays. Theta is its leaves one after the other, each in C order, at every
level of the tree in the order of their names as strings.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

NAME = re.compile(r"[a-z0-9_]{1,40}(?:/[a-z0-9_]{1,40}){0,9}")
"""The path of a parameter: the names of its layers and its own."""

MOST = 1500
"""Parameters (arrays) that a layout lists, at most: 150 kB in `run.json`. That of a network with more stays empty."""


class Leaf(NamedTuple):
    """One parameter: its path, its shape, and where in theta its first number is."""

    name: str
    shape: tuple[int, ...]
    offset: int


def of(tree: Any) -> tuple[Leaf, ...]:
    """Returns the leaves of a tree of parameters, in the order of theta; of shapes alone, no array is needed."""
    from jax import tree_util

    found, offset = [], 0
    for path, leaf in tree_util.tree_flatten_with_path(tree)[0]:
        found.append(Leaf("/".join(str(step.key) for step in path), tuple(leaf.shape), offset))
        offset += math.prod(leaf.shape)
    return tuple(found)


def plain(leaves: tuple[Leaf, ...]) -> list[dict[str, Any]]:
    """Returns a layout as `run.json` has it; empty beyond MOST."""
    return [] if len(leaves) > MOST else [{**leaf._asdict(), "shape": list(leaf.shape)} for leaf in leaves]


def load(said: Any, parameters: int, place: str) -> tuple[Leaf, ...]:
    """Returns the layout that a stranger's file says, checked.

    Args:
        said: What it says; an empty list, or None where it was written before layouts were, says nothing.
        parameters: P, which the shapes must add up to.
        place: What messages call it.

    Raises:
        ValueError: It is no layout of so many parameters; says why.
    """
    if said is None or said == []:
        return ()
    if not isinstance(said, list) or len(said) > MOST:
        raise ValueError(f"{place} is no list of {MOST} parameters at most")
    found: list[Leaf] = []
    end = 0
    for entry in said:
        if not isinstance(entry, dict) or set(entry) != {"name", "shape", "offset"}:
            raise ValueError(f"{place} has an entry that is not {{name, shape, offset}}")
        name, shape = entry["name"], entry["shape"]
        if (
            not isinstance(name, str)
            or not NAME.fullmatch(name)
            or (found and found[-1].name.split("/") >= name.split("/"))
        ):
            raise ValueError(f"{place} has the name {str(name)[:80]!r}, which is none or not in order")
        if not isinstance(shape, list) or len(shape) > 8 or not all(type(n) is int and 1 <= n < 1 << 40 for n in shape):
            raise ValueError(f"{place}: {name} has a shape that is no list of whole numbers")
        if type(entry["offset"]) is not int or entry["offset"] != end:
            raise ValueError(f"{place}: {name} does not begin where the one before it ends")
        found.append(Leaf(name, tuple(shape), end))
        end += math.prod(shape)
    if end != parameters:
        raise ValueError(f"{place} is of {end} parameters, not of {parameters}")
    return tuple(found)
