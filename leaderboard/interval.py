# SPDX-License-Identifier: Apache-2.0
"""Intervals: what k of n seeds, or a handful of numbers, are entitled to say."""

from __future__ import annotations

import math
import statistics
from typing import NamedTuple

Z95 = 1.959963984540054


class Interval(NamedTuple):
    """A closed interval, low <= high."""

    low: float
    high: float


class Spread(NamedTuple):
    """The median of some numbers and all of them, sorted."""

    median: float | None
    values: list[float]


def wilson(hits: int, trials: int) -> Interval:
    """Returns Wilson's 95 % score interval for a share.

    With p = hits/trials and z = 1.96 it is (p + z^2/2n ± z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).

    Args:
        hits: Number of hits, 0 <= hits <= trials.
        trials: Number of trials n; without any the interval is [0, 1].

    References:
        E. B. Wilson, Journal of the American Statistical Association 22, 1927.
    """
    if trials == 0:
        return Interval(0.0, 1.0)
    share, square = hits / trials, Z95 * Z95
    middle = share + square / (2 * trials)
    half = Z95 * math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    low = 0.0 if hits == 0 else (middle - half) / (1 + square / trials)
    high = 1.0 if hits == trials else (middle + half) / (1 + square / trials)
    return Interval(low, high)


def spread(values: list[float | None]) -> Spread:
    """Returns the median and the sorted numbers, leaving out what is missing; infinity counts as a number."""
    known = sorted(value for value in values if value is not None)
    return Spread(statistics.median(known) if known else None, known)
