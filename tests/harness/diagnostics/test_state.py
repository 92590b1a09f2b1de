# SPDX-License-Identifier: Apache-2.0
"""The map of (theta, v) under momentum: against the dense derivative of the step that training takes."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import builders


@pytest.mark.parametrize("name", ["heavy_ball", "nesterov"])
def test_it_is_the_derivative_of_the_step_that_training_takes(name: str) -> None:
    ready = builders.problem(
        data=builders.classes(examples=12, classes=2, separation=1.0),
        model=builders.mlp(2),
        optimizer={"name": name, "learning_rate": 0.7, "momentum": 0.6},
        precision="float64",
        curvature="dense",
        diagnostics=["state", "singularity"],
    )
    size, eta = ready.objective.size, jnp.asarray([0.7])
    key = jax.random.key(0)[None]

    def step(state: jax.Array) -> jax.Array:
        """One step of the compiled program, from (theta, v) to (theta, v)."""
        now = ready.trainer.begin(state[None, :size], eta, jnp.zeros(1, int))
        leaves, tree = jax.tree.flatten(now.optimizer)
        assert [leaf.shape for leaf in leaves] == [(1, size)], "v is all that there is beside theta"
        now = now._replace(optimizer=jax.tree.unflatten(tree, [state[None, size:]]))
        after = ready.trainer.advance(now, eta, key, ready.batch, 1)
        return jnp.concatenate([after.theta[0], jax.tree.leaves(after.optimizer)[0][0]])

    state = np.random.default_rng(1).normal(size=2 * size)
    h = 1e-5
    columns = [
        np.asarray(step(jnp.asarray(state + h * e)) - step(jnp.asarray(state - h * e))) for e in np.eye(2 * size)
    ]
    derivative = np.array(columns).T / (2 * h)
    singular = np.linalg.svd(derivative, compute_uv=False)
    found = builders.measured(ready, jnp.asarray(state[:size]), 0.7, names=["fit", "state", "singularity"], key=3)
    assert found["state_sigma_min"] == pytest.approx(singular[-1], abs=1e-8)
    assert found["state_log_abs_det"] == pytest.approx(np.log(singular).sum(), abs=1e-6)
    plain = 0.0 if name == "heavy_ball" else found["log_abs_det"]
    assert found["state_log_abs_det"] == pytest.approx(size * math.log(0.6) + plain, rel=1e-14)
    assert 0 <= found["state_sigma_min_error"] < 1e-12
    assert 0 <= found["state_log_abs_det_error"] < 1e-11
