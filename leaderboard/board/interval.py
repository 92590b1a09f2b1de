# SPDX-License-Identifier: Apache-2.0
"""Intervals: what k of n seeds, or a handful of numbers, are entitled to say."""

from __future__ import annotations

import functools
import statistics
from typing import NamedTuple

from harness.records import survival


class Interval(NamedTuple):
    """A closed interval, low <= high."""

    low: float
    high: float


class Spread(NamedTuple):
    """The median of some numbers and all of them, sorted."""

    median: float | None
    values: list[float]


@functools.cache
def wilson(hits: int, trials: int) -> Interval:
    """Returns Wilson's 95 % score interval for a share, 0 <= hits <= trials; without trials [0, 1]."""
    return Interval(*survival.share(hits, trials)) if trials else Interval(0.0, 1.0)


def spread(values: list[float | None]) -> Spread:
    """Returns the median and the sorted numbers, leaving out what is missing; infinity counts as a number."""
    known = sorted(value for value in values if value is not None)
    return Spread(statistics.median(known) if known else None, known)
