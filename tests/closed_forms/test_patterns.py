# SPDX-License-Identifier: Apache-2.0
"""The lists of bad step sizes (F5, F12, F13) against dense Hessians of networks whose pattern is fixed.

A pattern fixes which branch every activation takes and which entry every maximum, for every example and unit: at
random, or in the extreme. It need not be one that the network ever follows: the statements are about all of them. On
each, the eigenvalues that random points have in common are exactly those of the list.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness.risk import objective
from harness.theory import bad_steps
from tests import builders
from zoo import activations, config, layer, model
from zoo import layers as modules

N, K = 5, 2
family = functools.partial(builders.layers, outputs=K)
W = 0.25
ROW, IMAGE = (1, 1, 3), (4, 4, 1)
POINTS = 4

BRANCHES: dict[str, tuple[Any, ...]] = {
    "relu": (lambda x: 0 * x, lambda x: x),
    "leaky_relu": (lambda x: config.SLOPE * x, lambda x: x),
    "elu": (jnp.expm1, lambda x: x),
}
"""Both branches of each activation with one breakpoint, continued to the whole line."""


class Fixed:
    """Builders of layers that follow a pattern: a number in (0, 1) for each decision, in the order of the layers."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.pattern: Iterator[jax.Array] | None = None

    def _drawn(self, shape: tuple[int, ...]) -> jax.Array:
        self.shapes.append(shape)
        return jnp.zeros(shape) if self.pattern is None else next(self.pattern)

    def activation(self, row: layer.Activation, *_: Any) -> modules.Function:
        """Returns an activation whose branch does not depend on its argument."""
        if activations.row(row.function).regularity == "analytic":
            return activations.function(row.function)
        low, high = BRANCHES[str(row.function)]

        def branch(x: jax.Array) -> jax.Array:
            on = self._drawn(x.shape) > 0.5
            return jnp.where(on, high(x), low(x))

        return branch

    def max_pool(self, *_: Any) -> modules.Function:
        """Returns a pool that picks the entry of the pattern."""

        def pick(x: jax.Array) -> jax.Array:
            n, height, _, width, _, channels = modules.windows(x).shape
            flat = modules.windows(x).transpose(0, 1, 3, 5, 2, 4).reshape(n, height, width, channels, 4)
            which = jnp.floor(4096 * self._drawn((n, height, width, channels))).astype(int) % 4
            return jnp.take_along_axis(flat, which[..., None], axis=-1)[..., 0]

        return pick


def mlp(activation: str, *hidden: int, bias: bool = True) -> layer.Layers:
    return family("mlp", ROW, hidden=list(hidden), activation=activation, bias=bias)


def vgg(activation: str, pool: str, stages: list[list[int]], **fields: Any) -> layer.Layers:
    return family("vgg", IMAGE, stages=stages, activation=activation, pool=pool, **fields)


def resnet(activation: str, **fields: Any) -> layer.Layers:
    return family("resnet", IMAGE, channels=[2, 2], blocks=1, activation=activation, **fields)


VIT: dict[str, Any] = {"patch": 2, "width": 4, "depth": 1, "heads": 2, "mlp_width": 2}
MIXER: dict[str, Any] = {"patch": 2, "width": 2, "depth": 1, "tokens_width": 2, "channels_width": 2}
NETWORKS: dict[str, tuple[layer.Layers, layer.Shape, tuple[float, ...]]] = {
    # name: layers, inputs, constant eigenvalues but 0 under half_mse without decay
    "relu mlp": (mlp("relu", 3, 2), ROW, (1.0,)),
    "relu mlp of width one": (mlp("relu", 1, 1), ROW, (1.0,)),
    "relu mlp of one hidden layer": (mlp("relu", 3), ROW, (1.0,)),
    "relu mlp wider than the data": (mlp("relu", 9), ROW, (1.0,)),
    "relu mlp without biases": (mlp("relu", 6, bias=False), ROW, ()),
    "leaky mlp": (mlp("leaky_relu", 3, 2), ROW, ()),
    "leaky mlp of one hidden layer": (mlp("leaky_relu", 7), ROW, ()),
    "elu mlp": (mlp("elu", 3, 2), ROW, ()),
    "elu mlp without biases": (mlp("elu", 3, 2, bias=False), ROW, ()),
    "linear mlp": (family("deep_linear", ROW, hidden=[3], bias=True), ROW, ()),
    "gelu mlp": (mlp("gelu", 3), ROW, ()),
    "sigmoid mlp": (mlp("sigmoid", 2, 2), ROW, ()),
    "square mlp": (mlp("square", 2, 2), ROW, ()),
    "relu vgg, max": (vgg("relu", "max", [[1], [2]]), IMAGE, (1.0,)),
    "relu vgg, average, read at four positions": (vgg("relu", "average", [[1, 2]]), IMAGE, (1.0,)),
    "leaky vgg, max, read at four positions": (vgg("leaky_relu", "max", [[1, 2]]), IMAGE, ()),
    "relu vgg with a dense layer": (vgg("relu", "max", [[1]], dense=[3]), IMAGE, (1.0,)),
    "gelu vgg, max": (vgg("gelu", "max", [[1], [2]]), IMAGE, ()),
    "softplus vgg, max": (vgg("softplus", "max", [[2]]), IMAGE, ()),
    "relu resnet": (resnet("relu"), IMAGE, (1.0,)),
    "leaky resnet": (resnet("leaky_relu"), IMAGE, ()),
    "relu resnet, group norm": (resnet("relu", norm="group"), IMAGE, (1.0,)),
    "gelu resnet": (resnet("gelu"), IMAGE, ()),
    "relu vit": (family("vit", IMAGE, **VIT, activation="relu"), IMAGE, ()),
    "relu vit, fixed code, class token": (
        family("vit", IMAGE, **VIT, activation="relu", positions="fixed", pooling="class_token"),
        IMAGE,
        (),
    ),
    "relu vit without biases": (family("vit", IMAGE, **VIT, activation="relu", bias=False), IMAGE, ()),
    "relu vit without norms": (family("vit", IMAGE, **VIT, activation="relu", norm_epsilon=None), IMAGE, ()),
    "relu mixer": (family("mixer", IMAGE, **MIXER, activation="relu"), IMAGE, ()),
}


