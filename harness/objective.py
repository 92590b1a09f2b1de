# SPDX-License-Identifier: Apache-2.0
"""The objective: the empirical risk of a network as a function of one flat parameter vector.

Parameters are flattened once, here; optimisers and curvature work on vectors theta of shape (P,). The data travel as an
argument, so that one compiled program serves every batch, seed and step size, in float32 and in float64 alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness import losses
from zoo import model as zoo_model

CHUNK = 2048
"""Largest number of examples evaluated at once; memory beyond that does not grow with the data set."""


class Batch(NamedTuple):
    """Examples: x (N, H, W, C) float, labels (N,) int."""

    x: jax.Array
    labels: jax.Array


class Objective(NamedTuple):
    """The risk of one network under one loss.

    Attributes:
        size: Number of parameters P.
        init: `key -> theta (P,) float32`.
        outputs: `(theta, x) -> (N, K)`.
        risk: `(theta, batch) -> scalar`, the mean loss over the batch's examples, in the dtype of theta.
        accuracy: `(theta, batch) -> scalar`, the share of examples whose largest output is at their label.
    """

    size: int
    init: Callable[[jax.Array], jax.Array]
    outputs: Callable[[jax.Array, jax.Array], jax.Array]
    risk: Callable[[jax.Array, Batch], jax.Array]
    accuracy: Callable[[jax.Array, Batch], jax.Array]


def objective(model: zoo_model.Model, loss: Any, *, chunk: int = CHUNK) -> Objective:
    """Returns the objective of a model and a spec's `loss`.

    Args:
        model: The network.
        loss: The `loss` part of a cell.
        chunk: Number of examples evaluated at once; larger batches are summed chunk by chunk with recomputation,
            which costs one more forward pass per gradient and keeps the risk exact for every N.
    """
    abstract = jax.eval_shape(model.init, jax.random.key(0))
    unflatten = flattening(abstract)
    size = sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(abstract))

    def init(key: jax.Array) -> jax.Array:
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(model.init(key))])

    def outputs(theta: jax.Array, x: jax.Array) -> jax.Array:
        return model.apply(unflatten(theta), x)

    def total(theta: jax.Array, batch: Batch, weights: jax.Array) -> jax.Array:
        return jnp.sum(weights * losses.per_example(loss, outputs(theta, batch.x), batch.labels))

    def risk(theta: jax.Array, batch: Batch) -> jax.Array:
        n = batch.labels.shape[0]
        if n <= chunk:
            return total(theta, batch, jnp.ones(n, theta.dtype)) / n
        pieces, weights = _chunks(batch, chunk, theta.dtype)

        def add(sum_: jax.Array, piece: tuple[Batch, jax.Array]) -> tuple[jax.Array, None]:
            return sum_ + jax.checkpoint(total)(theta, *piece), None

        return jax.lax.scan(add, jnp.zeros((), theta.dtype), (pieces, weights))[0] / n

    def accuracy(theta: jax.Array, batch: Batch) -> jax.Array:
        n = batch.labels.shape[0]
        pieces, weights = _chunks(batch, min(chunk, n), theta.dtype)

        def right(piece: tuple[Batch, jax.Array]) -> jax.Array:
            examples, weight = piece
            return jnp.sum(weight * (jnp.argmax(outputs(theta, examples.x), axis=-1) == examples.labels))

        return jnp.sum(jax.lax.map(right, (pieces, weights))) / n

    return Objective(size, init, outputs, risk, accuracy)


def flattening(abstract: Any) -> Callable[[jax.Array], Any]:
    """Returns the function from a flat vector (P,) of any float dtype to a tree shaped like `abstract`."""
    leaves, tree = jax.tree.flatten(abstract)
    shapes = [leaf.shape for leaf in leaves]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1].tolist()

    def unflatten(theta: jax.Array) -> Any:
        parts = jnp.split(theta, ends)
        return jax.tree.unflatten(tree, [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])

    return unflatten


def _chunks(batch: Batch, chunk: int, dtype: Any) -> tuple[Batch, jax.Array]:
    """Cuts a batch into (chunks, chunk, ...) with weight 0 on the padding of the last chunk."""
    n = batch.labels.shape[0]
    count = -(-n // chunk)

    def cut(array: jax.Array) -> jax.Array:
        padded = jnp.pad(array, ((0, count * chunk - n), *((0, 0),) * (array.ndim - 1)))
        return padded.reshape(count, chunk, *array.shape[1:])

    return Batch(cut(batch.x), cut(batch.labels)), cut(jnp.ones(n, dtype))
