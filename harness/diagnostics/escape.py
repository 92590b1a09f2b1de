# SPDX-License-Identifier: Apache-2.0
"""Steps to leave the saddle that a run was planted at, against the prediction (mathematics, section 5).

From the run's start theta_0 = theta_s + delta, in float64, the map that is trained is iterated until the share of
theta_t - theta_s in the eigenspace of the least eigenvalue is longer than the radius r of the `start`. Linear theory
says

    T = log(r / c_0) / log(1 + eta |lambda_min|),      c_0 the length of that share of delta,

and that the loss falls by |lambda_min| r^2 / 2. After PATIENCE times T steps the run is censored: it has not left
(infinity). A start at the saddle itself (c_0 = 0) has no T; it is watched for CONTROL steps and must stay.

SGD is judged by its own exponent, the growth of log|delta| under I - eta H_B(theta_s): below 0 the saddle attracts SGD
although lambda_min < 0 (Ziyin et al., arXiv 2303.13093). Its mini-batches are drawn anew from a key of the checkpoint.

Cost: 10 T gradients of what a step sees, at most. Failure: at radii at which the risk is no longer quadratic T is off
by about that. Of a least eigenvalue that is repeated more than saddle.MOST times, above the limit of the dense method,
a part of the eigenspace is watched: it grows at the same rate, and the alignment is not known (NaN).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from harness.diagnostics import exponents, lyapunov, plan, saddle
from harness.diagnostics import point as points
from harness.risk import objective
from harness.training import loop, optimizers

METRICS = (
    "escape_steps",
    "escape_watched",
    "escape_predicted",
    "escape_ratio",
    "escape_alignment",
    "escape_drop",
    "saddle_exponent",
    "saddle_exponent_error",
)

PATIENCE = 10
"""Multiples of the predicted time after which a run is censored."""

CONTROL = 1_000
"""Steps for which a start that nothing moves is watched."""

LONGEST = 100_000
"""Most steps that are made."""

BURN, LENGTH = 256, 64
"""Steps before the means of the exponent begin, and in each of exponents.BLOCKS means."""


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs, in gradients: as many steps as the control makes, typically."""
    return CONTROL * size.batch / size.examples


def measure(point: points.Point) -> dict[str, float]:
    """Returns measured and predicted steps, their ratio, alignment and drop of the loss at the exit, and the exponent.

    Raises:
        ValueError: If the run was not planted at a saddle.
        FloatingPointError: If a product is not finite.
    """
    theta, problem, planted = point.nearby.theta, point.nearby.problem, point.nearby.planted
    if planted is None:
        raise ValueError("the run was not planted at a saddle")
    found = saddle.at(problem, planted)
    if found is None:
        return dict.fromkeys(METRICS, math.nan)
    strict = found.values[0] < -max(found.error, saddle.CLUSTER * found.scale)
    rate = math.log1p(point.eta * abs(float(found.values[0]))) if strict else 0.0
    share = float(np.linalg.norm(found.steepest @ np.asarray(theta - planted.theta)))
    predicted = math.log(planted.radius / share) / rate if rate and 0 < share < planted.radius else math.inf
    horizon = min(LONGEST, math.ceil(PATIENCE * predicted)) if math.isfinite(predicted) else CONTROL
    first, second = jax.random.split(point.nearby.key_of("escape"))
    along = _program(problem.objective.risk, problem.rule, problem.examples)
    steepest = jnp.asarray(found.steepest)
    step, length, offset, before, after = (
        float(v)
        for v in jax.block_until_ready(
            along(theta, planted.theta, steepest, point.eta, planted.radius, horizon, problem.exact, first)
        )
    )
    left = length > planted.radius
    growth = _exponent(point, found, second)
    return {
        "escape_steps": step if left else math.inf,
        "escape_watched": step,
        "escape_predicted": predicted,
        "escape_ratio": (step if left else math.inf) / predicted if math.isfinite(predicted) else math.nan,
        "escape_alignment": length / offset if left and found.spanned else math.nan,
        "escape_drop": (before - after) / (0.5 * abs(float(found.values[0])) * length**2)
        if left and strict
        else math.nan,
        "saddle_exponent": growth[0],
        "saddle_exponent_error": growth[1],
    }


@functools.lru_cache(maxsize=1)
def _program(
    risk: Callable[..., jax.Array], rule: optimizers.Rule, examples: int
) -> Callable[..., tuple[jax.Array, ...]]:
    """Returns the compiled function that iterates the map until it leaves, or `horizon` steps are made.

    It gives the step, the length of the share in the eigenspace, that of the whole displacement, and the risk at the
    saddle and at the end.
    """

    @jax.jit
    def along(
        theta: jax.Array,
        origin: jax.Array,
        steepest: jax.Array,
        eta: jax.Array,
        radius: jax.Array,
        horizon: jax.Array,
        batch: objective.Batch,
        key: jax.Array,
    ) -> tuple[jax.Array, ...]:
        draw = loop.drawing(rule, batch, key, examples)

        def length(theta: jax.Array) -> jax.Array:
            return jnp.linalg.norm(steepest @ (theta - origin))

        def going(state: tuple[jax.Array, jax.Array]) -> jax.Array:
            t, at = state
            return (t < horizon) & (length(at) <= radius)

        def step(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            t, at = state
            return t + 1, at - eta * jax.grad(risk)(at, draw(t))

        t, at = jax.lax.while_loop(going, step, (jnp.zeros((), int), theta))
        return t, length(at), jnp.linalg.norm(at - origin), risk(origin, batch), risk(at, batch)

    return along


def _exponent(point: points.Point, found: saddle.Local, key: jax.Array) -> tuple[float, float]:
    """Returns the growth of log|delta| per step under the derivative of the map at the saddle, and its error.

    For SGD half the width of its 95 % interval, with what the random start may lack of the fastest direction.
    """
    problem, planted = point.nearby.problem, point.nearby.planted
    assert planted is not None
    if problem.rule.batch_size is None:
        distances = np.abs(1 - point.eta * found.values)
        worst = float(distances.max())
        return math.log(worst), point.eta * found.error / worst
    first, second = jax.random.split(key)
    start = jax.random.normal(first, planted.theta.shape, planted.theta.dtype)
    run = _frozen(problem.objective.risk, problem.rule, problem.examples)
    logs = np.asarray(jax.block_until_ready(run(planted.theta, start, point.eta, problem.exact, second)))
    return lyapunov.exponent(logs, BURN, lyapunov.reach(len(start)), exponents.BLOCKS)


@functools.lru_cache(maxsize=1)
def _frozen(risk: Callable[..., jax.Array], rule: optimizers.Rule, examples: int) -> Callable[..., jax.Array]:
    """Returns the compiled function `(theta, vector, eta, batch, key) -> log growths` at a theta that stays."""

    @jax.jit
    def run(theta: jax.Array, vector: jax.Array, eta: jax.Array, batch: objective.Batch, key: jax.Array) -> jax.Array:
        draw = loop.drawing(rule, batch, key, examples)

        def step(v: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
            moved = v - eta * jax.jvp(lambda theta: jax.grad(risk)(theta, draw(t)), (theta,), (v,))[1]
            norm = jnp.linalg.norm(moved)
            return moved / norm, jnp.log(norm)

        count = BURN + exponents.BLOCKS * LENGTH
        return jax.lax.scan(step, vector / jnp.linalg.norm(vector), jnp.arange(count))[1]

    return run