QUICK = [name for name in NETWORKS if name.split()[1] in ("mlp", "vgg,")] + ["relu vit without norms"]
"""Each kind of layer once; the rest are left to `make test-all`."""


def loss(name: str, decay: float) -> Any:
    return type("Loss", (), {"name": name, "weight_decay": decay, "smoothing": 0.1 if name == "smoothed_ce" else 0.0})


def constant(
    layers: layer.Layers, inputs: layer.Shape, about: str, *, patterns: int, repeated: bool = False
) -> list[float]:
    """Returns the eigenvalues of H, but 0, that some pattern has at every point: to 6 digits, increasing."""
    fixed = Fixed()
    kept = {kind: modules.BUILDERS[kind] for kind in (layer.Activation, layer.MaxPool)}
    modules.BUILDERS.update({layer.Activation: fixed.activation, layer.MaxPool: fixed.max_pool})
    try:
        built = model.from_module(lambda rngs: modules.network(layers, inputs, rngs))
        goal = objective.objective(built, loss(about, 0.0))
        drawn = np.random.default_rng(1)
        x = drawn.normal(size=(N, *inputs))
        if repeated:
            x[1:] = x[0]  # as hard for the data as it gets: labels differ and inputs do not
        targets = drawn.normal(size=(N, K)) if about == "half_mse" else np.eye(K)[np.arange(N) % K]
        batch = objective.Batch(jnp.asarray(x), jnp.asarray(targets), jnp.asarray(drawn.uniform(0.5, 1.5, N)))
        jax.eval_shape(lambda theta: goal.outputs(theta, batch.x), jnp.zeros(goal.size))
        shapes = list(fixed.shapes)

        def risk(theta: jax.Array, pattern: list[jax.Array]) -> jax.Array:
            fixed.pattern = iter(pattern)
            return goal.risk(theta, batch)

        hessian = jax.jit(jax.vmap(jax.hessian(risk), (0, None)))
        points = jnp.asarray(drawn.normal(size=(POINTS, goal.size)) * np.linspace(0.2, 0.6, POINTS)[:, None])
        found: set[float] = set()
        for i in range(patterns if shapes else 1):
            # All low, all high, the last decisions low and the others high; then at random, half, few or most high.
            odds = [0.0, 1.0, 1.0, 0.5, 0.1, 0.9][i if i < 3 else 3 + i % 3]
            pattern = [(drawn.uniform(size=shape) + (drawn.uniform(size=shape) < odds)) / 2 for shape in shapes]
            if i == 2 and shapes:
                pattern[-1] /= 2
            found |= set(_common(np.asarray(hessian(points, [jnp.asarray(row) for row in pattern]))))
        return sorted(found)
    finally:
        modules.BUILDERS.update(kept)


def _common(hessians: np.ndarray) -> Iterator[float]:
    """Yields the eigenvalues but 0 that all matrices share."""
    first, *others = [np.linalg.eigvalsh(matrix) for matrix in hessians]
    for value in np.unique(first.round(6)):
        near = [np.abs(other - first[np.abs(first - value).argmin()]).min() for other in others]
        if abs(value) > 1e-5 and max(near) < 1e-12 * max(1.0, float(np.abs(hessians).max())):
            yield float(value)


@pytest.mark.parametrize("name", builders.tiers(NETWORKS, QUICK))
def test_on_no_pattern_is_another_eigenvalue_constant(name: str) -> None:
    layers, inputs, values = NETWORKS[name]
    assert constant(layers, inputs, "half_mse", patterns=8) == list(values)


@pytest.mark.parametrize("about", ["ce", "smoothed_ce"])
@pytest.mark.parametrize(
    "name",
    builders.tiers(
        ["relu mlp", "relu mlp of one hidden layer", "relu vgg, max", "relu resnet"],
        quick=["relu mlp", "relu mlp of one hidden layer"],
    ),
)
def test_under_cross_entropy_none_is(name: str, about: str) -> None:
    layers, inputs, _ = NETWORKS[name]
    assert constant(layers, inputs, about, patterns=5) == []


