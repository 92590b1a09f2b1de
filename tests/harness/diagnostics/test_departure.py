# SPDX-License-Identifier: Apache-2.0
"""Departure: on quadratics, whose eigenvectors are known, and against LAPACK on a network."""

from __future__ import annotations

import functools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness.diagnostics import departure
from tests import builders

measured = functools.partial(builders.measured, names=["departure"])


def test_the_share_of_the_way_along_the_least_eigenvector(home: pathlib.Path) -> None:
    ready, before = builders.problem(**builders.quadratic(3.0, -2.0, 1.0, -0.5, 0.0)), jnp.arange(5.0)
    found = measured(ready, before + jnp.array([0.0, 4.0, 0.0, 3.0, 0.0]), 0.1, previous=before)
    assert found["departure_alignment"] == pytest.approx(0.8, abs=1e-6)
    assert found["departure_curvature"] == pytest.approx(-2.0, abs=1e-9)
    assert found["departure_curvature_error"] < 1e-5
    found = measured(ready, before + jnp.array([1.0, 0, 0, 0, 0]), 0.1, previous=before)
    assert found["departure_alignment"] < 1e-6
    found = measured(ready, before + jnp.array([0, -1e-9, 0, 0, 0]), 0.1, previous=before)
    assert found["departure_alignment"] == pytest.approx(1)


@pytest.mark.parametrize("still", [True, False])
def test_without_a_way_there_is_no_alignment(home: pathlib.Path, still: bool) -> None:
    ready, theta = builders.problem(**builders.quadratic(1.0, -1.0)), jnp.ones(2)
    found = measured(ready, theta, 0.1, previous=theta if still else None)
    assert {name for name in departure.METRICS if math.isnan(found[name])} == set(departure.METRICS)


def test_on_a_network_the_vector_is_that_of_lapack(home: pathlib.Path) -> None:
    ready = builders.problem(data=builders.digits(30), optimizer=builders.gd(0.5))
    theta = ready.objective.init(jax.random.key(3)).astype("float64")
    hessian = np.asarray(jax.hessian(ready.objective.risk)(theta, ready.exact))
    values, vectors = np.linalg.eigh(hessian)
    assert values[1] - values[0] > 1e-3 and values[0] < 0
    way = jax.random.normal(jax.random.key(1), theta.shape, "float64")
    found = measured(ready, theta + way, 0.1, previous=theta)
    wanted = abs(float(np.asarray(way) @ vectors[:, 0])) / float(jnp.linalg.norm(way))
    assert found["departure_alignment"] == pytest.approx(wanted, abs=1e-5)
    assert found["departure_curvature"] == pytest.approx(values[0], abs=1e-8)
