# SPDX-License-Identifier: Apache-2.0
"""Norms: the plain one to the last bit where its squares are held, and right where they are not."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from harness.risk import norm


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_where_squares_are_held_the_norm_has_the_bits_of_the_plain_one(precision: str) -> None:
    drawn = np.random.default_rng(3)
    for size in (1, 7, 1000):
        for scale in (1e-10, 1.0, 1e15):
            x = jnp.asarray(scale * drawn.normal(size=size), precision)
            assert norm.norm(x) == jnp.linalg.norm(x)


@pytest.mark.parametrize(
    ("precision", "scale"), [("float32", 1e30), ("float32", 1e-30), ("float64", 1e200), ("float64", 1e-200)]
)
def test_where_squares_are_not_held_the_norm_is_right(precision: str, scale: float) -> None:
    rows = jnp.asarray([[3 * scale, 4 * scale], [0.0, scale]], precision)
    assert np.asarray(norm.norm(rows)) == pytest.approx([5 * scale, scale], rel=1e-6)
    assert norm.norm(jnp.zeros(3, precision)) == 0


def test_what_is_not_finite_has_no_finite_norm() -> None:
    assert not jnp.isfinite(norm.norm(jnp.asarray([1.0, jnp.inf])))
    assert not jnp.isfinite(norm.norm(jnp.asarray([1.0, jnp.nan])))
