# SPDX-License-Identifier: Apache-2.0
"""Counting: the eigenvalues above a level, told by a short Lanczos run."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness.curvature import counting, lanczos, survey
from harness.curvature import spectrum as spectra

SIZE = 300
PROGRAM = lanczos.lanczos(lambda point: lambda v: point[0] @ v, SIZE, capacity=survey.PRODUCTS)


def rotated(values: np.ndarray) -> jax.Array:
    basis, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(SIZE, SIZE)))
    return jnp.asarray(basis @ np.diag(values) @ basis.T)


@pytest.mark.parametrize("beyond", [0.01, 1e-5])
def test_counts_are_those_of_the_whole_spectrum_near_the_level_too(beyond: float) -> None:
    bulk = np.random.default_rng(0).uniform(-0.1, 0.3, size=SIZE - 5)
    values = np.concatenate([bulk, [2.7, 1.9, 1 + beyond, 1 - beyond, 0.6]])
    for level, above in ((1.0, 3), (2.0, 1), (3.0, 0), (0.5, 5)):
        found = counting.counter(PROGRAM)((rotated(values),), level, jax.random.key(0))
        assert spectra.count_above(found, level) == above
        assert found.products < 60, "a survey takes 160"
    assert found.values[-3] == pytest.approx(1 + beyond, abs=beyond / 2)


def test_a_small_space_is_spanned_whole() -> None:
    program = lanczos.lanczos(lambda point: lambda v: point[0] * v, 3, capacity=survey.PRODUCTS)
    found = counting.counter(program)((jnp.array([1.0, 1.0, 3.0]),), 0.5, jax.random.key(0))
    assert spectra.count_above(found, 0.5) == 3 == found.products


def test_a_product_that_is_not_finite_is_an_error() -> None:
    with pytest.raises(FloatingPointError):
        counting.counter(PROGRAM)((jnp.full((SIZE, SIZE), jnp.nan),), 1.0, jax.random.key(0))
