# SPDX-License-Identifier: Apache-2.0
"""How much the Hessian of a piece says of the risk around it (mathematics, D9).

Kinks are in the gradient of L: where a step crosses many, g(theta') - g(theta) is not H (theta' - theta), however short
the step. Cost: two forward passes, two gradients and one product. Failure: a margin is measured in units of
preactivations, not in the distance that theta must move; ties that stay (dead units under a max-pool) are left out.
"""

from __future__ import annotations

import math

import numpy as np

from harness.diagnostics import point as points

METRICS = ("kink_distance", "flip_fraction", "gradient_defect", "gradient_defect_error")


def measure(point: points.Point) -> dict[str, float]:
    """Returns the least margin, the share of signs that changed since the last checkpoint, and the gradient defect.

    Raises:
        ValueError: If it is not known where the point is.
    """
    if point.nearby is None:
        raise ValueError("the kinks around a point cannot be told from its spectrum")
    theta, previous, probe = point.nearby
    margins = {name: np.asarray(array) for name, array in probe.margins(theta).items()}
    sizes = [np.abs(array[array != 0]) for array in margins.values()]
    distance = min((float(array.min()) for array in sizes if array.size), default=math.inf)
    flips = math.nan
    if previous is not None:
        before = probe.margins(previous)
        changed = sum(int(np.sum(np.sign(array) != np.sign(before[name]))) for name, array in margins.items())
        flips = changed / max(1, sum(array.size for array in margins.values()))
    gradient = probe.gradient(theta)
    step = -point.eta * gradient
    after = probe.gradient(theta + step)
    change = np.asarray(after - gradient)
    predicted = np.asarray(probe.product(theta, step))
    size = float(np.linalg.norm(change))
    rounding = np.finfo(np.float64).eps * math.sqrt(len(theta))
    scale = float(np.linalg.norm(gradient) + np.linalg.norm(after)) + float(np.linalg.norm(predicted))
    return {
        "kink_distance": distance,
        "flip_fraction": flips,
        "gradient_defect": float(np.linalg.norm(change - predicted)) / size if size else math.nan,
        "gradient_defect_error": rounding * scale / size if size else math.nan,
    }
