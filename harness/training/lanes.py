# SPDX-License-Identifier: Apache-2.0
"""Lanes: which seeds of a cell are trained side by side in one program. Decided from shapes alone, without jax.

On a CPU, small dense networks gain a little from company (8 seeds of a small MLP cost 0.74 to 0.90 of 8 alone, `gdzoo
bench training`), convolutions lose by it and large networks fill the machine
alone. An accelerator is idle with one small network; there memory is the limit (not measured).
"""

from __future__ import annotations

from collections.abc import Sequence

import zoo
from harness import config, data
from zoo import layer

MOST = 8
"""Seeds that are trained side by side, at most."""

NUMBERS = 400_000
"""Numbers that all layers give for the examples of one step, in all lanes together, up to which company pays (CPU)."""

BYTES = 2 * 2**30
"""Memory that the activations of all lanes may take on an accelerator; four copies of each are held, about."""


def groups(cell: config.Recipe, seeds: Sequence[int], *, accelerator: bool = False) -> list[tuple[int, ...]]:
    """Returns which seeds of a cell are run together, in order."""
    width = lanes(cell, accelerator=accelerator)
    return [tuple(seeds[first : first + width]) for first in range(0, len(seeds), width)]


def lanes(cell: config.Recipe, *, accelerator: bool = False) -> int:
    """Returns how many seeds of a cell are trained side by side."""
    facts = data.facts(cell.data)
    layers = zoo.made_of(cell.model, facts.shape, facts.classes)
    if not layers:  # code of one's own: how much it holds is not known
        return 1
    seen = cell.optimizer.batch_size or facts.examples
    numbers = seen * layer.activity(layers, facts.shape)
    if accelerator:
        return max(1, min(MOST, BYTES // (4 * 4 * numbers)))
    convolves = any(isinstance(node, layer.Convolution) for node in layer.walk(layers))
    return 1 if convolves else max(1, min(MOST, NUMBERS // numbers))
