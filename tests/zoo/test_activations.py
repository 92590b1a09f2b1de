# SPDX-License-Identifier: Apache-2.0
"""The activations against closed forms written without jax, and every claim of their rows against numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial import chebyshev
from scipy import special

from zoo import activations, config

Function = Callable[[np.ndarray], np.ndarray]
SLOPE = 0.3


def gauss(x: np.ndarray) -> np.ndarray:
    return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


def logistic(x: np.ndarray) -> np.ndarray:
    return special.expit(x)


def leaky(slope: float) -> tuple[Function, Function, Function]:
    return lambda x: np.where(x > 0, x, slope * x), lambda x: np.where(x > 0, 1.0, slope), np.zeros_like


def gelu_tanh() -> tuple[Function, Function, Function]:
    """Returns value, slope and bend of x/2 (1 + tanh u), u = c (x + a x^3)."""
    a, c = 0.044715, np.sqrt(2 / np.pi)

    def parts(x: np.ndarray) -> tuple[np.ndarray, ...]:
        t = np.tanh(c * (x + a * x**3))
        return t, 1 - t**2, c * (1 + 3 * a * x**2), 6 * a * c * x

    def slope(x: np.ndarray) -> np.ndarray:
        t, dt, du, _ = parts(x)
        return (1 + t) / 2 + x * dt * du / 2

    def bend(x: np.ndarray) -> np.ndarray:
        t, dt, du, ddu = parts(x)
        return dt * du + x * (dt * ddu - 2 * t * dt * du**2) / 2

    return lambda x: x * (1 + parts(x)[0]) / 2, slope, bend


CLOSED: dict[str, tuple[Function, Function, Function]] = {
    "relu": leaky(0.0),
    "leaky_relu": leaky(0.01),
    "leaky_relu 0.3": leaky(SLOPE),
    "gelu": (
        lambda x: x * special.ndtr(x),
        lambda x: special.ndtr(x) + x * gauss(x),
        lambda x: (2 - x**2) * gauss(x),
    ),
    "gelu_tanh": gelu_tanh(),
    "sigmoid": (
        logistic,
        lambda x: logistic(x) * logistic(-x),
        lambda x: logistic(x) * logistic(-x) * (logistic(-x) - logistic(x)),
    ),
    "tanh": (np.tanh, lambda x: 1 / np.cosh(x) ** 2, lambda x: -2 * np.tanh(x) / np.cosh(x) ** 2),
    "silu": (
        lambda x: x * logistic(x),
        lambda x: logistic(x) + x * logistic(x) * logistic(-x),
        lambda x: logistic(x) * logistic(-x) * (2 + x * (logistic(-x) - logistic(x))),
    ),
    "softplus": (lambda x: np.logaddexp(0, x), logistic, lambda x: logistic(x) * logistic(-x)),
    "elu": (
        lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 1.0, np.exp(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 0.0, np.exp(np.minimum(x, 0))),
    ),
    "relu6": (lambda x: np.clip(x, 0, 6), lambda x: ((x > 0) & (x < 6)).astype(float), np.zeros_like),
    "hard_tanh": (lambda x: np.clip(x, -1, 1), lambda x: ((x > -1) & (x < 1)).astype(float), np.zeros_like),
    "identity": (lambda x: x, np.ones_like, np.zeros_like),
    "square": (lambda x: x**2, lambda x: 2 * x, lambda x: np.full_like(x, 2.0)),
}
EACH: dict[str, config.Activation] = {
    **{name: name for name in activations.ACTIVATIONS},
    "leaky_relu 0.3": config.LeakyRelu(leaky_relu=SLOPE),
}


def derivative(activation: config.Activation, order: int) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a derivative of an activation, by automatic differentiation in float64."""
    phi = activations.function(activation)
    for _ in range(order):
        phi = jax.grad(phi)
    vector = jax.jit(jax.vmap(phi))
    return lambda x: np.asarray(vector(jnp.asarray(x, "float64")))


def test_names_are_those_of_the_configuration_and_of_the_closed_forms() -> None:
    assert get_args(config.ActivationName) == tuple(activations.ACTIVATIONS)
    assert set(CLOSED) == set(EACH)


@pytest.mark.parametrize("label", EACH)
@pytest.mark.parametrize("order", [0, 1, 2])
def test_value_slope_and_bend_are_the_closed_forms_on_both_sides_of_each_breakpoint(label: str, order: int) -> None:
    breakpoints = np.array(activations.row(EACH[label]).breakpoints)
    beside = [breakpoints + side * step for side in (-1, 1) for step in (1e-12, 1e-6, 0.01)]
    x = np.concatenate([np.linspace(-8.03, 8.01, 97), [-40.0, -20.0, 20.0, 40.0], *beside])
    # 1 - tanh(u)^2 is rounded where u is large; gelu_tanh multiplies it by x u'^2, which is below 1000 there.
    rounding = 1e-12 if label == "gelu_tanh" else 2e-15
    assert np.allclose(derivative(EACH[label], order)(x), CLOSED[label][order](x), rtol=1e-13, atol=rounding)


