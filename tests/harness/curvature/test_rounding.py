# SPDX-License-Identifier: Apache-2.0
"""The rounding in H, as modelled: it covers what 60 digits show, stays small on ordinary points, and keeps ties.

References are Hessians of small tanh networks, written out by hand and evaluated in decimal arithmetic.
"""

from __future__ import annotations

import decimal
import functools
import pathlib
from collections.abc import Sequence
from decimal import Decimal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness.curvature import dense, operators, rounding, survey
from harness.curvature import spectrum as spectra
from harness.records import verdict
from harness.training import problem
from tests import builders

ready = functools.partial(builders.problem, precision="float64")
X = (1.0, 0.5, -0.7)
START = (0.1, -0.2, 0.3, 0.7, -0.9, 0.4, 0.0, 0.6, -0.8, 1.1)
X0 = 0.7
POINT: dict[str, object] = {"name": "point", "x": X0, "target": 1.0}


@pytest.fixture(autouse=True)
def digits() -> None:
    decimal.getcontext().prec = 60


def tanh(x: Decimal) -> tuple[Decimal, Decimal, Decimal]:
    """Returns tanh and its first two derivatives."""
    e = (2 * x).exp()
    y = (e - 1) / (e + 1)
    return y, 1 - y * y, -2 * y * (1 - y * y)


def outer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, None] * b[None, :]


def one_layer(theta: Sequence[float], targets: Sequence[float]) -> np.ndarray:
    """Returns the Hessian (10, 10) of a network with 3 units, at the points X."""
    t, zero = [Decimal(value) for value in theta], Decimal(0)
    total = np.full((10, 10), zero)
    for x, y in zip(map(Decimal, X), map(Decimal, targets), strict=True):
        units = [tanh(t[3 + j] * x + t[j]) for j in range(3)]
        residual = sum(t[7 + j] * units[j][0] for j in range(3)) + t[6] - y
        slope, bend = np.full(10, zero), np.full((10, 10), zero)
        slope[6] = Decimal(1)
        for j, (value, first, second) in enumerate(units):
            inner = {j: Decimal(1), 3 + j: x}
            slope[7 + j] = value
            for a, u in inner.items():
                slope[a] = t[7 + j] * first * u
                bend[a, 7 + j] = bend[7 + j, a] = first * u
                for b, v in inner.items():
                    bend[a, b] = t[7 + j] * second * u * v
        total += (outer(slope, slope) + residual * bend) / 3
    return total


def two_layers(theta: Sequence[float]) -> np.ndarray:
    """Returns the Hessian (6, 6) of a network with one unit in each of two layers, at POINT."""
    b, w, bias, weight, c, a = (Decimal(value) for value in theta)
    x = Decimal(X0)
    h, h1, h2 = tanh(w * x + b)
    z, z1, z2 = tanh(weight * h + bias)
    zero, one = Decimal(0), Decimal(1)
    slope = np.array([weight * h1, weight * h1 * x, one, h])
    bend = np.full((4, 4), zero)
    for i, u in enumerate((one, x)):
        bend[i, 3] = bend[3, i] = h1 * u
        for j, v in enumerate((one, x)):
            bend[i, j] = weight * h2 * u * v
    full, curved = np.r_[a * z1 * slope, one, z], np.full((6, 6), zero)
    curved[:4, :4] = a * (z2 * outer(slope, slope) + z1 * bend)
    curved[:4, 5] = curved[5, :4] = z1 * slope
    return outer(full, full) + (a * z + c - 1) * curved


@functools.cache
def asked(targets: tuple[float, ...] | None) -> tuple[problem.Problem, dense.Matrix, object]:
    data: dict[str, object] = POINT if targets is None else {"name": "points", "x": list(X), "values": list(targets)}
    it = ready(data=data, model=builders.mlp(*([1, 1] if targets is None else [3])))
    operator = operators.hessian(it.objective.risk)
    return it, dense.matrix(operator, it.objective.size), rounding.frobenius(operator, it.objective.size)


def compared(theta: Sequence[float], targets: tuple[float, ...] | None) -> tuple[float, float, float]:
    """Returns how far H is off in norm, by how much it may be as modelled, and its norm."""
    it, matrix, off = asked(targets)
    point = (jnp.asarray(theta, "float64"), it.exact)
    found = np.asarray(matrix(point))
    truth = two_layers(theta) if targets is None else one_layer(theta, targets)
    apart = np.vectorize(Decimal)(found) - truth
    error = float(np.linalg.norm(apart.astype(float), 2))
    return error, off(point), float(np.linalg.norm(found, 2))  # type: ignore[operator]


