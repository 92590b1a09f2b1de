# SPDX-License-Identifier: Apache-2.0
"""Spectrum: what is known of the eigenvalues of a symmetric operator, each with its error bar."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

EPS = float(np.finfo(np.float64).eps)


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
    """

    values: np.ndarray
    errors: np.ndarray
    complete: bool
    size: int
    products: int
    rest: float = math.inf
    coupling: float = 0.0


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

    Certain for a complete spectrum; else as sure as `rest`, which fails with probability exclusion.FAILURE at most.
    """
    values = spectrum.values
    if spectrum.complete:
        return max(0.0, float(np.min(np.abs(1 - eta * values) - scaled_errors(values, spectrum.errors, eta))))
    beyond = np.append(values[values > spectrum.rest], spectrum.rest)
    found = 1 - eta * beyond
    found[:-1] = np.abs(found[:-1])
    return max(0.0, float(np.min(found - scaled_errors(beyond, np.asarray(spectrum.coupling), eta))))


def count_above(spectrum: Spectrum, level: float) -> int:
    """Returns how many known eigenvalues exceed `level`.

    By Cauchy interlacing the true number is at least that, converged or not; equal to it when `complete`. Both up to
    rounding: `unsure` says by how many it may be off.
    """
    return int(np.sum(spectrum.values > level))


def count_negative(spectrum: Spectrum) -> int:
    """Returns how many known eigenvalues lie below `below_zero`, as many as exceed a level in `count_above`."""
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
