# SPDX-License-Identifier: Apache-2.0
"""Whether a run does at 2/eta what the coefficient of the flip says (mathematics, D16). Cost: none.

Looked at are the records with eta lambda_max above 2 at which the sign of the coefficient exceeds its error bar. Where
it is positive the oscillation is said to be stable, and the loss of the next record should be at most GROWTH times that
of this one; where it is negative nothing near holds the iterates, and it should be more. Failure: between two records
much else may happen, a catapult that has come down again among it; a run that diverges has no record after the last one
that is finite, which then is not judged.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from harness import records

METRICS = ("flips", "flips_stable", "flips_agreeing")
NEEDS = ("flip_coefficient", "flip_coefficient_error", "eta_sharpness", "loss")

GROWTH = 2.0
"""Times the loss of a record up to which the next one counts as bounded."""


def summary(recorded: Sequence[records.Record], *, one_piece: bool = False) -> dict[str, float]:
    """Returns how many records are judged, the share that is said to be stable, and the share that the run agrees with.

    Args:
        recorded: The records of a run, in the order of their steps.
        one_piece: Not asked.
    """
    stable: list[bool] = []
    agreeing: list[bool] = []
    for before, after in itertools.pairwise(recorded):
        values = before.values
        c, error = values["flip_coefficient"], values["flip_coefficient_error"]
        if values["eta_sharpness"] > 2 and abs(c) > error:
            bounded = after.values["loss"] <= GROWTH * values["loss"]
            stable.append(c > 0)
            agreeing.append(bounded == (c > 0))
    shares = [sum(each) / len(each) if each else math.nan for each in (stable, agreeing)]
    return {"flips": float(len(stable)), "flips_stable": shares[0], "flips_agreeing": shares[1]}
