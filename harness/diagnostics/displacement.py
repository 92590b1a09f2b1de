# SPDX-License-Identifier: Apache-2.0
"""How far a run is from the minimum or saddle that it was planted at. Cost: none."""

from __future__ import annotations

import jax.numpy as jnp

from harness.diagnostics import point as points

METRICS = ("displacement",)


def measure(point: points.Point) -> dict[str, float]:
    """Returns the distance.

    Raises:
        ValueError: If the run was not planted.
    """
    theta, planted = point.nearby.theta, point.nearby.planted
    if planted is None:
        raise ValueError("the run was not planted")
    return {"displacement": float(jnp.linalg.norm(theta - planted.theta))}
