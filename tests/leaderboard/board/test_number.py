# SPDX-License-Identifier: Apache-2.0
"""Numbers are printed with four digits, and never with more certainty than their error bar leaves."""

from __future__ import annotations

import math
import re

import hypothesis
import pytest
from hypothesis import strategies

from leaderboard.board import number


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (0.0, "0"),
        (0.1, "0.1"),
        (3.0, "3"),
        (-0.5, "−0.5"),
        (13402.0, "13,402"),
        (0.123456, "0.1235"),
        (0.99996, "1.000"),
        (12345.5, "1.235×10⁴"),
        (1.2346e-7, "1.235×10⁻⁷"),
        (1e-300, "1×10⁻³⁰⁰"),
    ],
)
def test_four_digits(value: float | None, printed: str) -> None:
    assert number.show(value) == printed


@pytest.mark.parametrize(
    ("low", "high", "printed"),
    [
        (0.00083349, 0.00135601, "[0.0008334, 0.001357]"),
        (0.05, 0.2, "[0.05, 0.2]"),
        (1 - 1e-9, 1 + 1e-9, "[0.9999, 1.001]"),
        (1.23456e-7, math.inf, "[1.234×10⁻⁷, ∞]"),
    ],
)
def test_an_interval_is_rounded_outwards(low: float, high: float, printed: str) -> None:
    assert number.show_interval(low, high) == printed


@pytest.mark.parametrize(
    ("value", "error", "printed"),
    [
        (0.012347, 0.00012, "0.01235 ± 0.00012"),
        (-29.14, 0.13, "−29.14 ± 0.13"),
        (12.5, 30.0, "12 ± 30"),
        (0.1, 0.00999, "0.1000 ± 0.0100"),
        (0.5, 0.6, "0.50 ± 0.60"),
        (1e-9, 3e-7, "(0.0 ± 3.0)×10⁻⁷"),
        (1.234e-5, 2e-7, "(1.234 ± 0.020)×10⁻⁵"),
        (0.99999, 1e-16, "1.000 (±1×10⁻¹⁶)"),
        (0.5, 0.0, "0.5"),
        (0.5, math.inf, "0.5 ± ∞"),
        (0.5, 1.79e308, "0.5 ± ∞"),
        (0.5, 5e-324, "0.5 (±3×10⁻³⁰⁸)"),
        (0.0, 5e-324, "(0.0 ± 2.3)×10⁻³⁰⁸"),
        (5e-324, 5e-324, "(0.0 ± 2.3)×10⁻³⁰⁸"),
    ],
)
def test_error_bar_and_value_have_matching_digits(value: float, error: float, printed: str) -> None:
    assert number.show(value, error) == printed


def test_a_bound_stands_in_front() -> None:
    assert number.show(0.25, 0.0011, "≤") == "≤ 0.2500 ± 0.0011"


def test_a_range_says_nothing_twice() -> None:
    assert number.show_range([2.0, 1.0, 3.0], "2") == "1–3"
    assert number.show_range([2.0, 2.0], "2") == ""
    assert number.show_range([2.0], "2") == ""


@hypothesis.given(strategies.floats(allow_nan=False, allow_infinity=False))
def test_rounding_keeps_four_digits_and_makes_no_error_bar_smaller(value: float) -> None:
    assert abs(number.rounded(value) - value) <= 5.1e-4 * abs(value) + 1e-323
    coarse = number.rounded_error(abs(value))
    assert math.isfinite(coarse) and abs(value) * (1 - 1e-9) <= coarse <= max(abs(value) * 1.11, 2.3e-308)
    assert len(repr(coarse).rstrip("0").partition("e")[0].replace(".", "").strip("0")) <= 2 or coarse >= number.LARGE


@hypothesis.given(
    strategies.floats(min_value=-1e12, max_value=1e12, allow_subnormal=False),
    strategies.floats(min_value=1e-12, max_value=1e12),
)
def test_the_printed_interval_is_true(value: float, error: float) -> None:
    """What is printed holds the value, up to the rounding of four digits, and no error smaller than the true one."""
    printed = number.show(value, error)
    middle, spread = _parsed(printed)
    assert spread >= error * (1 - 1e-9)
    room = spread if "(±" not in printed else abs(value) * 5.1e-4 + error
    assert abs(middle - value) <= room * (1 + 1e-9) + 1e-300


def _parsed(printed: str) -> tuple[float, float]:
    plain = printed.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")).replace(",", "")
    shared = re.fullmatch(r"\((.+) ± (.+)\)×10(.+)", plain)
    if shared:
        scale = 10.0 ** int(shared[3])
        return float(shared[1]) * scale, float(shared[2]) * scale
    pair = re.fullmatch(r"(.+?) (?:± |\(±)(.+?)\)?", plain)
    assert pair is not None
    middle, spread = (float(part.replace("×10", "e")) for part in pair.groups())
    return middle, spread
