# SPDX-License-Identifier: Apache-2.0
"""How far the maps of single mini-batches are from singular (mathematics, D10).

SGD iterates theta - eta grad L_B(theta) with another B at each step. The same BATCHES batches, drawn as training draws
them but from a key of their own, are asked at every checkpoint and of every seed, so that their curves compare. Cost: a
survey of each, that is BATCHES b/N of a survey of the whole risk. Failure: they are a sample; what is worst among them
is not the worst of all batches. Source: Theorem 1 of Craciun & Ghoshdastidar speaks of each of these maps.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from harness.curvature import spectrum as spectra
from harness.diagnostics import plan
from harness.diagnostics import point as points
from harness.risk import objective
from harness.training import loop, optimizers

METRICS = (
    "batch_sigma_min_worst",
    "batch_sigma_min_median",
    "batch_sigma_min_error",
    "batch_log_abs_det_worst",
    "batch_log_abs_det_median",
    "batch_log_abs_det_error",
)

BATCHES = 8
"""Mini-batches in the problem set."""

KEY = 10
"""Seed of the key that draws them."""


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs, in gradients."""
    return BATCHES * plan.survey(size) * size.batch / size.examples


def measure(point: points.Point) -> dict[str, float]:
    """Returns the least and the median sigma_min and log|det| of I - eta H_B over the problem set, with error bars.

    An error bar is the largest among the batches: it bounds that of the least and of the median.

    Raises:
        ValueError: If it is not known where the point is, or its steps see the whole batch.
        FloatingPointError: If a product is not finite.
    """
    theta, _, problem, *_ = point.nearby
    if problem.rule.batch_size is None:
        raise ValueError("every step sees the whole batch")
    key = point.nearby.key_of("minibatches")
    sigmas, determinants = [], []
    for i, batch in enumerate(batches(problem.rule, problem.exact, problem.examples)):
        found = problem.surveyor.survey((theta, batch), point.eta, jax.random.fold_in(key, i))
        sigmas.append(spectra.distance_from_one(found.spectrum, point.eta))
        determinants.append((found.log_det.value, found.log_det.error))
    sigma, determinant = np.array(sigmas), np.array(determinants)
    return {
        "batch_sigma_min_worst": float(sigma[:, 0].min()),
        "batch_sigma_min_median": float(np.median(sigma[:, 0])),
        "batch_sigma_min_error": float(sigma[:, 1].max()),
        "batch_log_abs_det_worst": float(determinant[:, 0].min()),
        "batch_log_abs_det_median": float(np.median(determinant[:, 0])),
        "batch_log_abs_det_error": float(determinant[:, 1].max()),
    }


def batches(rule: optimizers.Rule, whole: objective.Batch, examples: int) -> list[objective.Batch]:
    """Returns the problem set: the first BATCHES mini-batches of a rule, the same for every point of every run."""
    return [_drawn(rule, whole, jnp.asarray(i), examples) for i in range(BATCHES)]


@functools.partial(jax.jit, static_argnames=("rule", "examples"))
def _drawn(rule: optimizers.Rule, whole: objective.Batch, k: jax.Array, examples: int) -> objective.Batch:
    return loop.drawing(rule, whole, jax.random.key(KEY), examples)(k)
