# SPDX-License-Identifier: Apache-2.0
"""Saddle episodes of a run: plateaus of its records on which H has negative eigenvalues (mathematics, section 5).

A plateau is a stretch of records whose Polyak-Lojasiewicz ratio is below LOW of the run's geometric mean; it is an
episode if some record on it has a negative eigenvalue and a later record is off it again. Cost: none. Failure: records
are log-spaced, so short plateaus late in a run fall between them, and a duration is known to one gap on either side;
the rate of leaving and its alignment are not looked at (`escape` does that for planted saddles).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness import records

METRICS = ("episodes", "episode_steps", "episode_depth")

LOW = 0.1
"""Share of the geometric mean below which a record is on a plateau."""


def summary(recorded: Sequence[records.Record]) -> dict[str, float]:
    """Returns the number of episodes, the longest in steps, and the least ratio on one over the geometric mean.

    Args:
        recorded: The records of a run, in the order of their steps.
    """
    ratios = np.array([one.values.get("pl_ratio", math.nan) for one in recorded])
    known = ratios[np.isfinite(ratios) & (ratios > 0)]
    if not len(known):
        return dict.fromkeys(METRICS, math.nan)
    relative = ratios / math.exp(np.log(known).mean())
    found: list[tuple[int, float]] = []
    begin: int | None = None
    for i, one in enumerate(recorded):
        if relative[i] < LOW:
            begin = i if begin is None else begin
            continue
        if begin is not None and any(on.values.get("n_negative", 0) > 0 for on in recorded[begin:i]):
            found.append((one.step - recorded[begin].step, float(np.min(relative[begin:i]))))
        begin = None
    return {
        "episodes": float(len(found)),
        "episode_steps": float(max((steps for steps, _ in found), default=0)),
        "episode_depth": min((depth for _, depth in found), default=math.nan),
    }
