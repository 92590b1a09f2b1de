# SPDX-License-Identifier: Apache-2.0
"""Lanczos and log|det| against matrices of prescribed spectrum, and against scipy's ARPACK."""

from __future__ import annotations

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.linalg

import zoo
from harness import config as configs
from harness.curvature import exclusion, lanczos, logdet, operators, survey
from harness.curvature import spectrum as spectra
from harness.risk import objective
from tests import builders

SIZE = 300


def symmetric(eigenvalues: np.ndarray, seed: int = 0) -> np.ndarray:
    """Returns a symmetric matrix with these eigenvalues in a random orthonormal frame."""
    frame, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(eigenvalues),) * 2))
    return (frame * eigenvalues) @ frame.T


def hessian_like(seed: int = 0) -> np.ndarray:
    """Returns a spectrum as networks have it: a few outliers, a bulk at zero, a small negative tail."""
    random = np.random.default_rng(seed)
    bulk = random.normal(scale=0.02, size=SIZE - 15)
    return np.sort(np.concatenate([bulk, [-0.6, -0.4, -0.25], 8 / 1.4 ** np.arange(12)]))


def matvec(point: tuple[jax.Array]) -> operators.Matvec:
    """Returns the operator of the matrix that is the point."""
    return lambda v: point[0] @ v


PROGRAM = lanczos.lanczos(matvec, SIZE, capacity=120)


def deflated(basis: lanczos.Basis, pairs: lanczos.Ritz, eta: float, exact: np.ndarray) -> logdet.Deflated:
    """Takes the converged pairs beyond logdet.DEFLATED out; the others lie where the exact ones that are left do."""
    taken = logdet.chosen(pairs, eta, PROGRAM.capacity - logdet.STEPS, logdet.DEFLATED)
    left = [value for value in exact if not np.any(np.abs(pairs.values[taken] - value) < 1e-4)]
    rows = PROGRAM.combine(basis.rows, pairs.weights[:, taken])
    return logdet.Deflated(pairs.values[taken], pairs.residuals[taken], rows, (min(left) - 0.1, max(left) + 0.1))


def test_basis_is_orthonormal_and_tridiagonalises() -> None:
    matrix = symmetric(hessian_like())
    point = (jnp.asarray(matrix),)
    _, basis, _ = lanczos.run(PROGRAM, PROGRAM.at(point), jax.random.key(1), lambda s: len(s.values) >= 80)
    rows = np.asarray(basis.rows[: int(basis.steps)])
    assert np.abs(rows @ rows.T - np.eye(len(rows))).max() < 1e-13
    tridiagonal = rows @ matrix @ rows.T
    outside = tridiagonal - np.triu(np.tril(tridiagonal, 1), -1)
    assert np.abs(outside).max() < 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_every_ritz_value_has_an_eigenvalue_within_its_error(seed: int) -> None:
    exact = hessian_like(seed)
    point = (jnp.asarray(symmetric(exact, seed)),)
    for steps in (8, 24, 64):
        known, _, _ = lanczos.run(
            PROGRAM, PROGRAM.at(point), jax.random.key(seed), lambda s, n=steps: len(s.values) >= n
        )
        nearest = np.abs(known.values[:, None] - exact[None]).min(axis=1)
        assert np.all(nearest <= known.errors)
        assert not known.complete
        for level in (0.5, 1.0, 3.0):
            assert spectra.count_above(known, level) <= np.sum(exact > level)
        assert spectra.count_negative(known) <= np.sum(exact < 0)


def test_extremes_agree_with_arpack() -> None:
    matrix = symmetric(hessian_like(7), 7)
    known, _, _ = lanczos.run(
        PROGRAM, PROGRAM.at((jnp.asarray(matrix),)), jax.random.key(0), lambda s: survey.resolved(s, 0.5)
    )
    top = scipy.sparse.linalg.eigsh(matrix, k=5, which="LA", tol=1e-12, return_eigenvectors=False)
    low = scipy.sparse.linalg.eigsh(matrix, k=1, which="SA", tol=1e-12, return_eigenvectors=False)
    assert np.allclose(np.sort(known.values)[-5:], np.sort(top), rtol=0, atol=1e-6)
    assert abs(known.values[0] - low[0]) <= 1e-2 * abs(low[0])
    assert known.products < 80


