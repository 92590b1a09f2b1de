# SPDX-License-Identifier: Apache-2.0
"""The only training loop: compiled steps between checkpoint steps, one record at each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from harness import objective as objectives
from harness import optimizers


class State(NamedTuple):
    """Where a run is.

    Attributes:
        theta: (P,) parameters in the training precision.
        optimizer: State of the optax transformation.
        step: Scalar int, steps taken.
        finite: Scalar bool: False once the loss or the gradient at theta is not finite; theta then stays there.
    """

    theta: jax.Array
    optimizer: Any
    step: jax.Array
    finite: jax.Array


class Trainer(NamedTuple):
    """The compiled programs of one cell; seeds and step sizes are arguments.

    Attributes:
        begin: `(theta, eta, step) -> State`.
        advance: `(state, eta, key, batch, stop) -> State` at step `stop`, or at the step where the loss was not finite.
    """

    begin: Callable[[jax.Array, jax.Array, int], State]
    advance: Callable[[State, jax.Array, jax.Array, objectives.Batch, int], State]


def trainer(risk: Callable[..., jax.Array], optimizer: str, batch_size: int | None) -> Trainer:
    """Returns the programs that train with an optimizer.

    Cost: one gradient per step over the whole batch (gd) or `batch_size` examples (sgd), inside one compiled loop whose
    length is an argument: one compilation serves all checkpoint gaps. Seeds run one after the other, so a seed's bits
    do not depend on which seeds run beside it.

    Args:
        risk: `(theta, batch) -> scalar`.
        optimizer: A name in OPTIMIZERS.
        batch_size: Examples of a mini-batch, or None for the whole batch.
    """

    @jax.jit
    def begin(theta: jax.Array, eta: jax.Array, step: int) -> State:
        state = optimizers.transformation(optimizer, eta).init(theta)
        return State(theta, state, jnp.asarray(step), jnp.asarray(True))

    @jax.jit
    def advance(state: State, eta: jax.Array, key: jax.Array, batch: objectives.Batch, stop: int) -> State:
        transformation = optimizers.transformation(optimizer, eta)
        draw = drawing(batch, key, batch_size)

        def going(state: State) -> jax.Array:
            return (state.step < stop) & state.finite

        def step(state: State) -> State:
            loss, gradient = jax.value_and_grad(risk)(state.theta, draw(state.step))
            finite = jnp.isfinite(loss) & jnp.isfinite(gradient @ gradient)
            updates, moved = transformation.update(gradient, state.optimizer, state.theta)
            theta = optax.apply_updates(state.theta, updates)
            after = State(theta, moved, state.step + 1, finite)
            return jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state._replace(finite=finite))

        return jax.lax.while_loop(going, step, state)

    return Trainer(begin, advance)


def drawing(batch: objectives.Batch, key: jax.Array, size: int | None) -> Callable[[jax.Array], objectives.Batch]:
    """Returns the function from a step to the examples that it sees, which depend on (key, step) alone.

    All of them, or `size` drawn with replacement, each with the chance of its weight and then of weight 1: the mean of
    the mini-batch risk is the risk.
    """
    if size is None:
        return lambda step: batch
    ends = jnp.cumsum(batch.weights.astype("float64"))

    def draw(step: jax.Array) -> objectives.Batch:
        uniform = jax.random.uniform(jax.random.fold_in(key, step), (size,), "float64")
        chosen = jnp.minimum(jnp.searchsorted(ends, uniform * ends[-1], side="right"), len(ends) - 1)
        return objectives.Batch(batch.x[chosen], batch.targets[chosen], jnp.ones(size, batch.weights.dtype))

    return draw


def train(
    trainer: Trainer, state: State, eta: jax.Array, key: jax.Array, batch: objectives.Batch, steps: tuple[int, ...]
) -> Iterator[State]:
    """Yields the state at each of the given checkpoint steps, in order, until one is not finite (that one included).

    Args:
        trainer: The programs of a cell.
        state: Where to go on from.
        eta: Scalar array in the training precision.
        key: Random key of the batches.
        batch: The training set in the training precision.
        steps: Ascending checkpoint steps, none before `state.step`.
    """
    for step in steps:
        state = jax.block_until_ready(trainer.advance(state, eta, key, batch, step))  # see curvature/dense.py
        yield state
        if not bool(state.finite):
            return
