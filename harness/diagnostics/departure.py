# SPDX-License-Identifier: Apache-2.0
"""Whether the way from the checkpoint before lay along its steepest negative direction (mathematics, section 5).

With v the unit eigenvector of the least eigenvalue of H(theta_before), by ARPACK: the alignment |<Delta, v>| / |Delta|
of Delta = theta - theta_before, and the Rayleigh quotient v'Hv with its residual, which confirms by another method that
H bends down there. Where a run leaves a saddle between two checkpoints the alignment is near 1; on a plateau that it
does not leave, and along a valley, it is small.

Cost: at most PRODUCTS products, linearised anew each time. Failure: a least eigenvalue that is repeated has many
eigenvectors, of which v is one, and the alignment is then too small; where v has not converged, everything is NaN; at
the first checkpoint there is none before.
"""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from harness.curvature import arpack
from harness.diagnostics import plan
from harness.diagnostics import point as points

METRICS = ("departure_alignment", "departure_curvature", "departure_curvature_error")

PRODUCTS = 400
"""Products that ARPACK may spend."""

WIDTH = 40
"""Vectors that it holds."""

TOLERANCE = 1e-6
"""Residual at which v is good enough, relative to the eigenvalue: the alignment is off by less than 1e-5."""


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs at most, in gradients."""
    return plan.FIRST * PRODUCTS


def measure(point: points.Point) -> dict[str, float]:
    """Returns the alignment, the Rayleigh quotient at the checkpoint before, and its residual.

    Raises:
        ValueError: If it is not known where the point is.
    """
    theta, previous, problem, *_ = point.nearby
    unknown = dict.fromkeys(METRICS, math.nan)
    if previous is None or problem.size < 2:
        return unknown

    def product(v: np.ndarray) -> np.ndarray:
        return np.asarray(problem.product(previous, jnp.asarray(v)))

    found = arpack.vectors(product, problem.size, 1, end="least", width=WIDTH, products=PRODUCTS, tolerance=TOLERANCE)
    way = np.asarray(theta - previous)
    length = float(np.linalg.norm(way))
    if not len(found) or not length > 0:
        return unknown
    (v,) = found
    bent = product(v)
    quotient = float(v @ bent)
    return {
        "departure_alignment": abs(float(way @ v)) / length,
        "departure_curvature": quotient,
        "departure_curvature_error": float(np.linalg.norm(bent - quotient * v)),
    }
