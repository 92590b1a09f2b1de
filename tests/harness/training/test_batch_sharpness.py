# SPDX-License-Identifier: Apache-2.0
"""Batch sharpness and gradient-noise interaction against every batch there is, and their standard errors."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import config
from harness.risk import objective
from harness.training import batch_sharpness, optimizers
from tests import builders

EXAMPLES, SIZE = 4, 3
MATRICES = np.einsum("nij,nkj->nik", *[np.random.default_rng(0).normal(size=(EXAMPLES, SIZE, SIZE))] * 2)
CENTRES = np.random.default_rng(1).normal(size=(EXAMPLES, SIZE))
THETA = jnp.asarray([0.3, -0.2, 0.5])
SAMPLINGS: tuple[optimizers.Sampling, ...] = ("replacement", "reshuffling", "cyclic")


def rule(batch_size: int | None, sampling: optimizers.Sampling = "replacement") -> optimizers.Rule:
    return optimizers.Rule("sgd", None, config.Constant(name="constant"), 0, batch_size, sampling)


def risk(theta: jax.Array, batch: objective.Batch) -> jax.Array:
    """The mean of the quadratics (theta - c_n)' A_n (theta - c_n) / 2, whose Hessians differ from each other."""

    def one(matrix: jax.Array, centre: jax.Array) -> jax.Array:
        return 0.5 * (theta - centre) @ matrix @ (theta - centre)

    return batch.weights @ jax.vmap(one)(batch.x, batch.targets) / jnp.sum(batch.weights)


def quadratics(weights: Any = (1.0,) * EXAMPLES) -> objective.Batch:
    return objective.Batch(jnp.asarray(MATRICES), jnp.asarray(CENTRES), jnp.asarray(weights))


def exactly(batches: list[tuple[int, ...]], chances: list[float], weights: Any) -> tuple[float, float]:
    """Returns both numbers from all batches and the chance of each."""
    offsets = np.asarray(THETA) - CENTRES
    gradients = np.einsum("nij,nj->ni", MATRICES, offsets)
    share = np.asarray(weights) / np.sum(weights)
    whole, hessian = share @ gradients, np.einsum("n,nij->ij", share, MATRICES)
    own = square = noise = 0.0
    for places, chance in zip(batches, chances, strict=True):
        gradient, bend = gradients[list(places)].mean(0), MATRICES[list(places)].mean(0)
        own += chance * gradient @ bend @ gradient
        square += chance * gradient @ gradient
        noise += chance * gradient @ hessian @ gradient
    return own / square, noise / (whole @ whole)


def batches_of(sampling: optimizers.Sampling, size: int) -> list[tuple[int, ...]]:
    if sampling == "replacement":
        return list(itertools.product(range(EXAMPLES), repeat=size))
    if sampling == "reshuffling":
        return list(itertools.combinations(range(EXAMPLES), size))
    return [tuple((k * size + i) % EXAMPLES for i in range(size)) for k in range(EXAMPLES)]


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_quadratics_of_known_hessians_have_the_expectation_over_all_batches(
    sampling: optimizers.Sampling, size: int
) -> None:
    every = batches_of(sampling, size)
    exact = exactly(every, [1 / len(every)] * len(every), np.ones(EXAMPLES))
    measure = batch_sharpness.batch_sharpness(risk, rule(size, sampling), EXAMPLES, batches=20_000)
    found = measure(THETA, quadratics(), jax.random.key(0))
    assert 0 < found.batch_sharpness_error < 0.02 * exact[0]
    assert 0 < found.gradient_noise_interaction_error < 0.05 * exact[1]
    assert abs(found.batch_sharpness - exact[0]) < 4 * found.batch_sharpness_error
    assert abs(found.gradient_noise_interaction - exact[1]) < 4 * found.gradient_noise_interaction_error


