# SPDX-License-Identifier: Apache-2.0
"""Why the number of eigenvalues above 1/eta changed since the last look: crossings of 1/eta, or jumps of H at kinks.

On a piece of the risk eigenvalues are continuous in theta: one that passes 1/eta makes I - eta H singular on the way.
At a kink H jumps, and an eigenvalue may come to the other side without that. The straight segment from the checkpoint
before to this one (eta changes along it linearly, where a schedule changes it) is bisected until a bracket in which the
count changes has the same signs of all margins at both ends, which is a crossing, or is as short as a millionth of
where it lies and holds a kink: a jump, if an eigenvalue of eta H moves across it by more than STEEP times its length.

Cost: nothing where the count is the same at both ends. Elsewhere some ten counts for each change, of a dozen products
each (curvature/counting.py), up to SHARE times the price of a survey (or LEAST); what that leaves is unresolved.
Failure: the segment is not the trajectory; changes that undo each other between two places that were looked at, and
signs that flip and flip back within a bracket, are not seen.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import jax
import numpy as np

from harness.diagnostics import kinks, plan
from harness.diagnostics import point as points

METRICS = ("crossings_between", "jumps_between", "changes_unresolved")

SHARE = 2.0
"""Times the price of a survey, which counting may cost at most where the count changed."""

LEAST = 500.0
"""Gradients that counting may cost however small the network is."""

FEW = 2
"""Signs that differ between the ends of a bracket, up to which its first kink is looked for."""

SHORT = 2.0**-20
"""Length of a bracket, in shares of the segment, below which it is looked for however many signs differ."""

PULL = 0.1
"""Share of a bracket by which the next place lies beyond where a straight line passes 1, towards the middle."""

STEEP = 100.0
"""Change of an eigenvalue of eta H for each segment, above which it is no continuous one."""


class Look(NamedTuple):
    """A place on the segment that was looked at.

    Attributes:
        share: How far along it lies, from 0 to 1.
        theta: (P,).
        scaled: The largest eigenvalues of eta H, descending; None where only their number is known.
        above: How many of them are above 1.
    """

    share: float
    theta: jax.Array
    scaled: np.ndarray | None
    above: int


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs at most, in gradients: the last count may end beyond the share."""
    return max(LEAST, SHARE * plan.survey(size))


def measure(point: points.Point) -> dict[str, float]:
    """Returns how many eigenvalues crossed 1/eta, how many jumped over it, and of how many it is not known.

    Raises:
        ValueError: If it is not known where the point is, or what the spectrum is there.
        FloatingPointError: If a product is not finite.
    """
    theta, previous, problem, *_ = point.nearby
    if previous is None:
        return dict.fromkeys(METRICS, math.nan)
    known = point.survey.spectrum
    size = plan.Size(problem.size, problem.examples, 0, problem.examples, problem.surveyor.method, 0, 0)
    search = Search(point, previous, gradients(size) / plan.PRODUCT)
    last = _look(1.0, theta, point.eta * known.values)
    before = point.nearby.above
    first = search.look(0.0) if before is None else Look(0.0, previous, None, int(before))
    return search.between(first, last)


@dataclasses.dataclass
class Search:
    """What is asked along the segment, and what it may still cost.

    Attributes:
        point: The point at its end.
        previous: (P,) its beginning.
        left: Products that may still be spent.
    """

    point: points.Point
    previous: jax.Array
    left: float

    def between(self, first: Look, last: Look) -> dict[str, float]:
        """Returns METRICS of the segment between two looks, from brackets that each hold a change of the count."""
        ask, batch = kinks.programs(self.point.nearby.problem.margins), self.point.nearby.problem.exact
        told = dict.fromkeys(METRICS, 0.0)
        brackets = [(first, last, math.inf)]
        while brackets:
            low, high, before = brackets.pop()
            change, length = abs(high.above - low.above), high.share - low.share
            if not change:
                continue
            flipped = int(ask.flips(low.theta, high.theta, batch)[0])
            if not flipped:
                told["crossings_between"] += change
            elif self.left <= 0:
                told["changes_unresolved"] += change
            elif flipped > FEW and length > SHORT:
                middle = self.look(_place(low, high, narrowed=length <= before / 2))
                brackets += [(middle, high, length), (low, middle, length)]
            else:
                ends = low.share + length * np.asarray(ask.leave(low.theta, high.theta, batch))
                left, right = (self.look(float(end)) for end in ends)
                name = "crossings_between" if _continuous(left, right) else "jumps_between"
                told[name] += abs(right.above - left.above)
                brackets += [(right, high, length), (low, left, length)]
        return told

    def look(self, share: float) -> Look:
        """Returns what is known at a place on the segment, after a count there."""
        point, nearby = self.point, self.point.nearby
        theta = self.previous + share * (nearby.theta - self.previous)
        start = point.eta if nearby.previous_eta is None else nearby.previous_eta
        eta = start + share * (point.eta - start)
        found = nearby.problem.counter((theta, nearby.problem.exact), 1 / eta, nearby.key_of("changes"))
        self.left -= found.products
        return _look(share, theta, eta * found.values)


def _look(share: float, theta: jax.Array, scaled: np.ndarray) -> Look:
    return Look(share, theta, scaled[::-1], int(np.sum(scaled > 1)))


def _passing(low: Look, high: Look) -> np.ndarray | None:
    """Returns how far the eigenvalues that pass 1 are from it at both ends, (2, changes); None if not known."""
    ranks = slice(min(low.above, high.above), max(low.above, high.above))
    if low.scaled is None or high.scaled is None or min(len(low.scaled), len(high.scaled)) < ranks.stop:
        return None
    return np.stack([low.scaled[ranks] - 1, high.scaled[ranks] - 1])


def _place(low: Look, high: Look, *, narrowed: bool) -> float:
    """Returns where to look next: just beyond where a straight line passes 1, or in the middle.

    That leaves the passing on the shorter side where the line is good. In the middle where the last place did not
    narrow the bracket by half, as where H jumps.
    """
    middle, length = (low.share + high.share) / 2, high.share - low.share
    passing = _passing(low, high)
    if not narrowed or passing is None or passing.shape[1] != 1:
        return middle
    before, after = passing[:, 0]
    straight = low.share + length * float(before / (before - after))
    return straight + math.copysign(min(PULL * length, abs(middle - straight)), middle - straight)


def _continuous(low: Look, high: Look) -> bool:
    """Says whether what passes 1 is so near to it at both ends of a short bracket that it need not jump."""
    passing = _passing(low, high)
    return passing is not None and bool(np.all(np.abs(passing) <= STEEP * (high.share - low.share)))
