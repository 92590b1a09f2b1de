# SPDX-License-Identifier: Apache-2.0
"""Verdict: what the records of a run are entitled to claim about the gradient-descent map.

`invertible`: I - eta H is invertible at every point that was looked at. At each checkpoint step a lower bound of
sigma_min above 0 is known, up to a model of the rounding in H, and stays above 0 with that rounding MARGIN times as
large (mathematics, D13): by all eigenvalues, or by a Lanczos run and what excludes others, which is false with a
probability of exclusion.FAILURE at most for each survey; a run adds them up. Heavy ball needs no measurement: the
derivative of its map of (theta, v) is invertible at every point and step size (theory.STATEMENTS, F11). `undecided`:
anything else, and `doubt` says at which step and why; a distance within rounding of 0 is not evidence of singularity.
`singular`: theory knows in closed form that the map at a step size of the run takes a set of positive measure to a null
set (harness/theory/__init__.py). That is a statement about the map, not about the points of the run, and no measurement
makes it.

Of the whole map, not of points, `gdzoo certify` says that it is `certified` (harness/theory/certify.py).

Example:
    >>> from harness import records
    >>> from harness.records import verdict
    >>> known = {"sigma_min": 0.2, "sigma_min_error": 1e-9, "sigma_min_lower": 0.1, "sigma_min_lower_error": 1e-9}
    >>> verdict.verdict([records.Record(0, known)], singular=False)
    'invertible'
    >>> verdict.doubt([records.Record(0, known), records.Record(9, known | {"sigma_min_lower": 0.0})]).words
    'at step 9: the lower bound of σ_min is 0: nothing excludes an eigenvalue at 1/η among those that were never seen'
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from harness import records

Verdict = Literal["invertible", "undecided", "singular"]
Because = Literal["nothing recorded", "not measured", "not finite", "within error bars", "nothing excluded"]

MARGIN = 100.0
"""How many times its error bar sigma_min must be for a verdict, or a certificate."""

OLDER = {"certified": "invertible"}
"""Words of older versions, and what they are called now."""

SAID: dict[Verdict, str] = {
    "invertible": "the derivative of the map is invertible at every point that was looked at",
    "undecided": "whether the derivative of the map is invertible where it was looked at is undecided",
    "singular": "the map is singular at a step size of the run",
}
"""Each verdict in a sentence."""

REASONS: dict[Because, str] = {
    "nothing recorded": "nothing was recorded",
    "not measured": "σ_min was not measured",
    "not finite": "σ_min is not finite",
    "within error bars": f"σ_min is within {MARGIN:g} error bars of 0",
    "nothing excluded": "the lower bound of σ_min is 0: nothing excludes an eigenvalue at 1/η among those that "
    "were never seen",
}
"""Why a point is undecided, in a sentence."""


class Doubt(NamedTuple):
    """Why a run is undecided.

    Attributes:
        step: The first checkpoint step that is; None without records.
        because: A key of REASONS.
        steps: How many checkpoint steps are.
    """

    step: int | None
    because: Because
    steps: int

    @property
    def words(self) -> str:
        """The step and the reason, in a sentence."""
        if self.step is None:
            return REASONS[self.because]
        more = f", and {self.steps - 1} more" if self.steps > 1 else ""
        return f"at step {self.step}{more}: {REASONS[self.because]}"


def current(word: Any) -> Any:
    """Returns a verdict in today's words; anything else as it is."""
    return OLDER.get(word, word) if isinstance(word, str) else word


def verdict(run: Sequence[records.Record], *, singular: bool, proven: bool = False) -> Verdict:
    """Returns the verdict on the recorded checkpoint steps of a run.

    Args:
        run: The run's records.
        singular: Whether a step size is one that is known to make the map singular.
        proven: Whether the derivative of the map is known to be invertible at every step size and point.
    """
    if singular:
        return "singular"
    return "invertible" if proven or doubt(run) is None else "undecided"


def doubt(run: Sequence[records.Record]) -> Doubt | None:
    """Returns the first checkpoint step at which the records leave sigma_min = 0 open; None where they do nowhere."""
    found = [(record.step, why) for record in run if (why := undecided(record.values)) is not None]
    if not run:
        return Doubt(None, "nothing recorded", 0)
    return Doubt(*found[0], len(found)) if found else None


def apart(lower: float, error: float) -> bool:
    """Says whether a point is decided: sigma_min stays above 0 when its error is MARGIN times as large.

    Args:
        lower: The lower bound of sigma_min.
        error: How much of that rests on a model of rounding (spectrum.lower_error).
    """
    return lower > (MARGIN - 1) * error


def undecided(values: Mapping[str, float]) -> Because | None:
    """Returns why a record leaves sigma_min = 0 open; None where it does not."""
    if "sigma_min" not in values:
        return "not measured"
    sigma, error = values["sigma_min"], values.get("sigma_min_error", math.inf)
    lower = values.get("sigma_min_lower", 0.0)
    if not math.isfinite(sigma) or not math.isfinite(lower):
        return "not finite"
    if "sigma_min_lower_error" in values:
        decided = apart(lower, values["sigma_min_lower_error"])
    else:  # a record of an older version
        decided = sigma > MARGIN * error and lower > 0
    if decided:
        return None
    return "within error bars" if lower > 0 or not sigma > MARGIN * error else "nothing excluded"
