# SPDX-License-Identifier: Apache-2.0
"""The kernel at a minimum, the Kantorovich-type number and margins, against what is known of them."""

from __future__ import annotations

import functools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import config
from harness.risk import jacobian as jacobians
from harness.risk import objective
from harness.training import problem
from tests import builders

LABELS = {"name": "random_labels", "examples": 5, "shape": [1, 1, 4], "classes": 2}
cell = functools.partial(
    builders.cell, data=LABELS, model=builders.mlp(6), optimizer=builders.gd(0.5), precision="float64"
)


def measured(one: config.Cell, name: str, theta: jax.Array | None = None) -> tuple[dict[str, float], jax.Array]:
    ready = problem.problem(one)
    at = problem.start(one, ready, jax.random.key(0)).astype("float64") if theta is None else theta
    return builders.measured(ready, at, one.optimizer.learning_rate, names=[name, "fit"]), at


def test_the_pl_ratio_is_a_rayleigh_quotient_of_the_kernel(home: pathlib.Path) -> None:
    """|grad L|^2 / (2 L) = r'Kr / (N r'r) for half_mse, and so between the kernel's ends (mathematics, section 4)."""
    one = cell()
    found, theta = measured(one, "minimum")
    goal, batch = problem.problem(one).objective, problem.problem(one).exact
    jacobian = np.asarray(jax.jacobian(goal.outputs)(theta, batch.x)).reshape(10, -1)
    residual = np.asarray(goal.outputs(theta, batch.x) - batch.targets).ravel()
    kernel = jacobian @ jacobian.T / 5
    assert found["pl_ratio"] == pytest.approx(residual @ kernel @ residual / (residual @ residual), rel=1e-12)
    edges = np.linalg.eigvalsh(kernel)
    assert found["ntk_least"] == pytest.approx(edges[0], abs=1e-13)
    assert found["ntk_least"] <= found["pl_ratio"] <= edges[-1]
    assert (found["ntk_rank"], found["ntk_deficit"]) == (10, 0)
    assert found["mu"] == pytest.approx(math.log(np.abs(1 - 0.5 * edges).max()), abs=1e-12)


def test_a_kernel_of_deficient_rank_says_so(home: pathlib.Path) -> None:
    """A linear network of 4 inputs has rank 8 of 2 outputs, whatever N."""
    linear = cell(model={"family": "deep_linear", "hidden": []}, data=LABELS | {"examples": 9})
    found, _ = measured(linear, "minimum")
    assert (found["ntk_rank"], found["ntk_deficit"], found["ntk_least"]) == (8, 10, 0)
    assert math.isnan(found["kantorovich"])


def test_the_kantorovich_number_of_one_product_is_known(home: pathlib.Path) -> None:
    """The network a b at x = 1: J = (b, a), its Lipschitz constant 1, the residual a b - 1."""
    one = cell(data={"name": "point"}, model={"family": "deep_linear", "hidden": [1]})
    theta = jnp.asarray([1.5, 0.8])
    found, _ = measured(one, "minimum", theta)
    assert found["kantorovich"] == pytest.approx(0.2 / (1.5**2 + 0.8**2), rel=0.02)
    assert found["kantorovich"] <= 0.2 / (1.5**2 + 0.8**2) * (1 + 1e-12), "beta is estimated from below"


def test_a_small_kantorovich_number_means_a_solution_nearby(home: pathlib.Path) -> None:
    one = cell(model=builders.mlp(24))
    ready = problem.problem(one)
    theta = problem.start(one, ready, jax.random.key(1)).astype("float64")
    residuals = jax.jit(lambda theta: (ready.objective.outputs(theta, ready.exact.x) - ready.exact.targets).ravel())
    slope = jax.jit(jax.jacobian(residuals))
    near = theta
    for _ in range(6):
        near = near - 0.7 * jnp.linalg.pinv(slope(near)) @ residuals(near)
    found, _ = measured(one, "minimum", near)
    assert 0 < found["kantorovich"] < 0.5
    beta = found["kantorovich"] * 5 * found["ntk_least"] / float(jnp.linalg.norm(residuals(near)))
    drawn = np.random.default_rng(0).standard_normal((50, len(near)))
    bends = jax.jit(lambda v: jnp.linalg.norm(jax.jvp(lambda at: jax.jvp(residuals, (at,), (v,))[1], (near,), (v,))[1]))
    assert beta > max(float(bends(jnp.asarray(v / np.linalg.norm(v)))) for v in drawn), "beta is found by ascent"
    solved = near
    for _ in range(8):
        solved = solved - jnp.linalg.pinv(slope(solved)) @ residuals(solved)
    assert float(jnp.linalg.norm(residuals(solved))) < 1e-12
    reach = 2 * float(jnp.linalg.norm(residuals(near))) / math.sqrt(5 * found["ntk_least"])
    assert float(jnp.linalg.norm(solved - near)) <= reach


