# SPDX-License-Identifier: Apache-2.0
"""The objective: the empirical risk of a network as a function of one flat parameter vector.

Parameters are flattened once, here; optimisers and curvature work on vectors theta of shape (P,). The data travel as an
argument, so that one compiled program serves every batch, seed and step size, in float32 and in float64 alike.

Example:
    >>> import jax, jax.numpy as jnp, zoo
    >>> from harness import config
    >>> from harness.risk import objective
    >>> fields = zoo.FAMILIES["mlp"].config(family="mlp", hidden=(4,), activation="tanh")
    >>> network = zoo.build("mlp", fields, inputs=(1, 1, 2), outputs=3)
    >>> goal = objective.objective(network, config.HalfMse(name="half_mse"))
    >>> goal.size  # (2 + 1) * 4 + (4 + 1) * 3
    27
    >>> batch = objective.Batch(jnp.ones((5, 1, 1, 2)), jnp.zeros((5, 3)), jnp.ones(5))
    >>> theta = goal.init(jax.random.key(0)).astype("float64")
    >>> goal.risk(theta, batch).shape, jax.grad(goal.risk)(theta, batch).shape
    ((), (27,))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness import config
from harness.risk import layout, losses
from harness.runtime import sharding
from zoo import model as zoo_model

CHUNK = 2048
"""Largest number of examples evaluated at once; memory beyond that does not grow with the data set."""

LEAST = 8
"""Smallest such number that `chunk` gives."""

ACTIVITY = 1_200_000
"""Numbers that all layers together give for a chunk of examples: about what a core's cache helps with."""

KEPT = 16
"""Times ACTIVITY of all examples, up to which products at a point keep what the layers leave: 310 MB in float64."""


def chunk(activity: int, examples: int) -> int:
    """Returns how many examples are best evaluated at once: all of them, or a power of 2 from LEAST to CHUNK.

    Products of a VGG on 1,024 images of 28x28 cost 2.7 times as much all at once as 16 at a time, those of an MLP 2.3
    times as much 16 at a time as 128 (`gdzoo bench curvature`). A rule of shapes, not a measurement at each
    start: the order of summation, and so the last bits of a run, must not depend on how busy a machine is.

    Args:
        activity: Numbers that all layers together give for one example (zoo.layer.activity).
        examples: N.
    """
    if examples <= CHUNK and examples * activity <= ACTIVITY:
        return CHUNK
    return min(CHUNK, max(LEAST, 2 ** round(math.log2(ACTIVITY / activity))))


def keeps(activity: int, examples: int) -> bool:
    """Says whether a Hessian at a point keeps what all layers leave of all examples, for all its products.

    Products then cost less than those that compute it anew, at the price of that memory.
    """
    return examples * activity <= KEPT * ACTIVITY


class Batch(NamedTuple):
    """Examples: x (N, H, W, C), targets (N, K) and positive weights (N,), all float."""

    x: jax.Array
    targets: jax.Array
    weights: jax.Array


class Objective(NamedTuple):
    """The risk of one network under one loss.

    Attributes:
        size: Number of parameters P.
        init: `key -> theta (P,) float32`.
        outputs: `(theta, x) -> (N, K)`.
        risk: `(theta, batch) -> scalar`: weighted mean of the loss over the batch's examples, plus weight decay, in
            the dtype of theta.
        accuracy: `(theta, batch) -> scalar`: weighted share of examples whose largest output is where the largest
            target is.
        chunk: Number of examples evaluated at once.
        layout: Which numbers of theta are which parameter.
    """

    size: int
    init: Callable[[jax.Array], jax.Array]
    outputs: Callable[[jax.Array, jax.Array], jax.Array]
    risk: Callable[[jax.Array, Batch], jax.Array]
    accuracy: Callable[[jax.Array, Batch], jax.Array]
    chunk: int
    layout: tuple[layout.Leaf, ...] = ()


def fitting(model: zoo_model.Model, loss: config.Loss | losses.Custom, activity: int, examples: int) -> Objective:
    """Returns the objective of a model and a loss, in the chunks that its activity and N ask for."""
    return objective(model, loss, chunk=chunk(activity, examples), keep=keeps(activity, examples))


