# SPDX-License-Identifier: Apache-2.0
"""The flip at 2/eta: closed forms, a dense oracle, and the cycle that the map itself shows."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import config, diagnostics, records
from harness.curvature import dense, operators
from harness.diagnostics import flip, flips, plan
from harness.risk import objective
from tests import builders

NOTHING = objective.Batch(jnp.ones((1, 1)), jnp.zeros((1, 1)), jnp.ones(1))
Risk = Callable[[jax.Array, objective.Batch], jax.Array]


def line(q: float, b: float = 0.0) -> Risk:
    """x^2 / 2 + b x^3 + q x^4."""
    return lambda theta, _: jnp.sum(0.5 * theta**2 + b * theta**3 + q * theta**4)


def bent(q: float, k: float, h: float) -> Risk:
    """x^2 / 2 + h y^2 / 2 + k x^2 y + q x^4."""
    return lambda theta, _: (
        0.5 * theta[0] ** 2 + 0.5 * h * theta[1] ** 2 + k * theta[0] ** 2 * theta[1] + q * theta[0] ** 4
    )


def flip_of(risk: Risk, size: int, eta: float) -> flip.Flip:
    return flip.at(risk, (jnp.zeros(size), NOTHING), jnp.eye(size)[0], 1.0, eta)


@pytest.mark.parametrize(("q", "b"), [(0.3, 0.0), (-0.3, 0.0), (0.3, 0.5), (0.3, 0.1)])
def test_in_one_dimension_the_coefficient_is_known(q: float, b: float) -> None:
    eta = 2.0
    found = flip_of(line(q, b), 1, eta)
    assert found.coefficient == found.line == pytest.approx(eta / 6 * (3 * 36 * b**2 - 24 * q), rel=1e-12)
    assert found.error == found.line_error == 0


@pytest.mark.parametrize(("q", "k", "h"), [(0.3, 0.9, 0.3), (0.3, -0.9, 0.9), (-0.2, 0.5, 0.6), (0.3, 0.2, 0.9)])
def test_other_directions_answer_and_may_turn_the_sign(q: float, k: float, h: float) -> None:
    eta = 2.0
    found = flip_of(bent(q, k, h), 2, eta)
    assert found.line == pytest.approx(-4 * eta * q, rel=1e-12)
    settled = 1 - (1 - eta * h) ** flip.HORIZON  # of H^-1: all but 2e-5 here
    assert found.coefficient == pytest.approx(-4 * eta * q + 2 * eta * k**2 / h * settled, rel=1e-12)
    assert found.error == pytest.approx(2 * eta * k**2 / h * abs(settled - (1 - (1 - eta * h) ** flip.STEPS)), rel=1e-6)
    assert found.flat == 0


def test_the_answer_of_a_flat_direction_grows_with_the_steps() -> None:
    eta, k = 2.0, 0.5
    found = flip_of(bent(0.3, k, 0.0), 2, eta)
    assert found.flat == 1
    assert found.coefficient - found.line == pytest.approx(eta / 2 * (2 * k) ** 2 * eta * flip.HORIZON, rel=1e-12)
    assert found.error == pytest.approx((found.coefficient - found.line) / 2, rel=1e-12)


def descent(risk: Risk, theta: jax.Array, eta: float, steps: int) -> np.ndarray:
    """Returns the points that gradient descent meets, (steps, P)."""

    def step(theta: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        return theta - eta * jax.grad(risk)(theta, NOTHING), theta

    return np.asarray(jax.jit(lambda theta: jax.lax.scan(step, theta, length=steps)[1])(theta))


@pytest.mark.parametrize(
    ("risk", "size"), [(line(-0.3), 1), (line(0.3, 0.5), 1), (bent(0.3, 0.9, 0.3), 2)], ids=["quartic", "cubic", "bent"]
)
def test_above_two_a_supercritical_flip_has_the_predicted_cycle(risk: Risk, size: int) -> None:
    eta = 2.01
    found = flip_of(risk, size, eta)
    assert found.coefficient > 0
    amplitude = ((eta - 2) / found.coefficient) ** 0.5
    points = descent(risk, 0.3 * amplitude * jnp.ones(size), eta, 4000)
    last, before = points[-1], points[-2]
    assert points[-3] == pytest.approx(last, abs=1e-9)
    assert abs(last[0] - before[0]) / 2 == pytest.approx(amplitude, rel=0.03)  # next order: (eta lambda - 2) times some


@pytest.mark.parametrize(("risk", "size"), [(line(0.3), 1), (bent(0.3, 0.2, 0.9), 2)], ids=["quartic", "bent"])
def test_below_two_a_subcritical_flip_has_an_unstable_cycle_at_the_predicted_distance(risk: Risk, size: int) -> None:
    eta = 1.99
    found = flip_of(risk, size, eta)
    assert found.coefficient < 0
    amplitude = ((eta - 2) / found.coefficient) ** 0.5
    inside, outside = (descent(risk, f * amplitude * jnp.eye(size)[0], eta, 2000) for f in (0.95, 1.05))
    assert abs(inside[-1][0]) < 1e-3 * amplitude
    assert not np.abs(outside[-1]).max() < 2 * amplitude


@pytest.mark.parametrize("chunk", [64, 4])
def test_a_network_agrees_with_differences_of_its_dense_hessian(chunk: int) -> None:
    network = builders.network("mlp", (1, 1, 3), 2, hidden=[4], activation="tanh")
    goal = objective.objective(network, config.HalfMse(name="half_mse"), chunk=chunk)
    drawn = np.random.default_rng(0)
    batch = objective.Batch(
        jnp.asarray(drawn.normal(size=(9, 1, 1, 3))), jnp.asarray(drawn.normal(size=(9, 2))), jnp.ones(9)
    )
    theta = jnp.asarray(drawn.normal(size=goal.size))
    hessian = dense.matrix(operators.hessian(goal.risk), goal.size)
    values, vectors = np.linalg.eigh(np.asarray(hessian((theta, batch))))
    v, eta, h = vectors[:, -1], 2 / values[-1], 1e-3
    there, here, back = (np.asarray(hessian((theta + s * h * v, batch))) for s in (1, 0, -1))
    third, fourth = (there - back) @ v / (2 * h), v @ (there - 2 * here + back) @ v / h**2
    line_alone = eta / 6 * (3 * (third @ v) ** 2 / values[-1] - fourth)
    slow = (vectors.T @ third)[:-1] ** 2
    answer = eta / 2 * slow @ (eta * np.sum((1 - eta * values[:-1]) ** np.arange(flip.HORIZON)[:, None], axis=0))
    found = flip.at(goal.risk, (theta, batch), jnp.asarray(v), float(values[-1]), float(eta))
    assert found.line == pytest.approx(line_alone, rel=1e-4)  # the differences: h^2 of higher derivatives
    assert found.coefficient == pytest.approx(line_alone + answer, rel=1e-4)
    assert found.flat == pytest.approx(slow[eta * values[:-1] < 1 / flip.HORIZON].sum() / slow.sum(), abs=1e-2)


product = functools.partial(
    builders.problem,
    data={"name": "point", "target": 1.0},
    model={"family": "paper_net", "activation": "identity"},
    loss={"name": "half_mse"},
)


def test_at_a_minimum_of_a_product_it_is_four_times_the_step_size(home: pathlib.Path) -> None:
    found = builders.measured(product(), jnp.ones(2), 1.05, names=["flip"])
    assert found["flip_coefficient"] == pytest.approx(4 * 1.05, rel=1e-9)
    assert found["flip_line"] == pytest.approx(4 * 1.05, rel=1e-9)
    assert found["flip_amplitude"] == pytest.approx((0.1 / 4.2) ** 0.5, rel=1e-9)
    assert 0 <= found["flip_coefficient_error"] < 1e-9


@pytest.mark.parametrize("eta", [0.89, 1.11])
def test_off_the_window_it_is_not_given(eta: float, home: pathlib.Path) -> None:
    found = builders.measured(product(), jnp.ones(2), eta, names=["flip"])
    assert set(found) == set(flip.METRICS)
    assert all(np.isnan(value) for value in found.values())


def test_of_a_repeated_eigenvalue_it_is_not_given(home: pathlib.Path) -> None:
    ready = builders.problem(**builders.quadratic(1.0, 1.0, 0.5), curvature="dense")
    found = builders.measured(ready, jnp.ones(3), 2.0, names=["flip"])
    assert all(np.isnan(value) for value in found.values())


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"optimizer": builders.sgd(0.1, 3)}, "mini-batches"),
        ({"optimizer": builders.gd(0.1) | {"name": "heavy_ball", "momentum": 0.5}}, "momentum"),
        ({"model": builders.mlp(3, activation="relu")}, "kinks"),
        ({}, ""),
    ],
)
def test_it_is_left_out_where_steps_are_not_of_one_smooth_map(parts: dict[str, builders.Part], why: str) -> None:
    reason = diagnostics.DIAGNOSTICS["flip"].why_not(builders.cell(**parts))
    assert (why in reason) if why else not reason


def test_auto_does_not_take_it() -> None:
    size = plan.Size(20, 9, 3, 9, "dense", 10, 4)
    assert "flip" not in plan.plan(builders.cell(), size).taken


def record(step: int, eta_sharpness: float, coefficient: float, loss: float, error: float = 0.1) -> records.Record:
    values = {"eta_sharpness": eta_sharpness, "flip_coefficient": coefficient, "flip_coefficient_error": error}
    return records.Record(step, values | {"loss": loss})


def test_a_run_agrees_where_its_loss_does_what_the_sign_says() -> None:
    nan = float("nan")
    recorded = [
        record(0, 1.9, -1.0, 1.0),  # below 2: nothing is predicted
        record(1, 2.1, 1.0, 1.0),  # stable, and it stays: agrees
        record(2, 2.1, -1.0, 1.9),  # unstable, and it grows: agrees
        record(3, 2.1, 1.0, 4.0),  # stable, and it grows: does not
        record(4, 2.1, 0.05, 9.0),  # the sign is not known
        record(5, 2.1, nan, 9.0),
        record(6, 2.1, 1.0, 9.0),  # the last
    ]
    found = flips.summary(recorded)
    assert found == {"flips": 3, "flips_stable": pytest.approx(2 / 3), "flips_agreeing": pytest.approx(2 / 3)}
    assert np.isnan(flips.summary(recorded[:1])["flips_agreeing"])
