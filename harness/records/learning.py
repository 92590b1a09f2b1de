# SPDX-License-Identifier: Apache-2.0
"""Learning: whether a run does better at its end than the best prediction that is the same for every input.

It learned nothing if its loss is not below that of the best constant prediction, or its accuracy is not above chance:
the share of the largest class, which that prediction has. Accuracy is a count of k right of N, so it is above chance
only if the lower end of Wilson's 95 % interval for k/N is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from harness.records import survival


def nothing(values: Mapping[str, float | None], examples: int) -> str | None:
    """Returns why a run learned nothing, in words; empty if it did, None if neither measure is known.

    Args:
        values: Its last record.
        examples: Examples of its training set.
    """
    gap, accuracy, chance = (_known(values, name) for name in ("relative_gap", "train_accuracy", "chance"))
    if math.isnan(gap) and math.isnan(accuracy - chance):
        return None
    if gap >= 1:
        return "its loss is not below that of the best constant prediction"
    if chance < 1 and survival.share(round(accuracy * examples), examples)[0] <= chance:
        return f"its accuracy on {examples} examples is not above chance, {chance:.3g}, beyond Wilson's 95 % interval"
    return ""


def _known(values: Mapping[str, float | None], name: str) -> float:
    value = values.get(name)
    return math.nan if value is None else value
