# SPDX-License-Identifier: Apache-2.0
"""The training loop against the closed form of gradient descent on a quadratic."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import objective, train

CURVATURES = np.array([4.0, 2.0, 1.0, -0.5])
NOTHING = objective.Batch(jnp.zeros((1, 1)), jnp.zeros((1, 1)), jnp.ones(1))


def quadratic(theta: jax.Array, batch: objective.Batch) -> jax.Array:
    """Returns 1/2 theta^T diag(CURVATURES) theta, whatever the batch."""
    return 0.5 * theta @ (jnp.asarray(CURVATURES, theta.dtype) * theta)


def regression(theta: jax.Array, batch: objective.Batch) -> jax.Array:
    """Returns the weighted mean of 1/2 (x theta - target)^2 over the batch."""
    return 0.5 * jnp.average((batch.x @ theta - batch.targets) ** 2, weights=batch.weights)


def states(trainer: train.Trainer, start: np.ndarray, eta: float, steps: tuple[int, ...], **options: object) -> list:
    theta, rate = jnp.asarray(start), jnp.asarray(eta)
    batch = options.get("batch", NOTHING)
    begun = trainer.begin(theta, rate, 0)
    return list(train.train(trainer, begun, rate, jax.random.key(9), batch, steps))  # type: ignore[arg-type]


WEIGHTS = np.arange(1.0, 21.0)
GD = train.trainer(quadratic, "gd", None)
SGD = train.trainer(regression, "sgd", 4)


def data() -> objective.Batch:
    random = np.random.default_rng(0)
    x, targets = random.normal(size=(20, 3)), random.normal(size=20)
    return objective.Batch(jnp.asarray(x), jnp.asarray(targets), jnp.asarray(WEIGHTS))


@pytest.mark.parametrize("eta", [0.1, 0.3, 0.55])
def test_gradient_descent_on_a_quadratic_is_a_power_of_its_matrix(eta: float) -> None:
    start = np.array([1.0, -2.0, 0.5, 0.1])
    for state, step in zip(states(GD, start, eta, (0, 1, 2, 7, 40)), (0, 1, 2, 7, 40), strict=True):
        assert int(state.step) == step
        assert np.allclose(state.theta, (1 - eta * CURVATURES) ** step * start, rtol=1e-12, atol=0)


def test_divergence_is_found_at_its_step() -> None:
    start, eta = np.array([1.0, 0.0, 0.0, 0.0]), 1e30
    # |theta_t| = |1 - 4e30|^t: the loss overflows float64 once its square passes 1.8e308, at t = 6.
    first = next(t for t in range(20) if 2 * float(t) * np.log10(4e30) + np.log10(2.0) > 308.25)
    found = states(GD, start, eta, (0, 2, 50, 100))
    assert [int(s.step) for s in found] == [0, 2, first]
    assert [bool(s.finite) for s in found] == [True, True, False]
    assert np.isfinite(found[-1].theta).all(), "theta stays where the loss was first not finite"


def test_sgd_draws_by_seed_and_step_alone() -> None:
    batch, start = data(), np.array([0.3, -0.1, 0.2])
    theta = start
    for step in range(5):
        uniform = np.asarray(jax.random.uniform(jax.random.fold_in(jax.random.key(9), step), (4,), "float64"))
        chosen = [next(i for i in range(20) if u * WEIGHTS.sum() < WEIGHTS[: i + 1].sum()) for u in uniform]
        x, y = np.asarray(batch.x)[chosen], np.asarray(batch.targets)[chosen]
        theta = theta - 0.1 * x.T @ (x @ theta - y) / 4
    assert np.allclose(states(SGD, start, 0.1, (5,), batch=batch)[-1].theta, theta, rtol=1e-12)


def test_an_example_is_drawn_with_the_chance_of_its_weight() -> None:
    draw = train.drawing(data(), jax.random.key(0), 4)
    drawn = jax.vmap(draw)(jnp.arange(20_000))
    assert (np.asarray(drawn.weights) == 1).all()
    shares = np.array([float(jnp.mean(drawn.targets == target)) for target in data().targets])
    chances = WEIGHTS / WEIGHTS.sum()
    # 80,000 draws: five standard errors of each share.
    assert (np.abs(shares - chances) < 5 * np.sqrt(chances * (1 - chances) / 80_000)).all()


def test_checkpoints_and_restarts_do_not_move_the_run() -> None:
    batch, start = data(), np.array([0.3, -0.1, 0.2])
    whole = states(SGD, start, 0.1, (30,), batch=batch)[-1]
    pieces = states(SGD, start, 0.1, (0, 1, 5, 6, 29, 30), batch=batch)
    assert (np.asarray(pieces[-1].theta) == np.asarray(whole.theta)).all()
    again = SGD.begin(pieces[2].theta, jnp.asarray(0.1), 5)
    end = list(train.train(SGD, again, jnp.asarray(0.1), jax.random.key(9), batch, (30,)))[-1]
    assert (np.asarray(end.theta) == np.asarray(whole.theta)).all()


def test_one_program_serves_every_length_and_step_size() -> None:
    trainer = train.trainer(quadratic, "gd", None)
    for eta in (0.1, 0.2):
        states(trainer, np.ones(4), eta, (0, 3, 10))
    assert trainer.advance._cache_size() == 1  # type: ignore[attr-defined]


def test_training_precision_is_kept() -> None:
    begun = GD.begin(jnp.ones(4, "float32"), jnp.asarray(0.1, "float32"), 0)
    found = GD.advance(begun, jnp.asarray(0.1, "float32"), jax.random.key(0), NOTHING, 3)
    assert found.theta.dtype == jnp.float32
