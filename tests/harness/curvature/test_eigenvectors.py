# SPDX-License-Identifier: Apache-2.0
"""The eigenvectors of a survey, against numpy's of the same matrix; and that asking for them changes nothing else."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness.curvature import operators, spectrum, survey
from tests import builders

VALUES = np.concatenate([[-3.0, 2.4, 5.0, 9.0], np.geomspace(1e-6, 0.1, 296)])
ETA = 0.4


@functools.cache
def matrix(repeated: bool = False) -> np.ndarray:
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(len(VALUES), len(VALUES))))[0]
    values = np.where(VALUES == 5.0, 9.0, VALUES) if repeated else VALUES
    return np.asarray(turn * values @ turn.T)


@functools.cache
def surveyor(method: survey.Method) -> survey.Surveyor:
    hessian = operators.hessian(lambda theta, matrix: 0.5 * theta @ matrix @ theta)
    return survey.surveyor(hessian, len(VALUES), method)


def surveyed(method: survey.Method, *, repeated: bool = False, vectors: bool = True) -> survey.Survey:
    point = jnp.zeros(len(VALUES)), jnp.asarray(matrix(repeated))
    return surveyor(method).survey(point, ETA, jax.random.key(0), vectors=vectors)


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_they_are_those_of_the_matrix_within_their_angle(method: survey.Method) -> None:
    found = surveyed(method).vectors
    assert found is not None
    values, vectors = np.linalg.eigh(matrix())
    for i, place in enumerate(spectrum.named(values, ETA)):
        row = np.asarray(found.rows[i])
        assert found.values[i] == pytest.approx(values[place], abs=found.residuals[i] + 1e-12)
        assert np.linalg.norm(matrix() @ row - found.values[i] * row) <= found.residuals[i]
        assert np.linalg.norm(row) == pytest.approx(1, abs=1e-12)
        across = np.linalg.norm(row - vectors[:, place] * (vectors[:, place] @ row))
        assert across <= found.angles[i] + 1e-12
        assert found.angles[i] < 1e-2
    assert found.values == pytest.approx([9.0, -3.0, 2.4], abs=1e-2)


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_a_repeated_eigenvalue_has_no_angle(method: survey.Method) -> None:
    found = surveyed(method, repeated=True).vectors
    assert found is not None
    assert found.angles[0] == 1
    assert found.angles[1] < 1e-2


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_asking_for_them_changes_no_bit_of_the_survey(method: survey.Method) -> None:
    plain, asked = surveyed(method, vectors=False), surveyed(method)
    assert plain.vectors is None
    assert asked.log_det == plain.log_det
    for one, other in zip(asked.spectrum, plain.spectrum, strict=True):
        assert np.array_equal(one, other)


def test_a_space_that_lanczos_spans_whole_has_them_too() -> None:
    ready = builders.problem(**builders.quadratic(3.0, 1.0, -2.0, 0.5), curvature="lanczos")
    found = ready.surveyor.survey((jnp.ones(4), ready.exact), 1.1, jax.random.key(0), vectors=True).vectors
    assert found is not None
    assert np.abs(np.asarray(found.rows)) == pytest.approx(np.eye(4)[[0, 2, 1]], abs=1e-8)
