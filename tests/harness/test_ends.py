# SPDX-License-Identifier: Apache-2.0
"""What kind of point a run ended at: each word where it belongs, and the numbers that decided."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from harness import ends, records
from harness import spec as specs


def cell(**fields: object) -> specs.Cell:
    text: dict[str, object] = {
        "schema": 1,
        "title": "a test",
        "data": {"name": "random_labels", "examples": 8, "shape": [1, 1, 3], "classes": 2},
        "model": {"family": "mlp", "hidden": [4], "activation": "tanh"},
        "loss": {"name": "half_mse"},
        "optimizer": {"name": "gd", "learning_rate": 0.1},
        "steps": 3,
        "seeds": 1,
    }
    return specs.parse(json.dumps(text | fields), file="t.yaml", suite="tests", name="t").cells[0]


PLANTED = {"name": "random_labels", "examples": 8, "shape": [1, 1, 3], "classes": 2, "targets": {"planted": 1}}
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


def test_a_run_that_fits_every_example_is_at_a_global_minimum() -> None:
    found = word({**FLAT, "loss_gap": 9e-7, "ntk_deficit": 0.0, "kantorovich": 0.01})
    assert found == (
        "global minimum",
        {"loss_gap": 9e-7, "train_accuracy": 0.5, "ntk_deficit": 0.0, "kantorovich": 0.01},
    )
    assert word({**FLAT, "loss_gap": 1.1e-6}).word != "global minimum"
    assert word({**FLAT, "loss_gap": 0.0}, loss={"name": "smoothed_ce"}).word == "global minimum"
    assert word({**FLAT, "loss_gap": 0.0}, loss={"name": "ce"}, data=PLANTED).word == "global minimum"


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
    output = {
        "data": {"name": "point"},
        "model": {"family": "quadratic", "eigenvalues": [1.0]},
        "loss": {"name": "output"},
    }
    assert word({**FLAT, "loss_gap": math.nan}, **output).word is None
