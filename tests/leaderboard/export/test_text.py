# SPDX-License-Identifier: Apache-2.0
"""What strangers wrote loses what could harm a reader, and nothing else."""

from __future__ import annotations

import pytest

from leaderboard.export import text
from leaderboard.site import spreadsheet


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("gdzoo run specs/quickstart/mlp.yaml", "gdzoo run specs/quickstart/mlp.yaml"),
        ("gdzoo run /home/someone/gdzoo/specs/quickstart/mlp.yaml", "gdzoo run specs/quickstart/mlp.yaml"),
        (r"gdzoo run C:\Users\someone\x.yaml", "gdzoo run x.yaml"),
        ("~/secret/x.yaml", "x.yaml"),
        ("</script> and 1 /η", "</script> and 1 /η"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("η = 1 / λ_max(0), 1/η and/or 2/η", "η = 1 / λ_max(0), 1/η and/or 2/η"),
        ("a\u202eb\u2066c\u200bd", "abcd"),
        ("\x1b[31mred", "[31mred"),
        ("two\nlines\u2028three", "two lines three"),
        ("e\u0301", "é"),
    ],
)
def test_clean(given: str, kept: str) -> None:
    assert text.clean(given) == kept


def test_clean_lines_keeps_lines_and_indentation() -> None:
    assert text.clean_lines("a:\r\n  b: 1\u202e\n") == "a:\n  b: 1\n"


@pytest.mark.parametrize(
    ("given", "written"),
    [("=1+1", "'=1+1"), ("@x", "'@x"), ("-x", "'-x"), ("-1.5", "-1.5"), ("+x", "'+x"), ("a=b", "a=b")],
)
def test_a_spreadsheet_sees_no_formula(given: str, written: str) -> None:
    assert spreadsheet.inert(given) == written
