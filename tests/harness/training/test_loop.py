# SPDX-License-Identifier: Apache-2.0
"""The training loop against the closed forms of its maps on a quadratic, and of its batches on a regression."""

from __future__ import annotations

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import config
from harness.risk import objective
from harness.training import loop, optimizers

CURVATURES = np.array([4.0, 2.0, 1.0, -0.5])
NOTHING = objective.Batch(jnp.zeros((1, 1)), jnp.zeros((1, 1)), jnp.ones(1))
START = np.array([1.0, -2.0, 0.5, 0.1])


def rule(name: str = "gd", **fields: object) -> optimizers.Rule:
    plain = {"momentum": None, "schedule": config.CONSTANT, "steps": 0, "batch_size": None, "sampling": "replacement"}
    return optimizers.Rule(name, **{**plain, **fields})  # type: ignore[arg-type]


def quadratic(theta: jax.Array, batch: objective.Batch) -> jax.Array:
    """Returns 1/2 theta^T diag(CURVATURES) theta, whatever the batch."""
    return 0.5 * theta @ (jnp.asarray(CURVATURES, theta.dtype) * theta)


def regression(theta: jax.Array, batch: objective.Batch) -> jax.Array:
    """Returns the weighted mean of 1/2 (x theta - target)^2 over the batch."""
    return 0.5 * jnp.average((batch.x @ theta - batch.targets) ** 2, weights=batch.weights)


def begun(trainer: loop.Trainer, starts: np.ndarray, eta: float | list[float], first: int = 0) -> loop.State:
    """Returns the state of one lane for each row of `starts`."""
    rates = jnp.broadcast_to(jnp.asarray(eta, starts.dtype), len(starts))
    return trainer.begin(jnp.asarray(starts), rates, jnp.full(len(starts), first))


def states(
    trainer: loop.Trainer,
    start: np.ndarray,
    eta: float,
    steps: tuple[int, ...],
    batch: objective.Batch = NOTHING,
    seed: int = 9,
) -> list[loop.State]:
    """Returns the state of a single lane at each of some steps."""
    now, found = begun(trainer, start[None], eta), []
    for step in steps:
        now = trainer.advance(now, jnp.asarray([eta], start.dtype), jax.random.key(seed)[None], batch, step)
        found.append(jax.tree.map(lambda leaf: np.asarray(leaf)[0], now))
    return found


WEIGHTS = np.arange(1.0, 21.0)
GD = loop.trainer(quadratic, rule(), 1)
SGD = loop.trainer(regression, rule("sgd", batch_size=4), 20)


def data(weights: np.ndarray = WEIGHTS) -> objective.Batch:
    random = np.random.default_rng(0)
    x, targets = random.normal(size=(20, 3)), random.normal(size=20)
    return objective.Batch(jnp.asarray(x), jnp.asarray(targets), jnp.asarray(weights))


@pytest.mark.parametrize("eta", [0.1, 0.3, 0.55])
def test_gradient_descent_on_a_quadratic_is_a_power_of_its_matrix(eta: float) -> None:
    for state, step in zip(states(GD, START, eta, (0, 1, 2, 7, 40)), (0, 1, 2, 7, 40), strict=True):
        assert int(state.step) == step
        assert np.allclose(state.theta, (1 - eta * CURVATURES) ** step * START, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["heavy_ball", "nesterov"])
def test_momentum_on_a_quadratic_is_a_power_of_its_state_matrix(name: str) -> None:
    momentum, eta, steps = 0.9, 0.2, 23
    trainer = loop.trainer(quadratic, rule(name, momentum=momentum), 1)
    found = states(trainer, START, eta, (steps,))[0].theta
    for i, curvature in enumerate(CURVATURES):
        look = np.array([[1 - eta * curvature, -eta * momentum], [curvature, momentum]])
        if name == "nesterov":
            look[0] = [1 - eta * (1 + momentum) * curvature, -eta * momentum**2]
        det = momentum if name == "heavy_ball" else momentum * (1 - eta * curvature)
        assert np.linalg.det(look) == pytest.approx(det, rel=1e-12), "the closed form of OPTIMIZERS"
        assert found[i] == pytest.approx((np.linalg.matrix_power(look, steps) @ [START[i], 0])[0], rel=1e-11)


