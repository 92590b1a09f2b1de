# SPDX-License-Identifier: Apache-2.0
"""How a number is printed: on the site, in the terminal, in every table alike."""

from __future__ import annotations

import decimal
import math
import sys

MISSING = "–"
DIGITS = 4
LARGE = 1e308
"""From here on rounding may lead to infinity."""

SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def show(value: float | None, error: float | None = None, bound: str = "") -> str:
    """Prints a number with four significant digits, and its error bar with digits that match.

    The error is rounded up to two digits and the value is cut where the error ends. An error below the last of four
    digits stands in parentheses: it is the error of the number that is stored, not of the digits that are printed.

    Args:
        value: The number; None (or NaN) where there is none.
        error: Its error bar, >= 0.
        bound: Put in front: `≤`, `≥` or `≈` where the number is only that.

    Returns:
        For example `0.1235`, `1.2×10⁻⁷`, `0.01234 ± 0.00012`, `0.9817 (±2×10⁻¹²)`, `≤ 0.3`, `∞` or `–`.
    """
    if value is None or math.isnan(value):
        return MISSING
    bare = error is None or not error > 0 or not math.isfinite(value)
    body = _plain(value) if error is None or bare else _pair(value, max(error, sys.float_info.min))
    return f"{bound} {body}" if bound else body


def show_interval(low: float, high: float) -> str:
    """Prints two ends with four significant digits, each rounded outwards: `[0.000833, 0.001357]`."""
    ends = (_outwards(low, decimal.ROUND_FLOOR), _outwards(high, decimal.ROUND_CEILING))
    return f"[{', '.join(show(end) for end in ends)}]"


def rounded(value: float) -> float:
    """Returns a finite number with as many digits as are printed."""
    return value if _whole(value) or abs(value) > LARGE else float(f"{value:.{DIGITS}g}")


def rounded_error(error: float) -> float:
    """Returns a finite error bar as it is printed, rounded up to two digits."""
    if not 0 < error < LARGE:
        return error
    error = max(error, sys.float_info.min)
    return float(f"{_up(error, _exponent(error) - 1):.2g}")


def show_range(values: list[float], shown: str = "") -> str:
    """Prints `least–greatest`; empty when there is nothing to tell beyond `shown`."""
    if len(values) < 2:
        return ""
    low, high = show(min(values)), show(max(values))
    return "" if low == high == shown else low if low == high else f"{low}–{high}"


def _outwards(value: float, rounding: str) -> float:
    if not math.isfinite(value) or _whole(value) or not 1e-300 < abs(value) < LARGE:
        return value
    return float(decimal.Context(DIGITS, rounding).create_decimal(repr(value)))


def _plain(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if _whole(value):
        return _sign(f"{int(value):,}")
    exponent = int(f"{value:.{DIGITS - 1}e}".partition("e")[2])
    if -4 <= exponent < DIGITS:
        short = f"{value:.{DIGITS}g}"
        return _sign(short if "." in short else f"{value:.{DIGITS - 1 - exponent}f}")
    return _scientific(f"{value:.{DIGITS - 1}e}")


def _whole(value: float) -> bool:
    """Says whether a finite number is printed to its last digit."""
    return value == int(value) and abs(value) < 10**6


def _pair(value: float, error: float) -> str:
    if not error < LARGE:
        return f"{_plain(value)} ± ∞"
    place = _exponent(error) - 1
    finest = _exponent(value) - DIGITS + 1 if value else place
    if place + 1 < finest:
        return f"{_plain(value)} (±{_plain(_up(error, place + 1))})"
    place = max(place, finest)
    error = _up(error, place)
    top = _exponent(max(abs(value), error))
    if -4 <= top < DIGITS + 1 and place <= 0:
        return f"{_sign(f'{value:.{-place}f}')} ± {error:.{-place}f}"
    decimals = max(top - place, 0)
    mantissas = f"{_sign(f'{value / 10.0**top:.{decimals}f}')} ± {error / 10.0**top:.{decimals}f}"
    return f"({mantissas})×10{str(top).translate(SUPERSCRIPT)}"


def _scientific(written: str) -> str:
    mantissa, exponent = written.split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return _sign(f"{mantissa}×10{str(int(exponent)).translate(SUPERSCRIPT)}")


def _up(value: float, place: int) -> float:
    """Rounds up at the decimal place, but not for a last bit that rounding itself made."""
    return math.ceil(value / 10.0**place * (1 - 1e-12)) * 10.0**place


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value else 0


def _sign(written: str) -> str:
    return written.replace("-", "−", 1) if written.startswith("-") else written
