# SPDX-License-Identifier: Apache-2.0
"""Spectrum: what is known of the eigenvalues of a symmetric operator, each with its error bar."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


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

    Certain for a complete spectrum; else as sure as `rest`, which fails with probability exclusion.FAILURE at most.
    """
    if spectrum.complete:
        return max(0.0, float(np.min(np.abs(1 - eta * spectrum.values) - eta * spectrum.errors)))
    beyond = spectrum.values[spectrum.values > spectrum.rest]
    found = np.abs(1 - eta * beyond) - eta * spectrum.coupling
    return max(0.0, min([*found.tolist(), 1 - eta * (spectrum.rest + spectrum.coupling)]))


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

    By Cauchy interlacing the true number is at least that, converged or not; equal to it when `complete`, up to the
    error bars.
    """
    return int(np.sum(spectrum.values > level))


def count_negative(spectrum: Spectrum) -> int:
    """Returns how many known eigenvalues are negative beyond rounding.

    Far fewer than there are unless `complete`: Lanczos converges to the least of them, and most lie near 0.
    """
    rounding = float(spectrum.errors.min())
    return int(np.sum(spectrum.values < -rounding))
