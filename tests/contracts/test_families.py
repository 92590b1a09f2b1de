# SPDX-License-Identifier: Apache-2.0
"""Every family with every activation, at tiny width: what the rest of gdzoo relies on."""

from __future__ import annotations

import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from harness import objective
from harness.curvature import operators
from zoo import activations, config, model

SHAPE = (4, 4, 1)
CLASSES = 3
TINY: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": (3,)},
    "vgg": {"stages": ((2,), (2,)), "dense": (3,)},
    "vit": {"patch": 2, "width": 4, "depth": 1, "heads": 2, "mlp_width": 3},
}
EACH = [(family, activation) for family in zoo.FAMILIES for activation in activations.ACTIVATIONS]


def build(family: str, activation: str) -> model.Model:
    row = zoo.FAMILIES[family]
    return zoo.build(
        family, row.config(family=family, activation=activation, **TINY[family]), inputs=SHAPE, outputs=CLASSES
    )


def problem(family: str, activation: str) -> tuple[objective.Objective, jax.Array, objective.Batch]:
    goal = objective.objective(build(family, activation), types.SimpleNamespace(name="smoothed_ce", smoothing=0.1))
    x = jax.random.uniform(jax.random.key(2), (6, *SHAPE), "float64")
    theta = goal.init(jax.random.key(0)).astype("float64")
    theta += 0.1 * jax.random.normal(jax.random.key(1), theta.shape, "float64")
    return goal, theta, objective.Batch(x, jnp.arange(6) % CLASSES)


def test_every_family_has_a_tiny_configuration_here() -> None:
    assert set(TINY) == set(zoo.FAMILIES)


def test_activation_names_are_the_tables() -> None:
    assert set(config.ActivationName.__args__) == set(activations.ACTIVATIONS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_activation_is_what_its_row_says(name: str) -> None:
    row, phi = activations.ACTIVATIONS[name], activations.function(name)
    slope, bend = jax.grad(phi), jax.grad(jax.grad(phi))
    assert float(phi(jnp.array(0.0))) == pytest.approx(row.value_at_0, abs=1e-15)
    assert float(slope(jnp.array(0.0))) == pytest.approx(row.slope_at_0, abs=1e-15)
    step = 1e-5
    for x in (-3.1, -1.0, -0.2, 0.3, 0.9, 2.7):
        points = jnp.array([x - step, x, x + step], "float64")
        below, at, above = (float(phi(p)) for p in points)
        assert float(slope(points[1])) == pytest.approx((above - below) / (2 * step), abs=1e-8)
        assert float(bend(points[1])) == pytest.approx((above - 2 * at + below) / step**2, abs=1e-4)
    for breakpoint_ in row.breakpoints:
        left, right = (float(slope(jnp.array(breakpoint_ + s, "float64"))) for s in (-1e-9, 1e-9))
        assert abs(left - right) > 0.1
    if row.regularity == "analytic":
        assert row.breakpoints == ()
        xs = jnp.linspace(-0.01, 0.01, 41, dtype="float64")
        bends = jax.vmap(bend)(xs)
        assert float(jnp.abs(jnp.diff(bends)).max()) < 1e-2


@pytest.mark.parametrize(("family", "activation"), EACH)
def test_model_is_two_pure_functions_over_a_plain_dict(family: str, activation: str) -> None:
    network = build(family, activation)
    params = network.init(jax.random.key(0))
    again = network.init(jax.random.key(0))
    other = network.init(jax.random.key(1))

    def plain(tree: Any) -> bool:
        if isinstance(tree, dict):
            return all(isinstance(k, str) and plain(v) for k, v in tree.items())
        return isinstance(tree, jax.Array) and tree.dtype == jnp.float32

    assert plain(params)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), params, again))
    assert not jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), params, other))
    x = jax.random.uniform(jax.random.key(2), (5, *SHAPE), "float32")
    outputs = network.apply(params, x)
    assert outputs.shape == (5, CLASSES)
    assert outputs.dtype == jnp.float32
    each = jnp.concatenate([network.apply(params, x[i : i + 1]) for i in range(5)])
    assert np.allclose(outputs, each, atol=1e-6), "examples must not see each other"


@pytest.mark.parametrize(("family", "activation"), EACH)
def test_float64_is_float64_throughout(family: str, activation: str) -> None:
    goal, theta, batch = problem(family, activation)
    program = jax.make_jaxpr(lambda t: operators.hessian(goal.risk)((t, batch))(t))(theta)
    assert "f32" not in str(program)
    assert "bf16" not in str(program)


@pytest.mark.parametrize(("family", "activation"), EACH)
def test_hessian_products_match_finite_differences_and_are_symmetric(family: str, activation: str) -> None:
    goal, theta, batch = problem(family, activation)
    apply = jax.jit(lambda v: operators.hessian(goal.risk)((theta, batch))(v))
    gradient = jax.jit(lambda t: jax.grad(goal.risk)(t, batch))
    v, w = (jax.random.normal(jax.random.key(s), theta.shape, "float64") for s in (3, 4))
    step = 1e-6
    difference = (gradient(theta + step * v) - gradient(theta - step * v)) / (2 * step)
    assert np.allclose(apply(v), difference, rtol=0, atol=2e-7 * (1 + float(jnp.linalg.norm(difference))))
    assert float(w @ apply(v)) == pytest.approx(float(v @ apply(w)), abs=1e-13 * theta.size)


@pytest.mark.parametrize("family", zoo.FAMILIES)
def test_gradient_matches_finite_differences_of_the_risk(family: str) -> None:
    goal, theta, batch = problem(family, "gelu")
    gradient = jax.grad(goal.risk)(theta, batch)
    v = jax.random.normal(jax.random.key(5), theta.shape, "float64")
    step = 1e-5
    difference = (goal.risk(theta + step * v, batch) - goal.risk(theta - step * v, batch)) / (2 * step)
    assert float(gradient @ v) == pytest.approx(float(difference), rel=1e-7)


@pytest.mark.parametrize("family", zoo.FAMILIES)
def test_risk_does_not_depend_on_the_chunk(family: str) -> None:
    loss = types.SimpleNamespace(name="half_mse")
    network = build(family, "tanh")
    whole = objective.objective(network, loss)
    theta = whole.init(jax.random.key(0)).astype("float64")
    x = jax.random.uniform(jax.random.key(1), (11, *SHAPE), "float64")
    batch = objective.Batch(x, jnp.arange(11) % CLASSES)
    direct = sum(float(whole.risk(theta, objective.Batch(x[i : i + 1], batch.labels[i : i + 1]))) for i in range(11))
    right = np.mean(np.argmax(np.asarray(whole.outputs(theta, x)), axis=1) == np.asarray(batch.labels))
    for chunk in (1, 4, 10, 11):
        cut = objective.objective(network, loss, chunk=chunk)
        assert float(cut.accuracy(theta, batch)) == pytest.approx(right, rel=1e-15)
        assert float(cut.risk(theta, batch)) == pytest.approx(direct / 11, rel=1e-13)
        assert np.allclose(jax.grad(cut.risk)(theta, batch), jax.grad(whole.risk)(theta, batch), rtol=0, atol=1e-14)
