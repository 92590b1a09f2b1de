# SPDX-License-Identifier: Apache-2.0
"""Survival: how long things take of which some never came to an end (Kaplan and Meier); shares (Wilson). scipy's."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple


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

    References:
        E. B. Wilson, Journal of the American Statistical Association 22, 1927.
    """
    from scipy import stats

    found = stats.binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)