def objective(
    model: zoo_model.Model, loss: config.Loss | losses.Custom, *, chunk: int = CHUNK, keep: bool = False
) -> Objective:
    """Returns the objective of a model and a loss.

    Args:
        model: The network.
        loss: The `loss` part of a cell, or a function of one's own.
        chunk: Number of examples that a device evaluates at once; larger batches are summed chunk by chunk, which
            keeps the risk exact for every N.
        keep: Whether products of the Hessian at a point may keep what the layers leave of all chunks (`keeps`).
    """
    abstract = jax.eval_shape(model.init, jax.random.key(0))
    unflatten = flattening(abstract)
    size = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(abstract))

    @jax.jit
    def init(key: jax.Array) -> jax.Array:
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(model.init(key))])

    def outputs(theta: jax.Array, x: jax.Array) -> jax.Array:
        return model.apply(unflatten(theta), x)

    def at_once(theta: jax.Array, batch: Batch) -> jax.Array:
        return jnp.sum(batch.weights * losses.per_example(loss, outputs(theta, batch.x), batch.targets))

    chunked = in_chunks(at_once, keep=keep)

    def total(theta: jax.Array, batch: Batch) -> jax.Array:
        few = batch.weights.shape[0] <= chunk
        return at_once(theta, batch) if few else chunked(theta, chunks(batch, chunk))

    def right(theta: jax.Array, batch: Batch) -> jax.Array:
        def count(piece: Batch) -> jax.Array:
            guess = jnp.argmax(outputs(theta, piece.x), axis=-1)
            return jnp.sum(piece.weights * (guess == jnp.argmax(piece.targets, axis=-1)))

        return jnp.sum(jax.lax.map(count, chunks(batch, chunk)))

    def risk(theta: jax.Array, batch: Batch) -> jax.Array:
        mean = sharding.summed(total)(theta, batch) / jnp.sum(batch.weights)
        return mean + 0.5 * loss.weight_decay * (theta @ theta) if loss.weight_decay else mean

    def accuracy(theta: jax.Array, batch: Batch) -> jax.Array:
        return sharding.summed(right)(theta, batch) / jnp.sum(batch.weights)

    return Objective(size, init, outputs, risk, accuracy, chunk, layout.of(abstract))


def in_chunks(total: Callable[[jax.Array, Batch], jax.Array], *, keep: bool) -> Callable[[jax.Array, Batch], jax.Array]:
    """Returns the sum of a function of (theta, batch) over stacked chunks (count, chunk, ...), one after the other.

    Value and gradient are summed in one loop: autodiff of a loop runs it twice, and pays a forward pass more. It may be
    differentiated any number of times, forward and in reverse, by theta alone. Unless it may `keep` what the layers
    leave, a product of the Hessian computes it anew for each chunk, so that memory does not grow with their number.
    """

    def summed(function: Callable[..., Any], start: Any, pieces: Batch) -> Any:
        def add(so_far: Any, piece: Batch) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, so_far, function(piece)), None

        return jax.lax.scan(add, sharding.start(start), pieces)[0]

    @jax.custom_jvp
    def value(theta: jax.Array, pieces: Batch) -> jax.Array:
        return summed(lambda piece: total(theta, piece), jnp.zeros((), theta.dtype), pieces)

    @jax.custom_jvp
    def both(theta: jax.Array, pieces: Batch) -> tuple[jax.Array, jax.Array]:
        start = jnp.zeros((), theta.dtype), jnp.zeros(theta.shape, theta.dtype)
        return summed(lambda piece: jax.value_and_grad(total)(theta, piece), start, pieces)

    def slope(primals: tuple[jax.Array, Batch], tangents: tuple[Any, Batch]) -> tuple[jax.Array, jax.Array]:
        found, gradient = both(*primals)
        return found, gradient @ _by_parameters(tangents)

    def product(primals: tuple[jax.Array, Batch], tangents: tuple[Any, Batch]) -> tuple[Any, Any]:
        theta, pieces = primals
        moved = _by_parameters(tangents)
        found, gradient = both(theta, pieces)

        def along(theta: jax.Array, moved: jax.Array, pieces: Batch) -> jax.Array:
            def one(piece: Batch) -> jax.Array:
                turned: jax.Array = jax.jvp(lambda at: jax.grad(total)(at, piece), (theta,), (moved,))[1]
                return turned

            return summed(one, jnp.zeros(theta.shape, theta.dtype), pieces)

        pushed = (along if keep else jax.checkpoint(along))(theta, moved, pieces)
        return (found, gradient), (gradient @ moved, pushed)

    value.defjvp(slope, symbolic_zeros=True)
    both.defjvp(product, symbolic_zeros=True)
    return value


def _by_parameters(tangents: tuple[Any, Batch]) -> jax.Array:
    """Returns the tangent of theta where the data have none."""
    moved, data = tangents
    if not all(isinstance(leaf, jax.custom_derivatives.SymbolicZero) for leaf in data):
        raise NotImplementedError("a risk that is summed in chunks is differentiated by parameters, not by data")
    return moved


def flattening(abstract: Any) -> Callable[[jax.Array], Any]:
    """Returns the function from a flat vector (P,) of any float dtype to a tree shaped like `abstract`."""
    leaves, tree = jax.tree.flatten(abstract)
    shapes = [leaf.shape for leaf in leaves]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1].tolist()

    def unflatten(theta: jax.Array) -> Any:
        parts = jnp.split(theta, ends)
        return jax.tree.unflatten(tree, [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])

    return unflatten


def chunks(batch: Batch, chunk: int) -> Batch:
    """Cuts a batch into (chunks, chunk, ...), or one chunk of all if it is smaller; what pads the last has weight 0."""
    n = batch.weights.shape[0]
    size = min(chunk, n)
    count = -(-n // size)

    def cut(array: jax.Array) -> jax.Array:
        padded = jnp.pad(array, ((0, count * size - n), *((0, 0),) * (array.ndim - 1)))
        return padded.reshape(count, size, *array.shape[1:])

    return jax.tree.map(cut, batch)
