# SPDX-License-Identifier: Apache-2.0
"""What the neural tangent kernel says of the global minimum near a point: mu, rank, least eigenvalue, nearness.

All is of the linearised network, and exact where every example is fitted (mathematics, sections 2 and 4). Where N K
exceeds the limit of data space, mu rests on the largest eigenvalue alone: exact above 0, a lower bound below; the rest
is NaN. Failure: Theorem A of Chemnitz & Engel is about smooth networks; for one that is smooth in pieces these are
numbers of the piece.

The Kantorovich-type test: if beta |r| / sigma_min(J)^2 <= 1/2, with r the residuals of all examples and beta a
Lipschitz constant of J, an exact solution lies within 2 |r| / sigma_min(J). beta is estimated by ascent from the
Gauss-Newton step, from below, so the test is strong evidence and no proof.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from harness import config
from harness.curvature import survey
from harness.diagnostics import lyapunov, plan
from harness.diagnostics import point as points
from harness.risk import gauss_newton, jacobian, objective

METRICS = ("mu", "mu_error", "ntk_rank", "ntk_deficit", "ntk_least", "ntk_least_error", "kantorovich")

ASCENT = 8
"""Steps of the ascent that estimates beta."""

BENT = 8.0
"""Gradients that one of them costs."""


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs, in gradients, the eigenvectors of the Gram matrix not counted."""
    if size.examples * size.outputs > jacobian.LIMIT:
        return plan.PRODUCT * survey.PRODUCTS
    return size.outputs + BENT * ASCENT


def measure(point: points.Point) -> dict[str, float]:
    """Returns mu and its error bar, rank and deficit of J, the kernel's least eigenvalue, and the nearness.

    Raises:
        ValueError: If it is not known where the point is.
        FloatingPointError: If a Jacobian is not finite.
    """
    theta, _, problem, *_ = point.nearby
    examples, outputs = problem.examples, problem.exact.targets.shape[-1]
    if examples * outputs > jacobian.LIMIT:
        mu = _by_the_largest(point)
        return {name: math.nan for name in METRICS} | {"mu": mu.value, "mu_error": mu.error}
    found = problem.factor(theta)
    weights = np.asarray(problem.exact.weights)[:examples]
    mu = lyapunov.mu(found, weights, point.eta)
    values = jacobian.curvature(found, weights)
    whole = found.rank == found.full
    return {
        "mu": mu.value,
        "mu_error": mu.error,
        "ntk_rank": float(found.rank),
        "ntk_deficit": float(found.full - found.rank),
        "ntk_least": float(values[0]) if whole else 0.0,
        "ntk_least_error": found.error / examples,
        "kantorovich": _nearness(point, found) if whole and problem.loss.name == "half_mse" else math.nan,
    }


def _by_the_largest(point: points.Point) -> lyapunov.Estimate:
    """Returns log|1 - eta h| for the largest eigenvalue h of the Gauss-Newton matrix, with the residual's reach."""
    theta, _, problem, *_ = point.nearby
    surveyor = _surveyor(problem.objective.outputs, problem.loss, problem.size)
    top, residual = surveyor.top((theta, problem.exact), point.nearby.key_of("minimum"))
    distance, bar = abs(1 - point.eta * top), point.eta * residual
    return lyapunov.Estimate(math.log(distance) if distance > 0 else -math.inf, bar / max(distance - bar, bar))


@functools.lru_cache(maxsize=1)
def _surveyor(outputs: jacobian.Outputs, loss: config.Loss, size: int) -> survey.Surveyor:
    return survey.surveyor(gauss_newton.gauss_newton(outputs, loss), size, survey.resolve("auto", size))


def _nearness(point: points.Point, found: jacobian.Factor) -> float:
    """Returns beta |r| / sigma_min(J)^2."""
    theta, _, problem, *_ = point.nearby
    examples = problem.examples
    batch = jax.tree.map(lambda leaf: leaf[:examples], problem.exact)
    bending = _bending(problem.objective.outputs)
    size, beta = jax.block_until_ready(bending(theta, batch, point.nearby.key_of("minimum")))
    return float(beta) * float(size) / float(found.values[0])


@functools.lru_cache(maxsize=1)
def _bending(outputs: jacobian.Outputs) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """Returns the compiled function `(theta, batch, key) -> (|r|, beta)`, beta the largest |d2 f[v, v]| found."""

    @jax.jit
    def bending(theta: jax.Array, batch: objective.Batch, key: jax.Array) -> tuple[jax.Array, jax.Array]:
        def residuals(theta: jax.Array) -> jax.Array:
            pieces = objective.chunks(batch, objective.CHUNK)
            rows = jax.lax.map(lambda piece: outputs(theta, piece.x) - piece.targets, pieces)
            return (rows * jnp.sign(pieces.weights)[..., None]).ravel()

        def bent(v: jax.Array) -> jax.Array:
            def along(theta: jax.Array) -> jax.Array:
                return jax.jvp(residuals, (theta,), (v,))[1]

            return jnp.linalg.norm(jax.jvp(along, (theta,), (v,))[1])

        r, pull = jax.vjp(residuals, theta)
        downhill = pull(r)[0]
        drawn = jax.random.normal(key, theta.shape, theta.dtype)
        v = jnp.where(jnp.linalg.norm(downhill) > 0, downhill, drawn)

        def step(v: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            value, uphill = jax.value_and_grad(bent)(v)
            size = jnp.linalg.norm(uphill)
            moved = v + jnp.where(size > 0, uphill / size, 0)  # v kept: opposite curvatures would change places
            return moved / jnp.linalg.norm(moved), value

        v = v / jnp.linalg.norm(v)
        return jnp.linalg.norm(r), jnp.max(jax.lax.scan(step, v, None, length=ASCENT)[1])

    return bending
