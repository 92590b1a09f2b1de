# SPDX-License-Identifier: Apache-2.0
"""What becomes of a number in the arithmetic of training: some vanish there, some grow to 1 or to infinity.

Example:
    >>> from harness.config import precision
    >>> precision.becomes(1e-50, "float32"), precision.becomes(0.1, "float32"), precision.becomes(1e-310, "float64")
    ('0', '', '0')
    >>> precision.becomes(0.99999999, "float32", below_one=True)
    '1'
"""

from __future__ import annotations

import math
from typing import Literal

Precision = Literal["float32", "float64"]

LEAST: dict[Precision, float] = {"float32": 2.0**-126, "float64": 2.0**-1022}
"""The least magnitude that has all its digits; compiled programs take what is below it for 0 (XLA on CPUs)."""

LARGEST: dict[Precision, float] = {"float32": (2 - 2.0**-24) * 2.0**127, "float64": math.inf}
"""Magnitudes from here on round to infinity."""

ONE: dict[Precision, float] = {"float32": 1 - 2.0**-25, "float64": 1.0}
"""Numbers from here on to 1 round to 1."""


def becomes(number: float, precision: Precision, *, below_one: bool = False) -> Literal["", "0", "1", "infinity"]:
    """Returns what a number is in a precision where that is of another kind; empty where it is only rounded.

    Args:
        number: The number.
        precision: That of training.
        below_one: Whether 1 is of another kind than numbers below it.
    """
    if 0 < abs(number) < LEAST[precision]:
        return "0"
    if abs(number) >= LARGEST[precision]:
        return "infinity"
    return "1" if below_one and ONE[precision] <= number < 1 else ""


def refusal(number: float, precision: Precision, *, below_one: bool = False) -> str:
    """Returns why a number is not allowed in a precision, what is, and what to do; empty where it is."""
    kind = becomes(number, precision, below_one=below_one)
    if not kind:
        return ""
    allowed = {
        "0": f"magnitudes from {LEAST[precision]:.2g}",
        "1": "what is below 1 there",
        "infinity": "at most 3.4e38",
    }
    wider = ", or `precision: float64`" if precision == "float32" and not becomes(number, "float64") else ""
    return f"in {precision}, the arithmetic of training, it is {kind}; allowed: {allowed[kind]}{wider}"


def refused_step_size(eta: float, factors: tuple[float, ...], precision: Precision) -> str:
    """Returns why a step size is not allowed, times one of some factors; empty where it is, times each of them."""
    for factor in factors:
        if why := refusal(eta * factor, precision):
            return f"the step size becomes {eta * factor:.3g}; {why}"
    return ""
