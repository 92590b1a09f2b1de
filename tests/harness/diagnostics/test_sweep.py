# SPDX-License-Identifier: Apache-2.0
"""Critical step sizes (D11) and the sweep at a frozen point (D12): zeros where they are claimed, and nowhere else."""

from __future__ import annotations

import functools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import diagnostics
from harness.curvature import logdet, survey
from harness.curvature import spectrum as spectra
from harness.diagnostics import sweep
from tests import builders

measured = functools.partial(builders.measured, names=["sweep", "critical"])


def test_a_quadratic_is_singular_at_the_reciprocals_of_its_eigenvalues(home: pathlib.Path) -> None:
    ready = builders.problem(**builders.quadratic(4.0, 2.0, 2.0, 1.0, -0.5, 0.0))
    found = measured(ready, jnp.ones(6), 0.3)
    assert (found["sweep_zeros"], found["critical_steps"]) == (4, 4)
    assert found["sweep_zero"] <= 1e-14
    assert found["sweep_zero"] <= found["sweep_zero_error"] < 1e-13
    assert found["sweep_regular"] == 1
    assert found["critical_step"] == pytest.approx(0.25, abs=found["critical_step_error"])
    found = builders.measured(builders.problem(**builders.quadratic(4.0, 1.0)), jnp.ones(2), 0.9, names=["critical"])
    assert found["critical_step"] == pytest.approx(1.0)


def test_without_a_positive_eigenvalue_no_step_is_critical(home: pathlib.Path) -> None:
    found = measured(builders.problem(**builders.quadratic(-1.0, 0.0)), jnp.ones(2), 0.3)
    assert (found["sweep_zeros"], found["critical_steps"]) == (0, 0)
    assert all(math.isnan(found[name]) for name in ("sweep_zero", "sweep_zero_error"))
    assert found["critical_step"] == math.inf


@pytest.mark.parametrize(("curvature", "zeros"), [("dense", None), ("lanczos", sweep.TOP)])
def test_every_zero_of_a_network_is_confirmed_by_another_decomposition(
    curvature: str, zeros: int | None, home: pathlib.Path
) -> None:
    ready = builders.problem(data=builders.digits(30), model=builders.mlp(1), curvature=curvature)
    theta = ready.objective.init(jax.random.key(0)).astype("float64")
    found = builders.measured(ready, theta, 0.5, names=["sweep", "sharpness"])
    exact = np.linalg.eigvalsh(np.asarray(jax.jit(jax.hessian(ready.objective.risk))(theta, ready.exact)))
    assert found["sweep_zeros"] == (zeros or np.sum(exact * sweep.MOST >= exact[-1]))
    assert 0 < found["sweep_zero"] <= found["sweep_zero_error"]
    assert found["sweep_zero_error"] < 1e-8


def test_a_wrong_claim_is_found_out(home: pathlib.Path) -> None:
    ready = builders.problem(**builders.quadratic(4.0, 2.0, 1.0))
    false = spectra.Spectrum(np.array([1.0, 2.1, 4.0]), np.full(3, 1e-12), True, 3, 3)
    where = diagnostics.Nearby(jnp.ones(3), None, ready, jax.random.key(0))
    found = sweep.measure(
        diagnostics.Point(0.3, 0.0, 0.0, 0.0, 0.0, survey.Survey(false, logdet.exact(false, 0.3)), where)
    )
    assert found["sweep_zero"] == pytest.approx(0.1 / 2.1)
    assert found["sweep_zero"] > 1e6 * found["sweep_zero_error"]


def test_the_value_at_a_zero_bounds_the_least_singular_value_whatever_the_vector() -> None:
    drawn = np.random.default_rng(0)
    matrix = drawn.normal(size=(7, 7))
    matrix = matrix + matrix.T
    vectors = drawn.normal(size=(5, 7))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    claims = np.array([0.5, 1.5, 3.0])
    zeros, bars = sweep.at_zeros(claims, np.zeros(3), vectors, vectors @ matrix)
    for claim, zero in zip(claims, zeros, strict=True):
        assert np.linalg.svd(np.eye(7) - matrix / claim, compute_uv=False)[-1] <= zero
    assert bars.min() > 0
