# SPDX-License-Identifier: Apache-2.0
"""Which step sizes are left when several points of one analytic piece have spoken (F9, ours).

If eta is bad for a piece, 1/eta is an eigenvalue of H at every point of it (F3). So 1/eta lies in the intersection,
over any points of the piece, of the sets of eigenvalues there, each eigenvalue widened by its error. What the
intersection leaves out is certified: for every such eta at once, not for almost every one.

A spectrum need not be complete. Where all eigenvalues above some level are known (harness/curvature/exclusion.py), the
others lie between 0 and that level: the point excludes small step sizes, up to the inverse of the level, and nothing
beyond. Such a point fails with the probability of its exclusion; several with the sum of theirs at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from harness.curvature import spectrum as spectra
from harness.records import verdict


class Candidate(NamedTuple):
    """An interval [low, high] of step sizes that was not excluded; one number in all but rounding."""

    low: float
    high: float


class Steps(NamedTuple):
    """Every eta with 0 < eta < below is certified, except those in `candidates`.

    Attributes:
        below: End of the range; infinity if there is none. Eigenvalues that cannot be told from 0 set it, and those
            that no point has seen.
        candidates: The intervals left over, in increasing order; they lie below `below`.
    """

    below: float
    candidates: tuple[Candidate, ...]


NOTHING = np.zeros((0, 2))


def certified(found: Iterable[spectra.Spectrum]) -> Steps:
    """Returns the step sizes that points of one piece certify; none if there is no point.

    Args:
        found: A spectrum at each point; multiplicities do not matter.
    """
    return outside([bands(spectrum) for spectrum in found])


def outside(points: Iterable[np.ndarray]) -> Steps:
    """Returns the step sizes whose inverses some point excludes, from the bands (k, 2) of each point."""
    left = np.array([[0.0, np.inf]])
    for found in points:
        left = intersection(left, found)
    at_zero = left[left[:, 0] <= 0]
    top = float(at_zero[-1, 1]) if len(at_zero) else 0.0
    below = float("inf") if top == 0 else 1 / top
    candidates = [Candidate(float(1 / high), float(1 / low)) for low, high in left[left[:, 0] > 0][::-1]]
    return Steps(below, tuple(candidates))


def within(certified: Steps, etas: np.ndarray) -> np.ndarray:
    """Returns which of some step sizes are certified, (k,) bools."""
    left = [(one.low <= etas) & (etas <= one.high) for one in certified.candidates]
    return (etas < certified.below) & ~np.any([np.zeros(len(etas), bool), *left], axis=0)


def bands(spectrum: spectra.Spectrum, margin: float = verdict.MARGIN) -> np.ndarray:
    """Returns the set in which the eigenvalues > 0 lie, (k, 2): disjoint intervals, increasing, cut off at 0.

    Each eigenvalue is widened by `margin` times its error bar, verdict.MARGIN as a certificate at one eta asks. Where
    the spectrum is not complete, the first interval holds all that was never seen: from 0 to `rest` plus `coupling`,
    which is also what the others are widened by, and the part of it that is rounding `margin` times
    (spectrum.lower_error).
    """
    values, room = spectrum.values, margin * spectrum.errors
    if not spectrum.complete:
        values = np.r_[spectrum.rest, values[values > spectrum.rest]]
        room = np.full(len(values), spectrum.coupling + (margin - 1) * spectra.rounding(spectrum))
    lows, highs = np.maximum(values - room, 0.0), values + room
    if not spectrum.complete:
        lows[0] = 0.0
    merged: list[list[float]] = []
    for i in np.argsort(lows):
        if highs[i] <= 0:
            continue
        if merged and lows[i] <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], float(highs[i]))
        else:
            merged.append([float(lows[i]), float(highs[i])])
    return np.array(merged) if merged else NOTHING


def intersection(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Returns the intersection of two sets of disjoint closed intervals, each (k, 2) and increasing."""
    found: list[tuple[float, float]] = []
    i = j = 0
    while i < len(left) and j < len(right):
        low, high = max(left[i, 0], right[j, 0]), min(left[i, 1], right[j, 1])
        if low <= high:
            found.append((low, high))
        if left[i, 1] < right[j, 1]:
            i += 1
        else:
            j += 1
    return np.array(found) if found else NOTHING