def test_examples_of_unequal_weight_are_drawn_by_it() -> None:
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    every = batches_of("replacement", 2)
    exact = exactly(every, [float(np.prod(weights[list(places)])) for places in every], weights)
    measure = batch_sharpness.batch_sharpness(risk, rule(2), EXAMPLES, batches=20_000)
    found = measure(THETA, quadratics(weights), jax.random.key(1))
    assert abs(found.batch_sharpness - exact[0]) < 4 * found.batch_sharpness_error
    assert abs(found.gradient_noise_interaction - exact[1]) < 4 * found.gradient_noise_interaction_error


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_standard_error_covers_what_it_should(sampling: optimizers.Sampling) -> None:
    every = batches_of(sampling, 3)
    exact = exactly(every, [1 / len(every)] * len(every), np.ones(EXAMPLES))
    measure = batch_sharpness.batch_sharpness(risk, rule(3, sampling), EXAMPLES, batches=64)
    keys = jax.random.split(jax.random.key(2), 1000)
    found = jax.jit(lambda keys: jax.lax.map(lambda key: measure(THETA, quadratics(), key), keys))(keys)
    for value, error, truth in zip(found[::2], found[1::2], exact, strict=True):
        within = float(jnp.mean(jnp.abs(value - truth) < 1.96 * error))
        assert 0.91 < within < 0.985  # 95 %, of which 1,000 draws and 32 pairs tell that much
        assert float(jnp.std(value)) == pytest.approx(float(jnp.mean(error)), rel=0.15)


@pytest.mark.parametrize("rule", [rule(None), rule(EXAMPLES, "cyclic")], ids=["whole", "a batch of all"])
def test_the_whole_batch_has_its_directional_sharpness_without_error(rule: optimizers.Rule) -> None:
    gradient = jax.grad(risk)(THETA, quadratics())
    directional = float(gradient @ jnp.asarray(MATRICES.mean(0)) @ gradient / (gradient @ gradient))
    found = batch_sharpness.batch_sharpness(risk, rule, EXAMPLES)(THETA, quadratics(), jax.random.key(0))
    assert tuple(map(float, found)) == pytest.approx((directional, 0, directional, 0), rel=1e-12, abs=1e-12)


def test_where_all_gradients_vanish_nothing_is_said() -> None:
    flat = quadratics()._replace(targets=jnp.broadcast_to(THETA, (EXAMPLES, SIZE)))
    found = batch_sharpness.batch_sharpness(risk, rule(2), EXAMPLES)(THETA, flat, jax.random.key(0))
    assert all(np.isnan(float(value)) for value in found)


def test_a_network_s_batches_are_those_of_its_rule_in_the_precision_of_theta(home: pathlib.Path) -> None:
    ready = builders.problem(data=builders.digits(20), model=builders.mlp(3), optimizer=builders.sgd(0.1, 5))
    theta = ready.objective.init(jax.random.key(0))
    measure: Callable[..., Any] = batch_sharpness.batch_sharpness(ready.objective.risk, ready.rule, ready.examples)
    single, double = (
        measure(theta.astype(batch.x.dtype), batch, jax.random.key(3)) for batch in (ready.batch, ready.exact)
    )
    assert single.batch_sharpness.dtype == "float32"
    assert tuple(map(float, single)) == pytest.approx(tuple(map(float, double)), rel=1e-4)
    again = measure(theta.astype("float64"), ready.exact, jax.random.key(3))
    assert again == double
    assert measure(theta.astype("float64"), ready.exact, jax.random.key(4)) != double


def test_the_number_of_batches_follows_the_price_within_bounds() -> None:
    few, usual, many = rule(16), rule(8), rule(1)
    assert batch_sharpness.drawn(few, 32) == batch_sharpness.FEWEST
    assert batch_sharpness.drawn(many, 60_000) == batch_sharpness.MOST
    count = batch_sharpness.drawn(usual, 1000)
    assert count % 2 == 0
    price = batch_sharpness.gradients(usual, 1000, count) - 1
    assert batch_sharpness.PRICE <= price < 1.1 * batch_sharpness.PRICE


@pytest.mark.parametrize("batches", [2, 5, 0])
def test_batches_come_in_pairs_two_at_least(batches: int) -> None:
    with pytest.raises(ValueError, match="pairs"):
        batch_sharpness.batch_sharpness(risk, rule(2), EXAMPLES, batches=batches)