SCHEDULES = {
    "piecewise": (config.Piecewise(name="piecewise", at=(3, 5), factors=(0.5, 0.25)), [1, 1, 1, 0.5, 0.5, 0.25, 0.25]),
    "linear": (config.Linear(name="linear", warmup=2, to=0.2), [1 / 3, 2 / 3, 1, 0.8, 0.6, 0.4, 0.2, 0.2]),
    "cosine": (
        config.Cosine(name="cosine", warmup=0, to=0.5),
        [0.5 + 0.25 * (1 + np.cos(np.pi * min(step, 6) / 6)) for step in range(9)],
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_composes_the_maps_of_its_step_sizes(name: str) -> None:
    schedule, factors = SCHEDULES[name]
    trainer = loop.trainer(quadratic, rule(schedule=schedule, steps=6), 1)
    steps = tuple(range(len(factors) + 1))
    found = states(trainer, START, 0.3, steps)
    for step, factor in enumerate(factors):
        assert float(trainer.rate(jnp.asarray(0.3), step)) == pytest.approx(0.3 * factor, rel=1e-12)
        expected = found[step].theta * (1 - 0.3 * factor * CURVATURES)
        assert np.allclose(found[step + 1].theta, expected, rtol=1e-12)
    again = trainer.begin(jnp.asarray(found[4].theta)[None], jnp.asarray([0.3]), jnp.asarray([4]))
    again = again._replace(optimizer=jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], found[4].optimizer))
    end = trainer.advance(again, jnp.asarray([0.3]), jax.random.key(0)[None], NOTHING, steps[-1])
    assert (np.asarray(end.theta[0]) == found[-1].theta).all(), "the place in the schedule is part of the state"


def test_divergence_is_found_at_its_step() -> None:
    start, eta = np.array([1.0, 0.0, 0.0, 0.0]), 1e30
    # |theta_t| = |1 - 4e30|^t: the loss overflows float64 once its square passes 1.8e308, at t = 6.
    first = next(t for t in range(20) if 2 * float(t) * np.log10(4e30) + np.log10(2.0) > 308.25)
    found = states(GD, start, eta, (0, 2, 50, 100))
    assert [int(s.step) for s in found] == [0, 2, first, first]
    assert [bool(s.live) for s in found] == [True, True, False, False]
    assert np.isfinite(found[-1].theta).all(), "theta stays where the loss was first not finite"


def test_lanes_go_on_when_one_diverges_or_is_said_to_have_ended() -> None:
    starts, etas = np.stack([START] * 4), [0.1, 1e30, 0.3, 0.55]
    keys = jax.random.split(jax.random.key(0), 4)
    now = begun(GD, starts, etas)
    now = now._replace(live=now.live.at[2].set(False))
    now = GD.advance(now, jnp.asarray(etas), keys, NOTHING, 40)
    assert now.step.tolist()[0] == now.step.tolist()[3] == 40
    assert now.step.tolist()[2] == 0
    assert now.live.tolist() == [True, False, False, True]
    for lane in (0, 3):
        assert np.allclose(now.theta[lane], (1 - etas[lane] * CURVATURES) ** 40 * START, rtol=1e-12, atol=0)
    assert (np.asarray(now.theta[2]) == START).all()


def test_a_lane_that_is_ahead_waits_for_the_others() -> None:
    etas, keys = jnp.asarray([0.1, 0.1]), jax.random.split(jax.random.key(0), 2)
    ahead = states(GD, START, 0.1, (7,))[0].theta
    now = GD.begin(jnp.stack([jnp.asarray(START), jnp.asarray(ahead)]), etas, jnp.asarray([0, 7]))
    now = GD.advance(now, etas, keys, NOTHING, 5)
    assert now.step.tolist() == [5, 7]
    now = GD.advance(now, etas, keys, NOTHING, 9)
    assert now.step.tolist() == [9, 9]
    assert (np.asarray(now.theta[0]) == np.asarray(now.theta[1])).all()


