# SPDX-License-Identifier: Apache-2.0
"""What a spec expects of its runs, as values: numbers, ranges, words."""

from __future__ import annotations

from typing import NamedTuple


class Range(NamedTuple):
    """A number that is known to lie between two others; what was published of it, if that is one number."""

    low: float
    high: float
    published: float | None = None


Value = float | str | Range


class Expected(NamedTuple):
    """One thing that a cell's runs are expected to show."""

    name: str
    value: Value
