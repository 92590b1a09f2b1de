# SPDX-License-Identifier: Apache-2.0
"""What the theory says of a cell, worked out from the cell alone; a cell of another version is not an error.

A cell is given as its JSON text with sorted keys, so that each is worked out once for all runs that
are looked at together.
"""

from __future__ import annotations

import functools

import zoo
from harness import config, theory


@functools.lru_cache(maxsize=16)
def recipe_of(cell: str) -> config.Recipe | None:
    """Returns the cell with its types; None if this version does not understand it."""
    try:
        return config.Recipe.model_validate_json(cell)
    except ValueError:  # of an older or newer version, or of somebody's own
        return None


@functools.lru_cache(maxsize=16)
def theory_of(cell: str, shape: tuple[int, ...], classes: int) -> theory.Theory | None:
    """Returns what the theory says of a cell's map; None if this version does not understand the cell.

    Args:
        cell: The cell.
        shape: Of one example of its data set.
        classes: How many classes that has.
    """
    fields = recipe_of(cell)
    if fields is None:
        return None
    try:
        zoo.check(fields.model.family, fields.model, shape, classes)
    except ValueError:  # a network that does not fit these inputs
        return None
    return theory.of_network(fields, shape, classes)