def test_repeated_eigenvalues_are_found_when_the_space_is_spanned() -> None:
    exact = np.array([2.0, 2.0, 2.0, 0.0, 0.0, -1.0, -1.0, 5.0])
    program = lanczos.lanczos(matvec, len(exact), capacity=120)
    known, _, _ = lanczos.run(program, program.at((jnp.asarray(symmetric(exact)),)), jax.random.key(0), lambda s: False)
    assert known.complete
    assert np.allclose(known.values, np.sort(exact), rtol=0, atol=1e-12)


def test_zero_operator_is_spanned_too() -> None:
    program = lanczos.lanczos(matvec, 5, capacity=120)
    known, _, _ = lanczos.run(program, program.at((jnp.zeros((5, 5)),)), jax.random.key(0), lambda s: False)
    assert known.complete
    assert np.all(known.values == 0)


def test_a_crowd_at_one_over_eta_widens_the_error_bar() -> None:
    exact = np.linspace(0.5, 1.5, SIZE)
    point = (jnp.asarray(symmetric(exact)),)
    known, _, _ = lanczos.run(PROGRAM, PROGRAM.at(point), jax.random.key(0), lambda s: len(s.values) >= 32)
    sigma, error = spectra.distance_from_one(known, 1.0)
    truth = np.abs(1 - exact).min()
    assert not survey.resolved(known, 1.0)
    assert sigma - error <= truth <= sigma + error
    assert error > 1e-3


@pytest.mark.parametrize("capacity", [24, 40, 80])
def test_a_small_basis_restarts_and_finds_the_same_ends(capacity: int) -> None:
    exact = hessian_like(3)
    program = lanczos.lanczos(matvec, SIZE, capacity=capacity)
    point = (jnp.asarray(symmetric(exact, 3)),)
    known, basis, pairs = lanczos.run(program, program.at(point), jax.random.key(5), lambda s: False, limit=160)
    assert known.products == 160
    assert len(known.values) <= capacity
    rows = np.asarray(basis.rows[: int(basis.steps)])
    assert np.abs(rows @ rows.T - np.eye(len(rows))).max() < 1e-13
    vectors = pairs.weights.T @ rows
    residuals = np.linalg.norm(vectors @ np.asarray(point[0]) - pairs.values[:, None] * vectors, axis=1)
    assert np.max(residuals - pairs.residuals) < 1e-13
    assert np.abs(known.values[-5:] - exact[-5:]).max() < 1e-12
    assert abs(known.values[0] - exact[0]) < 1e-12


def test_a_basis_is_one_array_of_a_row_more_than_its_products() -> None:
    basis = lanczos.run(PROGRAM, PROGRAM.at((jnp.eye(SIZE),)), jax.random.key(0), lambda s: True)[1]
    assert basis.rows.shape == (PROGRAM.capacity + 1, SIZE)
    pointer = basis.rows.unsafe_buffer_pointer()
    grown = PROGRAM.extend(PROGRAM.at((jnp.eye(SIZE),)), basis, jax.random.key(1), 8)
    assert grown.rows.unsafe_buffer_pointer() == pointer, "a step reuses the buffer"
    assert PROGRAM.combine(grown.rows, np.eye(8)).unsafe_buffer_pointer() == pointer


@pytest.mark.parametrize("family", builders.tiers(["mlp", "vit"], quick=["mlp"]))
def test_a_step_copies_no_basis(family: str) -> None:
    network = builders.network(family, (8, 8, 1), 10, **zoo.FAMILIES[family].settings["tiny"].fields)
    goal = objective.objective(network, configs.Ce(name="ce"))
    key = jax.random.key(0)
    batch = objective.Batch(jax.random.normal(key, (4, 8, 8, 1)), jnp.eye(10)[:4], jnp.ones(4))
    program = lanczos.lanczos(operators.hessian(goal.risk), goal.size, capacity=40)
    at = program.at((goal.init(key).astype("float64"), batch))
    basis = program.begin(key, at.dtype)
    compiled = program.extend.lower(at, basis, key, 1).compile().as_text()  # type: ignore[attr-defined]
    assert re.search(rf"f64\[41,{goal.size}\]", compiled)
    assert not re.search(rf"= f64\[41,{goal.size}\]\S* copy\(", compiled)


