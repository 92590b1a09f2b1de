# SPDX-License-Identifier: Apache-2.0
"""Scores against answers computed by hand."""

from __future__ import annotations

import json
import math
from types import ModuleType
from typing import Any

import pytest

from leaderboard.board import cell as cells
from leaderboard.board import score, table
from leaderboard.site import spreadsheet


def test_seeds_that_missed_are_spent_not_dropped(sample: ModuleType) -> None:
    """Two of three meet the target in 100 steps of the whole risk each: 300 / 2 gradients."""
    cell = sample.cell_with_target(100, 100, None)
    found = score.runtime(cell)
    assert score.hits(cell) == (2, 3, pytest.approx((0.2077, 0.9385), abs=1e-4))
    assert found is not None
    assert (found.value, found.spent) == (150.0, 300.0)
    assert found.interval == (100.0, math.inf), "3/3 to 0/3 hits, each with 300 spent: a draw of none has chance 1/27"
    none = sample.cell_with_target(None, None)
    assert table.COLUMNS["runtime"].entry(none)[:2] == ("≥ 200", math.inf)
    assert table.COLUMNS["runtime"].entry(none).mark == "budget"
    assert score.runtime(sample.cell_of_ends(["global minimum"])) is None, "a run without a target has no time to it"


def test_a_minibatch_costs_its_share_of_a_gradient(sample: ModuleType) -> None:
    sgd = {"optimizer": {"name": "sgd", "learning_rate": 0.1, "batch_size": 64}}
    cell = sample.cell_of_ends(["global minimum"], cell=sgd)
    assert score.spent(cell.first) == 100 * 64 / 512


def test_a_target_a_minimum_and_an_infimum_are_three_counts(sample: ModuleType) -> None:
    """What is asked of one is not counted of another, whatever its runs ended at."""
    on_labels: dict[str, Any] = {"loss": {"name": "ce"}}
    planted = on_labels | {"data": {"name": "digits", "examples": 8, "targets": {"planted": 1}}}
    decayed = {"loss": {"name": "half_mse", "weight_decay": 0.1}}
    aimed = sample.cell_with_target(40, None)
    ends = ["global minimum", "approaching infimum", None]
    found = {
        "target": aimed,
        "minimum": sample.cell_of_ends(ends),
        "infimum": sample.cell_of_ends(ends, cell=on_labels),
    }
    for aim, cell in found.items():
        assert score.aim(cell.first) == aim
        assert {goal: score.hits(cell, goal) is not None for goal in score.GOALS} == {
            goal: goal == aim for goal in score.GOALS
        }
        printed = {goal: table.COLUMNS[goal].entry(cell).main for goal in score.GOALS}
        assert printed == {goal: "1/2" if goal == aim else "–" for goal in score.GOALS}
    assert score.aim(sample.cell_of_ends([None], cell=planted).first) == "minimum"
    assert score.aim(sample.cell_of_ends([None], cell=decayed).first) is None
    assert score.spent(aimed.first) == 40
    written = json.loads(b"".join(spreadsheet.to_json(map(spreadsheet.row, found.values()))))
    names = ("target_met", "global_minimum", "near_infimum")
    assert {tuple(row[name] for name in names) for row in written} == {
        (1, None, None),
        (None, 1, None),
        (None, None, 1),
    }


@pytest.mark.parametrize(("mu", "says"), [(-0.2, "attracts"), (0.2, "repels"), (0.05, "undecided")])
def test_the_sign_of_an_exponent_counts_beyond_its_error_bar(sample: ModuleType, mu: float, says: str) -> None:
    values = [{"mu": mu, "mu_error": 0.1, "displacement": 1e-6}, {"mu": mu, "mu_error": 0.1, "displacement": 5e-6}]
    start = {"start": {"name": "planted_minimum", "perturbation": 1e-6}}
    found = score.exponent(cells.Cell((sample.run_of_rows(0, values, cell=start),)))
    assert found is not None
    assert found.says == says
    assert found.agree == {"attracts": score.share(1, 1), "repels": score.share(0, 1), "undecided": None}[says]
    assert score.exponent(sample.cell_of_ends([None])) is None


def test_a_seed_that_stays_at_a_saddle_is_censored(sample: ModuleType) -> None:
    """Prediction 50 steps: seeds leave after 45 and 55, one is watched for 500 and stays."""
    start = {"start": {"name": "head_saddle", "perturbation": 1e-7}}
    seeds = [(45.0, 45.0), (55.0, 55.0), ("inf", 500.0)]
    runs = [
        sample.run_of_rows(seed,
            [{"escape_steps": left, "escape_watched": watched, "escape_predicted": 50.0, "saddle_least": -0.3,
              "saddle_least_error": 1e-9, "escape_alignment": 0.9 if left != "inf" else "nan"}],
            cell=start,
        )
        for seed, (left, watched) in enumerate(seeds)
    ]  # fmt: skip
    found = score.escape(cells.Cell(tuple(runs)))
    assert found is not None and found.ratio is not None
    assert (found.left.hits, found.left.trials, found.ratio.value) == (2, 3, 1.1)
    assert found.alignment.values == [0.9, 0.9]
    entry = table.COLUMNS["escaped"].entry(cells.Cell(tuple(runs)))
    assert (entry.main, entry.mark) == ("2/3", "censored")
    saddle = table.COLUMNS["saddle"].entry(cells.Cell(tuple(runs)))
    assert (saddle.main, saddle.note.split(";")[0]) == ("head saddle", "strict")


def test_time_at_the_edge_is_a_share_of_the_looks(sample: ModuleType) -> None:
    values = [{"eta_sharpness": value} for value in (1.0, 1.9, 2.2, 2.3)]
    assert score.edge_time(cells.Cell((sample.run_of_rows(0, values),))).median == 0.5
