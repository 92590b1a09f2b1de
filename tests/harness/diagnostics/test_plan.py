# SPDX-License-Identifier: Apache-2.0
"""Which diagnostics a cell gets (`diagnostics:` of a spec), what they cost, and what is left out and why."""

from __future__ import annotations

import functools

import pytest

from harness import diagnostics
from harness.curvature import exclusion, logdet, rounding, survey
from harness.diagnostics import plan
from tests import builders

SURVEYED = ("sharpness", "singularity", "gaps", "critical")
ELSEWHERE = ("margin", "displacement", "saddle", "escape", "flip")  # of ce on labels, planted starts, smooth networks


cell = functools.partial(builders.cell, data=builders.digits(100), model=builders.mlp(4, activation="relu"), steps=1000)
SMOOTH = builders.mlp(4)
BATCHES = builders.sgd(0.1, 10)


def size(*, batch: int = 100, method: str = "dense", steps: int = 1000) -> plan.Size:
    return plan.Size(300, 100, 10, batch, method, steps, 16)  # type: ignore[arg-type]


def test_auto_takes_the_cheap_ones_that_apply() -> None:
    found = plan.plan(cell(diagnostics="auto"), size())
    assert found.taken == ("fit", *SURVEYED, "kinks", "changes")
    assert found.left_out["minibatches"] == "every step sees the whole batch"
    assert found.left_out["exponents"] == "auto takes the cheap ones"
    assert plan.plan(cell(model=SMOOTH), size()).taken == ("fit", *SURVEYED)
    found = plan.plan(cell(model=SMOOTH, optimizer=BATCHES), size(batch=10))
    assert found.taken == ("fit", *SURVEYED, "minibatches")
    assert ("fit", *SURVEYED) == diagnostics.DEFAULT


def test_of_momentum_and_of_schedules_nothing_is_asked_that_is_of_one_plain_map() -> None:
    everything = [*diagnostics.DIAGNOSTICS]
    heavy = {"name": "heavy_ball", "learning_rate": 0.1, "momentum": 0.9}
    falling = builders.gd(0.1, schedule={"name": "linear"})
    one_map = {"exponents", "minimum", "stability"}
    for optimizer, silent in ((heavy, {"inverse", "progress", *one_map}), (falling, {"state", *one_map})):
        found = plan.plan(cell(optimizer=optimizer, diagnostics=everything), size())
        assert set(found.left_out) == silent | {"minibatches", *ELSEWHERE}


def test_names_are_taken_and_what_says_nothing_of_the_cell_is_not() -> None:
    found = plan.plan(cell(diagnostics=["kinks", "exponents", "minibatches"], model=SMOOTH), size())
    assert found.taken == ("fit", "exponents")
    assert found.left_out["kinks"].startswith("the risk is analytic everywhere")
    assert found.left_out["sweep"] == "not named"


@pytest.mark.parametrize("choice", ["auto", ["sweep"], {"budget": "10 %"}, {"budget": "3000 %"}])
@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_every_row_is_taken_or_left_out_with_a_reason_and_has_a_price(choice: object, method: str) -> None:
    found = plan.plan(cell(diagnostics=choice), size(method=method))
    assert sorted([*found.taken, *found.left_out]) == sorted(found.prices) == sorted(diagnostics.DIAGNOSTICS)
    assert all(found.left_out.values())
    assert sum(found.prices[name] for name in found.taken) == pytest.approx(plan.cost(found.taken, size(method=method)))


def test_a_budget_takes_rows_in_order_while_they_fit() -> None:
    silent = {"minibatches", "stability", "state", *ELSEWHERE}
    for share in (1, 10, 15, 100, 300, 700, 1000, 2000, 5000):
        found = plan.plan(cell(diagnostics={"budget": f"{share} %"}), size())
        spent = 0.0
        for name in diagnostics.DIAGNOSTICS:
            fits = spent + found.prices[name] <= share / 100 * 1000 or name == "fit"
            assert (name in found.taken) == (fits and name not in silent)
            spent += found.prices[name] * (name in found.taken)
    assert plan.plan(cell(diagnostics={"budget": "0.1 %"}), size()).taken == ("fit",), "fit is taken always"
    assert plan.plan(cell(diagnostics={"budget": "20 %"}), size()).taken == ("fit", "progress")
    assert plan.plan(cell(diagnostics={"budget": "20 %"}), size()).left_out["sharpness"] == "beyond the budget"
    assert set(plan.plan(cell(diagnostics={"budget": "9999 %"}), size()).left_out) == silent


def test_the_survey_is_paid_once_and_as_often_as_it_is_read() -> None:
    dense = size()
    rounded = 2 * rounding.PROBES * rounding.GRADIENTS
    assert plan.survey(dense) == plan.PRODUCT * 300 + rounded
    assert plan.cost(["sharpness"], dense) == plan.cost(SURVEYED, dense) == 16 * plan.survey(dense)
    assert plan.cost(["sweep"], dense) == plan.survey(dense) + 2 * plan.PRODUCT * 300
    assert plan.cost(["sharpness", "sweep"], dense) == 16 * plan.survey(dense) + 2 * plan.PRODUCT * 300
    capped = survey.PRODUCTS + exclusion.STEPS + logdet.PROBES * logdet.STEPS
    assert plan.survey(size(method="lanczos")) == plan.PRODUCT * capped + size().outputs + rounded


def test_what_a_step_sees_is_what_a_mini_batch_costs() -> None:
    whole, part = size(), size(batch=10)
    assert part.training == whole.training / 10
    for name in ("exponents", "minibatches"):
        row = diagnostics.DIAGNOSTICS[name]
        assert row.gradients(part) == pytest.approx(row.gradients(whole) / 10)


def test_each_is_due_at_the_steps_of_its_schedule() -> None:
    found = plan.plan(cell(diagnostics=[*diagnostics.DIAGNOSTICS], optimizer=BATCHES), size(batch=10))
    assert set(diagnostics.DIAGNOSTICS) - set(found.at(0, 100)) == {"sweep", "state", *ELSEWHERE}
    assert found.at(50, 100) == ("fit", *SURVEYED, "kinks", "changes", "progress", "departure", "layers")
    assert found.at(100, 100) == tuple(name for name in diagnostics.DIAGNOSTICS if name not in ("state", *ELSEWHERE))
    for row in diagnostics.DIAGNOSTICS.values():
        assert row.times(16) == sum(row.due(step, 15) for step in range(16))
