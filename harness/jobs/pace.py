# SPDX-License-Identifier: Apache-2.0
"""Pace: how fast a task goes, and how long it will still take, from the moments of its events.

A step takes a seconds and a checkpoint b, both unknown: least squares over the intervals between events. Checkpoints
are log-spaced, so neither the share of steps nor that of checkpoints tells the time that is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

WARM = 2
"""Records after which intervals count: the first two wait for compilation."""

APART = 0.25
"""How much intervals must differ in their shares of steps and checkpoints (0: all alike, 1: apart) to tell the two."""


class Pace(NamedTuple):
    """What is remembered of a task's events.

    Attributes:
        begun: When it began, in seconds of any clock.
        moment: When its last event was.
        step: Steps taken; -1 before the first record.
        recorded: Last step that was recorded; -1 before the first.
        records: Steps that were recorded since it began.
        sums: Over all intervals that count, with x steps and r checkpoints in y seconds: xx, xr, rr, xy, ry.
    """

    begun: float
    moment: float
    step: int = -1
    recorded: int = -1
    records: int = 0
    sums: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)


def begun(moment: float) -> Pace:
    """Returns the pace of a task that begins now."""
    return Pace(moment, moment)


def after(pace: Pace, step: int, record: bool, moment: float) -> Pace:
    """Returns the pace after an event; seeds that follow another at the same step change nothing.

    Args:
        pace: The pace before.
        step: Steps taken at the event.
        record: Whether it is a record.
        moment: When it happened.
    """
    r = record and step > pace.recorded
    if step <= pace.step and not r:
        return pace
    x, y = max(step - max(pace.step, 0), 0), moment - pace.moment
    sums = pace.sums
    if pace.records >= WARM:
        terms = (x * x, x * r, r * r, x * y, r * y)
        sums = tuple(s + t for s, t in zip(sums, terms, strict=True))  # type: ignore[assignment]
    recorded = step if r else pace.recorded
    return Pace(pace.begun, moment, max(step, pace.step), recorded, pace.records + r, sums)


def seconds(pace: Pace) -> tuple[float, float] | None:
    """Returns the seconds that a step and a checkpoint take; None before that can be told."""
    xx, xr, rr, xy, ry = pace.sums
    if rr == 0:
        return None if xx == 0 else (xy / xx, 0.0)
    determinant = xx * rr - xr * xr
    if determinant < APART * xx * rr or xx == 0:
        return None
    step, checkpoint = (xy * rr - ry * xr) / determinant, (ry * xx - xy * xr) / determinant
    if step < 0:
        return 0.0, ry / rr
    return (step, checkpoint) if checkpoint >= 0 else (xy / xx, 0.0)


def left(pace: Pace, checkpoints: Sequence[int]) -> float | None:
    """Returns the seconds that are left after the last event, or None.

    Args:
        pace: The pace.
        checkpoints: All checkpoint steps of a run, ascending.
    """
    found = seconds(pace)
    if found is None:
        return None
    remaining = sum(step > pace.recorded for step in checkpoints)
    return found[0] * (checkpoints[-1] - max(pace.step, 0)) + found[1] * remaining
