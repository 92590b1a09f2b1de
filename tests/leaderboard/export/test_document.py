# SPDX-License-Identifier: Apache-2.0
"""What records say together is worked out from the curves of a run, whatever a stranger writes."""

from __future__ import annotations

import math
import random
from types import ModuleType
from typing import Any

import pytest

from harness import metrics
from leaderboard.board import cell as cells
from leaderboard.board import table
from leaderboard.export import document

GELU = {"model": {"family": "mlp", "hidden": [4], "activation": "gelu"}}
"""What changes of a cell so that its risk is one piece."""


def test_what_records_say_together_is_worked_out_from_the_curves(sample: ModuleType) -> None:
    """One crossing with phase 0.2 / (0.2 + 0.3): p = 2 min(u, 1 - u) of one phase; two gaps of 0.5, least σ_min 0.1."""
    curves: dict[str, list[Any]] = {
        "n_above_inv_eta": [0, 1],
        "gap_above": [0.3, 0.3],
        "gap_below": [0.2, 0.2],
        "sigma_min": [0.2, 0.1],
        "log_abs_det": [-2.0, "-inf"],
        "log_abs_det_error": [0.5, 0.5],
    }
    run = sample.run_of_curves(0, curves, cell=GELU)
    rest = {"closest_over_null": 0.8, "log_volume": -2.0, "log_volume_error": 0.5}
    assert run.summary == pytest.approx(
        {"count_changes": 1, "crossings": 1, "jumps": 0, "phases": 1, "crossing_p": 0.8, **rest}
    )
    assert sample.run_of_curves(0, curves).summary == pytest.approx({"count_changes": 1, "phases": 0, **rest}), (
        "relu has kinks"
    )
    cell = cells.Cell((run,))
    assert table.COLUMNS["closest"].entry(cell).main == "0.8" == table.COLUMNS["phase"].entry(cell).main
    less = sample.run_of_curves(0, {name: values for name, values in curves.items() if name != "gap_below"}, cell=GELU)
    assert less.summary == {}, "what is needed was not recorded"
    with pytest.raises(ValueError, match="unknown metric 'crossing_p'"):
        sample.run_of_curves(0, {"crossing_p": [0.5, 0.5]})


@pytest.mark.parametrize("seed", range(40))
def test_no_number_of_a_stranger_breaks_what_records_say_together(sample: ModuleType, seed: int) -> None:
    drawn = random.Random(seed)
    pool = [0.0, 1.0, -1.0, 5e-324, 1e-160, 1e308, -1e308, "inf", "-inf", "nan", 0.3]
    names = [name for name in metrics.METRICS if name in document.CURVES and (seed % 2 or drawn.random() < 0.9)]
    run = sample.run_of_curves(0, {name: [drawn.choice(pool) for _ in range(12)] for name in names})
    assert all(math.isfinite(value) for value in run.summary.values())
