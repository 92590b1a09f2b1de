# SPDX-License-Identifier: Apache-2.0
"""The ends of the Hessian's spectrum, and the linear stability they mean (mathematics, D4 and D5)."""

from __future__ import annotations

from harness.curvature import spectrum as spectra
from harness.diagnostics import point as points

METRICS = (
    "sharpness",
    "sharpness_error",
    "eta_sharpness",
    "lambda_min",
    "lambda_min_error",
    "n_above_two_inv_eta",
    "n_above_two_inv_eta_error",
    "n_negative",
    "n_negative_error",
)


def measure(point: points.Point) -> dict[str, float]:
    """Returns the largest and least eigenvalue with their error bars, and the counts beyond 2/eta and below 0."""
    known = point.survey.spectrum
    return {
        "sharpness": float(known.values[-1]),
        "sharpness_error": float(known.errors[-1]),
        "eta_sharpness": point.eta * float(known.values[-1]),
        "lambda_min": float(known.values[0]),
        "lambda_min_error": float(known.errors[0]),
        "n_above_two_inv_eta": spectra.count_above(known, 2 / point.eta),
        "n_above_two_inv_eta_error": spectra.unsure(known, 2 / point.eta),
        "n_negative": spectra.count_negative(known),
        "n_negative_error": spectra.unsure(known, spectra.below_zero(known)),
    }
