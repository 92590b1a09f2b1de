# SPDX-License-Identifier: Apache-2.0
"""The maps of mini-batches (D10), against the Gram matrix of the batch at a planted minimum."""

from __future__ import annotations

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness.diagnostics import minibatches
from tests import builders

problem = functools.partial(
    builders.problem,
    data=builders.digits(30, targets={"planted": 5}),
    model=builders.mlp(1),
    optimizer=builders.sgd(0.1, 6),
    curvature="dense",
)
measured = functools.partial(builders.measured, names=["minibatches"])


@pytest.mark.parametrize("curvature", ["dense", "lanczos"])
def test_at_a_planted_minimum_the_determinant_is_that_of_the_batch_s_gram_matrix(
    curvature: str, home: pathlib.Path
) -> None:
    ready, eta = problem(curvature=curvature), 0.7
    theta = ready.objective.init(jax.random.key(5)).astype("float64")
    determinants, sigmas = [], []
    for batch in minibatches.batches(ready.rule, ready.exact, ready.examples):
        jacobian = np.asarray(jax.jacrev(ready.objective.outputs)(theta, batch.x)).reshape(60, -1)
        gram = np.eye(60) - eta / 6 * jacobian @ jacobian.T
        determinants.append(np.linalg.slogdet(gram)[1])
        values = np.abs(np.linalg.eigvalsh(gram))
        sigmas.append(min(values.min(), 1.0))  # H_B has the eigenvalue 0 outside the range of the Jacobian
    assert len(determinants) == minibatches.BATCHES
    found = measured(ready, theta, eta)
    for name, exact in (("sigma_min", sigmas), ("log_abs_det", determinants)):
        # An error bar of probes is one standard error; dense ones are bounds.
        room = found[f"batch_{name}_error"] * (4 if curvature == "lanczos" else 1) + 1e-12
        assert found[f"batch_{name}_worst"] == pytest.approx(np.min(exact), abs=room)
        assert found[f"batch_{name}_median"] == pytest.approx(np.median(exact), abs=room)
    assert found["batch_sigma_min_error"] < 1e-6
    assert found["batch_log_abs_det_error"] < (1e-8 if curvature == "dense" else 2.0)
    assert found["batch_sigma_min_worst"] < found["batch_sigma_min_median"]


def test_the_probe_set_is_the_same_for_every_key_and_drawn_as_training_draws(home: pathlib.Path) -> None:
    ready = problem()
    theta = jnp.asarray(np.random.default_rng(0).normal(size=ready.objective.size))
    assert measured(ready, theta, 0.3, key=0) == measured(ready, theta, 0.3, key=1)
    first, second = minibatches.batches(ready.rule, ready.exact, ready.examples)[:2]
    assert first.x.shape == (6, 8, 8, 1)
    assert bool((first.x != second.x).any())
    rows = np.asarray(ready.exact.x).reshape(30, -1)
    assert all((rows == np.asarray(row).ravel()).all(axis=1).any() for row in first.x)


def test_descent_on_the_whole_batch_has_no_mini_batches(home: pathlib.Path) -> None:
    ready = problem(optimizer=builders.gd(0.1))
    theta = ready.objective.init(jax.random.key(0))
    with pytest.raises(ValueError, match="whole batch"):
        measured(ready, theta, 0.3)
