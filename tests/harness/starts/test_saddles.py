# SPDX-License-Identifier: Apache-2.0
"""Planted saddles: critical, of the spectrum that is said, left in the time that is predicted."""

from __future__ import annotations

import functools
import math
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import config, errors, starts
from harness.curvature import dense
from harness.starts import heads, saddles
from harness.training import problem
from tests import builders
from zoo import layer

MLP = builders.mlp(6, 5, activation="gelu")
VGG = {"family": "vgg", "stages": [[3], [4]], "activation": "tanh", "pool": "average"}
VIT = {"family": "vit", "patch": 2, "width": 4, "depth": 1, "heads": 2, "mlp_width": 4, "activation": "gelu"}
DATA = builders.classes(examples=12, shape=[4, 4, 1])
TEACHER = {"name": "linear_teacher", "examples": 8, "shape": [1, 1, 3], "singular_values": [3.0, 2.0, 1.0]}
cell = functools.partial(
    builders.cell,
    data=DATA,
    model=MLP,
    start={"name": "head_saddle", "perturbation": 1e-7},
    optimizer=builders.gd(0.5),
    precision="float64",
)


def measured(one: config.Cell, *names: str, key: int = 0) -> dict[str, float]:
    ready = problem.problem(one)
    theta = problem.start(one, ready, jax.random.key(key))
    planted = problem.planted_at(one, ready)
    rate = one.optimizer.learning_rate
    return builders.measured(ready, theta, rate, names=names, key=key, planted=planted)


@pytest.mark.parametrize("name", ["head_saddle", "origin"])
@pytest.mark.parametrize("loss", builders.tiers(["half_mse", "smoothed_ce", "ce"], quick=["half_mse", "ce"]))
@pytest.mark.parametrize(
    "model",
    builders.tiers([MLP, VGG, VIT, builders.mlp(6, activation="sigmoid")], quick=[MLP]),
    ids=["mlp", "vgg", "vit", "sigmoid"],
)
def test_a_head_saddle_is_what_its_construction_says(
    model: dict[str, Any], loss: str, name: str, home: pathlib.Path
) -> None:
    found = measured(cell(model=model, loss={"name": loss}, start={"name": name}), "saddle")
    assert found["saddle_gradient"] < 1e-14
    assert found["saddle_least"] == pytest.approx(found["saddle_predicted"], abs=2 * found["saddle_least_error"])
    assert found["saddle_negative"] == found["saddle_negative_predicted"]
    assert found["saddle_curvature"] == pytest.approx(found["saddle_least"], abs=2 * found["saddle_curvature_error"])
    strict = name == "head_saddle" or (model["family"] == "mlp" and len(model["hidden"]) == 1)
    if strict:
        assert found["saddle_least"] < -1e-3


@pytest.mark.parametrize(("rank", "least", "negative"), [(0, -3, 12), (1, -2, 6), (2, -1, 2), (3, 0, 0)])
def test_two_matrices_have_the_saddles_of_baldi_and_hornik(
    rank: int, least: float, negative: int, home: pathlib.Path
) -> None:
    """C10 with a hidden layer of 4: -s_(k+1), negative (3 - k) (4 - k) times."""
    start = {"name": "deep_linear_saddle", "rank": rank}
    found = measured(cell(data=TEACHER, model={"family": "deep_linear", "hidden": [4]}, start=start), "saddle")
    assert found["saddle_gradient"] < 1e-13
    assert found["saddle_predicted"] == pytest.approx(least, abs=1e-12)
    assert found["saddle_least"] == pytest.approx(least, abs=1e-12)
    assert (found["saddle_negative"], found["saddle_negative_predicted"]) == (negative, negative)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_three_matrices_have_saddles_that_are_not_strict(rank: int, home: pathlib.Path) -> None:
    start = {"name": "deep_linear_saddle", "rank": rank}
    found = measured(cell(data=TEACHER, model={"family": "deep_linear", "hidden": [4, 4]}, start=start), "saddle")
    assert found["saddle_gradient"] < 1e-13
    assert found["saddle_least"] == pytest.approx(0, abs=1e-12)
    assert found["saddle_negative"] == 0


