# SPDX-License-Identifier: Apache-2.0
"""Survival: how long things take of which some never came to an end (Kaplan and Meier, scipy's); shares (Wilson)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

NORMAL = 1.959963984540054
"""The value that a standard normal number exceeds with probability 2.5 %."""


class Median(NamedTuple):
    """The time after which half have ended, and its 95 % interval; infinite where they have not."""

    value: float
    low: float
    high: float


def median(ended: Sequence[float], censored: Sequence[float]) -> Median:
    """Returns the median time by the product-limit estimate, with the interval of its log-log band.

    Args:
        ended: Times of those that came to an end.
        censored: Times for which the others were watched.

    References:
        Kaplan & Meier, Journal of the American Statistical Association 53, 1958.
    """
    import numpy as np
    from scipy import stats

    curve = stats.ecdf(stats.CensoredData(uncensored=np.array(ended, float), right=np.array(censored, float))).sf
    with warnings.catch_warnings():  # where all or none have ended the band is not defined, and says so as NaN
        warnings.simplefilter("ignore", RuntimeWarning)
        band = curve.confidence_interval(0.95, method="log-log")

    def crossing(survival: Any) -> float:
        below = np.nonzero(np.nan_to_num(survival, nan=1.0) <= 0.5)[0]
        return float(curve.quantiles[below[0]]) if len(below) else math.inf

    return Median(*(crossing(one.probabilities) for one in (curve, band.low, band.high)))


def share(hits: int, trials: int) -> tuple[float, float]:
    """Returns Wilson's 95 % interval for a share.

    It is that of scipy.stats.binomtest to the last bit, without its import, which takes longer than a small page.

    References:
        E. B. Wilson, Journal of the American Statistical Association 22, 1927.
    """
    one, square = hits / trials, NORMAL**2
    whole = 2 * (trials + square)
    centre = (2 * trials * one + square) / whole
    reach = NORMAL / whole * math.sqrt(4 * trials * one * (1 - one) + square)
    return (centre - reach if hits else 0.0), (centre + reach if hits < trials else 1.0)