def test_what_a_lane_that_waits_would_see_does_not_end_it() -> None:
    trainer = loop.trainer(regression, rule("sgd", batch_size=1, sampling="cyclic"), 3)
    batch = objective.Batch(jnp.asarray([[1e200], [1.0], [1.0]]), jnp.zeros(3), jnp.ones(3))
    etas, keys = jnp.full(2, 0.1), jax.random.split(jax.random.key(0), 2)
    now = trainer.begin(jnp.ones((2, 1)), etas, jnp.asarray([0, 1]))
    now = trainer.advance(now, etas, keys, batch, 3)
    assert now.step.tolist() == [0, 3], "the first example has no finite loss, and only one lane sees it"
    assert now.live.tolist() == [False, True]
    assert float(now.theta[1, 0]) == pytest.approx(0.9**2)


@pytest.mark.parametrize("sampling", optimizers.SAMPLINGS)
def test_the_bits_of_a_lane_depend_on_nothing_in_the_others(sampling: str) -> None:
    trainer = loop.trainer(regression, rule("sgd", batch_size=4, sampling=sampling), 20)
    keys, batch, random = jax.random.split(jax.random.key(3), 3), data(), np.random.default_rng(1)
    ends = []
    for _ in range(2):
        starts = random.normal(size=(3, 3))
        starts[1] = [0.3, -0.1, 0.2]
        now = trainer.advance(begun(trainer, starts, 0.1), jnp.full(3, 0.1), keys, batch, 30)
        ends.append(np.asarray(now.theta))
    assert (ends[0][1] == ends[1][1]).all()
    assert (ends[0][0] != ends[1][0]).any()


def test_sgd_draws_by_seed_and_step_alone() -> None:
    batch, start = data(), np.array([0.3, -0.1, 0.2])
    theta = start
    for step in range(5):
        uniform = np.asarray(jax.random.uniform(jax.random.fold_in(jax.random.key(9), step), (4,), "float64"))
        chosen = [next(i for i in range(20) if u * WEIGHTS.sum() < WEIGHTS[: i + 1].sum()) for u in uniform]
        x, y = np.asarray(batch.x)[chosen], np.asarray(batch.targets)[chosen]
        theta = theta - 0.1 * x.T @ (x @ theta - y) / 4
    assert np.allclose(states(SGD, start, 0.1, (5,), batch)[-1].theta, theta, rtol=1e-12)


def test_an_example_is_drawn_with_the_chance_of_its_weight() -> None:
    draw = loop.drawing(rule("sgd", batch_size=4), data(), jax.random.key(0), 20)
    drawn = jax.vmap(draw)(jnp.arange(20_000))
    assert (np.asarray(drawn.weights) == 1).all()
    shares = np.array([float(jnp.mean(drawn.targets == target)) for target in data().targets])
    chances = WEIGHTS / WEIGHTS.sum()
    # 80,000 draws: five standard errors of each share.
    assert (np.abs(shares - chances) < 5 * np.sqrt(chances * (1 - chances) / 80_000)).all()


def seen(sampling: str, size: int, steps: int, seed: int = 0) -> np.ndarray:
    """Returns the indices (steps, size) of the examples that steps see; rows beyond N = 10 are padding."""
    padded = jnp.arange(12.0)
    batch = objective.Batch(padded, padded, jnp.where(padded < 10, 1.0, 0.0))
    draw = loop.drawing(rule("sgd", batch_size=size, sampling=sampling), batch, jax.random.key(seed), 10)
    return np.asarray(jax.vmap(lambda k: draw(k).x)(jnp.arange(steps))).astype(int)


def test_reshuffling_sees_each_example_at_most_once_an_epoch_in_a_new_order() -> None:
    found = seen("reshuffling", 3, 12).reshape(4, 9)
    assert all(len(set(epoch)) == 9 and set(epoch) <= set(range(10)) for epoch in found)
    assert len({tuple(epoch) for epoch in found}) == 4
    assert (found != seen("reshuffling", 3, 12, seed=1).reshape(4, 9)).any()
    left_out = {(set(range(10)) - set(epoch)).pop() for epoch in seen("reshuffling", 3, 120).reshape(40, 9)}
    assert len(left_out) > 5, "what is left over changes"


def test_cyclic_batches_follow_the_data_round_and_round() -> None:
    assert seen("cyclic", 4, 5).ravel().tolist() == [i % 10 for i in range(20)]


