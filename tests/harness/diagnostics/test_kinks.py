# SPDX-License-Identifier: Apache-2.0
"""Kinks (D9): the flips of a run, its distance from the next, and what the Hessian does not explain of a step."""

from __future__ import annotations

import functools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import diagnostics, metrics
from harness.curvature import operators
from harness.diagnostics import kinks
from harness.risk import objective
from tests import builders

RELU = builders.mlp(4, activation="relu")
ready = functools.partial(builders.problem, precision="float64")
measured = functools.partial(builders.measured, names=["kinks"])


def test_flips_and_distance_are_counted_over_all_units_and_examples(home: pathlib.Path) -> None:
    it = ready(model=RELU)
    drawn = np.random.default_rng(0)
    theta, before = (jnp.asarray(drawn.normal(size=it.objective.size)) for _ in range(2))
    found = measured(it, theta, 0.1, previous=before)

    def inputs(at: jax.Array) -> np.ndarray:  # the parameters are dense_0/bias (4), dense_0/kernel (3, 4), head
        return np.asarray(it.exact.x).reshape(9, 3) @ np.asarray(at[4:16]).reshape(3, 4) + np.asarray(at[:4])

    assert found["kink_distance"] == pytest.approx(np.abs(inputs(theta)).min())
    assert found["flip_fraction"] == pytest.approx(np.mean(np.sign(inputs(theta)) != np.sign(inputs(before))))
    assert 0 < found["flip_fraction"] < 1
    assert math.isnan(measured(it, theta, 0.1)["flip_fraction"])
    assert measured(it, theta, 0.1, previous=theta)["flip_fraction"] == 0
    assert set(found) == set(kinks.METRICS) <= set(metrics.METRICS)


def test_the_defect_falls_with_the_step_on_one_piece_and_not_across_a_kink(home: pathlib.Path) -> None:
    smooth = ready()
    theta = jnp.asarray(np.random.default_rng(0).normal(size=smooth.objective.size))
    defects = [measured(smooth, theta, eta)["gradient_defect"] for eta in (1e-2, 1e-3, 1e-4)]
    assert defects[0] / defects[1] == pytest.approx(10, rel=0.2)
    assert defects[1] / defects[2] == pytest.approx(10, rel=0.2)
    assert measured(smooth, theta, 1e-2)["kink_distance"] == math.inf
    assert measured(smooth, theta, 1e-2, previous=theta + 1)["flip_fraction"] == 0
    kinked = ready(model=RELU)
    inputs = np.asarray(kinked.exact.x).reshape(9, 3)
    kernel = np.asarray(theta[4:16]).reshape(3, 4)
    # Put a unit so near its kink for an example that a step of eta = 1e-4 crosses it.
    for example, side in ((n, side) for n in range(9) for side in (1, -1)):
        near = theta.at[0].set(-inputs[example] @ kernel[:, 0] + 1e-7 * side)
        gradient = np.asarray(jax.grad(kinked.objective.risk)(near, kinked.exact))
        slope = gradient[0] + inputs[example] @ gradient[4:16].reshape(3, 4)[:, 0]
        if 1e-4 * slope * side > 1e-6:
            break
    else:
        raise AssertionError("no step crosses a kink")
    found = measured(kinked, near, 1e-4)
    assert found["kink_distance"] == pytest.approx(1e-7, rel=1e-4)
    assert found["gradient_defect"] > 0.5 > 100 * measured(kinked, theta, 1e-4)["gradient_defect"]


def test_the_defect_of_a_quadratic_is_within_its_error_bar(home: pathlib.Path) -> None:
    it = ready(model=builders.mlp(activation="relu"))
    for seed in range(5):
        theta = jnp.asarray(np.random.default_rng(seed).normal(size=it.objective.size))
        for eta in (1e-6, 0.1):
            found = measured(it, theta, eta)
            assert found["gradient_defect"] <= found["gradient_defect_error"]
    assert found["gradient_defect_error"] < 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_the_step_leaves_the_piece_where_the_first_straight_line_is_crossed(seed: int, home: pathlib.Path) -> None:
    it = ready(model=RELU)
    theta = jnp.asarray(np.random.default_rng(seed).normal(size=it.objective.size))
    inputs = np.asarray(it.exact.x).reshape(9, 3)

    def preactivations(at: np.ndarray) -> np.ndarray:  # linear in the parameters of the first layer
        return inputs @ at[4:16].reshape(3, 4) + at[:4]

    step = -0.5 * np.asarray(jax.grad(it.objective.risk)(theta, it.exact))
    before, change = preactivations(np.asarray(theta)), preactivations(step)
    crossed = before * (before + change) < 0
    assert crossed.any()
    found = measured(it, theta, 0.5)
    assert found["segment_exit"] == pytest.approx(
        (-before[crossed] / change[crossed]).min(), abs=2 * found["segment_exit_error"]
    )
    assert 0 < found["segment_exit_error"] <= kinks.WIDTH
    assert measured(it, theta, 0.4 * found["segment_exit"])["segment_exit"] == math.inf