@pytest.mark.parametrize("name", ["relu mlp of one hidden layer", "leaky mlp", "relu vgg with a dense layer"])
def test_equal_inputs_with_different_targets_change_nothing(name: str) -> None:
    layers, inputs, values = NETWORKS[name]
    assert constant(layers, inputs, "half_mse", patterns=8, repeated=True) == list(values)


def candidates(layers: layer.Layers, inputs: layer.Shape, about: Any) -> set[float] | None:
    """Returns all step sizes that the list leaves: known to be bad or possible; None where it leaves too much."""
    known = bad_steps.of(layers, inputs, about, one_piece=False)
    if known.possible is None:
        return None
    return {eta for bad in known.bad for eta in bad.etas} | {one.eta for one in known.possible}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_list_is_what_the_patterns_show(name: str) -> None:
    layers, inputs, values = NETWORKS[name]
    assert candidates(layers, inputs, loss("half_mse", 0.0)) == {1 / value for value in values}
    assert candidates(layers, inputs, loss("half_mse", W)) == {1 / (value + W) for value in (*values, 0.0)}
    for about in ("ce", "smoothed_ce"):
        known = bad_steps.of(layers, inputs, loss(about, W), one_piece=False)
        assert (known.possible, bad_steps.label(known.bad, known.possible)) == ((), "exactly {4}")
        assert candidates(layers, inputs, loss(about, 0.0)) == set()


HEADLESS = {**mlp("relu", 3), "head": layer.Dense(K, bias=False)}
DEEPER = {**mlp("relu", 3, 3), "head": layer.Dense(K, bias=False)}
NO_SHIFT = {**mlp("leaky_relu", 3, 3), "dense_1": layer.Dense(3, bias=False)}
OPEN: dict[str, tuple[layer.Layers, layer.Shape]] = {
    "branches that are not 0 at 0": (mlp("relu6", 3, 3), ROW),
    "hard_tanh": (mlp("hard_tanh", 3, 3), ROW),
    "relu above sigmoid": ({**mlp("sigmoid", 3, 3), "activation_1": layer.Activation("relu")}, ROW),
    "one convolution read at four positions": (vgg("relu", "max", [[2]]), IMAGE),
    "elu in a residual sum": (resnet("elu"), IMAGE),
    "one layer of elu": (mlp("elu", 3), ROW),
    "gelu without biases": (mlp("gelu", 3, bias=False), ROW),
    "a fixed code and no bias of the head": (
        family("vit", IMAGE, **VIT, activation="relu", bias=False, positions="fixed"),
        IMAGE,
    ),
    "a mixer without norms": (family("mixer", IMAGE, **MIXER, activation="relu", norm_epsilon=None), IMAGE),
    "a norm that divides by 0": ({"norm": layer.LayerNorm(0.0), **mlp("gelu", 3)}, ROW),
    "one layer in a residual sum": (
        {
            "flatten": layer.Flatten(),
            "in": layer.Dense(3),
            "block": layer.Residual({"dense": layer.Dense(3)}),
            "activation": layer.Activation("relu"),
            "head": layer.Dense(K),
        },
        ROW,
    ),
}


@pytest.mark.parametrize("name", OPEN)
def test_where_the_hypotheses_do_not_hold_nothing_is_said(name: str) -> None:
    layers, inputs = OPEN[name]
    assert candidates(layers, inputs, loss("half_mse", 0.0)) is None
    known = bad_steps.of(layers, inputs, loss("half_mse", 0.0), one_piece=False)
    assert bad_steps.label(known.bad, known.possible).endswith(("?", "and maybe others"))


def test_without_a_bias_of_the_head_no_step_size_is_bad() -> None:
    for layers in (HEADLESS, DEEPER):
        assert candidates(layers, ROW, loss("half_mse", 0.0)) == set()
        assert constant(layers, ROW, "half_mse", patterns=8) == []


def test_a_unit_that_may_be_dead_leaves_one_possible() -> None:
    layers = {**mlp("relu", 3), "above": layer.Activation("leaky_relu")}
    layers = {**{name: node for name, node in layers.items() if name != "head"}, "head": layer.Dense(K)}
    known = bad_steps.of(layers, ROW, loss("half_mse", 0.0), one_piece=False)
    assert bad_steps.label(known.bad, known.possible) == "only 1 possible"
    assert constant(layers, ROW, "half_mse", patterns=8) == [1.0]


def test_without_a_shift_one_stays_possible() -> None:
    known = bad_steps.of(NO_SHIFT, ROW, loss("half_mse", W), one_piece=False)
    assert bad_steps.label(known.bad, known.possible) == "only 1/(1+w) = 0.8, 1/w = 4 possible"
    known = bad_steps.of(NO_SHIFT, ROW, loss("half_mse", 0.0), one_piece=False)
    assert bad_steps.label(known.bad, known.possible) == "only 1 possible"
    assert known.others.startswith("Only 1 can be bad, and whether it is is not known in advance.")
