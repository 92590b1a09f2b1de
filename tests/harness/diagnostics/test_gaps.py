# SPDX-License-Identifier: Apache-2.0
"""Gaps around 1/eta, the critical-step set (D11) and the step-size sweep at a frozen point (D12)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness import diagnostics
from harness.curvature import dense, logdet, survey
from harness.curvature import spectrum as spectra
from harness.diagnostics import gaps


def known(values: list[float], error: float = 1e-9) -> spectra.Spectrum:
    return spectra.Spectrum(np.sort(values), np.full(len(values), error), True, len(values), 0)


def measured(values: list[float], eta: float) -> dict[str, float]:
    spectrum = known(values)
    found = survey.Survey(spectrum, logdet.exact(spectrum, eta))
    return gaps.measure(diagnostics.Point(eta, 0.0, 0.0, 0.0, 0.0, found))


def test_the_gaps_lie_on_either_side_of_one() -> None:
    found = measured([4.0, 2.0, 1.0, -0.5], 0.4)
    assert found["gap_above"] == pytest.approx(0.6)
    assert found["gap_below"] == pytest.approx(0.2)
    assert found["gap_error"] == pytest.approx(0.4e-9)
    assert measured([1.0, -0.5], 0.4)["gap_above"] == math.inf
    assert measured([4.0], 0.4)["gap_below"] == math.inf
    assert measured([4.0, 2.0], 0.5)["gap_below"] == 0.0


def matrix(seed: int, size: int = 9) -> spectra.Spectrum:
    """Returns the spectrum of a random symmetric matrix with an eigenvalue of multiplicity 3."""
    drawn = np.random.default_rng(seed)
    basis = np.linalg.qr(drawn.normal(size=(size, size)))[0]
    values = np.concatenate([drawn.normal(size=size - 3), np.full(3, drawn.uniform(0.5, 2))])
    return dense.spectrum(basis @ np.diag(values) @ basis.T)


@pytest.mark.parametrize("seed", range(6))
def test_at_a_frozen_point_the_map_is_singular_exactly_at_the_reciprocals(seed: int) -> None:
    spectrum = matrix(seed)
    critical, errors = gaps.critical_steps(spectrum)
    assert np.all(np.diff(critical) >= 0)
    assert len(critical) == np.sum(spectrum.values > 0)
    sigma, bars, _ = gaps.sweep(spectrum, critical)
    assert np.all(sigma <= bars + critical * spectrum.errors.max())
    # Between them it is not, and sigma_min is linear with slope -lambda just below a zero and lambda just above it.
    distinct = np.unique(np.round(critical, 9))
    between = np.concatenate([[distinct[0] / 2], (distinct[1:] + distinct[:-1]) / 2, [2 * distinct[-1]]])
    sigma, bars, counts = gaps.sweep(spectrum, between)
    assert np.all(sigma > 100 * bars)
    multiplicity = [int(np.sum(np.abs(critical - eta) < 1e-8)) for eta in distinct]
    assert np.diff(counts).tolist() == multiplicity, "the count jumps by the multiplicity"
    assert 3 in multiplicity
    for eta in distinct:
        for side in (-1, 1):
            near, _, _ = gaps.sweep(spectrum, eta * (1 + side * np.array([1e-6, 2e-6])))
            assert (near[1] - near[0]) / (eta * 1e-6) == pytest.approx(1 / eta, rel=1e-5)
    assert errors.max() < 1e-10 * critical.max() ** 2


def test_eigenvalues_within_their_error_of_zero_give_no_step_size() -> None:
    critical, errors = gaps.critical_steps(known([2.0, 1e-10, 0.0, -1.0]))
    assert critical.tolist() == [0.5]
    assert errors[0] == pytest.approx(1e-9 / 4, rel=1e-3)


def test_the_gap_that_is_less_is_sigma_min() -> None:
    for seed in range(5):
        spectrum = matrix(seed)
        for eta in (0.3, 0.9, 2.5):
            found = survey.Survey(spectrum, logdet.exact(spectrum, eta))
            values = diagnostics.measure(diagnostics.Point(eta, 0.0, 0.0, 0.0, 0.0, found), ("gaps", "singularity"))
            assert min(values["gap_above"], values["gap_below"]) == values["sigma_min"]
