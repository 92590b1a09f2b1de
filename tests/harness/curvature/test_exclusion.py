# SPDX-License-Identifier: Apache-2.0
"""What Lanczos never saw: the bound holds, fails no more often than it says, and is sharp enough to certify."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness.curvature import dense, exclusion, lanczos, logdet, operators, survey
from harness.curvature import spectrum as spectra

SIZE = 400


def diagonal(point: tuple[jax.Array]) -> operators.Matvec:
    """Returns the operator of a diagonal matrix: Lanczos on a random start knows no other kind."""
    return lambda v: point[0] * v


PROGRAM = lanczos.lanczos(diagonal, SIZE, capacity=64)
ASKED = survey.surveyor(diagonal, SIZE, "lanczos")


def shortfall(values: np.ndarray, steps: int, seed: int) -> float:
    """Returns by what share of the width the largest Ritz value of a random start falls short of the largest."""
    basis = PROGRAM.begin(jax.random.key(seed), jnp.dtype("float64"))
    basis = PROGRAM.extend(PROGRAM.at((jnp.asarray(values),)), basis, jax.random.key(0), steps)
    return float((values.max() - lanczos.ritz(basis).values[-1]) / np.ptp(values))


SPECTRA = {
    "one outlier": np.r_[np.linspace(-0.3, 0.3, SIZE - 1), 1.0],
    "linear": np.linspace(0.0, 1.0, SIZE),
    "Chebyshev": np.r_[0.5 * np.cos(np.pi * (np.arange(SIZE - 1) + 0.5) / (SIZE - 1)), 0.55],
    "two values": np.r_[np.zeros(SIZE - 1), 1.0],
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("steps", [4, 8])
def test_ritz_values_fall_short_no_more_often_than_said(name: str, steps: int) -> None:
    runs, failure = 200, 0.25
    allowed = exclusion.share(SIZE, steps, failure)
    failed = sum(shortfall(SPECTRA[name], steps, seed) > allowed for seed in range(runs))
    # Binomial: more than 0.25 + 4 deviations of 200 has probability 5e-5.
    assert failed <= runs * failure + 4 * math.sqrt(runs * failure * (1 - failure))


def test_the_bound_is_not_vacuous_for_a_spectrum_made_to_be_missed() -> None:
    # An outlier just above a dense bulk is what Lanczos misses; a bound a tenth as wide would be false here.
    short = [shortfall(SPECTRA["Chebyshev"], 8, seed) for seed in range(40)]
    assert np.median(short) > 0.1 * exclusion.share(SIZE, 8, 0.25)


def test_the_share_falls_with_products_and_rises_with_size_and_certainty() -> None:
    assert exclusion.share(SIZE, 32, 1e-12) < exclusion.share(SIZE, 16, 1e-12) < exclusion.share(10**8, 16, 1e-12)
    assert exclusion.share(SIZE, 32, 1e-3) < exclusion.share(SIZE, 32, 1e-12)
    assert exclusion.share(10**8, exclusion.STEPS, exclusion.FAILURE / 2) < 0.4, "enough products for any network"


def surveyed(values: np.ndarray, eta: float, seed: int = 0) -> survey.Survey:
    """Surveys a symmetric matrix with these eigenvalues by Lanczos, as a run does."""
    return ASKED.survey((jnp.asarray(values),), eta, jax.random.key(seed))


def hessian_like(seed: int) -> np.ndarray:
    """Returns outliers, a bulk at zero and a small negative tail."""
    drawn = np.random.default_rng(seed)
    return np.sort(np.r_[drawn.normal(scale=0.02, size=SIZE - 15), [-0.6, -0.4, -0.25], 8 / 1.4 ** np.arange(12)])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("eta", [0.05, 0.2, 0.31, 0.9])
def test_two_sided_statements_hold_and_are_sharp(seed: int, eta: float) -> None:
    exact = hessian_like(seed)
    known = surveyed(exact, eta, seed).spectrum
    truth = float(np.abs(1 - eta * exact).min())
    lower = spectra.lower_bound(known, eta)
    assert lower <= truth
    assert lower >= 0.98 * min(truth, 0.3), "an outlier is as near as it seems, to its residual"
    assert known.rest + known.coupling >= exact[exact <= known.rest + known.coupling].max()
    listed = known.values[known.values > known.rest]
    assert len(listed) == np.sum(exact > known.rest), "one for one"
    assert spectra.count_above(known, 1 / eta) == np.sum(exact > 1 / eta)
    low, high = spectra.ends(known)
    assert low <= exact.min() and exact.max() <= high
    if eta >= 0.2:  # at 0.05 what is left reaches to 6
        assert high == pytest.approx(exact.max(), rel=1e-5)
    # What is left within CUT / eta, on either side: the room is less than half of its width.
    left = exact[eta * np.abs(exact) <= logdet.CUT]
    assert low > min(exact.min(), left.min() - 0.7 * np.ptp(left)) - 1e-6


def test_a_crowd_at_one_over_eta_is_not_excluded() -> None:
    known = surveyed(np.linspace(0.5, 1.5, SIZE), 1.0).spectrum
    assert spectra.lower_bound(known, 1.0) == 0.0


def test_an_eigenvalue_at_one_over_eta_is_never_excluded() -> None:
    exact = np.r_[hessian_like(0)[:-1], 2.0]
    assert spectra.lower_bound(surveyed(exact, 0.5).spectrum, 0.5) < 1e-9


def test_a_complete_spectrum_is_bounded_by_its_errors() -> None:
    known = dense.spectrum(np.diag([4.0, 2.0, 1.0, -0.5]))
    assert spectra.lower_bound(known, 0.3) == pytest.approx(0.2, abs=1e-12)
    assert spectra.lower_bound(known, 0.5) == 0.0
    assert spectra.ends(known) == pytest.approx((-0.5, 4.0), abs=1e-12)
    partial = spectra.Spectrum(np.array([1.0]), np.zeros(1), False, 10, 1)
    assert spectra.ends(partial) == (-math.inf, math.inf)
    assert spectra.lower_bound(partial, 0.3) == 0.0, "nothing is excluded unless it is said"


def test_a_known_trace_narrows_the_error_of_the_log_determinant() -> None:
    exact = hessian_like(1)
    point: tuple[Any, ...] = (jnp.asarray(exact),)

    def rotated(point: tuple[jax.Array]) -> operators.Matvec:
        mirror = jnp.asarray(np.random.default_rng(0).standard_normal(SIZE))
        mirror = mirror / jnp.linalg.norm(mirror)
        turn = lambda v: v - 2 * mirror * (mirror @ v)  # noqa: E731 # on a diagonal matrix every probe is exact
        return lambda v: turn(point[0] * turn(v))

    truth = float(np.log(np.abs(1 - 0.3 * exact)).sum())
    found = {
        known: survey.surveyor(rotated, SIZE, "lanczos", trace=(lambda p: jnp.sum(p[0])) if known else None)
        .survey(point, 0.3, jax.random.key(0))
        .log_det
        for known in (False, True)
    }
    for one in found.values():
        assert abs(one.value - truth) <= 5.4 * one.error
    assert found[True].error < 0.5 * found[False].error
    assert found[True].products == logdet.STEPS * logdet.PROBES


OUTER = exclusion.outer(diagonal, SIZE, exclusion.ROWS)
BULK = np.random.default_rng(7).normal(scale=0.02, size=SIZE - 12)
FAULTY = {
    "all zero": np.zeros(SIZE),
    "all the same": np.full(SIZE, 3.0),
    "all negative": -1 - np.random.default_rng(3).uniform(size=SIZE),
    "a cluster at the top": np.r_[4 + 1e-9 * np.arange(12), BULK],
    "a repeated outlier": np.r_[np.full(12, 4.0), BULK],
    "spread evenly": np.linspace(-1.0, 1.0, SIZE),
    "like a network's": hessian_like(5),
}


@pytest.mark.parametrize("name", FAULTY)
def test_outer_eigenvalues_are_known_one_for_one_above_the_bound_of_the_rest(name: str) -> None:
    exact = np.sort(FAULTY[name])
    known = OUTER((jnp.asarray(exact),), jax.random.key(0))
    level = known.rest + known.coupling
    assert not known.complete and math.isfinite(level)
    listed, above = known.values[known.values > level], exact[exact > level]
    assert len(listed) == len(above)
    assert np.all(np.abs(listed - above) <= known.coupling + 1e-15)
    if name == "like a network's":
        assert len(listed) >= 12 and level < 0.1, "sharp enough to be of use"
        assert known.coupling <= exclusion.SHARP * exact[-1]


@pytest.mark.parametrize("size", [1, 2, 9, 60, exclusion.PRODUCTS])
def test_a_space_smaller_than_the_run_is_spanned_whole(size: int) -> None:
    exact = np.linspace(-1.0, 2.0, size)
    known = exclusion.outer(diagonal, size, exclusion.ROWS)((jnp.asarray(exact),), jax.random.key(0))
    assert known.complete
    assert known.values == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_product_that_is_not_finite_is_said(value: float) -> None:
    with pytest.raises(FloatingPointError, match="not finite"):
        OUTER((jnp.full(SIZE, value),), jax.random.key(0))