@pytest.mark.parametrize("sampling", optimizers.SAMPLINGS)
def test_checkpoints_and_restarts_do_not_move_the_run(sampling: str) -> None:
    trainer = loop.trainer(regression, rule("sgd", batch_size=6, sampling=sampling), 20)
    batch, start = data(), np.array([0.3, -0.1, 0.2])
    whole = states(trainer, start, 0.1, (30,), batch)[-1]
    pieces = states(trainer, start, 0.1, (0, 1, 5, 6, 29, 30), batch)
    assert (pieces[-1].theta == whole.theta).all()
    again = begun(trainer, pieces[2].theta[None], 0.1, 5)
    end = trainer.advance(again, jnp.asarray([0.1]), jax.random.key(9)[None], batch, 30)
    assert (np.asarray(end.theta[0]) == whole.theta).all()


def test_one_program_serves_every_length_and_step_size() -> None:
    trainer = loop.trainer(quadratic, rule(), 1)
    for eta in (0.1, 0.2):
        states(trainer, np.ones(4), eta, (0, 3, 10))
    assert trainer.advance._cache_size() == 1  # type: ignore[attr-defined]


def test_a_state_is_moved_in_place() -> None:
    now = begun(GD, START[None], 0.1)
    GD.advance(now, jnp.asarray([0.1]), jax.random.key(0)[None], NOTHING, 1)
    assert now.theta.is_deleted(), "its buffer is the next state's"


def test_training_precision_is_kept() -> None:
    schedule = config.Cosine(name="cosine", warmup=3, to=0.1)
    for of in (rule(), rule("nesterov", momentum=0.5, schedule=schedule, steps=10)):
        found = states(loop.trainer(quadratic, of, 1), np.ones(4, "float32"), 0.1, (3,))[0]
        assert found.theta.dtype == np.float32


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_step_sizes_of_a_run_are_those_that_the_trainer_uses(name: str, precision: str) -> None:
    steps, eta = 400, np.asarray(0.37, precision)
    schedule = SCHEDULES[name][0]
    part = config.Gd(name="gd", learning_rate=0.37, schedule=schedule)
    cell = types.SimpleNamespace(optimizer=part, steps=steps, precision=precision)
    rate = loop.trainer(quadratic, optimizers.rule(cell), 1).rate
    every = [float(rate(jnp.asarray(eta), step)) for step in range(steps)]
    for made in (steps, 6, 5, 1, 0):
        found = optimizers.step_sizes(cell, float(eta), made)
        taken = every[: max(made, 1)]
        assert found.values.tolist() == sorted(set(taken))
        assert found.first.tolist() == [taken.index(value) for value in found.values]
    assert optimizers.step_sizes(cell, float(eta)).values.tolist() == sorted(set(every))


@pytest.mark.parametrize(
    ("precision", "scale", "curvature"), [("float32", 1e24, 1e12), ("float64", 1e170, 1e80), ("float32", 1e-26, 1.0)]
)
@pytest.mark.parametrize("seen", [False, True])
def test_a_gradient_whose_square_no_number_holds_is_followed(
    precision: str, scale: float, curvature: float, seen: bool
) -> None:
    # Gradients are about `scale`, so that their squares overflow, or vanish; the loss is scale (scale / curvature).
    start = np.asarray([[scale / curvature, -scale / curvature]], precision)

    def steep(theta: jax.Array, batch: objective.Batch) -> jax.Array:
        return 0.5 * theta @ (jnp.asarray(curvature, theta.dtype) * theta)

    trainer = loop.trainer(steep, rule(), 1)
    eta = jnp.asarray([0.5 / curvature], precision)
    keys = jax.random.key(0)[None]
    if seen:
        now, saw = trainer.witness(begun(trainer, start, float(eta[0])), eta, keys, NOTHING, 3, None, 3)
        assert np.asarray(saw)[:, 0, 1] == pytest.approx(2**0.5 * scale * 0.5 ** np.arange(3), rel=1e-6)
    else:
        now = trainer.advance(begun(trainer, start, float(eta[0])), eta, keys, NOTHING, 3)
    assert now.live.all() and now.step.tolist() == [3]
    assert np.asarray(now.theta) == pytest.approx(start / 8, rel=1e-6)