def test_a_run_of_m_steps_holds_at_most_m_and_four_vectors() -> None:
    network = builders.network("mlp", (8, 8, 1), 10, hidden=[300, 300], activation="tanh")
    goal = objective.objective(network, configs.Ce(name="ce"))
    key = jax.random.key(0)
    batch = objective.Batch(jax.random.normal(key, (1, 8, 8, 1)), jnp.eye(10)[:1], jnp.ones(1))
    program = lanczos.lanczos(operators.hessian(goal.risk), goal.size, capacity=16)
    at = program.at((goal.init(key).astype("float64"), batch))
    basis = program.begin(key, at.dtype)
    plan = program.extend.lower(at, basis, key, 1).compile().memory_analysis()  # type: ignore[attr-defined]
    held = plan.argument_size_in_bytes + plan.temp_size_in_bytes
    assert held / (8 * goal.size) <= 16 + 4, "17 of the basis, the weights, one of the product, 0.6 of Gram-Schmidt"


def test_the_same_code_runs_in_float32() -> None:
    exact = hessian_like(2)
    point = (jnp.asarray(symmetric(exact, 2), "float32"),)
    known, _, _ = lanczos.run(PROGRAM, PROGRAM.at(point), jax.random.key(0), lambda s: len(s.values) >= 64)
    assert abs(known.values[-1] - exact[-1]) <= known.errors[-1]
    assert 1e-6 < known.errors[-1] < 1e-3


def test_products_that_are_not_finite_are_said() -> None:
    with pytest.raises(FloatingPointError):
        lanczos.run(PROGRAM, PROGRAM.at((jnp.full((SIZE, SIZE), jnp.nan),)), jax.random.key(0), lambda s: False)


def test_one_program_serves_all_points() -> None:
    program = lanczos.lanczos(matvec, SIZE, capacity=40)
    for seed in range(3):
        at = program.at((jnp.asarray(symmetric(hessian_like(seed))),))
        lanczos.run(program, at, jax.random.key(seed), lambda s: False)
    assert program.extend._cache_size() == 1  # type: ignore[attr-defined]


def test_a_run_looks_at_every_product_first_and_stops_at_the_least_that_is_enough() -> None:
    seen: list[int] = []
    at = PROGRAM.at((jnp.asarray(symmetric(hessian_like())),))

    def enough(known: spectra.Spectrum) -> bool:
        seen.append(known.products)
        return known.products >= 37

    known, _, _ = lanczos.run(PROGRAM, at, jax.random.key(0), enough)
    assert seen == [*range(lanczos.FIRST, 33), 34, 36, 38]
    whole, _, _ = lanczos.run(PROGRAM, at, jax.random.key(0), lambda s: False, limit=38)
    assert np.array_equal(known.values, whole.values), "how often the host looks changes no bit"


def test_an_operator_is_linearised_once_for_all_products_and_programs() -> None:
    calls = []

    def counted(point: tuple[jax.Array]) -> operators.Matvec:
        calls.append(point)
        return matvec(point)

    program = lanczos.lanczos(counted, SIZE, capacity=40)
    at = program.at((jnp.asarray(symmetric(hessian_like())),))
    _, basis, _ = lanczos.run(program, at, jax.random.key(0), lambda s: False, limit=12)
    program.probe(at, basis.rows, 12, jnp.ones((2, SIZE)), jax.random.key(1), 4)
    assert len(calls) == 1


