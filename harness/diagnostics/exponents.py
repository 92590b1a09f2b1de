# SPDX-License-Identifier: Apache-2.0
"""Finite-time Lyapunov exponents: how fast the map pulls nearby points apart along its own trajectory (D7).

From theta on, STEPS steps of the map that is trained, in float64 (for SGD with mini-batches drawn from a key of the
checkpoint): delta <- (I - eta H(theta_t)) delta for COLUMNS orthonormal columns, made orthonormal again by QR after
each step. The exponents are the means of log|R_ii| over all steps but the first BURN, in which columns turn into place;
their error bars are half the widths of 95 % intervals over BLOCKS means of consecutive steps. The training itself is
not touched.

Cost: for each step a gradient and COLUMNS products of what it sees. Failure: directions in which H vanishes have the
exponent 0, so in networks with more parameters than N K numbers to fit the first exponent is not negative; a trajectory
that is not stationary has no limit that the error bar could speak of, and of the limit of one that is the start, drawn
at random, may lack log sqrt(P) nats, which the error bar leaves out; NaN where the trajectory leaves finite numbers.
Sources: Benettin et al., Meccanica 1980; batch means: Flegal & Jones, Ann. Stat. 2010.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from harness.diagnostics import lyapunov, plan
from harness.diagnostics import point as points
from harness.risk import objective
from harness.training import loop, optimizers

METRICS = ("exponent", "exponent_error", "second_exponent", "second_exponent_error")

BURN = 16
"""Steps before the means begin."""

BLOCKS = 8
"""Means of consecutive steps, over which the error is taken."""

LENGTH = 8
"""Steps in each of them."""

STEPS = BURN + BLOCKS * LENGTH
"""Steps in all."""

COLUMNS = 2
"""Columns, and so exponents; no more than P."""


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs, in gradients."""
    return STEPS * (plan.FIRST + plan.PRODUCT * (COLUMNS - 1)) * size.batch / size.examples


def measure(point: points.Point) -> dict[str, float]:
    """Returns the two largest exponents and their error bars, in nats per step; NaN for what P = 1 does not have.

    Raises:
        ValueError: If it is not known where the point is.
    """
    theta, _, problem, *_ = point.nearby
    first, second = jax.random.split(point.nearby.key_of("exponents"))
    columns = np.linalg.qr(np.asarray(jax.random.normal(first, (len(theta), min(COLUMNS, len(theta))))))[0]
    along = program(problem.objective.risk, problem.rule, problem.examples)
    logs = np.asarray(along(theta, point.eta, problem.exact, second, jnp.asarray(columns.T, theta.dtype)))
    found = [average(row[BURN:]) for row in logs.T] + [(math.nan, math.nan)] * (COLUMNS - logs.shape[1])
    return {
        "exponent": found[0][0],
        "exponent_error": found[0][1],
        "second_exponent": found[1][0],
        "second_exponent_error": found[1][1],
    }


def average(logs: np.ndarray) -> tuple[float, float]:
    """Returns the mean of log growths (BLOCKS LENGTH,) and its error bar: batch means, and the rounding of a sum."""
    found = lyapunov.exponent(logs, 0, 0.0, BLOCKS)
    return found.value, found.error if math.isfinite(found.value) else math.inf


@functools.lru_cache(maxsize=1)
def program(risk: Callable[..., jax.Array], rule: optimizers.Rule, examples: int) -> Callable[..., jax.Array]:
    """Returns the compiled function `(theta, eta, batch, key, columns) -> log|R_ii|` of shape (STEPS, columns).

    The columns (k, P) are multiplied one after the other, with H linearised once per step.
    """

    @jax.jit
    def along(
        theta: jax.Array, eta: jax.Array, batch: objective.Batch, key: jax.Array, columns: jax.Array
    ) -> jax.Array:
        draw = loop.drawing(rule, batch, key, examples)

        def step(state: tuple[jax.Array, jax.Array], t: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            at, rows = state
            gradient, product = jax.linearize(lambda theta: jax.grad(risk)(theta, draw(t)), at)
            q, r = jnp.linalg.qr((rows - eta * jax.lax.map(product, rows)).T)
            return (at - eta * gradient, q.T), jnp.log(jnp.abs(jnp.diagonal(r)))

        return jax.lax.scan(step, (theta, columns), jnp.arange(STEPS))[1]

    return along
