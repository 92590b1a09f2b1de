# SPDX-License-Identifier: Apache-2.0
"""The eigenvalues of eta H on either side of 1, and all step sizes that are critical at a point (D2, D11, D12).

Cost: nothing beyond the spectrum. Failure: eigenvalues that Lanczos never saw may lie nearer.
"""

from __future__ import annotations

import math

import numpy as np

from harness.curvature import spectrum as spectra
from harness.diagnostics import point as points

METRICS = ("gap_above", "gap_below", "gap_error")


def measure(point: points.Point) -> dict[str, float]:
    """Returns the distances from 1 to the next eigenvalue of eta H above it and to the next at or below it.

    Where there is none the distance is infinite. The error is that of the less certain of the two.
    """
    known = point.survey.spectrum
    scaled = point.eta * known.values
    above, below = np.flatnonzero(scaled > 1), np.flatnonzero(scaled <= 1)
    ends = [*above[:1], *below[-1:]]
    return {
        "gap_above": float(scaled[above[0]] - 1) if len(above) else math.inf,
        "gap_below": float(1 - scaled[below[-1]]) if len(below) else math.inf,
        "gap_error": float(np.max(spectra.scaled_errors(known.values, known.errors, point.eta)[ends])),
    }


def critical_steps(spectrum: spectra.Spectrum) -> tuple[np.ndarray, np.ndarray]:
    """Returns the step sizes at which I - eta H is singular at this point, increasing, and their error bars (D11).

    They are 1 / lambda for each known eigenvalue above its own error bar; those nearer to 0 mean step sizes too large
    to be told. The union over a run is its critical-step set.
    """
    sure = spectrum.values > spectrum.errors
    values, errors = spectrum.values[sure][::-1], spectrum.errors[sure][::-1]
    return 1 / values, 1 / (values - errors) - 1 / values + spectra.EPS / values


def sweep(spectrum: spectra.Spectrum, etas: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns sigma_min, its error bar and the number of eigenvalues above 1/eta, at each step size (D12).

    Args:
        spectrum: The spectrum at a frozen point.
        etas: (E,) step sizes.
    """
    pairs = [spectra.distance_from_one(spectrum, float(eta)) for eta in etas]
    above = [spectra.count_above(spectrum, 1 / float(eta)) for eta in etas]
    return np.array([value for value, _ in pairs]), np.array([error for _, error in pairs]), np.array(above)