def test_log_abs_det_is_within_its_error_bar_over_many_matrices() -> None:
    scores = []
    for seed in range(24):
        exact = hessian_like(seed)
        point = (jnp.asarray(symmetric(exact, seed)),)
        eta = [0.2, 0.4, 0.9][seed % 3]
        _, basis, pairs = lanczos.run(
            PROGRAM, PROGRAM.at(point), jax.random.key(seed), lambda s, e=eta: survey.resolved(s, e)
        )
        found = logdet.estimate(
            PROGRAM, PROGRAM.at(point), eta, jax.random.key(100 + seed), deflated(basis, pairs, eta, exact)
        )
        truth = np.log(np.abs(1 - eta * exact)).sum()
        scores.append((found.value - truth) / found.error)
    assert sum(np.abs(scores) > 1) <= 5  # of 24 at 95 % each: more have probability 1e-3
    assert abs(np.mean(scores)) < 0.5
    assert 0.2 < np.std(scores) < 1.0, "an error bar that is far too wide is no error bar either"


def test_the_error_of_log_abs_det_is_infinite_where_what_is_left_may_be_at_one_over_eta() -> None:
    exact = np.linspace(0.5, 1.5, SIZE)
    point = (jnp.asarray(symmetric(exact)),)
    _, basis, pairs = lanczos.run(PROGRAM, PROGRAM.at(point), jax.random.key(0), lambda s: True)
    found = logdet.estimate(PROGRAM, PROGRAM.at(point), 1.0, jax.random.key(1), deflated(basis, pairs, 1.0, exact))
    truth = np.log(np.abs(1 - exact)).sum()
    assert abs(found.value - truth) <= 0.3 * abs(truth), "the value is that of a plain quadrature"
    assert math.isinf(found.error)


@pytest.mark.parametrize("spread", ["near 0", "even"])
def test_quadrature_with_a_node_at_an_end_is_a_bound_of_a_quadratic_form(spread: str) -> None:
    """All derivatives of log(1 - x) are negative below 1: not less with the node below, not more with it above."""
    drawn = np.random.default_rng(0)
    exact = np.sort(drawn.normal(scale=0.05, size=SIZE) if spread == "near 0" else drawn.uniform(-0.4, 0.6, SIZE))
    frame, _ = np.linalg.qr(drawn.normal(size=(SIZE, SIZE)))
    point, vectors = (jnp.asarray((frame * exact) @ frame.T),), drawn.choice([-1.0, 1.0], size=(4, SIZE))
    for steps in (1, 2, 3):
        basis = PROGRAM.begin(jax.random.key(0), jnp.dtype("float64"))
        _, probes = PROGRAM.probe(PROGRAM.at(point), basis.rows, 0, jnp.asarray(vectors), jax.random.key(0), steps)
        for i, vector in enumerate(vectors):
            truth = float((frame.T @ vector) ** 2 @ np.log(1 - exact))
            low, high = (
                float(probes.lengths[i]) * float(weights @ np.log(1 - nodes))
                for nodes, weights in (lanczos.quadrature(probes, i, end) for end in (0.7, -0.5))
            )
            assert low <= truth <= high
            if steps == 3:
                assert high - low < 0.05 * abs(truth)


def test_ritz_values_of_two_runs_are_those_of_the_space_that_both_span() -> None:
    exact = hessian_like(3)
    matrix = symmetric(exact, 3)
    at = PROGRAM.at((jnp.asarray(matrix),))
    known, basis, pairs = lanczos.run(PROGRAM, at, jax.random.key(0), lambda s: len(s.values) >= 14)
    taken = np.arange(8, 14)  # the last of them have not converged
    found = exclusion.complement(PROGRAM, at, (known, basis, pairs), taken, jax.random.key(1))
    rows = np.asarray(found.basis.rows)[: int(found.basis.steps)]
    values, vectors = np.linalg.eigh(rows @ matrix @ rows.T)
    assert np.allclose(found.pairs.values, values, atol=1e-11)
    vectors = rows.T @ vectors
    residuals = np.linalg.norm(matrix @ vectors - vectors * values, axis=0)
    assert np.all(residuals <= found.pairs.residuals * (1 + 1e-9) + 1e-12)
    assert np.median(found.pairs.residuals / np.maximum(residuals, 1e-12)) < 1.5, "and not much less"
