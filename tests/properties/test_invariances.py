# SPDX-License-Identifier: Apache-2.0
"""What must not change: the scale of the loss against the step size, the order of units, the scale of ReLU layers.

Every recorded number is held to the rule of its unit in METRICS, so that a new one is covered by its row.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
from harness import config as configs
from harness import diagnostics, metrics
from harness.curvature import operators, survey
from harness.diagnostics import exponents, trajectory
from harness.records import Record
from harness.risk import jacobian, objective
from harness.training.problem import Problem
from tests import builders
from zoo import pattern

LOSS = configs.HalfMse(name="half_mse")

INPUTS, OUTPUTS, N = (1, 1, 3), 2, 7
WIDTHS = (4, 3)
ETA, STEPS = 0.6, 6
METHODS = pytest.mark.parametrize("method", ["dense", "lanczos"])
POWERS = {
    "1": 0,
    "nats": 0,
    "fraction": 0,
    "count": 0,
    "preactivation units": 0,
    "output units": 0,
    "parameter units": 0,
    "parameter units squared per loss unit": -1,
    "step size": -1,
    "steps": 0,
    "fraction of the step": 0,
    "loss units": 1,
    "loss units per parameter unit": 1,
    "loss units per squared parameter unit": 1,
}
"""With which power of c a number of a unit grows when the loss is multiplied by c and the step size divided by it."""
ASKED = ("fit", "sharpness", "singularity", "gaps", "critical", "kinks", "changes")
"""What follows from the point alone; the others draw random vectors or batches, or go on from the point."""

ERRORS = {row.error for row in metrics.METRICS.values() if row.error}


class Net(NamedTuple):
    """A random network with its data and the questions that can be asked of it.

    Attributes:
        outputs: `(theta, x) -> (N, K)`.
        start: A random point (P,).
        batch: Random examples.
        scaled: `(theta, batch, c) -> c times the risk`; c is data, so that one program serves all.
        surveyors: The questions, by method.
        problem: `c -> the problem of c times the risk`.
    """

    outputs: Callable[[jax.Array, jax.Array], jax.Array]
    start: jax.Array
    batch: objective.Batch
    scaled: Callable[..., jax.Array]
    surveyors: dict[str, survey.Surveyor]
    problem: Callable[[float], Problem]


@functools.cache
def programs(activation: str) -> tuple[Any, ...]:
    """Returns the compiled programs of one architecture, shared by all seeds."""
    fields = {"family": "mlp", "hidden": list(WIDTHS), "activation": activation}
    config = zoo.FAMILIES["mlp"].config.model_validate(fields)
    network = zoo.build("mlp", config, inputs=INPUTS, outputs=OUTPUTS)
    goal = objective.objective(network, LOSS)

    def scaled(theta: jax.Array, batch: objective.Batch, c: jax.Array) -> jax.Array:
        return c * goal.risk(theta, batch)

    surveyors = {name: survey.surveyor(operators.hessian(scaled), goal.size, name) for name in ("dense", "lanczos")}
    layers = zoo.FAMILIES["mlp"].layers(config, INPUTS, OUTPUTS)
    unflatten = objective.flattening(jax.eval_shape(network.init, jax.random.key(0)))
    margins = jax.jit(lambda theta, x: pattern.margins(layers, INPUTS)(unflatten(theta), x))
    gradient = jax.jit(jax.grad(scaled))
    product = jax.jit(lambda theta, v, *data: operators.hessian(scaled)((theta, *data))(v))
    return goal, jax.jit(goal.outputs), jax.jit(scaled), surveyors, margins, gradient, product


@functools.cache
def base(activation: str) -> Problem:
    """Returns the problem of a cell with the same network, rule and number of examples; the rest is replaced."""
    return builders.problem(
        data=builders.classes(examples=N, shape=INPUTS, classes=OUTPUTS),
        model=builders.mlp(*WIDTHS, activation=activation),
        optimizer=builders.gd(ETA),
        steps=STEPS,
        precision="float64",
    )


def net(activation: str, seed: int) -> Net:
    """Returns a random network."""
    goal, outputs, scaled, surveyors, margins, gradient, product = programs(activation)
    keys = jax.random.split(jax.random.key(seed), 4)
    start = goal.init(keys[0]).astype("float64") + 0.1 * jax.random.normal(keys[1], (goal.size,), "float64")
    x = jax.random.normal(keys[2], (N, *INPUTS), "float64")
    batch = objective.Batch(x, jax.random.normal(keys[3], (N, OUTPUTS), "float64"), jnp.arange(1.0, N + 1))

    def scaled_problem(c: float) -> Problem:
        return base(activation)._replace(
            objective=goal._replace(risk=lambda theta, data: scaled(theta, data, c)),
            exact=batch,
            surveyor=surveyors["dense"],
            margins=margins,
            gradient=lambda theta: gradient(theta, batch, c),
            product=lambda theta, v: product(theta, v, batch, c),
            factor=jacobian.remembering(goal.outputs, LOSS, batch),
            counter=lambda point, level, key: surveyors["dense"].survey((*point, jnp.asarray(c)), 1, key).spectrum,
        )

    return Net(outputs, start, batch, scaled, surveyors, scaled_problem)


def descended(it: Net, c: float, eta: float, method: str, start: jax.Array | None = None) -> list[Record]:
    """Returns the records of gradient descent on c times the risk, ASKED at every step."""
    theta, previous = it.start if start is None else start, None
    ask, found = it.problem(c), []
    for step in range(STEPS):
        risk, gradient = float(it.scaled(theta, it.batch, c)), ask.gradient(theta)
        surveyed = it.surveyors[method].survey((theta, it.batch, jnp.asarray(c)), eta, jax.random.key(step))
        nearby = diagnostics.Nearby(theta, previous, ask, jax.random.key(step))
        size = float(jnp.linalg.norm(gradient))
        point = diagnostics.Point(eta, 0.0, risk, size, math.nan, surveyed, nearby)
        found.append(Record(step, diagnostics.measure(point, ASKED)))
        previous, theta = theta, theta - eta * gradient
    return found


def same(left: Sequence[Record], right: Sequence[Record], c: float = 1.0) -> None:
    """Holds that every number of two runs is the same, up to its unit's power of c."""
    pairs = [
        *zip(left, right, strict=True),
        (Record(0, trajectory.summary(left)), Record(0, trajectory.summary(right))),
    ]
    for before, after in pairs:
        assert set(before.values) == set(after.values)
        for name in set(before.values) - ERRORS:
            expected = before.values[name] * c ** POWERS[metrics.METRICS[name].unit]
            if math.isinf(expected):
                assert after.values[name] == expected, name
                continue
            known = metrics.METRICS[name].error
            bar = 0.0 if known is None else before.values[known] * c ** POWERS[metrics.METRICS[known].unit]
            room = 1e-8 * max(1.0, abs(expected)) + (bar if math.isfinite(bar) else 0.0)
            assert after.values[name] == pytest.approx(expected, rel=0, abs=room, nan_ok=True), name


