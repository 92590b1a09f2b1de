# SPDX-License-Identifier: Apache-2.0
"""Finite-time exponents (D7) against closed forms, and against products of dense Hessians made one by one."""

from __future__ import annotations

import functools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness.diagnostics import exponents
from harness.training import loop
from tests import builders

measured = functools.partial(builders.measured, names=["exponents"])


@pytest.mark.parametrize("eta", [0.3, 0.8, 1.1])
def test_the_exponents_of_a_quadratic_are_those_of_its_eigenvalues(eta: float, home: pathlib.Path) -> None:
    ready = builders.problem(**builders.quadratic(4.0, 2.0, 0.25, -0.5))
    growths = sorted(math.log(abs(1 - eta * value)) for value in (4.0, 2.0, 0.25, -0.5))
    found = measured(ready, jnp.ones(4), eta)
    # What is left of a direction that is weaker by a factor f after BURN steps is f^(2 BURN).
    for name, exact, left in (("exponent", growths[-1], growths[-2]), ("second_exponent", growths[-2], growths[-3])):
        slow = math.exp(2 * exponents.BURN * (left - exact))
        assert found[name] == pytest.approx(exact, abs=3 * found[f"{name}_error"] + 10 * slow / exponents.LENGTH)
        assert slow < 1e-2


def test_a_map_of_one_number_has_one_exponent(home: pathlib.Path) -> None:
    found = measured(builders.problem(**builders.quadratic(3.0)), jnp.ones(1), 0.5)
    assert found["exponent"] == pytest.approx(math.log(0.5), abs=1e-14)
    assert found["exponent_error"] < 1e-14
    assert math.isnan(found["second_exponent"])


def test_an_exactly_singular_map_has_the_exponent_minus_infinity(home: pathlib.Path) -> None:
    found = measured(builders.problem(**builders.quadratic(2.0)), jnp.ones(1), 0.5)
    assert found["exponent"] == -math.inf
    assert found["exponent_error"] == math.inf


def test_a_trajectory_that_leaves_finite_numbers_has_none(home: pathlib.Path) -> None:
    ready = builders.problem(model=builders.mlp(3, activation="square"))
    found = measured(ready, jnp.ones(ready.objective.size), 1e3)
    assert math.isnan(found["exponent"])
    assert found["exponent_error"] == math.inf


def test_at_a_planted_minimum_the_exponent_is_the_stability_of_the_minimum(home: pathlib.Path) -> None:
    ready = builders.problem(data=builders.digits(40, targets={"planted": 3}), model=builders.mlp(2))
    theta = ready.objective.init(jax.random.key(3)).astype("float64")
    top = np.linalg.eigvalsh(np.asarray(jax.jit(jax.hessian(ready.objective.risk))(theta, ready.exact)))[-1]
    found = measured(ready, theta, 2.3 / top)
    assert found["exponent"] == pytest.approx(math.log(1.3), abs=1e-3)
    assert measured(ready, theta, 1.5 / top)["exponent"] < 1e-3, "linearly stable: nothing grows"


@pytest.mark.parametrize("optimizer", [builders.gd(0.1), builders.sgd(0.1, 4)], ids=["gd", "sgd"])
def test_each_growth_is_that_of_the_product_of_dense_hessians(optimizer: builders.Part, home: pathlib.Path) -> None:
    ready = builders.problem(data=builders.classes(examples=12), model=builders.mlp(3), optimizer=optimizer)
    size, eta, key = ready.objective.size, 0.8, jax.random.key(7)
    theta = jnp.asarray(np.random.default_rng(0).normal(size=size))
    columns = np.linalg.qr(np.random.default_rng(1).normal(size=(size, 2)))[0]
    along = exponents.program(ready.objective.risk, ready.rule, ready.examples)
    logs = np.asarray(along(theta, eta, ready.exact, key, jnp.asarray(columns.T)))
    assert logs.shape == (exponents.STEPS, 2)
    draw = loop.drawing(ready.rule, ready.exact, key, ready.examples)
    hessian, gradient = jax.jit(jax.hessian(ready.objective.risk)), jax.jit(jax.grad(ready.objective.risk))
    for t in range(10):
        seen = draw(jnp.asarray(t))
        columns, r = np.linalg.qr(columns - eta * np.asarray(hessian(theta, seen)) @ columns)
        assert logs[t] == pytest.approx(np.log(np.abs(np.diagonal(r))), rel=1e-8, abs=1e-10)
        theta = theta - eta * gradient(theta, seen)


def test_the_error_bar_holds_the_mean_95_times_in_100() -> None:
    drawn = np.random.default_rng(0).normal(0.3, 1.0, size=(1000, exponents.BLOCKS * exponents.LENGTH))
    held = sum(abs(value - 0.3) <= error for value, error in map(exponents.average, drawn))
    assert 0.93 <= held / 1000 <= 0.97
