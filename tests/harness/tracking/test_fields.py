# SPDX-License-Identifier: Apache-2.0
"""Fields: what of a run becomes tags, parameters and points, without a store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mlflow.utils import validation

from harness import records
from harness.metrics import METRICS
from harness.tracking import fields

RunJson = Callable[..., dict[str, Any]]


def test_a_target_is_told_from_the_point_that_a_run_ended_at(run_json: RunJson) -> None:
    aimed = {**run_json()["cell"], "target": {"loss_gap": 0.1}}
    end = {"point": "not stationary", "because": {}}
    met = fields.tags(run_json(cell=aimed, reached_at=7, end=end))
    assert (met["gdzoo.target"], met["gdzoo.end"]) == ("met", "not stationary")
    assert "; finished; target met; ended at: not stationary; " in met["mlflow.note.content"]
    assert fields.tags(run_json(cell=aimed, end=end))["gdzoo.target"] == "missed"
    assert "gdzoo.target" not in fields.tags(run_json(cell=aimed, status="interrupted"))
    assert "gdzoo.target" not in fields.tags(run_json(end=end))


def test_every_metric_has_a_name_that_mlflow_takes() -> None:
    for name, metric in METRICS.items():
        for key in (metric.key(name), f"final/{name}"):
            validation._validate_metric_name(key)
            assert len(key) <= validation.MAX_ENTITY_KEY_LENGTH
    keys = [metric.key(name) for name, metric in METRICS.items()]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("size", [1, 240, 250, 260, 4000, 9000])
def test_whatever_a_run_says_fits_every_database(run_json: RunJson, size: int) -> None:
    long = "λ" * size
    run = run_json(label=long, reason=long, device=long)
    run["left_out"] = {f"d{i}": long for i in range(9)}
    run["theory"]["bad_steps"] = [{**bad, "eta": 1 / (3 + i)} for i in range(size) for bad in [{"eta": 1.0}]]
    run["cell"]["optimizer"]["learning_rate"] = {"eta_lambda": 0.123456789012345}
    assert len(fields.run_name(run)) <= 250 and fields.run_name(run).endswith(f" · seed {run['seed']}")
    assert size > 240 or long in fields.run_name(run)
    for key, value in (fields.tags(run) | fields.params(run)).items():
        validation._validate_tag(key, value)
        assert len(key) <= 250 and len(value) <= 6000
    assert fields.params(run)["learning_rate"] == "0.123456789012345 / λ_max(0)"
    run["cell"]["optimizer"]["learning_rate"] = {"eta_lambda": 1.0}
    assert fields.params(run)["learning_rate"] == "1 / λ_max(0)"


def test_a_logged_model_says_what_the_curves_say_too() -> None:
    recorded = [records.Record(step, {"loss": 1 / (step + 1), "eta": 0.5}) for step in (0, 7)]
    curves = fields.points(recorded, 1000, one_piece=True)
    assert fields.model_points(recorded[-1], 1000) == [("final/loss", 1 / 8, 1007, 0)]
    assert ("final/loss", 1 / 8, 1007, 0) in curves and ("train/eta", 0.5, 1000, 0) in curves


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"seconds": -1.0}, "it took -1.0 seconds"),
        ({"seconds": 1e10}, "it took 10000000000.0 seconds"),
        ({"started": "yesterday"}, "ValueError: Invalid isoformat string: 'yesterday'"),
        ({"dataset": {}}, "KeyError: 'name'"),
        ({"theory": None}, "TypeError: 'NoneType' object is not subscriptable"),
    ],
)
def test_facts_that_cannot_go_into_a_store_are_told(run_json: RunJson, changes: dict[str, Any], why: str) -> None:
    assert fields.fault(run_json(**changes)) == why
