# SPDX-License-Identifier: Apache-2.0
"""Canonical JSON: numbers as ECMAScript writes them, keys sorted, one text for one value."""

from __future__ import annotations

import json
import math
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from harness.config import canonical

# The numbers of RFC 8785, appendix B, that are finite, and neighbours of the places where the notation changes.
NUMBERS = [
    (0.0, "0"),
    (-0.0, "0"),
    (1.0, "1"),
    (-1.0, "-1"),
    (0.1, "0.1"),
    (4.5, "4.5"),
    (0.002, "0.002"),
    (1e-3, "0.001"),
    (5e-324, "5e-324"),
    (-5e-324, "-5e-324"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    (9007199254740992.0, "9007199254740992"),
    (295147905179352830000.0, "295147905179352830000"),
    (9.999999999999997e22, "9.999999999999997e+22"),
    (1e23, "1e+23"),
    (1e20, "100000000000000000000"),
    (1e21, "1e+21"),
    (333333333.33333329, "333333333.3333333"),
    (1e-6, "0.000001"),
    (1e-7, "1e-7"),
    (1.5e-7, "1.5e-7"),
    (123456.789e3, "123456789"),
]


@pytest.mark.parametrize(("number", "text"), NUMBERS)
def test_a_double_is_written_as_ecmascript_writes_it(number: float, text: str) -> None:
    assert canonical.text(number) == text


@hypothesis.given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_reads_back_as_itself(number: float) -> None:
    assert float(canonical.text(number)) == number


def test_keys_are_sorted_and_nothing_is_spaced() -> None:
    value = {"b": [1, 2.0, None, True], "a": {"z": "\u20ac\n", "y": ()}}
    assert canonical.text(value) == '{"a":{"y":[],"z":"\u20ac\\n"},"b":[1,2,null,true]}'


def test_keys_are_sorted_by_utf16_units() -> None:
    # U+1F600 is D83D DE00 in UTF-16, before U+FB33; by code point it would come after.
    assert list(json.loads(canonical.text({"\ufb33": 1, "\U0001f600": 2}))) == ["\U0001f600", "\ufb33"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2**53, -(2**53)])
def test_a_number_that_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="has no canonical JSON"):
        canonical.text([value])


def test_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="set has no canonical JSON"):
        canonical.text({"a": {1}})


def test_the_hash_depends_on_value_and_domain() -> None:
    names = {canonical.sha256(value, domain) for value in ({}, {"a": 1}) for domain in ("x\n", "y\n")}
    assert len(names) == 4
    # printf 'x\n{"a":1}' | sha256sum
    assert canonical.sha256({"a": 1.0}, "x\n") == "0a76cb7b4c02680bfe496339d4f0f952bf221290b5821184429fa0f909f020d3"
