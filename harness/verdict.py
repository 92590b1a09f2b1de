# SPDX-License-Identifier: Apache-2.0
"""Verdict: what the records of a run are entitled to claim about the gradient-descent map.

`certified`: at every checkpoint step sigma_min, in float64, exceeds its error bar MARGIN times (mathematics, D13) and a
lower bound above 0 is proven: by all eigenvalues, or by a Lanczos run and what excludes others, which is false with a
probability of 1e-12 at most (harness/curvature/exclusion.py). `undecided`: anything else; a distance within rounding of
0 is not evidence of singularity. Heavy ball needs no measurement: its map of (theta, v) is non-singular at every step
size (theory.STATEMENTS, F11), and is `certified`. `singular`: theory knows in
closed form that the map at this very step size takes a set of positive measure to a null set (harness/theory.py). That
is a statement about the map, not about the points of the run, and no measurement makes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from harness import records

Verdict = Literal["certified", "undecided", "singular"]

MARGIN = 100.0
"""How many times its error bar sigma_min must be for a certificate."""


def verdict(run: Iterable[records.Record], *, singular: bool, proven: bool = False) -> Verdict:
    """Returns the verdict on the recorded checkpoint steps of a run.

    Args:
        run: The run's records.
        singular: Whether the step size is one that is known to make the map singular.
        proven: Whether the map is known to be non-singular at every step size and point.
    """
    if singular:
        return "singular"
    if proven:
        return "certified"
    values = [record.values for record in run]
    sound = all(
        "sigma_min" in v and v["sigma_min"] > MARGIN * v["sigma_min_error"] and v["sigma_min_lower"] > 0 for v in values
    )
    return "certified" if values and sound else "undecided"
