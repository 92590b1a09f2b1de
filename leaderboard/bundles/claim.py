# SPDX-License-Identifier: Apache-2.0
"""One comparison: what a bundle claims, what was found, how far they may be apart, and whether the claim holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from leaderboard.export import labels


class Subject(NamedTuple):
    """What is compared.

    Attributes:
        level: The level of checking that promises it.
        what: What it is.
        where: Of which seed and step.
    """

    level: labels.Level
    what: str
    where: str


class Check(NamedTuple):
    """One comparison.

    Attributes:
        level: See Subject.
        what: See Subject.
        where: See Subject.
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


def same(subject: Subject, claimed: object, found: object) -> Check:
    """Returns the check that two things are the same."""
    used = 0.0 if claimed == found and type(claimed) is type(found) else math.inf
    return Check(*subject, shown(claimed), shown(found), "the same", used)


def near(subject: Subject, claimed: float, found: float, tolerance: float) -> Check:
    """Returns the check that two numbers differ by `tolerance` at most; infinite ones must be the same."""
    if claimed == found or (math.isnan(claimed) and math.isnan(found)):
        used = 0.0
    else:
        difference = abs(claimed - found)
        used = difference / tolerance if tolerance > 0 and math.isfinite(difference) else math.inf
    return Check(*subject, shown(claimed), shown(found), f"± {tolerance:.2g}" if tolerance else "the same", used)


def related(subject: Subject, claimed: str, found: str, relation: str, holds: bool) -> Check:
    """Returns the check of a relation between two things, which `relation` names."""
    return Check(*subject, claimed, found, relation, 0.0 if holds else math.inf)


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
    grouped: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        grouped.setdefault((check.level, check.what), []).append(check)
    return [
        Line(max(alike, key=lambda check: check.used), len(alike), sum(not check.holds for check in alike))
        for alike in grouped.values()
    ]


def sentence(check: Check) -> str:
    """Returns a check that does not hold in a line."""
    pair = f"{check.claimed} is claimed, {check.found} was found"
    return f"{check.what}, {check.where}: {pair}; allowed: {check.tolerance}"
