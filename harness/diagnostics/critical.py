# SPDX-License-Identifier: Apache-2.0
"""The step sizes at which the map would be singular at this point: 1 / lambda (mathematics, D11).

Where this is asked, the run folder keeps the whole known spectrum with its error bars (harness/records/spectra.py), so
that the critical steps of a run can be shown as a density. Cost: nothing beyond the spectrum. Failure: eigenvalues
within their error bars of 0 are not counted, and Lanczos never sees most of the small ones.
"""

from __future__ import annotations

import math

import numpy as np

from harness.diagnostics import gaps
from harness.diagnostics import point as points

METRICS = ("critical_steps", "critical_step", "critical_step_error")


def measure(point: points.Point) -> dict[str, float]:
    """Returns the number of critical steps, and the one next to eta in ratio with its error bar; infinity if none.

    It is the one with the least |eta / critical - 1|, which is sigma_min where lambda is positive.
    """
    steps, errors = gaps.critical_steps(point.survey.spectrum)
    if not len(steps):
        return {"critical_steps": 0.0, "critical_step": math.inf, "critical_step_error": 0.0}
    nearest = int(np.argmin(np.abs(point.eta / steps - 1)))
    return {
        "critical_steps": float(len(steps)),
        "critical_step": float(steps[nearest]),
        "critical_step_error": float(errors[nearest]),
    }
