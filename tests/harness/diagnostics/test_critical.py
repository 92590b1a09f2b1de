# SPDX-License-Identifier: Apache-2.0
"""The critical-step set (D11) of spectra given by hand: how many, and the one next to eta in ratio."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.curvature import logdet, survey
from harness.curvature import spectrum as spectra
from harness.diagnostics import critical
from harness.diagnostics import point as points


def measured(values: list[float], eta: float, errors: list[float] | None = None) -> dict[str, float]:
    bars = np.full(len(values), 1e-9) if errors is None else np.asarray(errors)
    known = spectra.Spectrum(np.asarray(values), bars, True, len(values), 0)
    return critical.measure(points.Point(eta, 0.0, 0.0, 0.0, 0.0, survey.Survey(known, logdet.exact(known, eta))))


def test_each_positive_eigenvalue_gives_one_and_the_nearest_in_ratio_is_told_with_its_own_error_bar() -> None:
    # Steps 0.25, 0.5 and 2; at eta = 0.9 the nearest in ratio is 2 (0.55 from 1), the nearest in distance 0.5 (0.8).
    found = measured([-1.0, 0.5, 2.0, 4.0], 0.9, [1e-9, 1e-4, 1e-6, 1e-7])
    assert found["critical_steps"] == 3
    assert found["critical_step"] == 2.0
    assert found["critical_step_error"] == pytest.approx(1e-4 / 0.5**2, rel=1e-3)
    assert measured([-1.0, 0.5, 2.0, 4.0], 0.3)["critical_step"] == 0.25


def test_its_distance_in_ratio_is_sigma_min() -> None:
    for eta in (0.2, 0.3, 0.9, 3.0):
        found = measured([0.5, 2.0, 4.0], eta)
        assert abs(eta / found["critical_step"] - 1) == pytest.approx(min(abs(1 - eta * x) for x in (0.5, 2.0, 4.0)))


def test_without_a_positive_eigenvalue_there_is_none() -> None:
    for values in ([-2.0, -1.0], [0.0], [-1.0, 1e-12]):
        assert measured(values, 0.3) == {
            "critical_steps": 0.0,
            "critical_step": math.inf,
            "critical_step_error": 0.0,
        }
