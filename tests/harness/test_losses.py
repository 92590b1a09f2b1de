# SPDX-License-Identifier: Apache-2.0
"""Losses by hand, and their infima by minimising."""

from __future__ import annotations

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import losses


def test_half_mse_by_hand() -> None:
    found = losses.per_example(
        types.SimpleNamespace(name="half_mse"), jnp.array([[1.0, 2.0], [0.0, 1.0]]), jnp.array([0, 1])
    )
    assert np.allclose(found, [0.5 * (0 + 4), 0.0])


def test_cross_entropy_by_hand() -> None:
    outputs, labels = jnp.array([[0.0, np.log(3.0)]]), jnp.array([1])
    hard = losses.per_example(types.SimpleNamespace(name="ce"), outputs, labels)
    soft = losses.per_example(types.SimpleNamespace(name="smoothed_ce", smoothing=0.2), outputs, labels)
    assert float(hard[0]) == pytest.approx(-np.log(0.75))
    assert float(soft[0]) == pytest.approx(-0.9 * np.log(0.75) - 0.1 * np.log(0.25))


@pytest.mark.parametrize(
    ("classes", "smoothing", "printed"),
    [(10, 0.1, 0.500288), (10, 0.2, 0.866894), (2, 0.1, 0.198515), (100, 0.1, 0.777797)],
)
def test_infimum_of_smoothed_labels_as_printed_and_attained(classes: int, smoothing: float, printed: float) -> None:
    loss = types.SimpleNamespace(name="smoothed_ce", smoothing=smoothing)
    infimum = losses.infimum(loss, classes)
    assert infimum == pytest.approx(printed, abs=5e-7)
    label = np.full(classes, smoothing / classes)
    label[0] += 1 - smoothing
    at = jnp.log(jnp.asarray(label))[None]
    assert float(losses.per_example(loss, at, jnp.array([0]))[0]) == pytest.approx(infimum, rel=1e-12)
    slope = jax.grad(lambda f: losses.per_example(loss, f, jnp.array([0]))[0])(at)
    assert float(jnp.abs(slope).max()) < 1e-15


def test_infimum_of_the_others_is_zero() -> None:
    assert losses.infimum(types.SimpleNamespace(name="half_mse"), 10) == 0
    assert losses.infimum(types.SimpleNamespace(name="ce"), 10) == 0
