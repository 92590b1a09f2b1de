# SPDX-License-Identifier: Apache-2.0
"""Losses by hand, and their infima by minimising."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from harness import config
from harness.risk import losses

HALF_MSE = config.HalfMse(name="half_mse")
CE = config.Ce(name="ce")


def smoothed(smoothing: float) -> config.SmoothedCe:
    return config.SmoothedCe(name="smoothed_ce", smoothing=smoothing)


def test_half_mse_by_hand() -> None:
    found = losses.per_example(HALF_MSE, jnp.array([[1.0, 2.0], [0.0, 1.0]]), jnp.array([[1.0, 0.0], [0.5, 1.0]]))
    assert np.allclose(found, [0.5 * (0 + 4), 0.5 * 0.25])


def test_cross_entropy_by_hand() -> None:
    outputs, targets = jnp.array([[0.0, np.log(3.0)]]), jnp.array([[0.0, 1.0]])
    hard = losses.per_example(CE, outputs, targets)
    soft = losses.per_example(smoothed(0.2), outputs, targets)
    assert float(hard[0]) == pytest.approx(-np.log(0.75))
    assert float(soft[0]) == pytest.approx(-0.9 * np.log(0.75) - 0.1 * np.log(0.25))
    probable = losses.per_example(CE, outputs, jnp.array([[0.5, 0.5]]))
    assert float(probable[0]) == pytest.approx(-0.5 * np.log(0.75) - 0.5 * np.log(0.25))


def test_output_is_the_loss_itself() -> None:
    found = losses.per_example(config.Output(name="output"), jnp.array([[3.0], [-1.0]]), jnp.zeros((2, 1)))
    assert found.tolist() == [3.0, -1.0]


@pytest.mark.parametrize(
    ("classes", "smoothing", "printed"),
    [(10, 0.1, 0.500288), (10, 0.2, 0.866894), (2, 0.1, 0.198515), (100, 0.1, 0.777797)],
)
def test_infimum_of_smoothed_labels_as_printed_and_attained(classes: int, smoothing: float, printed: float) -> None:
    loss = smoothed(smoothing)
    target = np.eye(classes)[:1]
    infimum = losses.infimum(loss, target, np.ones(1))
    assert infimum == pytest.approx(printed, abs=5e-7)
    at = jnp.log((1 - smoothing) * target + smoothing / classes)
    assert float(losses.per_example(loss, at, target)[0]) == pytest.approx(infimum, rel=1e-12)
    slope = jax.grad(lambda f: losses.per_example(loss, f, target)[0])(at)
    assert float(jnp.abs(slope).max()) < 1e-15


@pytest.mark.parametrize("loss", [CE, smoothed(0.3)], ids=lambda loss: loss.name)
def test_infimum_of_probable_targets_is_the_weighted_mean_of_their_minima(loss: config.Ce | config.SmoothedCe) -> None:
    targets = np.random.default_rng(0).dirichlet(np.ones(3), size=4)
    weights = np.array([1.0, 2.0, 0.5, 3.0])

    def risk(outputs: jax.Array) -> jax.Array:
        return jnp.average(losses.per_example(loss, outputs, jnp.asarray(targets)), weights=weights)

    outputs = jnp.zeros((4, 3))
    for _ in range(50):  # Newton's method, in the directions that the softmax feels
        hessian = jax.hessian(risk)(outputs).reshape(12, 12)
        outputs -= (jnp.linalg.pinv(hessian, rtol=1e-9) @ jax.grad(risk)(outputs).ravel()).reshape(4, 3)
    assert float(risk(outputs)) == pytest.approx(losses.infimum(loss, targets, weights), rel=1e-10)


def test_infima_that_are_zero_or_not_known() -> None:
    labels, weights = np.eye(10), np.ones(10)
    assert losses.infimum(HALF_MSE, labels, weights) == 0
    assert losses.infimum(CE, labels, weights) == 0
    assert math.isnan(losses.infimum(config.Output(name="output"), labels, weights))
    assert losses.infimum(config.Output(name="output", infimum=-2.0), labels, weights) == -2.0
    assert math.isnan(losses.infimum(config.HalfMse(name="half_mse", weight_decay=0.1), labels, weights))


@pytest.mark.parametrize("loss", [HALF_MSE, CE, smoothed(0.2)], ids=lambda loss: loss.name)
def test_of_equal_inputs_with_different_targets_no_function_fits_both(loss: Any) -> None:
    """The infimum over functions of the input: one output for each group, found by minimising."""
    x = np.array([1.0, 2.0, 1.0, 3.0, 1.0])[:, None]
    targets, weights = np.eye(3)[[0, 1, 2, 1, 0]], np.array([1.0, 2.0, 0.5, 1.0, 3.0])
    groups = jnp.asarray([0, 1, 0, 2, 0])

    def risk(free: jax.Array) -> jax.Array:
        return jnp.average(losses.per_example(loss, free.reshape(3, 3)[groups], jnp.asarray(targets)), weights=weights)

    found = scipy.optimize.minimize(risk, np.zeros(9), jac=jax.grad(risk), method="BFGS", options={"gtol": 1e-9})
    assert losses.infimum(loss, targets, weights, x) == pytest.approx(found.fun, abs=2e-8)
    assert losses.infimum(loss, targets, weights, x) > losses.infimum(loss, targets, weights) + 0.01
    apart = np.arange(5.0)[:, None]
    assert losses.infimum(loss, targets, weights, apart) == losses.infimum(loss, targets, weights)


def test_each_infimum_is_attained_approached_or_unknown() -> None:
    assert losses.kind(HALF_MSE, planted=False) == losses.kind(smoothed(0.1), planted=False) == "attained"
    assert (losses.kind(CE, planted=False), losses.kind(CE, planted=True)) == ("approached", "attained")
    decayed = config.Ce(name="ce", weight_decay=0.1)
    assert losses.kind(decayed, planted=False) == losses.kind(config.Output(name="output"), planted=False) == "unknown"
    assert losses.kind(config.Output(name="output", infimum=0.0), planted=False) == "attained"


@pytest.mark.parametrize("loss", [HALF_MSE, CE, smoothed(0.3)], ids=lambda loss: loss.name)
def test_the_risk_of_the_best_constant_prediction_is_the_least_of_all_constants(loss: Any) -> None:
    drawn = np.random.default_rng(3)
    targets, weights = np.eye(3)[drawn.integers(0, 3, 20)], drawn.uniform(0.5, 2, 20)

    def risk(constant: np.ndarray) -> float:
        each = losses.per_example(loss, jnp.broadcast_to(constant, (20, 3)), jnp.asarray(targets))
        return float(jnp.average(each, weights=weights))

    least = scipy.optimize.minimize(risk, np.zeros(3), method="BFGS", options={"gtol": 1e-9}).fun
    assert losses.constant(loss, targets, weights) == pytest.approx(least, rel=1e-6)
    assert math.isnan(losses.constant(config.Output(name="output", infimum=0.0), targets, weights))


def test_chance_is_the_weighted_share_of_the_largest_class() -> None:
    targets = np.array([[1.0, 0.0], [0.2, 0.8], [0.0, 1.0]])
    assert losses.chance(targets, np.ones(3)) == pytest.approx(2 / 3)
    assert losses.chance(targets, np.array([4.0, 1.0, 1.0])) == pytest.approx(2 / 3)
    assert losses.chance(targets, np.array([8.0, 1.0, 1.0])) == pytest.approx(0.8)
