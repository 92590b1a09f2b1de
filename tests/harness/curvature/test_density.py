# SPDX-License-Identifier: Apache-2.0
"""The spectral density: exact moments of each probe, and shares of eigenvalues against known spectra."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from harness.curvature import density, lanczos, operators

SIZE = 400


def diagonal(point: tuple[jax.Array]) -> operators.Matvec:
    """Returns the operator of a diagonal matrix."""
    return lambda v: point[0] * v


PROGRAM = lanczos.lanczos(diagonal, SIZE, capacity=40)


def test_a_quadrature_has_the_moments_of_its_probe() -> None:
    values = np.random.default_rng(0).normal(size=SIZE)
    found = density.estimate(PROGRAM, PROGRAM.at((jnp.asarray(values),)), jax.random.key(1), probes=3, steps=10)
    vectors = np.asarray(jax.random.normal(jax.random.key(1), (3, SIZE)))
    seen = vectors**2 / np.sum(vectors**2, axis=1, keepdims=True)
    for power in range(20):  # k steps give 2k - 1 moments exactly
        exact = seen @ values**power
        assert np.allclose(np.sum(found.weights * found.nodes**power, axis=1), exact, rtol=1e-9, atol=1e-9)
    assert found.products == 30


def test_shares_of_separated_clusters_are_within_four_standard_errors() -> None:
    values = np.r_[np.full(250, 0.0), np.full(100, 1.0), np.full(50, 3.0)] + 1e-3 * np.arange(SIZE) / SIZE
    found = density.estimate(PROGRAM, PROGRAM.at((jnp.asarray(values),)), jax.random.key(2), probes=16)
    share, error = density.share_below(found, np.array([-0.5, 0.5, 2.0, 4.0]))
    exact = np.array([0, 250, 350, 400]) / SIZE
    assert np.all(np.abs(share - exact) <= 4 * error + 1e-12)
    assert 0 < error[1] < 0.03