def test_inputs_that_are_not_white_leave_the_rank_k_point_critical(home: pathlib.Path) -> None:
    start = {"name": "deep_linear_saddle", "rank": 1}
    found = measured(cell(model={"family": "deep_linear", "hidden": [4]}, start=start), "saddle")
    assert found["saddle_gradient"] < 1e-13
    assert math.isnan(found["saddle_predicted"])
    assert found["saddle_least"] < -1e-2


@pytest.mark.parametrize("activation", builders.tiers(["relu", "leaky_relu", "tanh"], quick=["relu"]))
@pytest.mark.parametrize("loss", builders.tiers(["half_mse", "smoothed_ce"], quick=["half_mse"]))
@pytest.mark.parametrize(
    "model",
    [{"family": "mlp", "hidden": [6]}, {"family": "vgg", "stages": [[3], [3]], "pool": "average"}],
    ids=["unit", "channel"],
)
def test_units_that_reach_no_output_are_a_saddle_off_every_kink(
    model: dict[str, Any], loss: str, activation: str, home: pathlib.Path
) -> None:
    one = cell(model={**model, "activation": activation}, loss={"name": loss}, start={"name": "zero_unit_saddle"})
    found = measured(one, "saddle")
    assert found["saddle_gradient"] < 1e-13
    assert found["saddle_least"] <= found["saddle_predicted"] + found["saddle_least_error"]
    assert found["saddle_predicted"] < -1e-4
    # On its piece the risk is the quadratic that the Hessian says: no kink lies within the second difference.
    assert found["saddle_curvature"] == pytest.approx(found["saddle_least"], abs=2 * found["saddle_curvature_error"])
    assert found["saddle_curvature_error"] < 0.05 * abs(found["saddle_least"])


@pytest.mark.thorough
def test_an_attention_head_that_reaches_no_output_is_a_saddle(home: pathlib.Path) -> None:
    """Random labels and no norms: what the rest of the network cannot fit, and a search that ends."""
    one = cell(
        model={**VIT, "norm_epsilon": None},
        data={"name": "random_labels", "examples": 60, "shape": [4, 4, 1], "classes": 3},
        loss={"name": "smoothed_ce"},
        start={"name": "zero_unit_saddle"},
    )
    found = measured(one, "saddle")
    assert found["saddle_gradient"] < 1e-12
    assert found["saddle_least"] <= found["saddle_predicted"] + found["saddle_least_error"]
    assert found["saddle_predicted"] < -1e-3
    assert found["saddle_curvature"] == pytest.approx(found["saddle_least"], abs=2 * found["saddle_curvature_error"])
    theta = np.asarray(problem.problem(one).planted(one.start).theta)
    assert np.sum(theta == 0) == 2 * 4  # the output weights of one head of two features, and nothing else


def test_a_search_for_a_critical_point_has_its_limit_and_says_when_it_fails(home: pathlib.Path) -> None:
    def said(**fields: Any) -> str:
        one = cell(start={"name": "split_saddle", "seed": 0, "share": 0.5}, **fields)
        with pytest.raises(errors.InputError) as caught:
            problem.planted_at(one, problem.problem(one))
        return str(caught.value)

    assert "at most 600" in said(model=builders.mlp(40))
    few = {"name": "random_labels", "examples": 4, "shape": [4, 4, 1], "classes": 2}
    assert "does not fit every example; try another seed" in said(model=builders.mlp(6), data=few)