@pytest.mark.parametrize("label", EACH)
def test_value_and_slope_at_zero_are_those_of_the_row(label: str) -> None:
    row, zero = activations.row(EACH[label]), np.zeros(1)
    assert derivative(EACH[label], 0)(zero) == pytest.approx(row.value_at_0, abs=1e-16)
    assert derivative(EACH[label], 1)(zero) == pytest.approx(row.slope_at_0, abs=1e-16)
    assert CLOSED[label][0](zero) == pytest.approx(row.value_at_0, abs=1e-16)


@pytest.mark.parametrize(
    ("name", "slopes"),
    [("relu", [0]), ("leaky_relu", [1]), ("elu", [1]), ("relu6", [0, 0]), ("hard_tanh", [0, 0])],
)
def test_at_a_breakpoint_the_slope_is_that_of_the_documented_side(name: str, slopes: list[float]) -> None:
    at = np.array(activations.ACTIVATIONS[name].breakpoints)
    assert derivative(name, 1)(at).tolist() == slopes
    assert derivative(name, 2)(at).tolist() == [1.0 if name == "elu" else 0.0] * len(at)


@pytest.mark.parametrize("label", EACH)
def test_derivatives_are_continuous_up_to_the_rows_number_and_the_next_one_jumps(label: str) -> None:
    row = activations.row(EACH[label])
    assert (row.smooth is None) == (row.breakpoints == ()) == (row.regularity == "analytic")
    at = np.array(row.breakpoints)
    for order in range(2 + (row.smooth or 0) if row.breakpoints else 0):
        left, right = (derivative(EACH[label], order)(at + side) for side in (-1e-9, 1e-9))
        assert np.all(np.abs(right - left) < 1e-8) if order <= row.smooth else np.all(np.abs(right - left) > 0.5)


@pytest.mark.parametrize("label", EACH)
def test_regularity_is_seen_in_the_decay_of_chebyshev_coefficients(label: str) -> None:
    """Those of an analytic function fall geometrically to rounding, those of a kink like a power of the degree."""
    row = activations.row(EACH[label])
    value = derivative(EACH[label], 0)

    def tail(left: float, right: float) -> float:
        coefficients = chebyshev.chebinterpolate(lambda t: value((left + right + (right - left) * t) / 2), 320)
        return float(np.abs(coefficients[-40:]).max() / (1 + np.abs(coefficients).max()))

    pieces = [-8.3, *row.breakpoints, 7.9]
    assert all(tail(left, right) < 1e-13 for left, right in itertools.pairwise(pieces))
    if row.breakpoints:
        assert tail(-8.3, 7.9) > 1e-9
    if row.regularity == "piecewise linear":
        x = np.linspace(-8.03, 8.01, 301)
        assert not derivative(EACH[label], 2)(x).any()


@pytest.mark.parametrize("label", EACH)
def test_flat_values_are_those_that_a_long_run_of_points_shares(label: str) -> None:
    # Not further left: there the tanh of gelu_tanh rounds to -1.
    values = derivative(EACH[label], 0)(np.linspace(-5, 8, 1301))
    runs = [run for run in np.split(values, np.flatnonzero(np.diff(values)) + 1) if len(run) > 1]
    assert {float(run[0]) for run in runs} == set(activations.row(EACH[label]).flat)
    assert all(len(run) > 100 for run in runs)


@pytest.mark.parametrize("label", EACH)
def test_positive_homogeneity_is_as_the_row_says(label: str) -> None:
    value, x = derivative(EACH[label], 0), np.linspace(-3.1, 3.3, 65)
    gap = max(float(np.abs(value(a * x) - a * value(x)).max()) for a in (0.25, 3.0))
    assert gap < 1e-14 if activations.row(EACH[label]).homogeneous else gap > 0.1


@pytest.mark.parametrize("label", EACH)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_activation_keeps_the_dtype_of_its_argument(label: str, dtype: str) -> None:
    phi = activations.function(EACH[label])
    program = jax.make_jaxpr(jax.vmap(jax.grad(jax.grad(phi))))(jnp.ones(3, dtype))
    assert program.out_avals[0].dtype == dtype
    assert dtype == "float32" or "f32" not in str(program)


def test_the_row_of_a_leaky_relu_names_its_slope() -> None:
    row = activations.row(config.LeakyRelu(leaky_relu=0.25))
    assert row.formula == "x if x >= 0 else 0.25 x"
    assert row.breakpoints == activations.ACTIVATIONS["leaky_relu"].breakpoints
    assert activations.row("gelu") is activations.ACTIVATIONS["gelu"]


def test_every_row_names_its_formula_and_its_source() -> None:
    assert all(row.formula and row.source for row in activations.ACTIVATIONS.values())