@pytest.mark.parametrize("size", [1e2, 1e4, 1e6, 1e10])
def test_large_weights_that_cancel_are_covered(size: float) -> None:
    drawn = np.random.default_rng(int(np.log10(size)))
    worst = 0.0
    for _ in range(12):
        b, w, c, a = (float(value) for value in drawn.normal(size=4))
        h = float(tanh(Decimal(w) * Decimal(X0) + Decimal(b))[0])
        weight = float(size * drawn.uniform(0.5, 1))
        error, bar, norm = compared([b, w, -(weight * h) + float(drawn.uniform(-1.5, 1.5)), weight, c, a], None)
        assert error <= bar <= 1e-2 * norm
        worst = max(worst, error / norm)
    # Else there is nothing to cover: the eigensolver's bar is 6 eps, 1.3e-15 of the norm.
    assert worst > 1e-17 * size


@pytest.mark.parametrize("far", [0.0, 2e3, 1e5, 1e6 - 10])
def test_targets_far_from_zero_are_covered(far: float) -> None:
    drawn, targets = np.random.default_rng(1), (far - 0.9, far - 1.3, far)
    worst = 0.0
    for _ in range(8):
        theta = np.array(START) + 0.3 * drawn.normal(size=10)
        theta[6] += far
        error, bar, norm = compared([float(value) for value in theta], targets)
        assert error <= bar <= 1e-14 * (10 + far) * norm
        worst = max(worst, error / norm)
    assert worst > 1e-18 * far


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_a_distance_within_the_rounding_of_targets_is_no_certificate(method: survey.Method) -> None:
    targets = (999999.1, 999998.7, 1000000.0)
    it = asked(targets)[0]
    theta = jnp.asarray([*START[:6], 999999.3, *START[7:]])
    asks = survey.surveyor(operators.hessian(it.objective.risk), it.objective.size, method)
    known = asks.survey((theta, it.exact), 0.39041229940155986, jax.random.key(0)).spectrum
    sigma, error = spectra.distance_from_one(known, 0.39041229940155986)  # 3.5e-17 in 60 digits
    assert abs(sigma - 3.47e-17) <= error and sigma <= verdict.MARGIN * error
    assert spectra.lower_bound(known, 0.39041229940155986) == 0


@pytest.mark.parametrize(
    "model",
    [
        builders.mlp(5, activation="gelu"),
        builders.mlp(5, activation="relu"),
        {"family": "vgg", "stages": [[2]], "dense": [4], "activation": "relu"},
    ],
)
def test_ordinary_points_keep_small_bars(home: pathlib.Path, model: dict[str, object]) -> None:
    it = ready(data=builders.classes(examples=20, shape=[4, 4, 1]), model=model)
    operator, size = operators.hessian(it.objective.risk), it.objective.size
    point = (it.objective.init(jax.random.key(0)).astype("float64"), it.exact)
    known, plain = dense.known(operator, size)(point), dense.spectrum(np.asarray(dense.matrix(operator, size)(point)))
    assert np.array_equal(known.values, plain.values)
    assert plain.errors[0] < known.errors[0] < 2e-13 * known.values[-1]


def test_equal_numbers_stay_equal_and_zero_stays_zero() -> None:
    def tied(x: jax.Array) -> jax.Array:
        y = jnp.tanh(x * 0.3)
        return jnp.stack([y[0] - y[1], y[2], y[0] + y[3], y[0]])

    moved = rounding.perturbed(tied, jnp.uint32(3))(jnp.asarray([0.7, 0.7, 0.0, -0.7]))
    assert moved[:3].tolist() == [0, 0, 0]
    assert moved[3] != jnp.tanh(0.7 * 0.3) and moved[3] == pytest.approx(np.tanh(0.7 * 0.3), rel=1e-14)


@pytest.mark.parametrize("looped", [False, True])
def test_what_cancels_in_a_sum_or_a_loop_is_seen_at_its_size(looped: bool) -> None:
    x = jnp.asarray([1e8, 3.0, -1e8, 5.0]) / 3

    def added(x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda so_far, y: (so_far + y, None), jnp.zeros(()), x)[0] if looped else jnp.sum(x)

    (off,) = rounding.spread(added)(x)
    assert 1e-9 < off < 1e-6  # a unit of 3e7 is 4e-9; the sum is 2.7


def test_a_product_that_is_not_finite_has_no_error_bar() -> None:
    with pytest.raises(FloatingPointError, match="not finite"):
        rounding.frobenius(lambda point: lambda v: point * v, 2)(jnp.asarray([1.0, np.inf]))
    huge = rounding.frobenius(lambda point: lambda v: point * v, 2)(jnp.asarray([1e200, 1e190]))
    assert 1e183 < huge < 1e187, "squares of it overflow"