def test_a_relu_network_at_a_head_saddle_is_a_trap_that_a_second_difference_sees(home: pathlib.Path) -> None:
    """At B = 0 autodiff says that ReLU is flat; the risk bends down all the same."""
    smooth = problem.problem(cell(model={**MLP, "activation": "tanh"}))
    theta = smooth.planted(cell(model={**MLP, "activation": "tanh"}).start).theta
    kinked = problem.problem(cell(model={**MLP, "activation": "relu"}, start={"name": "random"}))
    planted = saddles.Saddle(theta, math.nan, False, math.nan, 0.01)
    found = builders.measured(kinked, theta, 0.5, names=["saddle"], planted=planted)
    assert found["saddle_least"] == pytest.approx(0, abs=1e-12)
    risk, batch = jax.jit(kinked.objective.risk), kinked.exact
    drawn = np.random.default_rng(0).standard_normal((500, len(theta)))
    h = 1e-3
    moves = h * jnp.asarray(drawn / np.linalg.norm(drawn, axis=1)[:, None])
    bent = [float(risk(theta + v, batch) + risk(theta - v, batch) - 2 * risk(theta, batch)) / h**2 for v in moves]
    assert min(bent) < -1e-3


@pytest.mark.parametrize("share", [0.5, 1.5])
@pytest.mark.parametrize("seed", builders.tiers([0, 1], quick=[0]))
def test_a_split_unit_is_a_saddle_where_its_matrix_says(seed: int, share: float, home: pathlib.Path) -> None:
    """Random labels, which a few units cannot fit: separable classes would send weights to infinity."""
    one = cell(
        model=builders.mlp(4),
        data={"name": "random_labels", "examples": 40, "shape": [1, 1, 4], "classes": 3},
        start={"name": "split_saddle", "seed": seed, "share": share},
    )
    found = measured(one, "saddle")
    assert found["saddle_gradient"] < 1e-10
    assert found["saddle_least"] <= found["saddle_predicted"] + found["saddle_least_error"]
    assert found["saddle_curvature"] == pytest.approx(found["saddle_least"], abs=2 * found["saddle_curvature_error"])
    if seed == 0:
        assert found["saddle_predicted"] < -5e-3


