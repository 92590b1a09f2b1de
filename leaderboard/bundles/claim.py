# SPDX-License-Identifier: Apache-2.0
"""A claim that was checked: what was said, what was found, how far they may be apart, and whether that holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from leaderboard.export import labels


class Check(NamedTuple):
    """One comparison.

    Attributes:
        level: The level that promises it.
        what: What is compared.
        where: Of which seed and step.
        claimed: As it is printed.
        found: As it is printed.
        tolerance: How far they may be apart, as it is printed.
        used: Which share of the tolerance was used: more than 1 where the claim does not hold.
    """

    level: labels.Level
    what: str
    where: str
    claimed: str
    found: str
    tolerance: str
    used: float

    @property
    def holds(self) -> bool:
        """Whether the claim is confirmed."""
        return self.used <= 1


def same(level: labels.Level, what: str, where: str, claimed: object, found: object) -> Check:
    """Returns the check of something that is the same or not."""
    used = 0.0 if claimed == found and type(claimed) is type(found) else math.inf
    return Check(level, what, where, shown(claimed), shown(found), "the same", used)


def near(level: labels.Level, what: str, where: str, claimed: float, found: float, room: float) -> Check:
    """Returns the check of a number that may be as far from the one found as `room`; infinite ones must be the same."""
    if claimed == found or (math.isnan(claimed) and math.isnan(found)):
        used = 0.0
    else:
        apart = abs(claimed - found)
        used = apart / room if room > 0 and math.isfinite(apart) else math.inf
    return Check(level, what, where, shown(claimed), shown(found), f"± {room:.2g}" if room else "the same", used)


def holds(level: labels.Level, what: str, where: str, claimed: str, found: str, wanted: str, right: bool) -> Check:
    """Returns the check of a relation, `wanted` saying which."""
    return Check(level, what, where, claimed, found, wanted, 0.0 if right else math.inf)


def shown(value: object) -> str:
    """Returns a value as checks print it: numbers with 12 digits."""
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(entry)}" for name, entry in value.items()) or "none"
    if isinstance(value, list | tuple):
        return " ".join(map(shown, value)) or "none"
    return str(value)


class Line(NamedTuple):
    """All checks of one thing, as a table prints them: the worst of them.

    Attributes:
        worst: The one that used most of its tolerance.
        checks: How many there were.
        failed: How many did not hold.
    """

    worst: Check
    checks: int
    failed: int


def lines(checks: Iterable[Check]) -> list[Line]:
    """Returns a line for each thing that was checked, in the order of their first checks."""
    found: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        found.setdefault((check.level, check.what), []).append(check)
    return [
        Line(max(alike, key=lambda check: check.used), len(alike), sum(not check.holds for check in alike))
        for alike in found.values()
    ]
