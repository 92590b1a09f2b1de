# SPDX-License-Identifier: Apache-2.0
"""What exponents say of planted minima against what runs did, and the statistics of escapes."""

from __future__ import annotations

import functools
import io
import math
import pathlib

import numpy as np
import pytest
import rich.console
from scipy import stats

from harness import records
from harness.cli import planted
from harness.records import behaviour as behaviours
from harness.records import run_folder
from harness.runs import run as runs
from tests import builders

CLASSES = builders.classes(examples=6, shape=[1, 1, 4], classes=2)
cell = functools.partial(
    builders.cell,
    data=CLASSES | {"targets": {"planted": 1}},
    model=builders.mlp(5),
    start={"name": "planted_minimum", "perturbation": 1e-6},
    optimizer=builders.gd({"eta_lambda": 1.0}),
    precision="float64",
    steps=2000,
    checkpoints=4,
    diagnostics=["minimum", "stability", "displacement"],
)


def recorded(start: dict[str, float], end: dict[str, float], steps: int = 100) -> list[records.Record]:
    return [records.Record(0, {"displacement": 1e-6, **start}), records.Record(steps, {**start, **end})]


def behaviour(start: dict[str, float], end: dict[str, float], *, sgd: bool = False) -> behaviours.Behaviour | None:
    return behaviours.behaviour(cell(optimizer=builders.sgd(0.1, 2)) if sgd else cell(), recorded(start, end))


def test_the_sign_of_the_exponent_speaks_where_its_interval_leaves_0_out() -> None:
    mu = {"mu": -0.1, "mu_error": 1e-9}
    assert behaviour(mu, {"displacement": 9.9e-6}) == ("attracts", "stayed", "")
    assert behaviour({"mu": 0.2, "mu_error": 1e-9}, {"displacement": 1.1e-5}) == ("repels", "left", "")
    both = {**mu, "lambda": 0.01, "lambda_error": 0.02}
    assert behaviour(both, {"displacement": 1.0}, sgd=True) == ("undecided", "left", "")
    assert behaviour(both, {"displacement": 1.0}) == ("attracts", "left", "the displacement is not small")


def test_exceptions_are_explained_where_they_can_be() -> None:
    few = behaviour({"mu": 0.01, "mu_error": 0.0}, {"displacement": 1e-6})
    assert few == ("repels", "stayed", "1.0 nats of growth in 100 steps are too few")
    absorbed = {"lambda": 0.3, "lambda_error": 0.01, "mu": 0.0, "absorption": 0.108}
    found = behaviour(absorbed, {"displacement": 1e-9}, sgd=True)
    assert found == ("repels", "stayed", "rounding absorbed it: kappa 0.11")
    wild = {"lambda": -0.3, "lambda_error": 0.01, "lambda_upper": 0.2}
    found = behaviour(wild, {"displacement": 1.0}, sgd=True)
    assert found == ("attracts", "left", "mean squares grow, so excursions are long")


def test_of_other_runs_nothing_is_said() -> None:
    run = recorded({"mu": -0.1, "mu_error": 0.0}, {"displacement": 1e-6})
    assert behaviours.behaviour(cell(start={"name": "random"}), run) is None
    assert behaviours.behaviour(cell(start={"name": "planted_minimum"}), run) is None, "nothing was displaced"
    assert behaviours.behaviour(cell(), run[:1]) is None
    assert behaviours.behaviour(cell(), recorded({}, {"displacement": 1e-6})) is None


def test_runs_do_what_mu_says_on_either_side_of_two(home: pathlib.Path) -> None:
    """At eta lambda_max = 2 mu changes its sign."""
    for rate, said, seen in ((1.9, "attracts", "stayed"), (2.1, "repels", "left")):
        one = cell(optimizer=builders.gd({"eta_lambda": rate}))
        folder = runs.run_seeds(one, [0], device="cpu", command="")[0]
        found = behaviours.behaviour(one, run_folder.read_records(folder))
        assert found is not None
        assert (found.said, found.seen) == (said, seen)


def escape(steps: float, watched: float = 50.0, predicted: float = 20.0) -> dict[str, float]:
    ratio = steps / predicted if math.isfinite(predicted) else math.nan
    return {"escape_steps": steps, "escape_watched": watched, "escape_predicted": predicted, "escape_ratio": ratio}


def test_escapes_are_counted_with_censoring() -> None:
    """Against the product formula and Wilson's, worked out here."""
    found = behaviours.escape(
        [*(escape(t, t) for t in (10.0, 20.0, 30.0, 30.0, 40.0)), escape(math.inf), escape(math.inf, 25.0)]
    )
    assert found is not None
    assert (found.runs, found.left, found.predicted) == (7, 5, 20.0)
    # At risk: 7 at 10, 6 at 20, 4 at 30 (one censored at 25), 2 at 40.
    survival = np.cumprod([6 / 7, 5 / 6, 2 / 4, 1 / 2])
    assert found.median == (10, 20, 30, 40)[int(np.argmax(survival <= 0.5))]
    assert found.interval[0] <= found.median <= found.interval[1]
    z, p, n = stats.norm.ppf(0.975), 5 / 7, 7
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert found.share == pytest.approx([(centre + s * half) / (1 + z * z / n) for s in (-1, 1)], rel=1e-9)
    assert found.ratio == 1.5


def test_where_none_left_the_median_is_infinite() -> None:
    found = behaviours.escape([escape(math.inf, 1000.0, math.inf)] * 3)
    assert found is not None
    assert (found.left, found.median, found.predicted) == (0, math.inf, math.inf)
    assert math.isnan(found.ratio)
    assert behaviours.escape([{"loss": 1.0}, {"escape_steps": math.nan}]) is None


def test_both_tables_are_printed_for_runs_that_are_there(home: pathlib.Path) -> None:
    minimum = cell(steps=50)
    saddle = cell(
        data=CLASSES,
        start={"name": "head_saddle", "perturbation": 1e-6},
        optimizer=builders.gd(0.5),
        steps=5,
        diagnostics=["escape"],
    )
    for one in (minimum, saddle):
        runs.run_seeds(one, [0], device="cpu", command="")
    printed = io.StringIO()
    planted.show([minimum, saddle], None, rich.console.Console(file=printed, width=120))
    text = printed.getvalue()
    assert "1 runs from planted minima" in text
    assert "escape from planted saddles" in text
    assert "1 of 1" in text
    planted.show([cell(start={"name": "random"}, diagnostics=["fit"])], None, rich.console.Console(file=printed))
    assert printed.getvalue() == text, "nothing is printed of other runs"