def test_the_exit_is_the_first_of_all_chunks(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = ready(model=RELU)
    theta = jnp.asarray(np.random.default_rng(1).normal(size=it.objective.size))
    whole = measured(it, theta, 0.5, previous=theta + 0.1)
    monkeypatch.setattr(kinks, "CHUNK", 2)
    kinks.programs.cache_clear()
    pieces = measured(it, theta, 0.5, previous=theta + 0.1)
    kinks.programs.cache_clear()
    assert pieces["segment_exit"] == pytest.approx(whole["segment_exit"], rel=2 * kinks.WIDTH)
    for name in ("kink_distance", "flip_fraction"):
        assert pieces[name] == whole[name]


def test_a_point_on_a_kink_leaves_at_once(home: pathlib.Path) -> None:
    it = ready(model=RELU)
    theta = jnp.asarray(np.random.default_rng(0).normal(size=it.objective.size))
    x = np.asarray(it.exact.x).reshape(9, 3)[0]
    kernel = np.asarray(theta[4:16]).reshape(3, 4)
    tied = next(
        at
        for unit in range(4)
        if 0 in np.asarray(it.margins(at := theta.at[unit].set(-x @ kernel[:, unit]), it.exact.x)["activation_0"])
    )
    assert measured(it, tied, 0.1)["segment_exit"] <= kinks.AT_ONCE


def test_numbers_alone_do_not_tell_of_kinks() -> None:
    with pytest.raises(ValueError, match="cannot be told from its numbers"):
        kinks.measure(diagnostics.Point(0.1, 0.0, 0.0, 0.0, 0.0, None))


def test_every_metric_is_some_diagnostic_s() -> None:
    assert "kinks" not in diagnostics.DEFAULT, "an analytic network has none"
    asked = {name for row in (*diagnostics.DIAGNOSTICS.values(), *diagnostics.RUN.values()) for name in row.metrics}
    assert asked == set(metrics.METRICS)


def test_the_error_of_the_defect_covers_what_another_order_of_the_examples_changes(home: pathlib.Path) -> None:
    # Where the residuals of examples cancel, the gradient is far smaller than its summands, and rounding is theirs.
    it = ready()
    drawn = np.random.default_rng(0)
    theta = jnp.asarray(drawn.normal(size=it.objective.size))
    x, pull = jnp.tile(it.exact.x, (40, 1, 1, 1)), drawn.normal(size=(360, 3)) * 1e6
    inputs = np.asarray(x).reshape(360, 3)
    hidden = np.tanh(inputs @ np.asarray(theta[4:16]).reshape(3, 4) + np.asarray(theta[:4]))
    features = np.c_[np.ones(360), hidden, *[hidden * inputs[:, [i]] for i in range(3)], hidden**2, hidden**3]
    features = np.c_[features, *[hidden**2 * inputs[:, [i]] for i in range(3)]]
    pull -= features @ np.linalg.lstsq(features, pull, rcond=None)[0]  # no parameter can follow these residuals
    outputs = np.asarray(it.objective.outputs(theta, x))
    batch = objective.Batch(x, jnp.asarray(outputs - pull - drawn.normal(size=3)), jnp.ones(360))
    gradient = jax.jit(jax.grad(it.objective.risk))
    product = jax.jit(lambda t, v, batch: operators.single(it.objective.risk)((t, batch), v))
    eta = 1e-7

    def defect(order: np.ndarray) -> tuple[float, float, float]:
        shuffled = objective.Batch(*(leaf[order] for leaf in batch))
        here = gradient(theta, shuffled)
        after = gradient(theta - eta * here, shuffled)
        change, predicted = after - here, product(theta, -eta * here, shuffled)
        size = float(jnp.linalg.norm(change))
        scale = float(sum(jnp.linalg.norm(part) for part in (here, after, predicted)))
        return float(jnp.linalg.norm(change - predicted)) / size, size, scale

    found = np.array([defect(drawn.permutation(360)) for _ in range(8)])
    off, of_change = kinks.changes(it.objective.risk)(theta, jnp.asarray(eta), batch)
    value, size, scale = found[0]
    bar = (off + value * of_change) / size
    apart = float(np.ptp(found[:, 0]))
    assert apart <= bar <= 1e4 * apart
    assert apart > 10 * np.finfo(np.float64).eps * np.sqrt(len(theta)) * scale / size, (
        "the scale of the sum is too small"
    )
