# SPDX-License-Identifier: Apache-2.0
"""Verdict: what the records of a run are entitled to claim about the gradient-descent map.

`certified`: at every checkpoint step all eigenvalues are known in float64 and sigma_min exceeds its error bar MARGIN
times (mathematics, D13). `undecided`: anything else; in particular a Lanczos run proves an upper bound of sigma_min and
never a lower one, and a distance within rounding of 0 is not evidence of singularity. `singular`: theory knows in
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


def verdict(run: Iterable[records.Record], *, exact: bool, singular: bool) -> Verdict:
    """Returns the verdict on the recorded checkpoint steps of a run.

    Args:
        run: The run's records.
        exact: Whether the spectra are complete (dense, float64).
        singular: Whether the step size is one that is known to make the map singular.
    """
    if singular:
        return "singular"
    values = [record.values for record in run]
    sound = all("sigma_min" in v and v["sigma_min"] > MARGIN * v["sigma_min_error"] for v in values)
    return "certified" if exact and values and sound else "undecided"
