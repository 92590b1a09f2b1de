# SPDX-License-Identifier: Apache-2.0
"""The exact trace of the Hessian, where the structure of the network gives it.

The Hessian of the data term is J'AJ/N plus the mean of the residuals times the Hessians of the outputs (A the curvature
of the loss in the outputs, J their Jacobian). Where every output is affine in each single weight, as it is on a piece
of a network with piecewise linear activations that uses no weight twice in depth, those Hessians have zero diagonals,
and the trace is that of J'AJ/N: a sum of squared gradients (mathematics, D3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from harness import config
from harness.risk import objective


def gauss_newton(outputs: Callable[[jax.Array, jax.Array], jax.Array], loss: config.Loss) -> Callable[[Any], jax.Array]:
    """Returns the compiled function `(theta, batch) -> trace` of the Gauss-Newton matrix, decay included.

    Cost: for each example K vector-Jacobian products of its own, in all that of K gradients. Memory: K P floats.

    Args:
        outputs: `(theta, x) -> (N, K)`.
        loss: The `loss` part of a cell.
    """

    @jax.jit
    def trace(point: tuple[jax.Array, objective.Batch]) -> jax.Array:
        theta, batch = point

        def one(example: objective.Batch) -> jax.Array:
            value, pull = jax.vjp(lambda t: outputs(t, example.x[None])[0], theta)
            rows = root(loss, value)
            return example.weights * jnp.sum(jax.vmap(lambda row: pull(row)[0])(rows) ** 2)

        total: jax.Array = jnp.sum(jax.lax.map(one, batch)) / jnp.sum(batch.weights)
        return total + loss.weight_decay * len(theta)

    return trace


def root(loss: config.Loss, outputs: jax.Array) -> jax.Array:
    """Returns B (K, K) with B'B the Hessian of the loss in the outputs (K,) of one example.

    The identity for half_mse; for the cross-entropies, with p the softmax, diag(p) - pp' = B'B for
    B = diag(sqrt p) - sqrt(p) p'; zero for `output`.
    """
    if loss.name == "half_mse":
        return jnp.eye(len(outputs), dtype=outputs.dtype)
    if loss.name == "output":
        return jnp.zeros((len(outputs), len(outputs)), outputs.dtype)
    p = jax.nn.softmax(outputs)
    return jnp.diag(jnp.sqrt(p)) - jnp.sqrt(p)[:, None] * p[None]
