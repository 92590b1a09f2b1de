# SPDX-License-Identifier: Apache-2.0
"""Batch sharpness and gradient-noise interaction: how the steps of SGD meet the curvature that they see.

With g_B and H_B gradient and Hessian of the risk of a mini-batch B, g and H those of the whole risk, over the batches
that a rule draws:

    batch sharpness               E[g_B' H_B g_B] / E|g_B|^2    near 2/eta where SGD is at its own edge of stability
    gradient-noise interaction    E[g_B' H g_B] / |g|^2         2/eta where a step on average leaves the risk as it is

The second line is Taylor's: E L(theta - eta g_B) = L - eta |g|^2 + eta^2/2 E[g_B' H g_B], to second order. Both are
averages over drawn batches. For the second, H is replaced by the Hessian of another, independent batch, which has the
same mean: that costs what a batch costs, not what the data set does.

Cost in gradients of the whole risk: 5 b/N for each batch (a gradient, and two products at one point), and 1. Failure:
standard errors are over draws that are taken as independent; with few batches, and a few of them far larger than the
others, they come out small. Source: Andreyev & Beneventano, arXiv 2412.20553: definition 3 and equation 3, and for the
interaction the code of that paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from harness.risk import objective
from harness.training import loop, optimizers

PRICE = 10.0
"""Gradients of the whole risk that the drawn batches cost together, unless FEWEST or MOST decides."""

EACH = 5.0
"""Gradients that one drawn batch costs: a gradient and two products, linearised once."""

FEWEST, MOST = 16, 512
"""Batches that are drawn at least and at most."""


class BatchSharpness(NamedTuple):
    """What the drawn batches say at one point, in the precision of theta.

    Attributes:
        batch_sharpness: E[g_B' H_B g_B] / E|g_B|^2; NaN where all drawn gradients vanish.
        batch_sharpness_error: Its standard error, by the delta method for a ratio of means.
        gradient_noise_interaction: E[g_B' H g_B] / |g|^2; infinite where the whole gradient alone vanishes.
        gradient_noise_interaction_error: Its standard error, over pairs of batches.
    """

    batch_sharpness: jax.Array
    batch_sharpness_error: jax.Array
    gradient_noise_interaction: jax.Array
    gradient_noise_interaction_error: jax.Array


def drawn(rule: optimizers.Rule, examples: int) -> int:
    """Returns how many batches are drawn unless it is said: an even number, 2 where each step sees all examples."""
    if rule.batch_size is None:
        return 2
    pairs = math.ceil(PRICE * examples / (2 * EACH * rule.batch_size))
    return 2 * min(MOST // 2, max(FEWEST // 2, pairs))


def gradients(rule: optimizers.Rule, examples: int, batches: int) -> float:
    """Returns what one answer from so many batches costs, in gradients of the whole risk of N examples."""
    return 1 + EACH * batches * (rule.batch_size or examples) / examples


def batch_sharpness(
    risk: Callable[..., jax.Array], rule: optimizers.Rule, examples: int, *, batches: int | None = None
) -> Callable[[jax.Array, objective.Batch, jax.Array], BatchSharpness]:
    """Returns the compiled function `(theta (P,), batch, key) -> BatchSharpness`.

    Batches are drawn as the rule draws them, from the key alone, and independently: for reshuffling one from each of
    many epochs, for cyclic sampling from random places of its period. One key gives the same batches at every point;
    who wants others at each step folds the step into it.

    Args:
        risk: `(theta, batch) -> scalar`.
        rule: What a step does.
        examples: N, the examples of the training set; rows of a batch beyond it are never drawn.
        batches: How many are drawn, an even number; `drawn` unless given.

    Raises:
        ValueError: `batches` is not an even number from 4 on (2 suffice where each step sees all examples).
    """
    count = drawn(rule, examples) if batches is None else batches
    if count % 2 or count < (2 if rule.batch_size is None else 4):
        raise ValueError(f"{count} batches are not pairs of them, at least two")

    @jax.jit
    def measure(theta: jax.Array, batch: objective.Batch, key: jax.Array) -> BatchSharpness:
        batches_key, places_key = jax.random.split(key)
        draw = loop.drawing(rule, batch, batches_key, examples)

        def along(step: jax.Array) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
            """Returns the gradient of a batch, and v -> v' H_B v."""
            gradient, product = jax.linearize(jax.grad(lambda at: risk(at, draw(step))), theta)
            return gradient, lambda v: v @ product(v)

        def pair(steps: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            (g, bend), (other_g, other_bend) = along(steps[0]), along(steps[1])
            own = jnp.stack([bend(g), other_bend(other_g)])
            crossed = 0.5 * (other_bend(g) + bend(other_g))
            return own, jnp.stack([g @ g, other_g @ other_g]), crossed

        steps = _independent(rule, examples, places_key, count)
        own, squares, crossed = jax.lax.map(pair, steps.reshape(-1, 2))
        whole = jax.grad(risk)(theta, batch)
        noise, noise_error = jnp.mean(crossed), _standard_error(crossed)
        sharpness, sharpness_error = _ratio_of_means(own.ravel(), squares.ravel())
        return BatchSharpness(sharpness, sharpness_error, noise / (whole @ whole), noise_error / (whole @ whole))

    return measure


def _independent(rule: optimizers.Rule, examples: int, key: jax.Array, count: int) -> jax.Array:
    """Returns steps (count,) whose batches are independent of each other."""
    steps = jnp.arange(count)
    if rule.batch_size is None or rule.sampling == "replacement":
        return steps
    if rule.sampling == "reshuffling":
        return steps * (examples // rule.batch_size)
    return jax.random.randint(key, (count,), 0, examples // math.gcd(examples, rule.batch_size))


def _ratio_of_means(above: jax.Array, below: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the ratio of the means of two arrays (m,), and its standard error to first order (the delta method)."""
    ratio = jnp.mean(above) / jnp.mean(below)
    return ratio, _standard_error(above - ratio * below) / jnp.mean(below)


def _standard_error(values: Any) -> jax.Array:
    """Returns the standard error of the mean of independent values (m,); 0 for a single one, which is the whole."""
    spread = jnp.std(values, ddof=1) if len(values) > 1 else jnp.zeros((), values.dtype)
    return spread / math.sqrt(len(values))
