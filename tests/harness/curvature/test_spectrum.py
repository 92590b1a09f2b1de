# SPDX-License-Identifier: Apache-2.0
"""What follows from known eigenvalues and their error bars, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from harness.curvature import dense, logdet
from harness.curvature import spectrum as spectra


def known(values: list[float], errors: list[float], *, complete: bool = False) -> spectra.Spectrum:
    return spectra.Spectrum(np.array(values), np.array(errors), complete, 10, 10)


def test_sigma_min_is_the_distance_of_the_nearest_eigenvalue() -> None:
    sigma, error = spectra.distance_from_one(known([-1.0, 1.5, 4.0], [0.01, 0.01, 0.01]), 0.5)
    assert sigma == pytest.approx(0.25)
    assert error == pytest.approx(0.005)


def test_an_uncertain_neighbour_widens_the_error() -> None:
    sigma, error = spectra.distance_from_one(known([1.5, 1.0], [0.01, 0.9]), 0.5)
    assert sigma == pytest.approx(0.25)
    assert sigma - error == pytest.approx(0.5 - 0.45)


def test_counts_are_strict() -> None:
    spectrum = known([-1e-20, 0.0, 2.0, 2.0 + 1e-9], [1e-12] * 4)
    assert spectra.count_above(spectrum, 2.0) == 1
    assert spectra.count_negative(spectrum) == 0
    assert spectra.count_negative(known([-0.1, 3.0], [1e-3, 1e-12])) == 1


def test_counts_say_how_many_eigenvalues_they_cannot_place() -> None:
    complete = known([-3e-3, -2.5e-3, -1e-5, 1e-5, 1.999, 2.0015], [1e-3] * 6, complete=True)
    assert (spectra.count_above(complete, 2.0), spectra.unsure(complete, 2.0)) == (1, 1)
    # What is 0 in all but rounding is on the sure side of the level of -2e-3; -2.5e-3 is not.
    assert (spectra.count_negative(complete), spectra.unsure(complete, spectra.below_zero(complete))) == (2, 2)
    # The number of Ritz values beyond a level is a bound, converged or not: only rounding makes it unsure.
    assert spectra.unsure(known([1.5, 1.9999, 4.0], [1.0, 0.5, 1e-3]), 2.0) == 1


def test_counts_within_a_spectrum_of_thirty_orders_are_unsure() -> None:
    drawn = np.random.default_rng(0)
    frame, _ = np.linalg.qr(drawn.standard_normal((100, 100)))
    exact = np.r_[np.logspace(27, 30, 7), drawn.uniform(0, 1, 93)]
    found = dense.spectrum((frame * exact) @ frame.T)
    above, unsure = spectra.count_above(found, 10.0), spectra.unsure(found, 10.0)
    assert above > 7 and above - unsure <= 7 <= above, "rounding of 1e30 is 1e14"


def test_a_distance_is_not_known_to_more_digits_than_it_has() -> None:
    eta = 1e-10
    for least, error in (
        spectra.distance_from_one(known([-1e-9, 1e-9], [1e-14] * 2), eta),
        spectra.distance_from_one(known([1e20, 1e-9], [1e-14] * 2), eta),
    ):
        assert (least, error) == (1 - eta * 1e-9, pytest.approx(spectra.EPS, rel=1e-6))
    assert spectra.distance_from_one(known([1e20], [0.0]), eta)[1] == pytest.approx(1e10 * spectra.EPS)
    assert spectra.lower_bound(known([0.0], [0.0], complete=True), eta) == 1 - spectra.EPS


def test_log_abs_det_error_is_infinite_where_an_eigenvalue_may_be_critical() -> None:
    found = logdet.exact(known([1.0, 2.0], [0.0, 0.1], complete=True), 0.49)
    assert found.error == np.inf
    found = logdet.exact(known([1.0, 3.0], [0.0, 0.1], complete=True), 0.5)
    assert found.value == pytest.approx(np.log(0.5) + np.log(0.5))
    assert found.error == pytest.approx(np.log(0.5) - np.log(0.45))


def test_dense_error_covers_an_asymmetric_matrix() -> None:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(40, 40))
    matrix = matrix + matrix.T
    noise = 1e-6 * random.normal(size=(40, 40))
    found = dense.spectrum(matrix + noise)
    exact = np.linalg.eigvalsh(matrix + 0.5 * (noise + noise.T))
    assert np.abs(found.values - exact).max() <= found.errors[0]
    assert 1e-6 < found.errors[0] < 1e-4


def test_dense_says_when_an_entry_is_not_finite() -> None:
    with pytest.raises(FloatingPointError):
        dense.spectrum(np.array([[np.inf, 0.0], [0.0, 1.0]]))
