# SPDX-License-Identifier: Apache-2.0
"""The plain part of YAML: which scalars are what, what is refused and how it is said, and that nothing blows up."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from harness import errors
from harness.specs import strict_yaml

AtMost = Callable[[int], AbstractContextManager[None]]

READ: list[tuple[str, Any]] = [
    ("", None),
    ("~", None),
    ("null", None),
    ("Null", None),
    ("nULL", "nULL"),
    ("true", True),
    ("True", True),
    ("FALSE", False),
    ("tRUE", "tRUE"),
    ("0", 0),
    ("-0", 0),
    ("+7", 7),
    ("12", 12),
    ("-12", -12),
    ("9007199254740991", 2**53 - 1),
    ("0.001", 0.001),
    ("1e-3", 0.001),
    ("1.0e-3", 0.001),
    ("1E3", 1000.0),
    ("1.", 1.0),
    (".5", 0.5),
    ("-.5e1", -5.0),
    ("01.5", 1.5),
    ("0e5", 0.0),
    ("-0.0", 0.0),
    ("-0e5", 0.0),
    ("1e308", 1e308),
    ("5e-324", 5e-324),
    ("relu", "relu"),
    ("y", "y"),
    ("nan", "nan"),
    ("Infinity", "Infinity"),
    ("-.", "-."),
    ("-x", "-x"),
    ("1.2.3", "1.2.3"),
    ("10 steps", "10 steps"),
    ("1e", "1e"),
    ("0x", "0x"),
    ("=", "="),
    ("é", "é"),
]

DIGITS = "integers must lie between -(2^53 - 1) and 2^53 - 1"
QUOTES = "or put the text in quotes"
DECIMAL = f"numbers are written in decimal here; convert it, {QUOTES}"
BASE_60 = "some YAML readers take it for a number in base 60; write it in decimal, or quote the text"
DATE = "some YAML readers take it for a date; put the text in quotes"
FINITE = "numbers must be finite; write a finite number"
REFUSED: list[tuple[str, str]] = [
    ("no", f"some YAML readers take it for false; write false, {QUOTES}"),
    ("Yes", f"some YAML readers take it for true; write true, {QUOTES}"),
    ("ON", f"some YAML readers take it for true; write true, {QUOTES}"),
    ("off", f"some YAML readers take it for false; write false, {QUOTES}"),
    ("012", f"some YAML readers take a leading 0 for octal; write 12, {QUOTES}"),
    ("-007", f"some YAML readers take a leading 0 for octal; write -7, {QUOTES}"),
    ("00", f"some YAML readers take a leading 0 for octal; write 0, {QUOTES}"),
    ("0x1F", DECIMAL),
    ("0o17", DECIMAL),
    ("0b11", DECIMAL),
    ("1_000", "numbers have no underscores here; write 1000, or quote the text"),
    ("1:30", BASE_60),
    ("190:20:30.15", BASE_60),
    ("2024-01-01", DATE),
    ("2024-1-1 10:00:00", DATE),
    (".nan", FINITE),
    (".inf", FINITE),
    ("-.Inf", FINITE),
    ("9007199254740992", DIGITS),
    ("-9007199254740992", DIGITS),
    ("9" * 5000, DIGITS),
    ("1e309", "the number is too large for a double; the largest is 1.7976931348623157e308"),
    ("1e-400", "the number is too small for a double; write 0 if zero is meant"),
    ("0." + "1" * 200, "a number has at most 100 characters; write it shorter"),
]


@pytest.mark.parametrize(("text", "value"), READ)
def test_a_plain_scalar_is_what_yaml_1_2_says(text: str, value: Any) -> None:
    found = strict_yaml.load(f"a: {text}", "x.yaml").value["a"]
    assert (type(found), found) == (type(value), value)
    assert found != 0 or math.copysign(1, found) == 1


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_an_ambiguous_scalar_is_refused_with_the_plain_spelling(text: str, reason: str) -> None:
    shown = text if len(text) <= 80 else text[:77] + "..."
    with pytest.raises(errors.InputError) as error:
        strict_yaml.load(f"a:\n  b: {text}", "x.yaml")
    assert str(error.value) == f"x.yaml:2:6: a.b: {shown}: {reason}"


@pytest.mark.parametrize("text", [text for text, _ in REFUSED] + ["true", "1e-3", "null", "~", "12"])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_quoted_scalar_is_text(text: str, quote: str) -> None:
    assert strict_yaml.load(f"a: {quote}{text}{quote}", "x.yaml").value == {"a": text}


RANGE = 'not valid YAML: a number in a %YAML line or in an escape such as "\\U0001F600" is out of range'
STRUCTURE = [
    ("a: 1\nb: 2\na: 3", "x.yaml:3:1: a: this key is here twice, first on line 1; keep one"),
    ("a: {b: {c: 1,\n c: 2}}", "x.yaml:2:2: a.b.c: this key is here twice, first on line 1; keep one"),
    ("a:\n- {lr: 1}\n- {lr: 1, lr: 2}", "x.yaml:3:11: a[1].lr: this key is here twice, first on line 3; keep one"),
    ("caf\u00e9: 1\ncafe\u0301: 2", "x.yaml:2:1: caf\u00e9: this key is here twice, first on line 1; keep one"),
    ("a: &x 1", "x.yaml:1:4: anchors (&x) are not allowed; write the value out where it is used"),
    ("a: *x", "x.yaml:1:4: aliases (*x) are not allowed; write the value out"),
    ("<<: {a: 1}", "x.yaml:1:1: merge keys (<<) are not allowed"),
    ("a: !!python/name:os.x y", "x.yaml:1:4: tags (tag:yaml.org,2002:python/name:os.x) are not allowed; remove it"),
    ("a: !!str 1", "x.yaml:1:4: tags (tag:yaml.org,2002:str) are not allowed; remove it"),
    ("a: ! 1", "x.yaml:1:4: tags (!) are not allowed; remove it"),
    ("a: 1\n---\nb: 2", "x.yaml:2:1: a second document starts here; a file holds one"),
    ("%YAML 1.1\n---\na: 1", "x.yaml:1:1: directives (%YAML, %TAG) are not allowed; remove the line"),
    ("- 1", "x.yaml:1:1: expected a mapping (lines of `key: value`) at the top"),
    ("just text", "x.yaml:1:1: expected a mapping (lines of `key: value`) at the top"),
    ("", "x.yaml:1:1: the file is empty"),
    ("# only a comment\n", "x.yaml:1:1: the file is empty"),
    ("? [a]\n: 1", "x.yaml:1:3: a key must be a word, not a list or mapping"),
    ("a: 1\n\tb: 2", "x.yaml:2:1: not valid YAML: found character '\\t' that cannot start any token "
     "(while scanning for the next token); indent with spaces"),
    ("a: [1", "x.yaml:1:6: not valid YAML: expected ',' or ']', but got '<stream end>' "
     "(while parsing a flow sequence)"),
    ("a: x\x00", "x.yaml:1:5: character U+0000 is not allowed; remove it"),
    ("a: \ud800", "x.yaml:1:4: character U+D800 is not allowed; remove it"),
    ("a: 'x\u202ey'", "x.yaml:1:6: character U+202E is not allowed; remove it"),
    ('a: "\\ud800"', "x.yaml:1:4: a: '\\ud800': character U+D800 is not allowed"),
    ('a: "\\0"', "x.yaml:1:4: a: '\\x00': character U+0000 is not allowed"),
    ('a: "\\e[31m"', "x.yaml:1:4: a: '\\x1b[31m': character U+001B is not allowed"),
    ('"\\e": 1', "x.yaml:1:1: the key '\\x1b' has a control character"),
    ('a: "\\UFFFFFFFF"', f"x.yaml:1:7: {RANGE}"),
    ("%YAML " + "9" * 5000 + ".1\n---\na: 1", f"x.yaml:1:7: {RANGE}"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), STRUCTURE)
def test_what_is_no_plain_yaml_is_refused_and_said(text: str, message: str) -> None:
    with pytest.raises(errors.InputError) as error:
        strict_yaml.load(text, "x.yaml")
    assert str(error.value) == message


def test_all_wrong_scalars_and_duplicates_are_listed() -> None:
    with pytest.raises(errors.InputError) as error:
        strict_yaml.load("\n".join(f"k{i}: 0{i}" for i in range(1, 14)), "x.yaml")
    lines = str(error.value).splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("x.yaml:1:5: k1: 01: ")
    assert lines[-1] == "... and 3 more"


def nested_merges(levels: int) -> str:
    return "a0: &a0 {x: 1}\n" + "\n".join(
        f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}" for i in range(1, levels)
    )


BOMBS = {
    "nested merge keys": nested_merges(9),
    "billion laughs": "a: &a [x, x]\n" + "\n".join(f"b{i}: &b{i} [*a, *a]" for i in range(9)),
    "500 brackets": "a: " + "[" * 500,
    "32,000 brackets": "[" * 32_000,
    "32,000 closed brackets": "[" * 32_000 + "]" * 32_000,
    "16,000 mappings": "{a: " * 16_000,
    "nested dashes": "- " * 32_000,
    "nested question marks": "? " * 32_000,
    "python object": "!!python/object/apply:os.system ['true']",
    "many keys": "{" + ", ".join(f"k{i}: 1" for i in range(4_000)) + "}",
    "many items": "a: [" + "1," * 30_000 + "]",
    "many documents": "---\n" * 16_000,
    "many directives": "%A\n" * 20_000,
    "long tag": "!" * 60_000,
    "long anchor": "a: &" + "x" * 60_000,
    "too large": "a: " + "x" * 65_536,
    "too large in bytes": "a: '" + "\u20ac" * 22_000 + "'",
    "unclosed quote": "a: '" + "x\n" * 30_000,
    "duplicates": "{" + "a: 1," * 1_200 + "}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_with_little_work(name: str, at_most: AtMost) -> None:
    with at_most(2_000_000), pytest.raises(errors.InputError) as error:
        strict_yaml.load(BOMBS[name], "x.yaml")
    assert len(str(error.value)) < 2_000


@pytest.mark.parametrize("name", ["nested merge keys", "32,000 brackets", "many items"])
def test_a_bomb_is_refused_in_little_memory(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(errors.InputError):
            strict_yaml.load(BOMBS[name], "x.yaml")
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "text",
    ["#" * 65_000, "\n" * 65_000 + "a: 1", "a: " + "x " * 30_000, "a: |\n" + "  x\n" * 15_000, "a: 1" + " " * 60_000],
)
def test_a_long_harmless_text_is_read_or_refused_with_little_work(text: str, at_most: AtMost) -> None:
    with at_most(2_000_000):
        if text.startswith("#"):
            with pytest.raises(errors.InputError, match="the file is empty"):
                strict_yaml.load(text, "x.yaml")
        else:
            assert set(strict_yaml.load(text, "x.yaml").value) == {"a"}


def test_limits_are_where_they_are_said_to_be() -> None:
    fits = "a: " + "[" * 15 + "]" * 15
    assert strict_yaml.load(fits, "x.yaml").value
    with pytest.raises(errors.InputError, match="x.yaml:1:19: nested deeper than 16 levels"):
        strict_yaml.load("a: " + "[" * 16 + "]" * 16, "x.yaml")
    assert len(strict_yaml.load("a: [" + "1," * 4_995 + "]", "x.yaml").value["a"]) == 4_995
    with pytest.raises(errors.InputError, match="more than 5,000 keys, values and brackets; a spec is smaller"):
        strict_yaml.load("a: [" + "1," * 4_996 + "]", "x.yaml")
    assert strict_yaml.load("a: 1\n" + "#" * (65_536 - 5), "x.yaml").value == {"a": 1}
    with pytest.raises(errors.InputError, match="x.yaml: larger than 64 KiB; a spec is smaller"):
        strict_yaml.load("a: 1\n" + "#" * (65_537 - 5), "x.yaml")


def test_places_are_lines_and_columns_from_one() -> None:
    document = strict_yaml.load("a: 1\nb:\n  - {c: x,\n     d: y}\n", "x.yaml")
    assert document.value == {"a": 1, "b": [{"c": "x", "d": "y"}]}
    assert strict_yaml.position(document, ("a",)) == (1, 4)
    assert strict_yaml.position(document, ("a",), key=True) == (1, 1)
    assert strict_yaml.position(document, ("b", 0, "d")) == (4, 9)
    assert strict_yaml.position(document, ("b", 0, "d"), key=True) == (4, 6)
    assert strict_yaml.position(document, ("b", 0, "missing", "deeper"), key=True) == (3, 5)
    assert strict_yaml.message(document, ("b", 0, "d"), "wrong") == "x.yaml:4:9: b[0].d: wrong"


def test_windows_lines_and_byte_order_mark_are_read() -> None:
    text = strict_yaml.decode(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", "x.yaml")
    assert strict_yaml.load(text, "x.yaml").value == {"a": 1, "b": 2}


def test_bytes_that_are_not_utf8_are_refused_with_their_place() -> None:
    with pytest.raises(errors.InputError) as error:
        strict_yaml.decode(b"a: \xc3\xa9\nb: \xff", "x.yaml")
    assert str(error.value) == "x.yaml:2:4: byte 0xff is not UTF-8; save the file as UTF-8"
