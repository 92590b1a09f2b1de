# SPDX-License-Identifier: Apache-2.0
"""How far the map of the state (theta, v) is from singular, where steps have momentum (mathematics, section 1; C15).

In an eigenvector of H with eigenvalue lambda the derivative of one step is a 2 by 2 matrix, with b the momentum:

    heavy ball   [[1 - eta lambda, -eta b], [lambda, b]]                      determinant b
    Nesterov     [[1 - eta (1 + b) lambda, -eta b^2], [lambda, b]]            determinant b (1 - eta lambda)

so |det| is b^P, times |det(I - eta H)| for Nesterov, whose stored theta is the look-ahead point. The singular values
are those of all the small matrices; they depend on the unit of v, which is that of a gradient. Cost: none beyond the
survey.
"""

from __future__ import annotations

import math

import numpy as np

from harness.curvature import spectrum as spectra
from harness.diagnostics import point as points

METRICS = ("state_sigma_min", "state_sigma_min_error", "state_log_abs_det", "state_log_abs_det_error")


def measure(point: points.Point) -> dict[str, float]:
    """Returns sigma_min and log|det| of the derivative of the state's map, with error bars.

    Raises:
        ValueError: If it is not known where the point is, or steps have no momentum.
    """
    problem = point.nearby.problem
    momentum, nesterov = problem.rule.momentum, problem.rule.name == "nesterov"
    if momentum is None:
        raise ValueError("steps have no momentum")
    known = point.survey.spectrum
    reach = point.eta * (1 + momentum if nesterov else 1)
    # Weyl: a singular value moves by no more than the norm of d matrix / d lambda, times the error of lambda.
    slope = math.hypot(reach, 1)
    least = least_singular(known.values, point.eta, momentum, nesterov=nesterov)
    nearest = int(least.argmin())
    rounding = 4 * spectra.EPS * (1 + slope * abs(float(known.values[nearest])))  # of the entries, and of the svd
    volume = problem.size * math.log(momentum)
    return {
        "state_sigma_min": float(least.min()),
        "state_sigma_min_error": float(slope * known.errors[nearest]) + rounding,
        "state_log_abs_det": volume + (point.survey.log_det.value if nesterov else 0.0),
        "state_log_abs_det_error": abs(volume) * 2**-52 + (point.survey.log_det.error if nesterov else 0.0),
    }


def least_singular(values: np.ndarray, eta: float, momentum: float, *, nesterov: bool) -> np.ndarray:
    """Returns the smaller singular value of the small matrix of each eigenvalue."""
    ahead = 1 + momentum if nesterov else 1.0
    shape = (len(values), 2, 2)
    small = np.empty(shape)
    small[:, 0, 0] = 1 - eta * ahead * values
    small[:, 0, 1] = -eta * momentum * (momentum if nesterov else 1.0)
    small[:, 1, 0] = values
    small[:, 1, 1] = momentum
    return np.asarray(np.linalg.svd(small, compute_uv=False)[:, 1])
