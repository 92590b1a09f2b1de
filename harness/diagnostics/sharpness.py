# SPDX-License-Identifier: Apache-2.0
"""The ends of the Hessian's spectrum, and the linear stability they mean (mathematics, D4 and D5)."""

from __future__ import annotations

import math

from harness.curvature import spectrum as spectra
from harness.diagnostics import point as points

METRICS = (
    "sharpness",
    "sharpness_error",
    "sharpness_upper",
    "eta_sharpness",
    "lambda_min",
    "lambda_min_error",
    "lambda_min_lower",
    "n_above_two_inv_eta",
    "n_above_two_inv_eta_error",
    "n_negative",
    "n_negative_error",
)


def measure(point: points.Point) -> dict[str, float]:
    """Returns the largest and least eigenvalue, what bounds them from outside, and the counts beyond 2/eta and below 0.

    The count below 0 is NaN where the spectrum is known in part: Lanczos finds the least of them alone.
    """
    known = point.survey.spectrum
    low, high = spectra.ends(known)
    return {
        "sharpness": float(known.values[-1]),
        "sharpness_error": float(known.errors[-1]),
        "sharpness_upper": high,
        "eta_sharpness": point.eta * float(known.values[-1]),
        "lambda_min": float(known.values[0]),
        "lambda_min_error": float(known.errors[0]),
        "lambda_min_lower": low,
        "n_above_two_inv_eta": spectra.count_above(known, 2 / point.eta),
        "n_above_two_inv_eta_error": spectra.unsure(known, 2 / point.eta),
        "n_negative": spectra.count_negative(known) if known.complete else math.nan,
        "n_negative_error": spectra.unsure(known, spectra.below_zero(known)) if known.complete else math.nan,
    }