@pytest.mark.parametrize("eta", [0.1, 0.25, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("model", builders.tiers([MLP, VGG, VIT], quick=[MLP, VGG]), ids=["mlp", "vgg", "vit"])
def test_gradient_descent_leaves_in_the_predicted_time(model: dict[str, Any], eta: float, home: pathlib.Path) -> None:
    """Within 5 %, five step sizes and three families."""
    start = {"name": "head_saddle", "perturbation": 1e-7, "radius": 1e-3}
    one = cell(model=model, start=start, optimizer=builders.gd(eta))
    found = measured(one, "escape", key=3)
    assert found["escape_ratio"] == pytest.approx(1, abs=0.05)
    assert found["escape_predicted"] > 20
    assert 0.95 < found["escape_drop"] < 1.4  # other negative directions add to it
    assert 0.85 < found["escape_alignment"] <= 1


@pytest.mark.parametrize(
    ("model", "data", "start"),
    [
        (MLP, DATA, {"name": "head_saddle"}),
        ({"family": "deep_linear", "hidden": [4]}, TEACHER, {"name": "deep_linear_saddle", "rank": 1}),
        ({"family": "deep_linear", "hidden": [4]}, TEACHER, {"name": "origin"}),
        pytest.param(VIT, DATA, {"name": "head_saddle"}, marks=pytest.mark.thorough),
    ],
    ids=["mlp", "repeated", "origin", "vit"],
)
def test_vector_by_vector_says_what_the_whole_hessian_says(
    model: dict[str, Any],
    data: dict[str, Any],
    start: dict[str, Any],
    home: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is done above 5,000 parameters, where both can be had; repeated eigenvalues with their multiplicity."""
    one = cell(model=model, data=data, start={**start, "perturbation": 1e-6}, optimizer=builders.gd(0.1))
    whole = measured(one, "saddle", "escape")
    monkeypatch.setattr(dense, "limit", lambda: 0)
    found = measured(one, "saddle", "escape")
    assert whole["saddle_negative"] > 1
    assert found["saddle_negative"] == whole["saddle_negative"]
    assert found["saddle_least"] == pytest.approx(whole["saddle_least"], abs=found["saddle_least_error"] + 1e-12)
    assert found["saddle_least_error"] < 1e-8
    assert found["escape_steps"] == whole["escape_steps"] and math.isfinite(found["escape_steps"])
    assert found["escape_ratio"] == pytest.approx(whole["escape_ratio"], rel=1e-6)
    assert found["saddle_exponent"] == pytest.approx(whole["saddle_exponent"], rel=1e-9)


def test_a_saddle_beyond_the_dense_method_is_left_in_the_predicted_time(home: pathlib.Path) -> None:
    one = cell(
        model=builders.mlp(300),
        start={"name": "head_saddle", "perturbation": 1e-6},
        optimizer=builders.gd(0.2),
    )
    assert problem.problem(one).objective.size > dense.limit()
    found = measured(one, "saddle", "escape")
    assert found["saddle_least"] == pytest.approx(found["saddle_predicted"], abs=2 * found["saddle_least_error"])
    assert found["saddle_negative_predicted"] == 600 and math.isnan(found["saddle_negative"]), "they are not counted"
    assert found["saddle_curvature"] == pytest.approx(found["saddle_least"], abs=2 * found["saddle_curvature_error"])
    assert found["escape_ratio"] == pytest.approx(1, abs=0.05)
    assert math.isnan(found["escape_alignment"]), "λ_min is repeated 300 times, and 33 of its vectors are watched"


def test_where_every_direction_is_flat_a_large_point_says_nothing(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "limit", lambda: 0)
    found = measured(
        cell(data=TEACHER, model={"family": "deep_linear", "hidden": [4, 4]}, start={"name": "origin"}), "saddle"
    )
    assert math.isnan(found["saddle_least"])


def test_the_unperturbed_control_stays(home: pathlib.Path) -> None:
    found = measured(cell(start={"name": "head_saddle"}), "escape")
    assert (found["escape_steps"], found["escape_predicted"]) == (math.inf, math.inf)
    assert found["escape_watched"] == 1000
    assert math.isnan(found["escape_ratio"])


def test_a_flat_point_is_not_left(home: pathlib.Path) -> None:
    one = cell(data=TEACHER, model={"family": "deep_linear", "hidden": [4, 4]}, start={"name": "origin"})
    assert measured(one, "escape")["escape_steps"] == math.inf


def test_sgd_can_be_attracted_by_a_strict_saddle(home: pathlib.Path) -> None:
    """Ziyin et al.: l = (y - a b)^2 / 2, eta y = 1.1 with chance 0.6, -0.95 with 0.4; exponents -0.753 and -1.114."""
    fields: dict[str, Any] = {
        "data": {"name": "points", "x": [1.0, 1.0], "values": [1.1, -0.95], "weights": [0.6, 0.4]},
        "model": {"family": "deep_linear", "hidden": [1]},
        "start": {"name": "origin", "perturbation": 1e-3, "radius": 0.1},
    }
    sgd = cell(**fields, optimizer=builders.sgd(1.0, 1))
    found = measured(sgd, "saddle", "escape")
    assert found["saddle_least"] == pytest.approx(-0.28, abs=1e-12)
    exponent = 0.6 * math.log(2.1) + 0.4 * math.log(0.05)
    assert exponent == pytest.approx(-0.753, abs=5e-4)
    assert found["saddle_exponent"] == pytest.approx(exponent, abs=found["saddle_exponent_error"])
    assert found["escape_steps"] == math.inf
    gd = measured(cell(**fields, optimizer=builders.gd(1.0)), "escape")
    assert gd["saddle_exponent"] == pytest.approx(math.log(1.28), abs=1e-12)
    assert gd["escape_ratio"] == pytest.approx(1, abs=0.1)

    def ends(one: config.Cell, seeds: int, steps: int) -> np.ndarray:
        ready = problem.problem(one)
        keys = jax.random.split(jax.random.key(1), seeds)
        thetas = 0.01 * jax.random.normal(jax.random.key(2), (seeds, 2), "float64")
        etas = jnp.ones(seeds)
        state = ready.trainer.begin(thetas, etas, jnp.zeros(seeds, int))
        state = ready.trainer.advance(state, etas, keys, ready.batch, steps)
        return np.where(np.asarray(state.live), np.abs(np.asarray(state.theta)).max(axis=1), np.inf)

    assert np.mean(ends(sgd, 500, 2000) < 1e-6) > 0.97
    assert np.mean(ends(cell(**fields, optimizer=builders.gd(1.0)), 100, 2000) < 1e-6) == 0


def test_where_a_saddle_cannot_be_planted_it_says_so() -> None:
    def wrong(**fields: object) -> str:
        with pytest.raises(errors.InputError) as caught:
            cell(**fields)
        return str(caught.value)

    relu = {**MLP, "activation": "relu"}
    assert "kink; zero_unit_saddle is for such networks" in wrong(model=relu)
    assert "not critical" in wrong(loss={"name": "half_mse", "weight_decay": 0.1})
    assert "family deep_linear without biases" in wrong(start={"name": "deep_linear_saddle", "rank": 1})
    deep = {"family": "deep_linear", "hidden": [2]}
    assert "rank 3 does not pass" in wrong(data=TEACHER, model=deep, start={"name": "deep_linear_saddle", "rank": 3})
    assert "two units or more" in wrong(model=VGG, start={"name": "split_saddle"})
    assert "flat" in wrong(model=relu, start={"name": "split_saddle"})
    mixer = {**VIT, "family": "mixer", "tokens_width": 4, "channels_width": 4}
    mixer = {name: value for name, value in mixer.items() if name not in ("heads", "mlp_width")}
    assert "or attention" in wrong(model=mixer, start={"name": "zero_unit_saddle"})
    bare = {"family": "mlp", "hidden": [4], "activation": "sigmoid", "bias": False}
    assert "has no bias" in wrong(model=bare)
    assert "data.targets: {planted: SEED}" in wrong(start={"name": "planted_minimum"})


@pytest.mark.parametrize("loss", ["half_mse", "smoothed_ce", "ce"])
def test_classes_of_unequal_size_shift_the_optimal_output(loss: str, home: pathlib.Path) -> None:
    found = measured(cell(loss={"name": loss}, data={**DATA, "examples": 14}, start={"name": "head_saddle"}), "saddle")
    assert found["saddle_gradient"] < 1e-14
    assert found["saddle_least"] == pytest.approx(found["saddle_predicted"], abs=2 * found["saddle_least_error"])


def test_a_class_without_examples_has_no_optimal_output(home: pathlib.Path) -> None:
    one = cell(data={**DATA, "examples": 2}, loss={"name": "ce"})
    with pytest.raises(errors.InputError, match="use smoothed_ce"):
        problem.planted_at(one, problem.problem(one))


def test_every_start_has_its_part_and_its_row() -> None:

    names = {part.model_fields["name"].annotation.__args__[0] for part in config.Start.__args__[0].__args__}  # type: ignore[attr-defined, union-attr]
    assert names == set(starts.STARTS)


def test_a_displacement_is_as_long_as_it_says_and_the_seeds_own(home: pathlib.Path) -> None:
    one = cell(start={"name": "head_saddle", "perturbation": 0.25})
    ready = problem.problem(one)
    at = problem.planted_at(one, ready)
    assert at is not None
    first, second = (problem.start(one, ready, jax.random.key(k)) - at.theta for k in (0, 1))
    assert float(jnp.linalg.norm(first)) == pytest.approx(0.25, rel=1e-12)
    assert float(jnp.linalg.norm(first - second)) > 0.1
    assert measured(one, "displacement")["displacement"] == pytest.approx(0.25, rel=1e-12)


def test_the_last_attention_of_a_network_is_found_however_deep() -> None:
    inner = {"attention": layer.Attention(2)}
    stack = {"a": layer.Residual(inner), "b": layer.Residual({"dense": layer.Dense(4)}), "c": layer.Residual(inner)}
    assert heads.attention({**stack, "head": layer.Dense(3)}) == ("c", "inner", "attention")
    assert heads.attention({"dense": layer.Dense(3)}) == ()
