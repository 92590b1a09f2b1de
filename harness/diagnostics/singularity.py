# SPDX-License-Identifier: Apache-2.0
"""How far I - eta H is from singular (mathematics, D1, D3 and D4)."""

from __future__ import annotations

from harness.curvature import spectrum as spectra
from harness.diagnostics import point as points

METRICS = (
    "sigma_min",
    "sigma_min_error",
    "sigma_min_lower",
    "sigma_min_lower_error",
    "log_abs_det",
    "log_abs_det_error",
    "n_above_inv_eta",
    "n_above_inv_eta_error",
)


def measure(point: points.Point) -> dict[str, float]:
    """Returns sigma_min with its error bar and lower bound, log|det|, and the number of eigenvalues above 1/eta."""
    known = point.survey.spectrum
    sigma, error = spectra.distance_from_one(known, point.eta)
    return {
        "sigma_min": sigma,
        "sigma_min_error": error,
        "sigma_min_lower": spectra.lower_bound(known, point.eta),
        "sigma_min_lower_error": spectra.lower_error(known, point.eta),
        "log_abs_det": point.survey.log_det.value,
        "log_abs_det_error": point.survey.log_det.error,
        "n_above_inv_eta": spectra.count_above(known, 1 / point.eta),
        "n_above_inv_eta_error": spectra.unsure(known, 1 / point.eta),
    }
