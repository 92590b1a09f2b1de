# SPDX-License-Identifier: Apache-2.0
"""Record: what is known at one step of one run, and its line of JSON."""

from __future__ import annotations

import json
import math
from typing import NamedTuple


class Record(NamedTuple):
    """The metrics at one step.

    Attributes:
        step: Number of steps taken before, 0 at the start.
        values: Metric name to value; a value may be infinite or NaN.
    """

    step: int
    values: dict[str, float]


def dump(record: Record) -> str:
    """Returns a record as one line of JSON; values that are not finite become the strings "nan", "inf" and "-inf"."""
    values = {name: float(v) if math.isfinite(v) else str(float(v)) for name, v in record.values.items()}
    return json.dumps({"step": record.step, "values": values}, allow_nan=False)


def load(line: str) -> Record:
    """Returns the record of one line of JSON."""
    raw = json.loads(line)
    return Record(int(raw["step"]), {name: float(value) for name, value in raw["values"].items()})
