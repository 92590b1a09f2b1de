# SPDX-License-Identifier: Apache-2.0
"""Spectrum: what is known of the eigenvalues of a symmetric operator, each with its error bar."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

FAILURE = 1e-12
"""Probability that what one Lanczos survey says of eigenvalues it never saw is false, at most (exclusion.py)."""


class Spectrum(NamedTuple):
    """Known eigenvalues of a symmetric (P, P) operator.

    Attributes:
        values: (k,) float64, ascending. All P eigenvalues when `complete`, else Ritz values.
        errors: (k,) float64. An eigenvalue lies within errors[i] of values[i].
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


def distance_from_one(spectrum: Spectrum, eta: float) -> tuple[float, float]:
    """Returns sigma_min(I - eta H) = min |1 - eta lambda| over the known eigenvalues, and its error bar.

    When the spectrum is not complete the value is an upper bound (up to the error bar): an eigenvalue that was never
    seen may lie nearer to 1/eta (mathematics, D1). `lower_bound` says how near.
    """
    distances = np.abs(1 - eta * spectrum.values)
    least = float(distances.min())
    lowest = float((distances - eta * spectrum.errors).min())
    nearest = float(eta * spectrum.errors[int(distances.argmin())])
    return least, max(nearest, least - lowest)


def lower_bound(spectrum: Spectrum, eta: float) -> float:
    """Returns what sigma_min(I - eta H) cannot be less than, 0 if nothing is known.

    Certain for a complete spectrum; else as sure as `rest`, which fails with probability FAILURE at most.
    """
    if spectrum.complete:
        return max(0.0, float(np.min(np.abs(1 - eta * spectrum.values) - eta * spectrum.errors)))
    beyond = spectrum.values[spectrum.values > spectrum.rest]
    found = np.abs(1 - eta * beyond) - eta * spectrum.coupling
    return max(0.0, min([*found.tolist(), 1 - eta * (spectrum.rest + spectrum.coupling)]))


def lower_error(spectrum: Spectrum, eta: float) -> float:
    """Returns the part of `lower_bound` that rests on a model of rounding, and not on a proof.

    The whole error of sigma_min for a complete spectrum; else eta times the least error bar. What the coupling has
    lowered the bound by beyond that is proven: by residuals, and Weyl.
    """
    return distance_from_one(spectrum, eta)[1] if spectrum.complete else eta * rounding(spectrum)


def rounding(spectrum: Spectrum) -> float:
    """Returns the least error bar: what rounding alone does to an eigenvalue."""
    return float(spectrum.errors.min())


def count_above(spectrum: Spectrum, level: float) -> int:
    """Returns how many known eigenvalues exceed `level`.

    By Cauchy interlacing the true number is at least that, converged or not; equal to it when `complete`, up to the
    error bars.
    """
    return int(np.sum(spectrum.values > level))


def count_negative(spectrum: Spectrum) -> int:
    """Returns how many known eigenvalues are negative beyond rounding (a lower bound unless `complete`)."""
    rounding = float(spectrum.errors.min())
    return int(np.sum(spectrum.values < -rounding))
