# SPDX-License-Identifier: Apache-2.0
"""Gauss-Newton and Gram operators: what is left of the Hessian when outputs are taken as linear in theta.

J is the Jacobian of all outputs, (N K, P), and A the curvature of the loss in the outputs. Where the residuals vanish,
as at planted minima, J'AJ/N is the Hessian (mathematics, section 2). Batches larger than `chunk` are gone through in
pieces, each recomputed for each product, so that memory does not grow with N.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from harness import config
from harness.curvature import operators
from harness.risk import losses, objective

Outputs = Callable[[jax.Array, jax.Array], jax.Array]


def gauss_newton(outputs: Outputs, loss: config.Loss, *, chunk: int = objective.CHUNK) -> operators.Operator:
    """Returns the operator `v -> J'AJ v / sum of weights + w v` at a point `(theta, batch)`, on vectors (P,).

    Cost of a product: one forward pass forward, one backward: about 2 gradients, 3 where pieces are recomputed.
    Source: Schraudolph, Neural Computation 2002.

    Args:
        outputs: `(theta, x) -> (N, K)`.
        loss: The `loss` part of a cell.
        chunk: Most examples at once.
    """

    def at(point: tuple[jax.Array, objective.Batch]) -> operators.Matvec:
        theta, batch = point
        total = jnp.sum(batch.weights)

        def along(piece: objective.Batch) -> operators.Matvec:
            values, push = jax.linearize(lambda t: outputs(t, piece.x), theta)
            pull = jax.linear_transpose(push, theta)

            def slope(f: jax.Array) -> jax.Array:
                return jax.grad(lambda g: jnp.sum(piece.weights * losses.per_example(loss, g, piece.targets)))(f)

            return lambda v: pull(jax.jvp(slope, (values,), (push(v),))[1])[0]

        product = _summed(along, batch, chunk)
        return lambda v: product(v) / total + loss.weight_decay * v

    return at


def gram(outputs: Outputs, *, chunk: int = objective.CHUNK) -> operators.Operator:
    """Returns the operator `u -> J J' u` at a point `(theta, batch)`, on vectors (N K,), example by example.

    It is the neural tangent kernel of the batch; its eigenvalues over N are those of J'J/N other than 0. Weights play
    no part. Cost of a product: about 2 gradients, 3 where pieces are recomputed. Source: Jacot, Gabriel & Hongler,
    NeurIPS 2018, arXiv 1806.07572.

    Args:
        outputs: `(theta, x) -> (N, K)`.
        chunk: Most examples at once.
    """

    def at(point: tuple[jax.Array, objective.Batch]) -> operators.Matvec:
        theta, batch = point
        examples, width = batch.targets.shape
        pieces = objective.chunks(batch, chunk)
        count, size = pieces.weights.shape

        def pulled(u: jax.Array, x: jax.Array) -> jax.Array:
            return jax.vjp(lambda t: outputs(t, x), theta)[1](u)[0]

        def matvec(u: jax.Array) -> jax.Array:
            rows = jnp.pad(u.reshape(examples, width), ((0, count * size - examples), (0, 0)))
            rows = rows.reshape(count, size, width)

            def add(so_far: jax.Array, pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
                return so_far + pulled(*pair), None

            v = jax.lax.scan(add, jnp.zeros_like(theta), (rows, pieces.x))[0]
            pushed = jax.lax.map(lambda x: jax.jvp(lambda t: outputs(t, x), (theta,), (v,))[1], pieces.x)
            return pushed.reshape(-1, width)[:examples].ravel()

        return matvec

    return at


def _summed(
    along: Callable[[objective.Batch], operators.Matvec], batch: objective.Batch, chunk: int
) -> operators.Matvec:
    """Returns the sum of the operators of the pieces of a batch; of one piece it is linearised once."""
    if batch.weights.shape[0] <= chunk:
        return along(batch)
    pieces = objective.chunks(batch, chunk)

    def matvec(v: jax.Array) -> jax.Array:
        def add(so_far: jax.Array, piece: objective.Batch) -> tuple[jax.Array, None]:
            return so_far + along(piece)(v), None

        return jax.lax.scan(add, jnp.zeros_like(v), pieces)[0]

    return matvec
