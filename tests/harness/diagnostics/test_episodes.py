# SPDX-License-Identifier: Apache-2.0
"""Saddle episodes: of made-up records, and of a deep linear network, which has as many as directions to learn."""

from __future__ import annotations

import math
import pathlib

import pytest

from harness.diagnostics import episodes
from harness.records import Record, run_folder
from harness.runs import run as runs
from tests import builders


def run(*rows: tuple[int, float, float]) -> list[Record]:
    return [
        Record(step, {"pl_ratio": ratio, "n_negative": negative, "lambda_min": -negative, "lambda_min_error": 0.5})
        for step, ratio, negative in rows
    ]


def test_a_plateau_counts_if_it_bends_down_and_ends() -> None:
    high, low = (1.0, 0.0), (1e-3, 1.0)
    found = episodes.summary(run((0, *high), (1, *low), (3, *low), (7, *high), (20, *low)))
    mean = math.exp((2 * math.log(1.0) + 3 * math.log(1e-3)) / 5)
    assert 1e-3 / mean < episodes.LOW
    unknown = {
        "episode_rate": pytest.approx(math.nan, nan_ok=True),
        "episode_alignment": pytest.approx(math.nan, nan_ok=True),
    }
    counted = {"episodes": 1, "episode_steps": 6, "episode_depth": pytest.approx(1e-3 / mean), "episode_negative": 1}
    assert found == counted | unknown
    flat = episodes.summary(run((0, *high), (1, 1e-3, 0.0), (3, 1e-3, 0.0), (7, *high), (9, *high)))
    assert (flat["episodes"], flat["episode_steps"]) == (0, 0)
    assert math.isnan(flat["episode_depth"])
    unsure = episodes.summary(run((0, *high), (1, 1e-3, 0.4), (3, 1e-3, 0.4), (7, *high), (9, *high)))
    assert unsure["episodes"] == 0, "within its error bar of 0"
    nothing = episodes.summary([Record(0, {"loss": 1.0})])
    assert all(math.isnan(value) for value in nothing.values())
    assert episodes.summary([]) == pytest.approx(nothing, nan_ok=True)


def test_the_rate_is_from_the_least_gradient_to_the_last_record_on_the_plateau() -> None:
    """The longest of two episodes; eta |lambda_min| = 0.1 where the gradient is least; it grows by 1.1^0.9 a step."""
    gradients = {0: 1.0, 1: 0.01, 2: 0.5, 4: 0.02, 10: 1e-3, 30: 1e-3 * 1.1 ** (0.9 * 20), 40: 0.5, 41: 0.6}
    plateau = {1, 4, 10, 30}
    recorded = [
        Record(
            step,
            {
                "pl_ratio": 1e-4 if step in plateau else 1.0,
                "n_negative": 3.0 if step == 10 else 1.0,
                "grad_norm": gradient,
                "eta": 0.5,
                "lambda_min": -0.2 if step == 10 else -7.0,
                "lambda_min_error": 1e-9,
                "departure_alignment": 0.75 if step == 40 else 0.1,
            },
        )
        for step, gradient in gradients.items()
    ]
    found = episodes.summary(recorded)
    assert (found["episodes"], found["episode_steps"], found["episode_negative"]) == (2, 36, 3)
    assert found["episode_rate"] == pytest.approx(0.9)
    assert found["episode_alignment"] == 0.75
    short = episodes.summary([recorded[0], recorded[4], recorded[6]])
    assert short["episode_rate"] == pytest.approx(math.log(500) / 30 / math.log(1.1)), "none is left on the plateau"


def test_a_small_start_of_a_deep_linear_network_has_a_plateau_for_each_direction(home: pathlib.Path) -> None:
    cell = builders.cell(
        data={"name": "linear_teacher", "examples": 8, "shape": [1, 1, 3], "singular_values": [3.0, 0.3]},
        model={"family": "deep_linear", "hidden": [2]},
        start={"name": "origin", "perturbation": 1e-5},
        optimizer=builders.gd(0.05),
        precision="float64",
        steps=3000,
        checkpoints=200,
        diagnostics=["sharpness", "singularity", "departure"],
    )
    folder = runs.run_seeds(cell, [0], device="cpu", command="")[0]
    found = episodes.summary(run_folder.read_records(folder))
    assert found["episodes"] == 2
    assert 200 < found["episode_steps"] < 1500, "the second direction is ten times slower"
    assert found["episode_depth"] < 1e-4
    assert found["episode_rate"] == pytest.approx(1, abs=0.05), "linear theory holds near the saddle"
    assert found["episode_alignment"] > 0.99 and found["episode_negative"] >= 1
