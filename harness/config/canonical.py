# SPDX-License-Identifier: Apache-2.0
"""Canonical JSON (RFC 8785): one text for one value, so that its hash names it."""

from __future__ import annotations

import decimal
import hashlib
import json
import math
from typing import Any

MAX_INTEGER = 2**53 - 1


def text(value: Any) -> str:
    """Returns the canonical JSON of a value made of dict, list, tuple, str, int, float, bool and None.

    Keys are sorted, there are no spaces, and numbers are written as JavaScript writes them: 1.0 is `1`, -0.0 is `0`.

    Raises:
        ValueError: If a number is not finite, or an integer is beyond 2^53 - 1.
        TypeError: If a value is of another type.
    """
    match value:
        case None | bool() | str():
            return json.dumps(value, ensure_ascii=False)
        case int():
            if abs(value) > MAX_INTEGER:
                raise ValueError(f"{value} has no canonical JSON: its magnitude is above 2^53 - 1")
            return str(value)
        case float():
            return _number(value)
        case list() | tuple():
            return "[" + ",".join(map(text, value)) + "]"
        case dict():
            pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be"))
            return "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{text(item)}" for key, item in pairs) + "}"
    raise TypeError(f"{type(value).__name__} has no canonical JSON")


def sha256(value: Any, domain: str) -> str:
    """Returns the SHA-256 (64 hex digits) of the canonical JSON of `value` behind the prefix `domain`."""
    return hashlib.sha256((domain + text(value)).encode()).hexdigest()


def _number(x: float) -> str:
    """Returns a double as ECMAScript's Number::toString writes it (ECMA-262, section 6.1.6.1.20)."""
    if not math.isfinite(x):
        raise ValueError(f"{x} has no canonical JSON: it is not finite")
    if x == 0:
        return "0"
    sign, digit_tuple, exponent = decimal.Decimal(repr(x)).normalize().as_tuple()
    digits = "".join(map(str, digit_tuple))
    point = len(digits) + int(exponent)  # x = 0.digits times 10^point
    if len(digits) <= point <= 21:
        unsigned = digits + "0" * (point - len(digits))
    elif 0 < point <= 21:
        unsigned = digits[:point] + "." + digits[point:]
    elif -6 < point <= 0:
        unsigned = "0." + "0" * -point + digits
    else:
        fraction = "." + digits[1:] if len(digits) > 1 else ""
        unsigned = f"{digits[0]}{fraction}e{point - 1:+d}"
    return ("-" if sign else "") + unsigned
