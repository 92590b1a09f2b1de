# SPDX-License-Identifier: Apache-2.0
"""The one-step inverse (D8): control C4's preimages, contractions, folds, and what is done where nothing moves."""

from __future__ import annotations

import functools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness.diagnostics import inverse
from tests import builders

measured = functools.partial(builders.measured, names=["inverse"])
problem = functools.partial(
    builders.problem,
    data={"name": "point"},
    model={"family": "paper_net", "activation": "identity"},
    optimizer=builders.gd(0.5),
)
ROOTS = (-1.8624543789543708, 0.3, 1.562454378954371)
"""Control C4: at eta = 1/2 the diagonal map s -> 3/2 s - 1/2 s^3 sends all three to 0.4365."""


def gradient(z: np.ndarray) -> np.ndarray:
    return (z[0] * z[1] - 1) * z[::-1]


def hessian(z: np.ndarray) -> np.ndarray:
    off = 2 * z[0] * z[1] - 1
    return np.array([[z[1] ** 2, off], [off, z[0] ** 2]])


def solved(start: list[float], eta: float = 0.5) -> inverse.Preimage:
    target = np.array([0.4365, 0.4365])
    return inverse.preimage(gradient, lambda z, v: hessian(z) @ v, eta, target, np.array(start))


@pytest.mark.parametrize("root", ROOTS)
def test_each_preimage_of_control_c4_is_found_from_nearby(root: float) -> None:
    found = solved([root + 0.05, root - 0.02])
    assert found.z == pytest.approx([root, root], abs=1e-10)
    assert np.abs(found.z - root).max() <= found.error + 1e-14
    assert found.residual < 1e-14


def test_the_two_preimages_off_the_diagonal_are_found_too() -> None:
    low, high = (0.4365 - math.sqrt(0.4365**2 + 4)) / 2, (0.4365 + math.sqrt(0.4365**2 + 4)) / 2  # z1 z2 = -1
    assert solved([low + 0.1, high]).z == pytest.approx([low, high], abs=1e-10)


def test_a_fold_is_reported_with_its_distance(home: pathlib.Path) -> None:
    found = measured(problem(), jnp.full(2, ROOTS[2]), 0.5)
    assert found["other_preimages"] >= 1
    assert found["inverse_residual"] < 1e-12
    assert found["inverse_distance"] == pytest.approx((ROOTS[2] - 0.3) / (ROOTS[2] - 0.4365), abs=1e-9)


def test_a_contraction_has_one_preimage(home: pathlib.Path) -> None:
    # The gradient is linear, so eta lambda < 1 holds at every point.
    ready = problem(**builders.quadratic(4.0, 2.0, 1.0, -0.5, 0.1, 0.0))
    for key in range(3):
        found = measured(ready, jnp.arange(1.0, 7.0), 0.2, key=key)
        assert found["other_preimages"] == 0
        assert found["inverse_distance"] <= found["inverse_distance_error"] + 1e-14
        assert found["inverse_residual"] < 1e-14


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_small_steps_of_a_network_can_be_taken_back(activation: str, home: pathlib.Path) -> None:
    ready = problem(data=builders.digits(30), model=builders.mlp(4, activation=activation))
    theta = ready.objective.init(jax.random.key(0)).astype("float64")
    found = measured(ready, theta, 1e-3)
    assert found["other_preimages"] == 0
    assert found["inverse_residual"] < 1e-10
    assert found["inverse_distance"] <= 2 * found["inverse_distance_error"] + 1e-12


@pytest.mark.parametrize(("activation", "product"), [("tanh", 0.7), ("tanh", 1.6), ("relu", 2.5)])
def test_every_linear_system_is_solved_as_the_dense_matrix_says(
    activation: str, product: float, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = problem(data=builders.classes(), model=builders.mlp(4, activation=activation))
    hessian = jax.jit(lambda z: jax.hessian(ready.objective.risk)(z, ready.exact))
    theta = ready.objective.init(jax.random.key(1)).astype("float64")
    eta = product / float(np.linalg.eigvalsh(hessian(theta))[-1])
    visited: list[np.ndarray] = []
    systems: list[tuple[np.ndarray, np.ndarray, np.ndarray, float]] = []

    def product_at(z: np.ndarray, v: np.ndarray) -> np.ndarray:
        visited.append(z)
        return np.asarray(ready.product(jnp.asarray(z), jnp.asarray(v)))

    def watched(operator: object, right: np.ndarray, **options: float) -> tuple[np.ndarray, int]:
        found, told = minres(operator, right, **options)
        matrix = np.eye(len(theta)) - eta * np.asarray(hessian(jnp.asarray(visited[-1])))
        systems.append((matrix, right, found, options["rtol"]))
        return found, told

    minres = inverse.linalg.minres
    monkeypatch.setattr(inverse.linalg, "minres", watched)
    target = np.asarray(theta - eta * ready.gradient(theta))
    start = np.asarray(theta) + 1e-2 * np.random.default_rng(0).standard_normal(len(theta))
    found = inverse.preimage(lambda z: np.asarray(ready.gradient(jnp.asarray(z))), product_at, eta, target, start)
    assert len(systems) >= 3
    for matrix, right, solved, accuracy in systems:
        # MINRES stops at a residual relative to |A|_F |x|; 1 / sigma_min turns that into a distance.
        room = accuracy * np.linalg.norm(matrix) / np.abs(np.linalg.eigvalsh(matrix)).min() + 1e-13
        room *= np.linalg.norm(solved)
        assert np.linalg.norm(solved - np.linalg.solve(matrix, right)) <= room
    indefinite = np.linalg.eigvalsh(systems[-1][0])[0] < 0
    assert indefinite == (product > 1)

    z = start
    for _ in range(30):  # Newton with the dense matrix, from the same point
        right = z - eta * np.asarray(ready.gradient(jnp.asarray(z))) - target
        z = z - np.linalg.solve(np.eye(len(theta)) - eta * np.asarray(hessian(jnp.asarray(z))), right)
    assert np.linalg.norm(found.z - z) <= 2 * found.error + 1e-12
    assert np.linalg.norm(found.z - np.asarray(theta)) <= 2 * found.error + 1e-12


def test_at_an_exactly_critical_step_a_stall_is_said_and_nothing_is_claimed(home: pathlib.Path) -> None:
    found = measured(problem(**builders.quadratic(4.0, 1.0)), jnp.ones(2), 0.25)
    assert found["inverse_distance_error"] == math.inf
    assert found["inverse_distance"] > 0.1, "a whole line is taken to one point"


def test_where_nothing_moves_there_is_nothing_to_invert(home: pathlib.Path) -> None:
    found = measured(problem(), jnp.ones(2), 0.5)
    assert set(found) == set(inverse.METRICS)
    assert all(math.isnan(value) for value in found.values())


def test_solutions_are_two_only_beyond_their_error_bars() -> None:
    def at(*z: float, residual: float = 0.0, error: float = 0.0) -> inverse.Preimage:
        return inverse.Preimage(np.array(z), residual, error, 0)

    theta = np.zeros(2)
    far = at(0.5, 0.0)
    assert inverse.others(theta, [at(1e-8, 0.0)], 1.0) == []
    assert inverse.others(theta, [at(0.01, 0.0, error=0.002)], 1.0) == []
    assert inverse.others(theta, [at(0.5, 0.0, residual=1e-3)], 1.0) == [], "no solution"
    assert inverse.others(theta, [far, at(0.5, 1e-9), at(0.0, 0.5)], 1.0)[0] is far
    assert len(inverse.others(theta, [far, at(0.5, 1e-9), at(0.0, 0.5)], 1.0)) == 2
