# SPDX-License-Identifier: Apache-2.0
"""The only training loop: compiled steps between checkpoint steps, for one or several seeds at once.

Seeds are the leading axis, the lanes, of everything that has one for each. All lanes see the same step at the same
time; a lane that has ended, or is ahead, stands still. The last bits of a seed may depend on how many lanes there are
and on which is its own, so both are recorded; they depend on nothing that happens in the other lanes, nor on where the
loop is cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from harness.risk import norm as norms
from harness.risk import objective as objectives
from harness.training import optimizers


class State(NamedTuple):
    """Where the runs of S lanes are.

    Attributes:
        theta: (S, P) parameters in the training precision. optimizer: State of the optax transformation, each leaf (S,
        ...). step: (S,) int, steps taken. live: (S,) bool: False once the loss or the gradient at theta is not finite,
        or the loss is low enough, where theta
            then stays; or once the caller marks the lane as ended.
        reached: (S,) bool: True once the loss is low enough.
    """

    theta: jax.Array
    optimizer: Any
    step: jax.Array
    live: jax.Array
    reached: jax.Array


class Trainer(NamedTuple):
    """The compiled programs of one rule on one risk; seeds, step sizes and data are arguments.

    Attributes:
        begin: `(thetas (S, P), etas (S,), steps (S,)) -> State`, all lanes live.
        advance: `(state, etas, keys (S,), batch, stop, aim=None) -> state` at step `stop`, or in lanes that end before
            it, at the step where the loss was not finite, or where it was at most `aim` (full-batch rules only: a
            mini-batch does not know the risk). It takes over the buffers of the state.
        witness: The same, which also returns loss and gradient norm of what each of the steps saw, (rows, S, 2): row 0
            is of the first step that a lane makes; NaN where a lane makes none. `rows` is static, and at least their
            number.
        rate: `(eta, step) -> ` the step size of a step, rounded to the training precision.
    """

    begin: Callable[[jax.Array, jax.Array, jax.Array], State]
    advance: Callable[..., State]
    witness: Callable[..., tuple[State, jax.Array]]
    rate: Callable[[jax.Array, int], jax.Array]


def trainer(risk: Callable[..., jax.Array], rule: optimizers.Rule, examples: int) -> Trainer:
    """Returns the programs that train by a rule.

    Cost: one gradient per step and lane, over the whole batch or `batch_size` examples, inside one compiled loop whose
    length is an argument: one compilation serves all checkpoint gaps.

    Args:
        risk: `(theta, batch) -> scalar`.
        rule: What a step does.
        examples: N, the examples of the training set; rows of a batch beyond it are never drawn.
    """

    def transformed(theta: jax.Array, eta: jax.Array, state: Any, gradient: jax.Array) -> tuple[jax.Array, Any]:
        updates, moved = optimizers.transformation(rule, eta).update(gradient, state, theta)
        return optax.apply_updates(theta, updates), moved

    @jax.jit
    def begin(thetas: jax.Array, etas: jax.Array, steps: jax.Array) -> State:
        state = jax.vmap(lambda eta, theta: optimizers.transformation(rule, eta).init(theta))(etas, thetas)
        live = jnp.ones(len(thetas), bool)
        return State(thetas, state, jnp.asarray(steps), live, ~live)

    def advance(
        state: State,
        etas: jax.Array,
        keys: jax.Array,
        batch: objectives.Batch,
        stop: int,
        aim: jax.Array | None = None,
    ) -> State:
        return walked(state, etas, keys, batch, stop, aim, 0)[0]

    def walked(
        state: State,
        etas: jax.Array,
        keys: jax.Array,
        batch: objectives.Batch,
        stop: int,
        aim: jax.Array | None,
        rows: int,
    ) -> tuple[State, jax.Array | None]:
        lanes = len(state.theta)
        sampler = sampling(rule, batch, keys, examples)
        value_and_grad = over_lanes(jax.value_and_grad(risk), lanes, shared=rule.batch_size is None)

        first = jnp.min(jnp.where(state.live, state.step, stop))
        seen = jnp.full((rows, lanes, 2), jnp.nan, state.theta.dtype) if rows else None

        def going(carry: Any) -> jax.Array:
            k, state, *_ = carry
            return (k < stop) & jnp.any(state.live & (state.step < stop))

        def step(carry: Any) -> Any:
            k, state, order, seen = carry
            order = sampler.renewed(k, order)
            loss, gradient = value_and_grad(state.theta, sampler.draw(k, order))
            finite = jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient), axis=1)
            moving = state.live & (state.step == k)
            reached = state.reached
            if aim is not None and rule.batch_size is None:
                reached = reached | (loss <= aim)
            goes = finite & ~reached
            theta, moved = jax.vmap(transformed)(state.theta, etas, state.optimizer, gradient)
            live = state.live & (goes | ~moving)
            after = State(theta, moved, state.step + 1, live, reached)
            stays = state._replace(live=live, reached=reached)
            chosen = jax.tree.map(lambda new, old: jnp.where(_column(moving & goes, new), new, old), after, stays)
            if seen is not None:
                saw = jnp.stack([loss, norms.norm(gradient)], axis=1)
                seen = seen.at[k - first].set(jnp.where(_column(moving, saw), saw, jnp.nan))
            return k + 1, chosen, order, seen

        _, state, _, seen = jax.lax.while_loop(going, step, (first, state, sampler.begin(first), seen))
        return state, seen

    @jax.jit
    def rate(eta: jax.Array, step: int) -> jax.Array:
        return optimizers.rate(rule, eta, step)

    witness = jax.jit(walked, donate_argnums=0, static_argnums=6)
    return Trainer(begin, jax.jit(advance, donate_argnums=0), witness, rate)


def _column(chosen: jax.Array, like: jax.Array) -> jax.Array:
    """Returns (S,) bools shaped to choose rows of an array (S, ...)."""
    return chosen.reshape(-1, *(1,) * (like.ndim - 1))


def over_lanes(function: Callable[..., Any], lanes: int, *, shared: bool) -> Callable[..., Any]:
    """Returns a function of (theta, batch) for thetas (S, P), and batches (S, ...) unless they share one.

    One lane is computed as if there were no lanes: a batched convolution of one costs more than a plain one.
    """
    if lanes > 1:
        return jax.vmap(function, in_axes=(0, None if shared else 0))

    def alone(thetas: jax.Array, batch: objectives.Batch) -> Any:
        own = batch if shared else jax.tree.map(lambda leaf: leaf[0], batch)
        return jax.tree.map(lambda leaf: leaf[None], function(thetas[0], own))

    return alone


class Sampler(NamedTuple):
    """Which examples the lanes see at each step, a function of (seed, step) alone.

    Attributes:
        begin: `step -> order` before that step.
        renewed: `(step, order) -> order`, drawn anew where an epoch begins.
        draw: `(step, order) -> batch`: one for all lanes if it is the whole, else with a leading axis of lanes.
    """

    begin: Callable[[jax.Array], Any]
    renewed: Callable[[jax.Array, Any], Any]
    draw: Callable[[jax.Array, Any], objectives.Batch]


def sampling(rule: optimizers.Rule, batch: objectives.Batch, keys: jax.Array, examples: int) -> Sampler:
    """Returns how a rule samples a batch with the keys (S,) of the lanes, counted from its first batch."""
    found = _sampling(rule, batch, keys, examples)
    if not rule.first:
        return found
    return Sampler(
        lambda k: found.begin(k + rule.first),
        lambda k, order: found.renewed(k + rule.first, order),
        lambda k, order: found.draw(k + rule.first, order),
    )


def _sampling(rule: optimizers.Rule, batch: objectives.Batch, keys: jax.Array, examples: int) -> Sampler:
    """Returns how a rule samples a batch, counted from the first of all.

    With replacement an example is drawn with the chance of its weight and then has weight 1, so that the mean of the
    mini-batch risk is the risk. The others keep weights, and are for examples of equal weight.
    """
    size = rule.batch_size
    if size is None:
        return Sampler(lambda k: (), lambda k, order: order, lambda k, order: batch)
    if rule.sampling == "replacement":
        ends = jnp.cumsum(batch.weights.astype("float64"))

        def drawn(key: jax.Array, k: jax.Array) -> objectives.Batch:
            uniform = jax.random.uniform(jax.random.fold_in(key, k), (size,), "float64")
            chosen = jnp.minimum(jnp.searchsorted(ends, uniform * ends[-1], side="right"), len(ends) - 1)
            return objectives.Batch(batch.x[chosen], batch.targets[chosen], jnp.ones(size, batch.weights.dtype))

        return Sampler(
            lambda k: (), lambda k, order: order, lambda k, order: jax.vmap(drawn, in_axes=(0, None))(keys, k)
        )

    def taken(chosen: jax.Array) -> objectives.Batch:
        return jax.tree.map(lambda leaf: leaf[chosen], batch)

    if rule.sampling == "cyclic":

        def following(k: jax.Array, _order: Any) -> objectives.Batch:
            chosen = (jnp.asarray(k, "int64") * size + jnp.arange(size)) % examples
            return taken(jnp.broadcast_to(chosen, (len(keys), size)))

        return Sampler(lambda k: (), lambda k, order: order, following)

    steps = examples // size

    def shuffled(k: jax.Array) -> jax.Array:
        return jax.vmap(lambda key: jax.random.permutation(jax.random.fold_in(key, k // steps), examples))(keys)

    def next_of(k: jax.Array, order: jax.Array) -> objectives.Batch:
        return taken(jax.lax.dynamic_slice_in_dim(order, (k % steps) * size, size, axis=1))

    return Sampler(shuffled, lambda k, order: jax.lax.cond(k % steps == 0, lambda: shuffled(k), lambda: order), next_of)


def drawing(
    rule: optimizers.Rule, batch: objectives.Batch, key: jax.Array, examples: int
) -> Callable[[jax.Array], objectives.Batch]:
    """Returns the function from a step to the examples that a single run sees there."""
    sampler = sampling(rule, batch, key[None], examples)

    def draw(k: jax.Array) -> objectives.Batch:
        seen = sampler.draw(k, sampler.begin(k))
        return seen if rule.batch_size is None else jax.tree.map(lambda leaf: leaf[0], seen)

    return draw
