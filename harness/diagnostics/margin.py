# SPDX-License-Identifier: Apache-2.0
"""The least margin by which an example is classified right: the certificate that ce on labels has infimum 0.

Cost: one forward pass. Failure: none; at several devices the examples are gathered.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from harness.diagnostics import plan
from harness.diagnostics import point as points
from harness.risk import jacobian, objective

METRICS = ("margin", "margin_bound")


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs, in gradients."""
    return plan.FORWARD


def measure(point: points.Point) -> dict[str, float]:
    """Returns the least margin and the bound of the cross-entropy that follows from it.

    Raises:
        ValueError: If it is not known where the point is.
    """
    theta, _, problem, *_ = point.nearby
    least = float(jax.block_until_ready(_least(problem.objective.outputs)(theta, problem.exact)))
    others = problem.exact.targets.shape[-1] - 1
    # log(1 + e^a) without overflow, a = log(K - 1) - margin
    a = math.log(others) - least
    return {"margin": least, "margin_bound": max(a, 0.0) + math.log1p(math.exp(-abs(a)))}


@functools.lru_cache(maxsize=1)
def _least(outputs: jacobian.Outputs) -> Callable[[jax.Array, objective.Batch], jax.Array]:
    @jax.jit
    def least(theta: jax.Array, batch: objective.Batch) -> jax.Array:
        def of(piece: objective.Batch) -> jax.Array:
            found = outputs(theta, piece.x)
            own = jnp.sum(found * piece.targets, axis=-1)
            other = jnp.max(jnp.where(piece.targets > 0.5, -jnp.inf, found), axis=-1)
            return jnp.min(jnp.where(piece.weights > 0, own - other, jnp.inf))

        return jnp.min(jax.lax.map(of, objective.chunks(batch, objective.CHUNK)))

    return least