def test_above_the_limit_the_largest_eigenvalue_speaks(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rate in (0.05, 5.0):
        one = cell(optimizer=builders.sgd(rate, 2))
        whole, theta = measured(one, "minimum")
        with monkeypatch.context() as patch:
            patch.setattr(jacobians, "LIMIT", 9)
            found, _ = measured(one, "minimum", theta)
            free, _ = measured(one, "stability", theta)
        assert math.isnan(found["ntk_rank"])
        if rate > 1:
            assert whole["mu"] > 0
            assert found["mu"] == pytest.approx(whole["mu"], abs=1e-9)
        else:
            assert found["mu"] <= whole["mu"] < 0
        dense, _ = measured(one, "stability", theta)
        assert free["lambda"] == pytest.approx(dense["lambda"], abs=free["lambda_error"] + dense["lambda_error"])
        assert math.isnan(free["lambda_lower"])


@pytest.mark.parametrize("scale", [1.0, -3.0, 400.0])
def test_the_margin_bounds_the_cross_entropy(scale: float, home: pathlib.Path) -> None:
    one = cell(loss={"name": "ce"}, model={"family": "deep_linear", "hidden": []})
    ready = problem.problem(one)
    x, labels = np.asarray(ready.exact.x).reshape(5, 4), np.asarray(ready.exact.targets)
    kernel = scale * np.linalg.lstsq(x, 2 * labels - 1)[0]
    outputs = x @ kernel
    margins = [row[label] - np.delete(row, label).max() for row, label in zip(outputs, labels.argmax(1), strict=True)]
    found, _ = measured(one, "margin", jnp.asarray(kernel.ravel()))
    assert found["margin"] == pytest.approx(min(margins), rel=1e-10)
    assert found["margin_bound"] == pytest.approx(np.logaddexp(0, -min(margins)), rel=1e-10)
    assert found["loss"] <= found["margin_bound"] * (1 + 1e-12)


def test_rows_that_fill_a_chunk_have_no_margin(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = cell(loss={"name": "ce"}, model={"family": "deep_linear", "hidden": []}, data=LABELS | {"examples": 3})
    ready = problem.problem(one)
    x, labels = np.asarray(ready.exact.x).reshape(3, 4), np.asarray(ready.exact.targets)
    monkeypatch.setattr(objective, "CHUNK", 2)
    found, _ = measured(one, "margin", jnp.asarray(np.linalg.lstsq(x, 2 * labels - 1)[0].ravel()))
    assert found["margin"] == pytest.approx(2, rel=1e-10), "three examples in four dimensions are fitted"


def test_a_step_without_curvature_makes_the_progress_that_the_gradient_promises(home: pathlib.Path) -> None:
    """L = (lambda_1 x^2 + lambda_2 y^2) / 2: both numbers in closed form."""
    curved = cell(
        **builders.quadratic(4.0, 0.5),
        start={"name": "given", "theta": [1.0, 2.0]},
        optimizer=builders.gd(0.3),
    )
    found, _ = measured(curved, "progress")
    gradient = np.array([4.0, 1.0])
    turned = gradient @ (0.3 * np.array([4.0, 0.5]) * gradient) / (gradient @ gradient)
    assert found["directional_smoothness"] == pytest.approx(turned, abs=1e-14)
    assert found["relative_progress"] == pytest.approx(-1 + turned / 2, abs=1e-14)
    at_rest, _ = measured(curved, "progress", jnp.zeros(2))
    assert math.isnan(at_rest["relative_progress"])
