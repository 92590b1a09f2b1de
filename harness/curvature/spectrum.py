# SPDX-License-Identifier: Apache-2.0
"""Spectrum: what is known of the eigenvalues of a symmetric operator, each with its error bar.

Example:
    >>> import numpy as np
    >>> from harness.curvature import spectrum
    >>> known = spectrum.Spectrum(np.array([-1.0, 0.5, 4.0]), np.full(3, 1e-9), complete=True, size=3, products=3)
    >>> spectrum.count_above(known, level=2.0), spectrum.count_negative(known)
    (1, 1)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

EPS = float(np.finfo(np.float64).eps)
"""Spacing of float64 numbers at 1."""

FAILURE = 1e-12
"""Probability that what one Lanczos survey says of eigenvalues it never saw is false, at most (exclusion.py)."""


NAMED = ("largest", "least", "nearest")
"""The eigenvalues that have names: the largest, the least, and the one nearest 1/eta."""


class Spectrum(NamedTuple):
    """Known eigenvalues of a symmetric (P, P) operator.

    Attributes:
        values: (k,) float64, ascending. All P eigenvalues when `complete`, else Ritz values.
        errors: (k,) float64. An eigenvalue lies within errors[i] of values[i]: bounded for the eigensolver, modelled
            for the rounding in the operator (harness/curvature/rounding.py).
        complete: Whether these are all eigenvalues, each with its multiplicity.
        size: P.
        products: Number of operator products that were spent.
        rest: The eigenvalues above rest + coupling are those listed above it, one for one, each within `coupling` of
            the listed value; all others lie below (harness/curvature/exclusion.py). Infinity if nothing is excluded.
        coupling: See `rest`.
        least: No eigenvalue lies below least - coupling, where not all are known; as sure as `rest`.
    """

    values: np.ndarray
    errors: np.ndarray
    complete: bool
    size: int
    products: int
    rest: float = math.inf
    coupling: float = 0.0
    least: float = -math.inf


def named(values: np.ndarray, eta: float) -> np.ndarray:
    """Returns where in ascending eigenvalues (k,) each of NAMED stands."""
    return np.array([len(values) - 1, 0, int(np.abs(1 - eta * values).argmin())])


def widened(spectrum: Spectrum, rounding: float) -> Spectrum:
    """Returns the spectrum of an operator from that of one that is within `rounding` of it in norm (Weyl)."""
    return spectrum._replace(errors=spectrum.errors + rounding, coupling=spectrum.coupling + rounding)


def scaled_errors(values: np.ndarray, errors: np.ndarray, eta: float) -> np.ndarray:
    """Returns how far 1 - eta lambda may be off: eta times the error bars, and the rounding of 1 - eta lambda."""
    return np.asarray(eta * errors + EPS * np.maximum(1.0, eta * np.abs(values)))


def distance_from_one(spectrum: Spectrum, eta: float) -> tuple[float, float]:
    """Returns sigma_min(I - eta H) = min |1 - eta lambda| over the known eigenvalues, and its error bar.

    When the spectrum is not complete the value is an upper bound (up to the error bar): an eigenvalue that was never
    seen may lie nearer to 1/eta (mathematics, D1). `lower_bound` says how near.
    """
    distances = np.abs(1 - eta * spectrum.values)
    errors = scaled_errors(spectrum.values, spectrum.errors, eta)
    least = float(distances.min())
    return least, max(float(errors[int(distances.argmin())]), least - float((distances - errors).min()))


def lower_bound(spectrum: Spectrum, eta: float) -> float:
    """Returns what sigma_min(I - eta H) cannot be less than, 0 if nothing is known.

    Certain for a complete spectrum; else as sure as `rest`, which fails with probability FAILURE at most.
    """
    if spectrum.complete:
        errors = scaled_errors(spectrum.values, spectrum.errors, eta)
        return max(0.0, float(np.min(np.abs(1 - eta * spectrum.values) - errors)))
    beyond = _beyond(spectrum)
    found = 1 - eta * beyond
    found[:-1] = np.abs(found[:-1])
    return max(0.0, float(np.min(found - scaled_errors(beyond, np.asarray(spectrum.coupling), eta))))


def lower_error(spectrum: Spectrum, eta: float) -> float:
    """Returns the part of `lower_bound` that rests on a model of rounding, and not on a proof.

    The whole error of sigma_min for a complete spectrum; else that of the least error bar, at the largest eigenvalue.
    What the coupling has lowered the bound by beyond that is proven: by residuals, and Weyl.
    """
    if spectrum.complete:
        return distance_from_one(spectrum, eta)[1]
    return float(np.max(scaled_errors(_beyond(spectrum), np.asarray(rounding(spectrum)), eta)))


def rounding(spectrum: Spectrum) -> float:
    """Returns the least error bar: what rounding alone does to an eigenvalue."""
    return float(spectrum.errors.min())


def _beyond(spectrum: Spectrum) -> np.ndarray:
    """Returns the eigenvalues of a part of the spectrum that are listed one for one, and the level of all others."""
    return np.append(spectrum.values[spectrum.values > spectrum.rest], spectrum.rest)


def ends(spectrum: Spectrum) -> tuple[float, float]:
    """Returns what no eigenvalue is less than, and what none exceeds: infinite where nothing is proven.

    Certain up to error bars for a complete spectrum; else as sure as `rest`, at both ends at once.
    """
    if spectrum.complete:
        return float((spectrum.values - spectrum.errors).min()), float((spectrum.values + spectrum.errors).max())
    low, high = min(float(spectrum.values[0]), spectrum.least), max(float(spectrum.values[-1]), spectrum.rest)
    return low - spectrum.coupling, high + spectrum.coupling


def count_above(spectrum: Spectrum, level: float) -> int:
    """Returns how many known eigenvalues exceed `level`.

    By Cauchy interlacing the true number is at least that, converged or not; equal to it when `complete`. Both up to
    rounding: `unsure` says by how many it may be off.
    """
    return int(np.sum(spectrum.values > level))


def count_negative(spectrum: Spectrum) -> int:
    """Returns how many known eigenvalues lie below `below_zero`.

    Far fewer than there are unless `complete`: Lanczos converges to the least of them, and most lie near 0.
    """
    return int(np.sum(spectrum.values < below_zero(spectrum)))


def below_zero(spectrum: Spectrum) -> float:
    """Returns below which level an eigenvalue counts as negative: 0 less twice the least error bar.

    Twice, so that what is 0 in all but rounding is farther from the level than its error bar.
    """
    return -2 * float(spectrum.errors.min())


def unsure(spectrum: Spectrum, level: float) -> int:
    """Returns how many known eigenvalues lie within their error bars of `level`: on which side cannot be told.

    Where the spectrum is not complete, the number of Ritz values beyond a level is a bound whether they have converged
    or not; so only their least error bar, which is that of rounding, counts.
    """
    errors = spectrum.errors if spectrum.complete else spectrum.errors.min()
    near = np.abs(spectrum.values - level) < errors + EPS * abs(level)
    return int(np.sum(near))