@METHODS
@pytest.mark.parametrize(("activation", "seed", "c"), [("tanh", 0, 3.7), ("tanh", 1, 1e-3), ("relu", 2, 250.0)])
def test_a_loss_times_c_and_a_step_over_c_are_the_same_run(method: str, activation: str, seed: int, c: float) -> None:
    it = net(activation, seed)
    one = descended(it, 1.0, ETA, method)
    same(one, descended(it, c, ETA / c, method), c)
    half = descended(it, 1.0, ETA / 2, method)
    assert half[0].values["sigma_min"] != pytest.approx(one[0].values["sigma_min"], rel=1e-6), "another map"


@METHODS
@pytest.mark.parametrize(("activation", "seed"), [("tanh", 3), ("relu", 4)])
def test_the_order_of_hidden_units_changes_no_number(method: str, activation: str, seed: int) -> None:
    it = net(activation, seed)
    other = permuted(it.start, np.random.default_rng(seed))
    assert not np.allclose(other, it.start)
    same(descended(it, 1.0, ETA, method), descended(it, 1.0, ETA, method, other))


@pytest.mark.parametrize(("activation", "seed", "c"), [("tanh", 7, 250.0), ("relu", 8, 1e-3)])
def test_the_exponents_of_a_loss_times_c_and_a_step_over_c_are_the_same(activation: str, seed: int, c: float) -> None:
    it = net(activation, seed)

    def measured(c: float, eta: float) -> dict[str, float]:
        nearby = diagnostics.Nearby(it.start, None, it.problem(c), jax.random.key(0))
        return exponents.measure(diagnostics.Point(eta, 0.0, 0.0, 0.0, math.nan, None, nearby))

    one, other = measured(1.0, ETA), measured(c, ETA / c)
    assert one == pytest.approx(other, rel=1e-8, abs=1e-10)
    assert measured(1.0, ETA / 2) != pytest.approx(one, rel=1e-2), "another step size is another map"


