# SPDX-License-Identifier: Apache-2.0
"""Random keys of a run: every random number of it follows from its seed, and what is measured from its cell too."""

from __future__ import annotations

import zlib
from typing import NamedTuple

import jax

from harness import config
from harness.config import canonical


class Keys(NamedTuple):
    """The keys of a run.

    Attributes:
        start: Draws where it begins.
        batches: Draws its mini-batches.
        top: Draws the start vector of the eigenvalue that its step size is measured in.
        probes: What keys of measurements are made from.
    """

    start: jax.Array
    batches: jax.Array
    top: jax.Array
    probes: jax.Array


def of_run(seed: int) -> Keys:
    """Returns the random keys of the run of a seed."""
    return Keys(*jax.random.split(jax.random.key(seed), 4))


LATER = {"data": ("channels", "outputs")}
"""Fields that came when rows had been shipped: None, their default, is no part of a key, so that old ones stay."""


def text_of(cell: config.Cell) -> str:
    """Returns what the random keys of a cell's measurements depend on, as canonical JSON."""
    without = {name: part for name, part in cell.resolved().items() if name not in ("diagnostics", "trace")}
    for part, fields in LATER.items():
        held = without[part].items()
        without[part] = {name: value for name, value in held if name not in fields or value is not None}
    return canonical.text(without)


def at_step(cell: config.Cell, keys: Keys, step: int) -> jax.Array:
    """Returns the random key of what is measured at a step.

    It depends on the cell too, so that the errors of different cells are independent; but not on which diagnostics or
    trace the cell asks for: no number depends on what is asked beside it.
    """
    return jax.random.fold_in(jax.random.fold_in(keys.probes, zlib.crc32(text_of(cell).encode())), step)
