# SPDX-License-Identifier: Apache-2.0
"""Gram-Schmidt in blocks against the projection in one piece."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness.curvature import orthogonal


@pytest.mark.parametrize("count", [0, 1, 4, 5, 9, 11])
@pytest.mark.parametrize("columns", [7, 10, 53, 100])
def test_what_is_left_is_orthogonal_and_the_rest_is_told(
    count: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orthogonal, "ROWS", 4)
    monkeypatch.setattr(orthogonal, "COLUMNS", columns)
    random = np.random.default_rng(count)
    rows = np.linalg.qr(random.normal(size=(53, 12)))[0].T
    rows[count:] = random.normal(size=(12 - count, 53))  # finite, and mean nothing but for the first
    w = rows[count].copy()
    found, along = jax.jit(orthogonal.orthogonalise)(jnp.asarray(rows), jnp.asarray(count))
    others, left = np.delete(np.asarray(found), count, axis=0), found[count]
    assert np.array_equal(others, np.delete(rows, count, axis=0))
    assert np.allclose(along, np.r_[rows[:count] @ w, np.zeros(12 - count)], rtol=0, atol=1e-14)
    assert np.abs(rows[:count] @ np.asarray(left)).max(initial=0) < 1e-15
    assert np.allclose(left, w - rows[:count].T @ (rows[:count] @ w), rtol=0, atol=1e-14)


def test_a_vector_nearly_in_the_span_needs_the_second_time() -> None:
    rows = np.linalg.qr(np.random.default_rng(0).normal(size=(300, 20)))[0].T
    w = 1e8 * rows.sum(axis=0) + np.random.default_rng(1).normal(size=300)
    left = np.asarray(orthogonal.orthogonalise(jnp.asarray(np.vstack([rows, w])), jnp.asarray(20))[0])[20]
    assert np.abs(rows @ left).max() < 1e-13 * np.linalg.norm(left)