@pytest.mark.parametrize(("activation", "seed"), [("tanh", 9), ("relu", 10)])
def test_the_order_of_hidden_units_changes_no_exponent(activation: str, seed: int) -> None:
    it = net(activation, seed)
    rows = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(it.start), 2)))[0].T
    ask = it.problem(1.0)
    along = exponents.program(ask.objective.risk, ask.rule, ask.examples)

    def growths(moved: Callable[[jax.Array], jax.Array]) -> np.ndarray:
        columns = jnp.stack([moved(jnp.asarray(row)) for row in rows])
        return np.asarray(along(moved(it.start), ETA, it.batch, jax.random.key(0), columns))

    plain = growths(lambda theta: theta)
    both = growths(lambda theta: permuted(theta, np.random.default_rng(seed)))
    assert plain.shape == (exponents.STEPS, 2)
    assert both == pytest.approx(plain, rel=0, abs=1e-9)
    mixed = np.asarray(along(permuted(it.start, np.random.default_rng(seed)), ETA, it.batch, jax.random.key(0), rows))
    assert np.abs(mixed - plain).max() > 1e-3, "columns belong to the order of units"


@METHODS
@pytest.mark.parametrize("seed", [5, 6])
def test_scaling_a_relu_layer_against_the_next_changes_the_sharpness_and_no_output(method: str, seed: int) -> None:
    it = net("relu", seed)
    parts = split(it.start)
    for a in (0.5, 3.0):
        changed = dict(parts)
        changed["dense_0.bias"], changed["dense_0.kernel"] = a * parts["dense_0.bias"], a * parts["dense_0.kernel"]
        changed["dense_1.kernel"] = parts["dense_1.kernel"] / a
        other = jnp.asarray(np.concatenate([part.ravel() for part in changed.values()]))
        outputs = [np.asarray(it.outputs(at, it.batch.x)) for at in (it.start, other)]
        assert outputs[1] == pytest.approx(outputs[0], rel=1e-12)
        top = [
            it.surveyors[method].top((at, it.batch, jnp.asarray(1.0)), jax.random.key(0))[0] for at in (it.start, other)
        ]
        assert abs(top[1] / top[0] - 1) > 0.05


def split(theta: jax.Array) -> dict[str, np.ndarray]:
    """Returns the parameters of the network by name, in the order in which they are flattened."""
    sizes = (3, *WIDTHS, OUTPUTS)
    parts, at = {}, 0
    for i, name in enumerate(("dense_0", "dense_1", "head")):
        for kind, shape in (("bias", (sizes[i + 1],)), ("kernel", (sizes[i], sizes[i + 1]))):
            parts[f"{name}.{kind}"] = np.asarray(theta[at : at + math.prod(shape)]).reshape(shape)
            at += math.prod(shape)
    assert at == len(theta)
    return parts


def permuted(theta: jax.Array, random: np.random.Generator) -> jax.Array:
    """Returns the same network with the units of both hidden layers in another order."""
    parts = split(theta)
    for before, after, width in (("dense_0", "dense_1", WIDTHS[0]), ("dense_1", "head", WIDTHS[1])):
        order = np.roll(random.permutation(width), 1)
        parts[f"{before}.bias"] = parts[f"{before}.bias"][order]
        parts[f"{before}.kernel"] = parts[f"{before}.kernel"][:, order]
        parts[f"{after}.kernel"] = parts[f"{after}.kernel"][order]
    return jnp.asarray(np.concatenate([part.ravel() for part in parts.values()]))
