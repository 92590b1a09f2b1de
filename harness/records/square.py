# SPDX-License-Identifier: Apache-2.0
"""The square of a number that may be beyond what doubles hold."""

from __future__ import annotations

import math


def square(x: float) -> float:
    """Returns x squared; infinity where no double holds it, where `**` raises."""
    try:
        return x**2
    except OverflowError:
        return math.inf
