# SPDX-License-Identifier: Apache-2.0
"""What kind of point a run ended at: each word where it belongs, and the numbers that decided."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import numpy as np
import pytest

from harness import config, records
from harness.records import ends
from harness.runs import measure
from harness.training import problem
from tests import builders

LABELS = {"name": "random_labels", "examples": 8, "shape": [1, 1, 3], "classes": 2}
PLANTED = LABELS | {"targets": {"planted": 1}}
cell = functools.partial(builders.cell, data=LABELS)
FLAT: dict[str, float] = {
    "loss": 0.5,
    "loss_gap": 0.5,
    "grad_norm": 1e-9,
    "pl_ratio": 1e-18,
    "train_accuracy": 0.5,
    "sharpness": 2.0,
    "sharpness_error": 1e-12,
    "lambda_min": 0.0,
    "lambda_min_error": 1e-12,
}


def word(values: dict[str, float], **fields: object) -> ends.End:
    return ends.end(cell(**fields), [records.Record(0, values), records.Record(3, values)], diverged=False)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_run_that_fits_every_example_is_at_a_global_minimum(precision: str) -> None:
    edge = ends.GAP[precision]
    inside, outside = {**FLAT, "relative_gap": 0.9 * edge}, {**FLAT, "relative_gap": 1.1 * edge}
    found = word({**inside, "ntk_deficit": 0.0, "kantorovich": 0.01}, precision=precision)
    assert found.word == "global minimum"
    assert {"relative_gap", "loss_gap", "train_accuracy", "ntk_deficit", "kantorovich"} <= set(found.because)
    assert found.because["relative_gap"] == 0.9 * edge
    assert word(outside, precision=precision).word != "global minimum"
    assert word(inside, precision=precision, loss={"name": "smoothed_ce"}).word == "global minimum"
    assert word(inside, precision=precision, loss={"name": "ce"}, data=PLANTED).word == "global minimum"


def test_what_bends_down_is_no_minimum_however_near_the_infimum() -> None:
    near = {**FLAT, "relative_gap": 1e-20, "loss_gap": 1e-20, "grad_norm": 0.0}
    assert word({**near, "lambda_min": -1e-4}).word == "global minimum", "as at the minimum nearby, up to FLAT"
    assert word({**near, "lambda_min": -0.01, "lambda_min_error": 0.009}).word == "global minimum"
    assert word({**near, "lambda_min": -0.01}).word == "strict saddle"
    assert word({**near, "lambda_min": -0.01, "grad_norm": 1.0}).word == "not stationary"


def test_the_gap_at_the_start_is_the_unit_where_a_constant_attains_the_infimum() -> None:
    def end(first: float, last: float) -> ends.End:
        told = [{**FLAT, "relative_gap": math.nan, "loss_gap": gap, "grad_norm": 0.1} for gap in (first, last)]
        return ends.end(cell(), [records.Record(at, values) for at, values in enumerate(told)], diverged=False)

    assert end(1e-9, 1e-18).word == "global minimum"
    assert end(1e-9, 1e-9).word == "not stationary", "a start that nobody touched"
    assert end(0.0, 0.0).word == "global minimum"
    assert end(0.0, 1e-20).word == "not stationary"


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_loss_below_the_infimum_refutes_it_wherever_it_is_seen(at: int) -> None:
    def end(gap: float) -> ends.End:
        gaps = [0.5 if place != at else gap for place in range(3)]
        told = [{**FLAT, "loss": 1 + value, "loss_gap": value, "relative_gap": 2 * value} for value in gaps]
        return ends.end(cell(), [records.Record(place, one) for place, one in enumerate(told)], diverged=False)

    assert end(-1e-9).word == "infimum refuted"
    assert end(-1e-14).word in ("other minimum", "global minimum"), "rounding"
    assert at < 2 or end(-1e-9).because == {"loss": 1 - 1e-9, "loss_gap": -1e-9}


QUADRATIC = {
    "data": {"name": "point"},
    "model": {"family": "quadratic", "eigenvalues": [-1.0, 2.0]},
    "loss": {"name": "output", "infimum": 0.0},
    "start": {"name": "given", "theta": [1.0, 1.0]},
    "precision": "float64",
    "diagnostics": ["fit", "sharpness"],
}


def descended(one: config.Cell, steps: int) -> ends.End:
    """Takes steps of gradient descent in float64 and returns the kind of end, from records of both ends."""
    ready = problem.problem(one)
    theta = problem.start(one, ready, jax.random.key(0)).astype("float64")
    told = []
    for step in (0, steps):
        for _ in range(step):
            theta = theta - float(one.optimizer.learning_rate) * ready.gradient(theta)
        found = measure.measure(ready, measure.Where(theta, 0.3, jax.random.key(1)), ("fit", "sharpness"))
        told.append(records.Record(step, found or {}))
    return ends.end(one, told, diverged=False)


def test_the_cases_that_were_called_global_minima() -> None:
    rate = {"optimizer": builders.gd(0.3), "steps": 40}
    assert descended(cell(**QUADRATIC, **rate), 40).word == "infimum refuted"
    tiny = QUADRATIC | {"model": {"family": "quadratic", "eigenvalues": [1e-7, 2e-7]}}
    assert descended(cell(**tiny, **rate), 2).word == "not stationary"
    teacher = {"name": "linear_teacher", "examples": 20, "shape": [1, 1, 4], "singular_values": [1e-4, 1e-4]}
    ten = {
        "data": teacher,
        "model": builders.mlp(4, activation="relu"),
        "start": {"name": "given", "theta": [0, 0, 0, 0, *np.ravel(0.1 * np.eye(4)), *[0] * 10]},
        "optimizer": builders.gd(1e-3),
        "precision": "float64",
    }
    found = descended(cell(**ten), 1)
    assert found.word == "not stationary"
    assert found.because["relative_gap"] > 0.9, "nothing was fitted"
    assert found.because["lambda_min"] < -1e-6


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_run_that_stays_at_a_planted_minimum_is_at_a_global_minimum(precision: str) -> None:
    """It begins at 1e-6 from it, so that its gap at the start is no unit."""
    start = {"name": "planted_minimum", "perturbation": 1e-6}
    one = cell(data=PLANTED, start=start, precision=precision, diagnostics=["fit", "sharpness"])
    found = descended(one, 20)
    assert found.word == "global minimum"
    assert 0 <= found.because["relative_gap"] < 1e-10


def test_ce_on_labels_has_no_minimum_and_a_margin_proves_its_infimum() -> None:
    ce: dict[str, Any] = {"loss": {"name": "ce"}}
    found = word({**FLAT, "loss_gap": 1e-9, "margin": 20.0, "margin_bound": 2e-9}, **ce)
    assert found == ("approaching infimum", {"margin": 20.0, "margin_bound": 2e-9, "loss_gap": 1e-9})
    assert word({**FLAT, "margin": -0.1}, **ce).word == "other minimum"
    assert word({**FLAT, "margin": 0.0}, **ce).word == "other minimum"


def test_what_is_stationary_is_told_by_its_curvature() -> None:
    assert word(FLAT).word == "other minimum"
    assert word({**FLAT, "lambda_min": -0.01}).word == "strict saddle"
    assert word({**FLAT, "lambda_min": -0.01, "lambda_min_error": 0.009}).word == "degenerate"
    assert word({**FLAT, "lambda_min": -1e-4}).word == "degenerate", "it may be that of a minimum nearby"
    assert word({**FLAT, "sharpness": 1e-13, "grad_norm": 0.0}).word == "degenerate"
    found = word({**FLAT, "lambda_min": -0.01})
    assert found.because == {name: value for name, value in FLAT.items() if name in found.because} | {
        "lambda_min": -0.01
    }
    assert {"grad_norm", "lambda_min", "lambda_min_error"} <= set(found.because)


@pytest.mark.parametrize("share", [0.99, 1.01])
def test_stationary_is_a_share_of_the_steepest(share: float) -> None:
    size = math.sqrt(share * ends.STATIONARY * 2 * FLAT["sharpness"] * FLAT["loss_gap"])
    assert (word({**FLAT, "grad_norm": size}).word == "not stationary") == (share > 1)
    # Under decay the infimum is not known, and the loss itself stands for the gap.
    decayed = {"name": "half_mse", "weight_decay": 0.1}
    values = {**FLAT, "grad_norm": size, "loss_gap": math.nan}
    assert (word(values, loss=decayed).word == "not stationary") == (share > 1)
    assert word({**values, "grad_norm": 0.0, "loss_gap": math.nan}, loss=decayed).word == "other minimum"


def test_at_a_saddle_only_negative_curvature_may_be_seen() -> None:
    """C3 at the origin: eigenvalues +-1."""
    assert word({**FLAT, "sharpness": 1.0, "lambda_min": -1.0, "grad_norm": 0.0}).word == "strict saddle"
    assert word({**FLAT, "sharpness": -0.5, "lambda_min": -1.0, "grad_norm": 0.0}).word == "strict saddle"


def test_what_the_records_do_not_say_has_no_word() -> None:
    assert ends.end(cell(), [], diverged=False) == (None, {})
    assert ends.end(cell(), [records.Record(0, FLAT)], diverged=True) == ("diverged", {})
    bare = {name: FLAT[name] for name in ("loss", "loss_gap", "grad_norm")}
    assert word(bare) == (None, {"loss_gap": 0.5, "grad_norm": 1e-9})
    assert word({**FLAT, "loss_gap": math.nan}, **builders.quadratic(1.0)).word is None
