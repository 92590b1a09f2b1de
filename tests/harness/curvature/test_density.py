# SPDX-License-Identifier: Apache-2.0
"""The spectral density: exact moments of each probe, and shares of eigenvalues against known spectra."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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


def test_a_share_is_the_mean_over_probes_with_its_standard_error() -> None:
    nodes = np.array([[0.0, 1.0, 3.0], [0.5, 1.0, 2.0], [-1.0, 0.0, 4.0]])
    weights = np.array([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3], [0.1, 0.6, 0.3]])
    share, error = density.share_below(density.Density(nodes, weights, 9), np.array([1.0]))
    each = [0.5, 0.7, 0.7]  # a node at the level counts as below it
    assert share == [np.mean(each)]
    assert error[0] == np.sqrt(sum((x - np.mean(each)) ** 2 for x in each) / 2 / 3)


@pytest.mark.parametrize("value", [0.0, -2.0])
def test_a_spectrum_of_one_value_has_all_its_share_there(value: float) -> None:
    found = density.estimate(PROGRAM, PROGRAM.at((jnp.full(SIZE, value),)), jax.random.key(3), probes=2, steps=8)
    assert np.allclose(found.weights.sum(axis=1), 1, rtol=0, atol=1e-12)
    share, error = density.share_below(found, np.array([value - 1e-9, value + 1e-9]))
    assert share == pytest.approx([0, 1], abs=1e-12)
    assert error == pytest.approx([0, 0], abs=1e-12)


def test_a_density_of_what_is_not_finite_is_no_density() -> None:
    with pytest.raises(FloatingPointError, match="not finite"):
        density.estimate(PROGRAM, PROGRAM.at((jnp.full(SIZE, np.nan),)), jax.random.key(4), probes=2, steps=8)
