# SPDX-License-Identifier: Apache-2.0
"""lambda, the exponent of SGD at the global minimum near a point, with the bounds that hold it from both sides.

Exact up to sampling where every example is fitted; elsewhere of the linearised network (harness/curvature/lyapunov.py).
The interval is of batch means; the lower bound is the mean of all exponents (log-determinants), the upper one Jensen's
(mean squares). Where r = 1 and batches are few, all of them are gone through and nothing is sampled.

Cost: some 140 passes through the data in data space, that is b K r operations a step; without a factor (N K above its
limit) two gradients of a mini-batch a step. Failure: lambda near 0 is not told from 0 (its interval says so);
regularity of the minimum, which Theorem B of Chemnitz & Engel asks for, is not checked; an unstable minimum can still
absorb runs by rounding, with the exponent kappa that is recorded beside.
"""

from __future__ import annotations

import math

import jax
import numpy as np

from harness.curvature import data_space, lyapunov
from harness.diagnostics import plan
from harness.diagnostics import point as points

METRICS = (
    "lambda",
    "lambda_error",
    "lambda_lower",
    "lambda_lower_error",
    "lambda_upper",
    "mean_square_step",
    "absorption",
)


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs, in gradients."""
    burn, length = lyapunov.steps(size.examples, size.batch)
    steps = burn + lyapunov.BLOCKS * length
    if size.examples * size.outputs > data_space.LIMIT:
        return steps * (plan.PRODUCT * size.batch / size.examples + 1 / lyapunov.SPAN)
    touched = size.batch * size.outputs * min(size.parameters, size.examples * size.outputs)
    return size.outputs + steps * touched / (3 * size.examples * size.parameters)


def measure(point: points.Point) -> dict[str, float]:
    """Returns lambda, its bounds, the mean-square step size, and kappa.

    Raises:
        ValueError: If it is not known where the point is, or steps see the whole batch.
        FloatingPointError: If a Jacobian is not finite.
    """
    theta, _, probe, *_ = point.nearby
    rule, examples, eta = probe.rule, probe.examples, point.eta
    if rule.batch_size is None:
        raise ValueError("every step sees the whole batch")
    first, second = jax.random.split(point.nearby.key_of("stability"))
    burn, _ = lyapunov.steps(examples, rule.batch_size)
    if examples * probe.batch.targets.shape[-1] > data_space.LIMIT:
        batch = jax.tree.map(lambda leaf: leaf[:examples], probe.batch)
        logs = lyapunov.growths_free(probe.outputs, probe.loss, theta, batch, rule, eta, first)
        found = lyapunov.exponent(logs, burn)
        unknown = {name: math.nan for name in METRICS}
        kappa = lyapunov.absorption(logs, burn, None)
        return unknown | {"lambda": found.value, "lambda_error": found.error, "absorption": kappa}
    factor = probe.factor(theta)
    weights = np.asarray(probe.batch.weights)[:examples]
    if not factor.rank:
        return {name: math.nan for name in METRICS}
    cases = lyapunov.enumerated(factor, weights, rule, eta)
    if cases is None:
        logs = lyapunov.growths(factor, weights, rule, eta, first)
        found = lyapunov.exponent(logs, burn)
        lower = lyapunov.determinant(factor, weights, rule, eta, second)
        kappa = lyapunov.absorption(logs, burn, None)
    else:
        found = lower = lyapunov.exact(*cases)
        kappa = lyapunov.absorption(np.zeros(0), 0, cases)
    square = lyapunov.mean_square(factor, weights, rule, eta)
    return {
        "lambda": found.value,
        "lambda_error": found.error,
        "lambda_lower": lower.value,
        "lambda_lower_error": lower.error,
        "lambda_upper": square.exponent,
        "mean_square_step": square.step,
        "absorption": kappa,
    }
