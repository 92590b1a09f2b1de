# SPDX-License-Identifier: Apache-2.0
"""lambda, the exponent of SGD at the global minimum near a point, with the bounds that hold it from both sides.

Exact up to sampling where every example is fitted; elsewhere of the linearised network
(harness/diagnostics/lyapunov.py). The interval is of batch means, of what a vector's start may have hidden, and cut off
at the upper bound; the lower bound is the mean of all exponents (log-determinants), the upper one Jensen's (mean
squares), which is for independent batches alone. Where r = 1 and batches are few, all of them are gone through, and of
cyclic batches a period; nothing is sampled then.

Cost: some 420 passes through the data in data space, that is 3 b K r operations a step; without a factor (N K above its
limit) two gradients of a mini-batch for 140 passes. Failure: lambda near 0 is not told from 0 (its interval says so);
regularity of the minimum, which Theorem B of Chemnitz & Engel asks for, is not checked, and the theorem is about
independent batches; an unstable minimum can still absorb runs by rounding, with the exponent kappa that is recorded
beside.
"""

from __future__ import annotations

import math

import jax
import numpy as np

from harness import config
from harness.diagnostics import lyapunov, plan
from harness.diagnostics import point as points
from harness.risk import jacobian

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
    if size.examples * size.outputs > jacobian.LIMIT:
        return steps * (plan.PRODUCT * size.batch / size.examples + 1 / lyapunov.SPAN)
    touched = 3 * size.batch * size.outputs * min(size.parameters, size.examples * size.outputs)
    return size.outputs + steps * touched / (3 * size.examples * size.parameters)


def withheld(cell: config.Recipe, size: plan.Size) -> dict[str, str]:
    """Returns which of METRICS are not given of a cell, and why."""
    sampling = cell.optimizer.sampling
    if sampling == "replacement" or (sampling == "reshuffling" and size.examples // size.batch == 1):
        return {}
    why = f"a bound for independent batches, and with sampling: {sampling} those of one epoch are not"
    return dict.fromkeys(("lambda_upper", "mean_square_step"), why)


def measure(point: points.Point) -> dict[str, float]:
    """Returns lambda, its bounds, the mean-square step size, and kappa.

    Raises:
        ValueError: If it is not known where the point is, or steps see the whole batch.
        FloatingPointError: If a Jacobian is not finite.
    """
    theta, _, problem, *_ = point.nearby
    rule, examples, eta = problem.rule, problem.examples, point.eta
    if rule.batch_size is None:
        raise ValueError("every step sees the whole batch")
    first, second = jax.random.split(point.nearby.key_of("stability"))
    burn, _ = lyapunov.steps(examples, rule.batch_size)
    if examples * problem.exact.targets.shape[-1] > jacobian.LIMIT:
        batch = jax.tree.map(lambda leaf: leaf[:examples], problem.exact)
        logs = lyapunov.growths_free(problem, theta, batch, eta, first)
        most = min(len(theta), examples * problem.exact.targets.shape[-1])
        found = lyapunov.exponent(logs, burn, lyapunov.reach(most))
        unknown = {name: math.nan for name in METRICS}
        kappa = lyapunov.absorption(found, logs, burn)
        return unknown | {"lambda": found.value, "lambda_error": found.error, "absorption": kappa}
    factor = problem.factor(theta)
    weights = np.asarray(problem.exact.weights)[:examples]
    if not factor.rank:
        return {name: math.nan for name in METRICS}
    square = lyapunov.mean_square(factor, weights, rule, eta)
    lower = lyapunov.determinant(factor, weights, rule, eta, second)
    cases = lyapunov.enumerated(factor, weights, rule, eta)
    exactly = lyapunov.periodic(factor, weights, rule, eta)
    kappa = math.nan
    if cases is not None:
        found = lower = lyapunov.exact(*cases)
        kappa = lyapunov.absorption(found, np.zeros(0), 0, cases)
    elif exactly is not None:
        found = exactly
    else:
        growths = lyapunov.growths(factor, weights, rule, eta, first)
        found = lyapunov.bracketed(growths, burn, factor.rank, square.exponent)
        kappa = lyapunov.absorption(found, growths.steep, burn)
    return {
        "lambda": found.value,
        "lambda_error": found.error,
        "lambda_lower": lower.value,
        "lambda_lower_error": lower.error,
        "lambda_upper": square.exponent,
        "mean_square_step": square.step,
        "absorption": kappa,
    }
