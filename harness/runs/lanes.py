# SPDX-License-Identifier: Apache-2.0
"""Lanes: seeds of one cell as the leading axis of one training state."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness.runs.keys import Keys
from harness.training import loop, problem


class Lane(NamedTuple):
    """Where the run in one lane is.

    Attributes:
        step: Steps made.
        theta: (P,) in the training precision.
        optimizer: The leaves of the optimiser's state; None at its start.
        eta: Step size.
        keys: Random keys of the run.
    """

    step: int
    theta: np.ndarray
    optimizer: list[np.ndarray] | None
    eta: float
    keys: Keys


class Stacked(NamedTuple):
    """All lanes together, as the trainer takes them.

    Attributes:
        state: The training state, with a leading axis of lanes.
        etas: (lanes,) step sizes.
        keys: (lanes,) keys of the mini-batches.
    """

    state: loop.State
    etas: jax.Array
    keys: jax.Array


def stack(runs: dict[int, Lane], count: int, ready: problem.Problem) -> Stacked:
    """Returns so many lanes as one training state.

    A lane without a run is a copy of the first one that has a run, and stands still: bits may depend on the number of
    lanes.

    Args:
        runs: The lanes that have a run, by index.
        count: How many lanes there are.
        ready: The problem.
    """
    filled = [runs.get(lane, next(iter(runs.values()))) for lane in range(count)]
    etas = jnp.asarray([lane.eta for lane in filled], ready.batch.x.dtype)
    thetas = jnp.array(np.stack([lane.theta for lane in filled]))
    state = ready.trainer.begin(thetas, etas, jnp.asarray([lane.step for lane in filled]))
    leaves, tree = jax.tree.flatten(state.optimizer)
    copies = [np.array(leaf) for leaf in leaves]
    for index, lane in enumerate(filled):
        for leaf, value in zip(copies, lane.optimizer or (), strict=lane.optimizer is not None):
            leaf[index] = value
    optimizer = jax.tree.unflatten(tree, [jnp.array(leaf) for leaf in copies])
    state = state._replace(optimizer=optimizer, live=jnp.asarray([lane in runs for lane in range(count)]))
    return Stacked(state, etas, jnp.stack([lane.keys.batches for lane in filled]))


def on_host(state: loop.State) -> loop.State:
    """Returns a copy of a state on the host: the next call of the trainer takes over its buffers."""
    return jax.tree.map(np.array, state)


def lane_of(state: loop.State, lane: int) -> loop.State:
    """Returns one lane of a state on the host."""
    return jax.tree.map(lambda leaf: leaf[lane], state)


def optimizer_leaves(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Returns the leaves `optimizer_0`, `optimizer_1`, ... of a saved state of the optimiser, in their order."""
    names = [name for name in arrays if name.startswith("optimizer_")]
    return [arrays[name] for name in sorted(names, key=lambda name: int(name.rpartition("_")[2]))]
