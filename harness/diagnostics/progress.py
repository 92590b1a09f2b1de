# SPDX-License-Identifier: Apache-2.0
"""What one full-batch step of this step size does to the risk, against what the gradient promises.

With theta' = theta - eta g, the relative progress is (L(theta') - L(theta)) / (eta |g|^2), -1 for a risk without
curvature, and the directional smoothness, times eta, is <g, g - g'> / |g|^2. At the edge of stability the first is near
0 and the second near 2. Cost: 2 gradients, 2 risks. Source: Ahn, Zhang & Sra, ICML 2022.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax

from harness.diagnostics import plan
from harness.diagnostics import point as points
from harness.risk import objective

METRICS = ("relative_progress", "directional_smoothness")


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs, in gradients."""
    return 2.0


def measure(point: points.Point) -> dict[str, float]:
    """Returns both numbers; NaN where the gradient is 0.

    Raises:
        ValueError: If it is not known where the point is.
    """
    theta, _, problem, *_ = point.nearby
    found = jax.block_until_ready(_step(problem.objective.risk)(theta, point.eta, problem.exact))
    progress, turned, squared = (float(value) for value in found)
    if not squared > 0:
        return dict.fromkeys(METRICS, math.nan)
    return {"relative_progress": progress / (point.eta * squared), "directional_smoothness": turned / squared}


@functools.lru_cache(maxsize=1)
def _step(risk: Callable[..., jax.Array]) -> Callable[..., tuple[jax.Array, ...]]:
    @jax.jit
    def step(theta: jax.Array, eta: jax.Array, batch: objective.Batch) -> tuple[jax.Array, ...]:
        before, gradient = jax.value_and_grad(risk)(theta, batch)
        after, turned = jax.value_and_grad(risk)(theta - eta * gradient, batch)
        return after - before, gradient @ (gradient - turned), gradient @ gradient

    return step
