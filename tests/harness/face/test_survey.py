# SPDX-License-Identifier: Apache-2.0
"""Surveys through `import gdzoo`: closed forms first, then the records of runs, and settings that stay as they were."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gdzoo
import zoo
from harness import config, diagnostics, specs, workspace
from harness.metrics import METRICS
from harness.runs import keys, measure
from harness.training import problem
from tests import builders

X = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0], [2.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
ETA = 0.3


def linear(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return x @ params["w"]


def test_linear_regression_has_the_spectrum_of_its_data() -> None:
    net = gdzoo.network(linear, {"w": np.ones((3, 2))}, (X, X[:, :2]))
    found = gdzoo.survey(net, ETA)
    eigenvalues = np.repeat(np.linalg.eigvalsh(X.T @ X / len(X)), 2)  # once for each output
    off = found["sharpness_error"]
    assert off < 1e-11
    np.testing.assert_allclose(found.spectrum.values, eigenvalues, rtol=0, atol=off)
    factors = np.abs(1 - ETA * eigenvalues)
    assert abs(found["sigma_min"] - factors.min()) <= found["sigma_min_error"]
    assert abs(found["log_abs_det"] - np.log(factors).sum()) <= found["log_abs_det_error"]
    assert found["n_above_inv_eta"] == (eigenvalues > 1 / ETA).sum() == 2
    residual = X @ np.ones((3, 2)) - X[:, :2]
    assert found["loss"] == pytest.approx(0.5 * np.mean(np.sum(residual**2, axis=1)), rel=1e-14)
    assert found.verdict == "invertible" and not found.certified


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_cross_entropy_at_zero_has_the_spectrum_in_closed_form(method: Any) -> None:
    """At w = 0 all classes are as likely: H is (1/K)(I - 11'/K) of the outputs, times X'X / N."""
    net = gdzoo.network(linear, {"w": np.zeros((3, 3))}, (X, np.array([0, 1, 2, 1])), loss="ce", curvature=method)
    found = gdzoo.survey(net, ETA)
    largest = np.linalg.eigvalsh(X.T @ X / len(X))[-1] / 3
    assert found.method == method
    assert abs(found["sharpness"] - largest) <= found["sharpness_error"] < 1e-10
    assert found["loss"] == pytest.approx(math.log(3), rel=1e-14)


def test_a_singular_step_size_is_not_invertible() -> None:
    net = gdzoo.network(linear, {"w": np.ones((1, 1))}, (np.array([[1.0], [3.0]]), np.zeros(2)))
    found = gdzoo.survey(net, 1 / 5)
    assert found.verdict == "undecided" and "within 100 error bars" in found.why[0]
    assert gdzoo.survey(net, 0.19).verdict == "invertible"


def test_a_loss_of_ones_own_is_a_function_of_outputs_and_target() -> None:
    def ours(outputs: jax.Array, target: jax.Array) -> jax.Array:
        return 0.5 * jnp.sum((outputs - target) ** 2)

    nets = [gdzoo.network(linear, {"w": np.ones((3, 2))}, (X, X[:, 1:]), loss=loss) for loss in (ours, "half_mse")]
    own, named = (gdzoo.survey(net, ETA) for net in nets)
    np.testing.assert_allclose(own.spectrum.values, named.spectrum.values, rtol=0, atol=1e-12)
    assert nets[0].loss == "ours"


def test_weight_decay_adds_to_every_eigenvalue() -> None:
    losses: list[Any] = ["half_mse", {"name": "half_mse", "weight_decay": 0.25}]
    plain, decayed = (
        gdzoo.survey(gdzoo.network(linear, {"w": np.ones((3, 2))}, (X, X[:, 1:]), loss=loss), ETA) for loss in losses
    )
    np.testing.assert_allclose(decayed.spectrum.values, plain.spectrum.values + 0.25, rtol=0, atol=1e-12)


def test_data_of_many_chunks_and_of_whole_numbers_are_whole() -> None:
    """5,000 tokens are evaluated in chunks; the Hessian of a table of numbers is that of the tokens' shares."""
    tokens = np.arange(5000) % 3
    net = gdzoo.network(lambda params, x: params[x][:, None], jnp.ones(3), (tokens, np.zeros(5000)))
    found = gdzoo.survey(net, 0.5)
    shares = np.sort(np.bincount(tokens) / 5000)
    np.testing.assert_allclose(found.spectrum.values, shares, rtol=0, atol=1e-13)


def test_ingredients_that_are_named_make_a_point_speak_for_the_whole_map() -> None:
    named = gdzoo.network(linear, {"w": np.ones((3, 2))}, (X, X[:, 1:]), ingredients=["dense"])
    pieces = gdzoo.network(linear, {"w": np.ones((3, 2))}, (X, X[:, 1:]), ingredients=["dense", "relu"])
    first, second = gdzoo.survey(named, ETA), gdzoo.survey(pieces, ETA)
    assert first.certified and first.theorem == "theorem 1"
    assert not second.certified and "pieces" in second.why[1]
    with pytest.raises(gdzoo.InputError, match="'densse' is not known.*did you mean 'dense'"):
        gdzoo.network(linear, {"w": np.ones((3, 2))}, (X, X[:, 1:]), ingredients=["densse"])


QUICKSTART = workspace.CHECKOUT / "specs" / "quickstart"


def recorded(cell: config.Cell) -> tuple[problem.Problem, np.ndarray, float, dict[str, float]]:
    """Returns a cell's problem, start, step size, and the first record of its run of seed 0."""
    ready, own = problem.problem(cell), keys.of_run(0)
    theta = problem.start(cell, ready, own.start).astype(cell.precision)
    eta = problem.step_size(cell, ready, theta, own.top)
    at = measure.Where(theta, eta, keys.at_step(cell, own, 0))
    values = measure.measure(ready, at, diagnostics.DEFAULT)
    assert values is not None
    return ready, np.asarray(theta), eta, values


@pytest.mark.parametrize(("name", "label"), [("mlp", "mlp · activation=gelu"), ("vgg", "vgg · activation=relu")])
def test_a_network_of_the_quickstart_has_the_numbers_that_its_run_records(name: str, label: str) -> None:
    cell = next(one for one in specs.read(QUICKSTART / f"{name}.yaml").cells if one.label == label)
    ready, theta, eta, record = recorded(cell)
    spec = gdzoo.survey(gdzoo.network(QUICKSTART / f"{name}.yaml", label=label), eta)
    assert spec.values == {metric: record[metric] for metric in spec.values}, "the same code, so the same bits"
    built = zoo.build(cell.model.family, cell.model, inputs=ready.facts.shape, outputs=ready.facts.classes)
    params = built.init(keys.of_run(0).start)
    net = gdzoo.network(built.apply, params, (ready.arrays.x, ready.arrays.targets), curvature=cell.curvature)
    np.testing.assert_array_equal(net.theta, theta)
    own = gdzoo.survey(net, eta)
    compared = [name for name in own.values if METRICS[name].error and not math.isnan(record[name])]
    assert {"sharpness", "lambda_min", "sigma_min", "log_abs_det", "n_above_inv_eta"} <= set(compared)
    for metric in compared:
        error = str(METRICS[metric].error)
        assert abs(own[metric] - record[metric]) <= own[error] + record[error], metric
    assert own.verdict == "invertible"


def test_a_survey_elsewhere_and_a_grid_that_is_not_one() -> None:
    net = gdzoo.network(builders.cell(model=builders.mlp(3)))
    with pytest.raises(gdzoo.InputError, match="has shape \\(3, 3\\), and|has shape none"):
        gdzoo.survey(net, 0.1, {"w": np.ones((3, 3))})
    moved = gdzoo.survey(net, 0.1, net.theta + 0.1)
    assert moved["loss"] != gdzoo.survey(net, 0.1)["loss"]
    with pytest.raises(gdzoo.InputError, match="2 configurations; say which: label='mlp · activation=relu'"):
        gdzoo.network(str(QUICKSTART / "mlp.yaml"))
    with pytest.raises(gdzoo.InputError, match="eta is -1; give a positive number"):
        gdzoo.survey(net, -1)


def test_the_settings_of_jax_stay_as_they_were_and_do_not_matter() -> None:
    given = {"w": np.ones((3, 2), "float32")}
    with jax.enable_x64(False), jax.default_matmul_precision("bfloat16"):
        found = gdzoo.survey(gdzoo.network(linear, given, (X, X[:, 1:])), ETA)
        assert jnp.ones(1).dtype == "float32"
        assert jax.config.jax_default_matmul_precision == "bfloat16"
    usual = gdzoo.survey(gdzoo.network(linear, given, (X, X[:, 1:])), ETA)
    assert found.values == usual.values


def test_what_is_shown_is_text_and_html_that_is_escaped() -> None:
    net = gdzoo.network(lambda params, x: x @ params, np.ones((3, 2)), (X, X[:, 1:]))
    found = gdzoo.survey(net, ETA)
    shown = repr(found)
    assert "Survey of <lambda> at η = 0.3" in shown and "σ_min(I − ηH)" in shown and "invertible" in shown
    assert "&lt;lambda&gt;" in found._repr_html_() and "<lambda>" not in found._repr_html_()
    assert "theorem     not known" in repr(net) and "parameters  6" in repr(net)
    with pytest.raises(gdzoo.InputError, match="a survey has no 'sigma'; .*did you mean"):
        found["sigma"]


def test_the_face_has_the_names_that_it_says_and_no_others() -> None:
    assert dir(gdzoo) == sorted(gdzoo.__all__)
    assert all(getattr(gdzoo, name) is not None for name in gdzoo.__all__)
    with pytest.raises(AttributeError, match="gdzoo has no 'surveys'; it has"):
        gdzoo.surveys  # noqa: B018
