# SPDX-License-Identifier: Apache-2.0
"""What the rest of gdzoo relies on, for every family and every turn that its configuration can take."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import flatten_util

import zoo
from harness import config as configs
from harness.curvature import operators
from harness.risk import objective
from tests import builders
from zoo import activations, layer, model

N = 6
Tree = dict[str, Any]
quick = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
"""Compiles twice as fast, for programs that run a few times; rounding stays that of float64."""


class Row(NamedTuple):
    """A small network: its family, its fields, the shape of one example, the number of outputs."""

    family: str
    fields: Tree
    inputs: tuple[int, int, int] = (4, 4, 1)
    outputs: int = 3


def tiny(family: str, **changes: Any) -> Row:
    """Returns the tiny setting of a family, on images of 4x4 pixels where it takes images."""
    setting = zoo.FAMILIES[family].settings["tiny"]
    alone = setting.inputs == (1, 1, 1)
    return Row(family, setting.fields | changes, (1, 1, 1) if alone else (4, 4, 1), setting.outputs if alone else 3)


VIT = {"patch": 2, "width": 4, "depth": 1, "heads": 2, "mlp_width": 3, "activation": "gelu"}
RESNET = {"channels": [3], "blocks": 1, "activation": "silu"}
ROWS: dict[str, Row] = {
    "mlp": Row("mlp", {"hidden": [5, 4], "activation": "relu"}),
    "mlp, no bias": Row("mlp", {"hidden": [5], "activation": {"leaky_relu": 0.3}, "bias": False, "gain": 1.5}),
    "deep_linear": Row("deep_linear", {"hidden": [4, 3]}),
    "vgg": Row("vgg", {"stages": [[2, 2], [3]], "activation": "relu"}),
    "vgg, average": Row(
        "vgg", {"stages": [[2], [2]], "dense": [3], "activation": "tanh", "pool": "average", "width": 1.5}, (5, 3, 2)
    ),
    "vit": Row("vit", VIT),
    "vit, fixed": Row(
        "vit", VIT | {"positions": "fixed", "pooling": "class_token", "norm_epsilon": None, "bias": False}
    ),
    "resnet": Row("resnet", {"channels": [2, 3], "blocks": 1, "activation": "relu"}, (5, 4, 1)),
    "resnet, group": Row("resnet", RESNET | {"norm": "group", "groups": 3}),
    "resnet, layer": Row("resnet", RESNET | {"norm": "layer"}),
    "mixer": Row(
        "mixer", {"patch": 2, "width": 4, "depth": 1, "tokens_width": 3, "channels_width": 5, "activation": "relu"}
    ),
    "paper_net": tiny("paper_net", activation="softplus"),
    "quadratic": tiny("quadratic"),
    "stack": tiny("stack"),
    "curve": tiny("curve"),
    "curve, plateaus": tiny("curve", function="plateaus"),
}
QUICK = ("mlp", "deep_linear", "vgg", "vit", "paper_net", "quadratic", "curve")
"""Each kind of layer once; other families and turns are left to `make test-all`."""
LABELS = builders.tiers(ROWS, QUICK)
KEYS = jnp.stack([jax.random.key(seed) for seed in (0, 0, 1)])
WITH_ACTIVATION = [name for name, row in zoo.FAMILIES.items() if "activation" in row.config.model_fields]


def build(row: Row) -> model.Model:
    config = zoo.FAMILIES[row.family].config.model_validate({"family": row.family, **row.fields})
    return zoo.build(row.family, config, inputs=row.inputs, outputs=row.outputs)


class Problem(NamedTuple):
    """The risk of one row in float64; each program is compiled once for all tests.

    Attributes:
        init: `keys (S,) -> params`, S starts side by side.
        goal: The objective.
        theta: A generic point (P,).
        batch: N examples.
        traced: One entry for each time the gradient was traced.
        gradient: `(theta, batch) -> (P,)`.
        hessian: `(theta, batch) -> (P, P)`, dense.
        dense: The Hessian at theta and batch.
    """

    init: Any
    goal: objective.Objective
    theta: jax.Array
    batch: objective.Batch
    traced: list[int]
    gradient: Any
    hessian: Any
    dense: np.ndarray


def goal_of(row: Row) -> objective.Objective:
    """Returns the objective of a row: the loss with a curved risk that its outputs allow."""
    loss = configs.SmoothedCe(name="smoothed_ce") if row.outputs > 1 else configs.HalfMse(name="half_mse")
    return objective.objective(build(row), loss)


def batch_of(row: Row, seed: int = 2) -> objective.Batch:
    """Returns a random batch of N examples in float64."""
    x = jax.random.uniform(jax.random.key(seed), (N, *row.inputs), "float64")
    targets = jax.nn.one_hot(jnp.arange(N) % row.outputs, row.outputs, dtype="float64")
    return objective.Batch(x, targets, jnp.arange(1.0, N + 1))


@functools.cache
def problem(label: str) -> Problem:
    row = ROWS[label]
    goal, batch = goal_of(row), batch_of(row)
    init = quick(jax.vmap(build(row).init))
    traced: list[int] = []

    def gradient(theta: jax.Array, batch: objective.Batch) -> jax.Array:
        traced.append(1)
        return jax.grad(goal.risk)(theta, batch)

    theta = flat(init(KEYS), 0)
    theta += 0.1 * jax.random.normal(jax.random.key(1), theta.shape, "float64")
    hessian = quick(jax.hessian(goal.risk))
    dense = np.asarray(hessian(theta, batch))
    return Problem(init, goal, theta, batch, traced, quick(gradient), hessian, dense)


def flat(starts: Tree, seed: int) -> jax.Array:
    """Returns one of several starts as a vector (P,) float64."""
    return flatten_util.ravel_pytree(jax.tree.map(lambda leaf: leaf[seed].astype("float64"), starts))[0]


def test_every_family_has_a_row_here() -> None:
    assert {row.family for row in ROWS.values()} == set(zoo.FAMILIES)


@pytest.mark.parametrize("label", LABELS)
def test_model_is_two_pure_functions_over_a_plain_dict(label: str) -> None:
    row, network = ROWS[label], build(ROWS[label])

    def plain(tree: Any) -> bool:
        if isinstance(tree, dict):
            return all(isinstance(k, str) and plain(v) for k, v in tree.items())
        return isinstance(tree, jax.Array) and tree.dtype == jnp.float32 and not tree.weak_type

    starts = problem(label).init(KEYS)
    assert plain(starts)
    assert np.array_equal(flat(starts, 0), flat(starts, 1)), "the same key gives the same start"
    assert not np.array_equal(flat(starts, 0), flat(starts, 2)), "another key gives another start"
    params = quick(network.init)(KEYS[0])
    assert plain(params)
    # The draws are the same; what is done with them may be rounded differently.
    for alone, together in zip(*map(jax.tree.leaves, (params, starts)), strict=True):
        assert np.allclose(alone, together[0], rtol=1e-6, atol=1e-7)
    x = jax.random.uniform(jax.random.key(2), (5, *row.inputs), "float32")
    apply = quick(network.apply)
    outputs = apply(params, x)
    assert outputs.shape == (5, row.outputs)
    assert outputs.dtype == jnp.float32
    others = apply(params, x.at[1:].set(1 - 3 * x[1:]))
    assert np.array_equal(outputs[0], others[0]), "examples must not see each other"
    assert row.family in ("quadratic", "curve") or not np.array_equal(outputs, others)


@pytest.mark.parametrize("label", LABELS)
def test_hessian_products_are_those_of_the_dense_hessian_and_of_finite_differences(label: str) -> None:
    found = problem(label)
    theta, batch, dense = found.theta, found.batch, found.dense
    rounding = 1e-14 * theta.size * np.abs(dense).max()
    assert np.allclose(dense, dense.T, rtol=0, atol=rounding)
    apply = quick(lambda v: operators.hessian(found.goal.risk)((theta, batch))(v))
    v, w = (jax.random.normal(jax.random.key(s), theta.shape, "float64") for s in (3, 4))
    product = np.asarray(apply(v))
    assert np.allclose(product, dense @ np.asarray(v), rtol=0, atol=rounding)
    assert float(w @ product) == pytest.approx(float(v @ apply(w)), abs=rounding * theta.size)
    step = 1e-6
    difference = (found.gradient(theta + step * v, batch) - found.gradient(theta - step * v, batch)) / (2 * step)
    assert np.allclose(product, difference, rtol=0, atol=1e-7 * (1 + float(jnp.linalg.norm(difference))))


@pytest.mark.parametrize("label", LABELS)
def test_gradient_matches_finite_differences_of_the_risk(label: str) -> None:
    found = problem(label)
    risk = quick(found.goal.risk)
    v = jax.random.normal(jax.random.key(5), found.theta.shape, "float64")
    step = 1e-6
    difference = (risk(found.theta + step * v, found.batch) - risk(found.theta - step * v, found.batch)) / (2 * step)
    slope = float(found.gradient(found.theta, found.batch) @ v)
    assert slope == pytest.approx(float(difference), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("label", LABELS)
def test_equal_shapes_are_compiled_once(label: str) -> None:
    found = problem(label)
    for seed in range(3):
        theta = flat(found.init(KEYS), seed)
        for _ in range(2):
            theta -= 0.1 * found.gradient(theta, batch_of(ROWS[label], seed))
        assert np.isfinite(theta).all()
    assert found.traced == [1]


@pytest.mark.parametrize("label", LABELS)
def test_float64_is_float64_throughout(label: str) -> None:
    found = problem(label)
    point = (found.theta, found.batch)
    program = str(jax.make_jaxpr(lambda t: operators.hessian(found.goal.risk)(point)(t))(found.theta))
    outputs = lambda t: found.goal.outputs(t, found.batch.x)  # noqa: E731
    program += str(jax.make_jaxpr(lambda t: jax.jvp(outputs, (t,), (t,)))(found.theta))
    assert "f64[" in program
    assert not [narrow for narrow in ("f32[", "f16[") if narrow in program]


@pytest.mark.parametrize("family", WITH_ACTIVATION)
@pytest.mark.parametrize("activation", [*activations.ACTIVATIONS, {"leaky_relu": 0.3}], ids=str)
def test_every_family_takes_every_activation(family: str, activation: Any) -> None:
    row = tiny(family, activation=activation)
    config = zoo.FAMILIES[family].config.model_validate({"family": family, **row.fields})
    found = zoo.FAMILIES[family].layers(config, row.inputs, row.outputs)
    used = {each.function for each in layer.walk(found) if isinstance(each, layer.Activation)}
    assert used == {config.activation}
    network = build(row)
    params = jax.eval_shape(network.init, jax.random.key(0))
    wide = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, "float64"), params)
    x = jax.ShapeDtypeStruct((N, *row.inputs), "float64")
    program = jax.make_jaxpr(network.apply)(wide, x)
    assert [(out.shape, out.dtype) for out in program.out_avals] == [((N, row.outputs), jnp.float64)]
    assert "f32[" not in str(program)
    alone = tiny(family, activation="identity" if activation != "identity" else "tanh")
    assert str(program) != str(jax.make_jaxpr(build(alone).apply)(wide, x)), "the activation does something"


MLP_UNITS = (("dense_0", "kernel", 1), ("dense_0", "bias", 0), ("dense_1", "kernel", 0))
PERMUTABLE: dict[str, dict[str, tuple[tuple[str, str, int], ...]]] = {
    "mlp": {"": MLP_UNITS},
    "deep_linear": {"": (("dense_0", "kernel", 1), ("dense_1", "kernel", 0))},
    "vgg": {"": (("conv_0_0", "kernel", 3), ("conv_0_0", "bias", 0), ("conv_0_1", "kernel", 2))},
    "vit": {
        "mlp_0.inner": MLP_UNITS,
        "attention_0.inner.attention": (
            *((name, "kernel", 1) for name in ("query", "key", "value")),
            *((name, "bias", 0) for name in ("query", "key", "value")),
            ("out", "kernel", 0),
        ),
    },
    "resnet": {"block_1_0.inner": (("conv_0", "kernel", 3), ("conv_0", "bias", 0), ("conv_1", "kernel", 2))},
    "stack": {
        "02_residual.inner": (
            ("00_convolution", "kernel", 3),
            ("00_convolution", "bias", 0),
            ("02_convolution", "kernel", 2),
        )
    },
    "mixer": {"tokens_0.inner.mix.inner": MLP_UNITS, "channels_0.inner": MLP_UNITS},
}
"""For each family the places whose units, channels or heads have no order: where, then (layer, parameter, axis)."""


def permuted(params: Tree, where: str, axes: tuple[tuple[str, str, int], ...]) -> Tree:
    """Returns the parameters with the units of one place in reversed order."""
    copy = jax.tree.map(lambda leaf: leaf, params)
    inside = functools.reduce(lambda tree, key: tree[key], where.split(".") if where else [], copy)
    for name, parameter, axis in axes:
        inside[name][parameter] = jnp.flip(inside[name][parameter], axis)
    return copy


def test_only_single_units_and_given_eigenvalues_cannot_be_permuted() -> None:
    assert set(zoo.FAMILIES) - set(PERMUTABLE) == {"paper_net", "quadratic", "curve"}


@pytest.mark.parametrize(
    ("family", "where"),
    [
        pytest.param(family, where, marks=() if family in QUICK else pytest.mark.thorough)
        for family in PERMUTABLE
        for where in PERMUTABLE[family]
    ],
)
def test_the_order_of_units_changes_neither_outputs_nor_spectrum(family: str, where: str) -> None:
    found, outputs = problem(family), quick(problem(family).goal.outputs)
    tree = objective.flattening(jax.tree.map(lambda leaf: leaf[0], found.init(KEYS)))(found.theta)
    other = flatten_util.ravel_pytree(permuted(tree, where, PERMUTABLE[family][where]))[0]
    assert not np.allclose(found.theta, other)
    x = found.batch.x
    assert np.allclose(outputs(found.theta, x), outputs(other, x), rtol=0, atol=1e-13)
    after = np.asarray(found.hessian(other, found.batch))
    scale = np.abs(found.dense).max()
    assert not np.allclose(found.dense, after, rtol=0, atol=1e-3 * scale)
    assert np.allclose(*map(np.linalg.eigvalsh, (found.dense, after)), rtol=0, atol=1e-12 * found.theta.size * scale)


@pytest.mark.parametrize(
    "row",
    [
        tiny("mlp", bias=False),
        tiny("mlp", bias=False, activation={"leaky_relu": 0.3}),
        tiny("deep_linear"),
        tiny("vgg", bias=False),
        tiny("vgg", bias=False, pool="average", dense=[5], gain=1.5),
    ],
    ids=lambda row: f"{row.family} {row.fields}",
)
def test_without_biases_outputs_grow_with_the_power_of_the_depth(row: Row) -> None:
    network = build(row)
    config = zoo.FAMILIES[row.family].config.model_validate({"family": row.family, **row.fields})
    found = zoo.FAMILIES[row.family].layers(config, row.inputs, row.outputs)
    depth = sum(isinstance(each, layer.Dense | layer.Convolution) for each in layer.walk(found))
    apply = quick(network.apply)
    params = jax.tree.map(lambda leaf: leaf.astype("float64"), quick(network.init)(jax.random.key(0)))
    assert all("bias" not in jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(params))
    x = batch_of(row).x
    outputs = np.asarray(apply(params, x))
    assert np.abs(outputs).max() > 1e-3
    grown = np.asarray(apply(jax.tree.map(lambda leaf: 1.7 * leaf, params), x))
    assert np.allclose(grown, 1.7**depth * outputs, rtol=1e-12, atol=1e-13 * np.abs(grown).max())
    assert np.allclose(apply(params, 3.1 * x), 3.1 * outputs, rtol=1e-12, atol=1e-13 * np.abs(outputs).max())


def test_biases_break_that_power() -> None:
    network = build(tiny("mlp"))
    params = jax.tree.map(lambda leaf: leaf.astype("float64") + 0.1, network.init(jax.random.key(0)))
    x = batch_of(tiny("mlp")).x
    grown = network.apply(jax.tree.map(lambda leaf: 1.7 * leaf, params), x)
    assert not np.allclose(grown, 1.7**3 * network.apply(params, x), rtol=0.01)


def test_risk_does_not_depend_on_the_chunk() -> None:
    row, theta = ROWS["mlp"], problem("mlp").theta
    batch = batch_of(row)
    network, loss = build(row), configs.HalfMse(name="half_mse")
    whole = objective.objective(network, loss)
    outputs = np.asarray(whole.outputs(theta, batch.x))
    weights, targets = np.asarray(batch.weights), np.asarray(batch.targets)
    direct = np.sum(weights * ((outputs - targets) ** 2).sum(axis=1)) / 2 / weights.sum()
    right = np.sum(weights * (outputs.argmax(axis=1) == targets.argmax(axis=1))) / weights.sum()
    for chunk in (1, 4, 6):
        cut = objective.objective(network, loss, chunk=chunk)
        assert float(cut.accuracy(theta, batch)) == pytest.approx(right, rel=1e-15)
        assert float(quick(cut.risk)(theta, batch)) == pytest.approx(direct, rel=1e-13)


@pytest.mark.parametrize("keep", [False, True])
def test_derivatives_in_chunks_are_those_of_the_whole_in_every_mode(keep: bool) -> None:
    row, theta = ROWS["mlp"], problem("mlp").theta
    batch = batch_of(row)
    network, loss = build(row), configs.HalfMse(name="half_mse", weight_decay=0.1)
    risks = objective.objective(network, loss).risk, objective.objective(network, loss, chunk=4, keep=keep).risk
    v, w = (jax.random.normal(jax.random.key(seed), theta.shape, theta.dtype) for seed in (1, 2))

    def asked(risk: Any) -> dict[str, Any]:
        def value(at: jax.Array) -> jax.Array:
            return risk(at, batch)

        def product(at: jax.Array) -> jax.Array:
            return jax.jvp(jax.grad(value), (at,), (v,))[1]

        return {
            "gradient": jax.grad(value)(theta),
            "both": jax.value_and_grad(value)(theta),
            "slope": jax.jvp(value, (theta,), (v,)),
            "forward over reverse": product(theta),
            "reverse over reverse": jax.grad(lambda at: jax.grad(value)(at) @ v)(theta),
            "reverse over forward": jax.grad(lambda at: jax.jvp(value, (at,), (v,))[1])(theta),
            "third, forward": jax.jvp(product, (theta,), (w,))[1],
            "lanes": jax.vmap(jax.grad(value))(jnp.stack([theta, theta + v])),
        }

    found, known = (quick(functools.partial(asked, risk))() for risk in risks[::-1])
    for name, leaves in known.items():
        for one, other in zip(jax.tree.leaves(found[name]), jax.tree.leaves(leaves), strict=True):
            assert np.allclose(one, other, rtol=1e-12, atol=1e-12), name


def test_a_risk_in_chunks_is_not_differentiated_by_its_data() -> None:
    row, theta = ROWS["mlp"], problem("mlp").theta
    cut = objective.objective(build(row), configs.HalfMse(name="half_mse"), chunk=4).risk
    with pytest.raises(NotImplementedError, match="by parameters, not by data"):
        jax.grad(lambda batch: cut(theta, batch))(batch_of(row))
