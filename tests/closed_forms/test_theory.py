# SPDX-License-Identifier: Apache-2.0
"""What `harness.theory` says before a run, held against dense float64 Hessians of the very networks it speaks of.

Every claim of a bad step size is met at points where it must hold, and every claim that there is none at points where
one would be seen. The networks are tiny; the data are seven random examples.
"""

from __future__ import annotations

import functools
import math
import pathlib
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import config, theory
from harness.risk import losses, objective
from harness.theory import ingredients
from harness.training import optimizers
from tests import builders
from zoo import activations, layer, model
from zoo import layers as modules

N, K = 7, 3
family = functools.partial(builders.layers, outputs=K)
TOLERANCE = 1e-10
GD = config.Gd(name="gd", learning_rate=0.1)
NUMBER, ROW, IMAGE = (1, 1, 1), (1, 1, 4), (4, 4, 1)
scalar = functools.partial(builders.layers, inputs=NUMBER, outputs=1)


class Net(NamedTuple):
    """A network under a loss, on fixed data.

    Attributes:
        known: What theory says of it.
        gradient: `theta (P,) -> (P,)`, compiled.
        hessian: `theta (P,) -> (P, P)`, compiled.
        places: For the path of each array of parameters, where it starts in theta, and its shape.
        size: P.
        outputs: `theta (P,) -> (N, K)`.
        targets: (N, K).
    """

    known: theory.Theory
    gradient: Callable[[jax.Array], jax.Array]
    hessian: Callable[[jax.Array], jax.Array]
    places: dict[str, tuple[int, tuple[int, ...]]]
    size: int
    outputs: Callable[[jax.Array], jax.Array]
    targets: np.ndarray


LOSSES = {"half_mse": config.HalfMse, "smoothed_ce": config.SmoothedCe, "ce": config.Ce, "output": config.Output}


def loss(name: str, decay: float = 0.0) -> Any:
    """Returns the `loss` part of a cell."""
    return LOSSES[name](name=name, weight_decay=decay)


def match(known: theory.Theory, eta: float, precision: str = "float64") -> theory.Match | None:
    """Returns the bad step that one step size is, or is next to."""
    return theory.matches(known, optimizers.StepSizes(np.array([eta]), np.array([0])), precision)


def mlp(activation: Any, hidden: list[int], *, bias: bool = True) -> layer.Layers:
    """Returns an MLP on rows of four numbers."""
    return family("mlp", ROW, hidden=hidden, activation=activation, bias=bias)


def vgg(activation: str, pool: str, *, bias: bool = True, dense: tuple[int, ...] = ()) -> layer.Layers:
    """Returns a VGG of two convolutions on 4x4 images."""
    return family("vgg", IMAGE, stages=[[2], [2]], dense=list(dense), activation=activation, pool=pool, bias=bias)


def net(layers: layer.Layers, inputs: layer.Shape, about: Any) -> Net:
    """Builds a network and its risk, through the code that runs take."""
    outputs = layer.output(layers, inputs)[0]
    built = model.from_module(lambda rngs: modules.network(layers, inputs, rngs))
    goal = objective.objective(built, about)
    drawn = np.random.default_rng(0)
    x = jnp.asarray(drawn.normal(size=(N, *inputs)))
    targets = drawn.normal(size=(N, outputs)) if about.name == "half_mse" else np.eye(outputs)[np.arange(N) % outputs]
    batch = objective.Batch(x, jnp.asarray(targets), jnp.asarray(drawn.uniform(0.5, 1.5, N)))
    leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(built.init, jax.random.key(0)))
    starts = np.cumsum([0, *(leaf.size for _, leaf in leaves)]).tolist()
    places = {
        jax.tree_util.keystr(path, simple=True, separator="/"): (start, leaf.shape)
        for start, (path, leaf) in zip(starts, leaves, strict=False)
    }
    return Net(
        theory.says(layers, inputs, about, GD),
        jax.jit(jax.grad(lambda theta: goal.risk(theta, batch))),
        jax.jit(jax.hessian(lambda theta: goal.risk(theta, batch))),
        places,
        goal.size,
        lambda theta: goal.outputs(theta, x),
        np.asarray(targets),
    )


def point(of: Net, seed: int, scale: float = 0.7) -> jax.Array:
    """Returns a random point theta (P,); biases are random too."""
    return jnp.asarray(scale * np.random.default_rng(seed).normal(size=of.size))


def with_set(of: Net, theta: jax.Array, values: Mapping[str, Any]) -> jax.Array:
    """Returns theta with some of its arrays filled with given values, each named by its path `a/b/bias`."""
    filled = np.array(theta)
    for path, value in values.items():
        start, shape = of.places[path]
        filled[start : start + math.prod(shape)] = np.broadcast_to(value, shape).ravel()
    return jnp.asarray(filled)


def part(of: Net, theta: jax.Array, path: str) -> np.ndarray:
    """Returns one array of theta."""
    start, shape = of.places[path]
    return np.asarray(theta)[start : start + math.prod(shape)].reshape(shape)


def spectrum(of: Net, theta: jax.Array) -> np.ndarray:
    """Returns all eigenvalues of the Hessian at theta, ascending."""
    return np.linalg.eigvalsh(np.asarray(of.hessian(theta)))


def image(of: Net, theta: jax.Array, eta: float) -> jax.Array:
    """Returns G_eta(theta)."""
    return theta - eta * of.gradient(theta)


def etas(known: theory.Theory) -> list[float]:
    """Returns every known bad step size."""
    return [eta for bad in known.bad_steps for eta in bad.etas]


# F6: the last hidden layer is constant over the data.

HEADLESS = {
    "flatten": layer.Flatten(),
    "dense": layer.Dense(2),
    "activation": layer.Activation("hard_tanh"),
    "head": layer.Dense(K, bias=False),
}
NORMED = family("resnet", IMAGE, channels=[2, 2], blocks=1, activation="relu", norm="group")
SATURATED: dict[str, tuple[layer.Layers, layer.Shape, float, dict[str, float | list[float]], float]] = {
    # name: layers, inputs, decay, arrays to fill, expected |c|^2
    "mlp": (mlp("relu", [5, 4]), ROW, 0.0, {"dense_1/bias": -99.0}, 0.0),
    "mlp, decay": (mlp("relu", [5, 4]), ROW, 0.25, {"dense_1/bias": -99.0}, 0.0),
    "vgg, max-pool": (vgg("relu", "max"), IMAGE, 0.0, {"conv_1_0/bias": -99.0}, 0.0),
    "vgg, average-pool": (vgg("relu", "average", dense=(3,)), IMAGE, 0.0, {"dense_0/bias": -99.0}, 0.0),
    "resnet, GroupNorm": (NORMED, IMAGE, 0.0, {"block_1_0/inner/norm_1/bias": -999.0}, 0.0),
    "relu6, one at 6": (mlp("relu6", [5, 4]), ROW, 0.0, {"dense_1/bias": [99.0, -99.0, -99.0, -99.0]}, 36.0),
    "relu6, one channel of four features at 6": (
        family("vgg", IMAGE, stages=[[2]], activation="relu6", pool="average"),
        IMAGE,
        0.5,
        {"conv_0_0/bias": [99.0, -99.0]},
        144.0,
    ),
    "hard_tanh": (mlp("hard_tanh", [5, 4]), ROW, 0.0, {"dense_1/bias": [99.0, -99.0, 99.0, 99.0]}, 4.0),
    "no bias of the head": (HEADLESS, ROW, 0.0, {"dense/bias": [99.0, -99.0]}, 1.0),
    "hard_tanh, decay": (mlp("hard_tanh", [4]), ROW, 0.25, {"dense_0/bias": 99.0}, 4.0),
    "no bias": (mlp("relu", [5, 4], bias=False), ROW, 0.25, {"dense_1/kernel": -1.0}, -1.0),
}


@pytest.mark.parametrize("name", builders.tiers(SATURATED, SATURATED.keys() - {"resnet, GroupNorm"}))
def test_where_the_last_hidden_layer_is_constant_the_spectrum_is_known(name: str) -> None:
    layers, inputs, decay, filled, square = SATURATED[name]
    it = net(layers, inputs, loss("half_mse", decay))
    for seed in (1, 2):
        theta = with_set(it, point(it, seed), filled)
        found = spectrum(it, theta)
        # Without a bias the head sees nothing at all (square is -1, so that 1 + |c|^2 is 0).
        assert found[-K:] == pytest.approx(decay + 1 + square, abs=TOLERANCE)
        assert found[:-K] == pytest.approx(decay, abs=TOLERANCE)
    for value in {1 + square + decay, decay} - {0.0}:
        assert min(abs(1 - value * eta) for eta in etas(it.known)) < TOLERANCE
        assert np.min(np.abs(1 - 0.99 / value * found)) > 1e-3


@pytest.mark.parametrize("name", ["mlp", "vgg, max-pool"])
def test_a_step_of_one_takes_every_output_bias_to_the_mean_of_the_targets(name: str) -> None:
    layers, inputs, _, filled, _ = SATURATED[name]
    it = net(layers, inputs, loss("half_mse"))
    drawn = np.random.default_rng(0)
    drawn.normal(size=(N, *inputs))
    drawn.normal(size=(N, K))
    mean = np.average(it.targets, axis=0, weights=drawn.uniform(0.5, 1.5, N))
    theta = with_set(it, point(it, 1), filled)
    for bias in ([0.0, 1.0, -2.0], [3.0, 3.0, 5.0], [-7.0, 0.1, 0.2], [1e3, 0.0, 0.0]):
        went = image(it, with_set(it, theta, {"head/bias": bias}), 1.0)
        assert part(it, went, "head/bias") == pytest.approx(mean, abs=TOLERANCE)
    assert np.linalg.det(np.eye(it.size) - 0.99 * np.asarray(it.hessian(theta))) == pytest.approx(0.01**K, rel=1e-9)
    assert match(it.known, 1.0, "float32") is not None


TWINS = {
    "leaky": (mlp("leaky_relu", [5, 4]), ROW, "half_mse"),
    "gelu": (mlp("gelu", [5, 4]), ROW, "half_mse"),
    "no bias": (mlp("relu", [5, 4], bias=False), ROW, "half_mse"),
    "cross-entropy": (mlp("relu", [5, 4]), ROW, "ce"),
    "smoothed cross-entropy": (mlp("relu", [5, 4]), ROW, "smoothed_ce"),
    "vgg without biases": (vgg("relu", "max", bias=False), IMAGE, "half_mse"),
}


@pytest.mark.parametrize("name", TWINS)
def test_the_twins_of_the_dead_network_are_not_singular_at_one(name: str) -> None:
    layers, inputs, about = TWINS[name]
    it = net(layers, inputs, loss(about))
    assert match(it.known, 1.0, "float32") is None
    last = [path for path, node in layers.items() if isinstance(node, layer.Dense | layer.Convolution)][-2]
    dead = {f"{last}/bias": -3.0} if f"{last}/bias" in it.places else {f"{last}/kernel": -1.0}
    for seed in range(6):
        for theta in (point(it, seed), with_set(it, point(it, seed), dead)):
            assert np.min(np.abs(1 - spectrum(it, theta))) > 1e-5


# F5: no step size is bad.

CONES = {
    "mlp": (mlp("relu", [5, 4], bias=False), ROW, 3),
    "leaky mlp": (mlp({"leaky_relu": 0.2}, [5, 4], bias=False), ROW, 3),
    "vgg, max-pool": (vgg("relu", "max", bias=False), IMAGE, 3),
    "vgg, average-pool": (vgg("leaky_relu", "average", bias=False), IMAGE, 3),
    "shallow mlp": (mlp("relu", [5], bias=False), ROW, 2),
}


@pytest.mark.parametrize(("name", "about"), [*((name, "half_mse") for name in CONES), ("mlp", "ce")])
def test_without_biases_the_hessian_shrinks_towards_zero_from_depth_three_on(name: str, about: str) -> None:
    layers, inputs, depth = CONES[name]
    it = net(layers, inputs, loss(about))
    theta = point(it, 1)
    assert np.asarray(it.outputs(2 * theta)) == pytest.approx(2.0**depth * np.asarray(it.outputs(theta)), rel=1e-12)
    norms = [np.max(np.abs(spectrum(it, a * theta))) for a in (1e-3, 1e-4)]
    assert math.log10(norms[0] / norms[1]) == pytest.approx(depth - 2, abs=0.02)
    assert ("(F5, ours)" in it.known.others) == (depth >= 3)
    assert it.known.no_bad_step, "at depth 2 by F12"


ORIGINS = {
    "tanh": (mlp("tanh", [5, 4], bias=False), ROW, True),
    "gelu": (mlp("gelu", [5, 4], bias=False), ROW, True),
    "square": (mlp("square", [5, 4], bias=False), ROW, True),
    "square of one layer": (mlp("square", [5], bias=False), ROW, True),
    "silu vgg": (vgg("silu", "average", bias=False), IMAGE, True),
    "linear": (family("deep_linear", ROW, hidden=[3, 3]), ROW, True),
    "attention": (
        {
            "patches": layer.Patches(2),
            "embed": layer.Dense(2, bias=False),
            "attention": layer.Residual(
                {"attention": layer.Attention(1, bias=False)}, {"dense": layer.Dense(2, False)}
            ),
            "pool": layer.Mean(),
            "head": layer.Dense(K, bias=False),
        },
        IMAGE,
        True,
    ),
    "two layers": (mlp("tanh", [5], bias=False), ROW, False),
    "value at 0": (mlp("sigmoid", [5, 4], bias=False), ROW, False),
    "biases": (mlp("tanh", [5, 4]), ROW, False),
    "residual": (
        {
            "dense": layer.Dense(4, bias=False),
            "block": layer.Residual({"dense": layer.Dense(4, bias=False)}),
            "flatten": layer.Flatten(),
            "head": layer.Dense(K, bias=False),
        },
        ROW,
        False,
    ),
}


@pytest.mark.parametrize("name", ORIGINS)
def test_the_analytic_twin_has_no_curvature_at_the_origin(name: str) -> None:
    layers, inputs, flat = ORIGINS[name]
    it = net(layers, inputs, loss("half_mse"))
    assert it.known.one_piece
    assert ("(F5, ours)" in it.known.others) == flat
    norm = np.max(np.abs(spectrum(it, jnp.zeros(it.size))))
    assert norm <= TOLERANCE if flat else norm > 1e-2
    decayed = theory.says(layers, inputs, loss("half_mse", 0.2), GD)
    assert not decayed.complete
    if flat:
        assert "Only 1/w = 5 can be bad" in decayed.others and decayed.bad == "only 1/w = 5 possible"


def test_the_paper_s_network_of_two_parameters_has_no_bad_step() -> None:
    for activation in ("relu", "leaky_relu", "identity"):
        layers = scalar("paper_net", activation=activation)
        it = net(layers, NUMBER, loss("half_mse"))
        assert it.known.complete and not it.known.bad_steps
        for signs in ([1, 1], [1, -1], [-1, 1], [-1, -1]):
            theta = jnp.asarray(signs) * jnp.array([0.7, 1.2])
            for eigenvalue in spectrum(it, theta):
                if eigenvalue > 0:  # what is bad here is not bad elsewhere in the same quadrant
                    assert np.min(np.abs(1 - spectrum(it, theta * jnp.array([1.3, 1.1])) / eigenvalue)) > 1e-3
    dead = net(scalar("paper_net", activation="relu"), NUMBER, loss("half_mse", 0.5))
    assert etas(dead.known) == [2.0] and dead.known.complete
    assert spectrum(dead, jnp.array([0.3, -0.7])) == pytest.approx(0.5, abs=TOLERANCE)
    tanh = theory.says(scalar("paper_net", activation="tanh"), NUMBER, loss("half_mse"), GD)
    assert not tanh.complete


def test_softmax_regression_has_no_bad_step() -> None:
    layers = family("mlp", ROW, hidden=[], activation="relu")
    it = net(layers, ROW, loss("ce"))
    assert it.known.no_bad_step and it.known.one_piece
    norms = [np.max(np.abs(spectrum(it, a * point(it, 1)))) for a in (1.0, 1e3, 1e5)]
    assert norms[0] > 1e-2
    assert max(norms[1:]) < TOLERANCE
    decayed = net(layers, ROW, loss("ce", 0.5))
    assert decayed.known.complete and etas(decayed.known) == [2.0]
    assert spectrum(decayed, 1e5 * point(decayed, 1)) == pytest.approx(0.5, abs=TOLERANCE)


def test_linear_regression_has_one_spectrum_everywhere() -> None:
    it = net(family("mlp", ROW, hidden=[], activation="relu"), ROW, loss("half_mse"))
    assert "H is the same at every point" in it.known.others
    assert spectrum(it, point(it, 1)) == pytest.approx(spectrum(it, point(it, 2)), abs=TOLERANCE)


def test_the_bad_steps_of_a_quadratic_are_those_of_its_spectrum() -> None:
    layers = scalar("quadratic", eigenvalues=[4.0, 2.0, 2.0, 1.0, -0.5])
    it = net(layers, NUMBER, loss("output"))
    assert etas(it.known) == [1.0, 0.5, 0.25] and it.known.complete
    assert spectrum(it, point(it, 1)) == pytest.approx([-0.5, 1, 2, 2, 4], abs=TOLERANCE)
    decayed = net(layers, NUMBER, loss("output", 0.75))
    assert etas(decayed.known) == pytest.approx([4, 1 / 1.75, 1 / 2.75, 1 / 4.75])
    assert spectrum(decayed, point(decayed, 1)) == pytest.approx([0.25, 1.75, 2.75, 2.75, 4.75], abs=TOLERANCE)
    falling = theory.says(scalar("quadratic", eigenvalues=[-1.0]), NUMBER, loss("output"), GD)
    assert falling.no_bad_step


@pytest.mark.parametrize(
    ("function", "places", "bad"),
    [
        ("figure_1", {-2.5: 2, 3.0: 2}, [0.5]),
        ("plateaus", {0.25: 1, 1.25: 2, 2.25: 3, 3.5: 4}, [1, 1 / 2, 1 / 3, 1 / 4]),
    ],
)
def test_the_bad_steps_of_a_curve_are_those_of_its_plateaus(
    function: str, places: dict[float, int], bad: list[float]
) -> None:
    it = net(scalar("curve", function=function), NUMBER, loss("output"))
    assert etas(it.known) == bad and it.known.complete and not it.known.one_piece
    assert it.known.covered == "extension F7"
    for theta, curvature in places.items():
        for near in (theta - 0.1, theta + 0.1):
            assert spectrum(it, jnp.array([near])) == pytest.approx([curvature], abs=TOLERANCE)
    decayed = theory.says(scalar("curve", function=function), NUMBER, loss("output", 0.5), GD)
    assert etas(decayed) == pytest.approx(sorted((1 / (v + 0.5) for v in set(places.values())), reverse=True))
    assert theory.says(scalar("curve", function=function), NUMBER, loss("half_mse"), GD).bad_steps == ()


# Weight decay: what the data term does not see has the eigenvalue w.

W = 0.125
VIT = {"patch": 2, "width": 4, "depth": 1, "heads": 2, "mlp_width": 3}
TAIL: dict[str, layer.Layer] = {"activation": layer.Activation("tanh"), "pool": layer.Mean(), "head": layer.Dense(K)}
UNSEEN: dict[str, tuple[layer.Layers, layer.Shape, str, str]] = {
    "softmax": (mlp("tanh", [4], bias=False), ROW, "ce", "softmax"),
    "smoothed softmax": (vgg("gelu", "average"), IMAGE, "smoothed_ce", "softmax"),
    "layer norms": (
        family("mixer", IMAGE, patch=2, width=4, depth=1, tokens_width=3, channels_width=3, activation="tanh"),
        IMAGE,
        "half_mse",
        "layer norms",
    ),
    "layer norm": (
        {"conv": layer.Convolution(2, bias=False), "norm": layer.LayerNorm(), **TAIL},
        IMAGE,
        "half_mse",
        "layer norms",
    ),
    "group norm": ({"conv": layer.Convolution(2), "norm": layer.GroupNorm(1), **TAIL}, IMAGE, "half_mse", "group norm"),
    "class token": (
        {"patches": layer.Patches(2), "class_token": layer.ClassToken(), "position": layer.Position(), **TAIL},
        IMAGE,
        "half_mse",
        "position code",
    ),
    "embedding": (
        {"patches": layer.Patches(2), "embed": layer.Dense(2), "position": layer.Position(), **TAIL},
        IMAGE,
        "half_mse",
        "position code",
    ),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_decay_alone_curves_what_the_data_term_does_not_see(name: str) -> None:
    layers, inputs, about, why = UNSEEN[name]
    it = net(layers, inputs, loss(about, W))
    assert etas(it.known) == [1 / W]
    assert why in it.known.bad_steps[0].where and it.known.bad_steps[0].where.startswith("everywhere")
    for seed in (1, 2):
        assert np.min(np.abs(spectrum(it, point(it, seed)) - W)) < TOLERANCE
    without = theory.says(layers, inputs, loss(about), GD)
    assert not without.bad_steps


def test_a_step_of_one_over_decay_takes_every_bias_of_the_keys_to_zero() -> None:
    layers = family("vit", IMAGE, **VIT, activation="gelu", norm_epsilon=None, positions="fixed")
    it = net(layers, IMAGE, loss("half_mse", W))
    assert etas(it.known) == [1 / W] and "the bias of its keys" in it.known.bad_steps[0].where
    bias = "attention_0/inner/attention/key/bias"
    for seed in (1, 2):
        theta = point(it, seed)
        moved = with_set(it, theta, {bias: np.arange(4.0).reshape(2, 2)})
        assert np.asarray(it.outputs(moved)) == pytest.approx(np.asarray(it.outputs(theta)), abs=1e-12)
        after = image(it, moved, 1 / W)
        assert np.asarray(after) == pytest.approx(np.asarray(image(it, theta, 1 / W)), abs=1e-12)
        assert part(it, after, bias) == pytest.approx(0.0, abs=1e-12)


def test_decay_alone_curves_what_goes_into_a_dead_unit() -> None:
    layers: dict[str, layer.Layer] = {
        "flatten": layer.Flatten(),
        "embed": layer.Dense(K),
        "block": layer.Residual(
            {"in": layer.Dense(3), "activation": layer.Activation("relu"), "out": layer.Dense(K, bias=False)}
        ),
        "head": layer.Dense(K),
    }
    it = net(layers, ROW, loss("half_mse", W))
    assert etas(it.known) == [1 / W] and it.known.bad_steps[0].where.startswith("where a unit is constant")
    theta = with_set(it, point(it, 1), {"block/inner/in/bias": [-99.0, 0.1, 0.2]})
    assert np.min(np.abs(spectrum(it, theta) - W)) < TOLERANCE
    live = with_set(it, theta, {"block/inner/in/bias": 1.0})
    assert np.min(np.abs(spectrum(it, live) - W)) > 1e-8


@pytest.mark.parametrize("activation", ["tanh", {"leaky_relu": 0.3}])
def test_decay_is_no_eigenvalue_where_nothing_says_so(activation: Any) -> None:
    it = net(mlp(activation, [4]), ROW, loss("half_mse", W))
    assert not it.known.bad_steps and not it.known.complete
    for seed in range(4):
        assert np.min(np.abs(spectrum(it, point(it, seed)) - W)) > 1e-7


# The tables, and what is printed.


def subclasses(of: type) -> set[type]:
    return {of, *(found for below in of.__subclasses__() for found in subclasses(below))}


def test_every_layer_activation_loss_and_optimizer_is_an_ingredient() -> None:
    samples = {
        layer.Dense: {"features": 1},
        layer.Convolution: {"channels": 1, "stride": 2},
        layer.Attention: {"heads": 1},
        layer.GroupNorm: {"groups": 1},
        layer.Patches: {"side": 1},
        layer.Residual: {"inner": {}},
        layer.MixTokens: {"inner": {}},
        layer.Subsample: {"channels": 1},
        layer.QuadraticForm: {"eigenvalues": (1.0,)},
        layer.Curve: {"function": "figure_1"},
        layer.Depthwise: {"channels": 1, "dilation": 2},
        layer.Image: {"rows": 1, "columns": 1},
        layer.Embedding: {"vocabulary": 1, "width": 1},
        layer.Shared: {"label": "one", "inner": {}},
    }
    for kind in subclasses(layer.Layer) - {layer.Layer, layer.Pool, layer.Activation}:
        node = kind(**samples.get(kind, {}))
        assert {name for name in ingredients.names(node) if name not in ingredients.INGREDIENTS} == set()
        assert ingredients.names(node)
    for row in activations.ACTIVATIONS.values():
        assert f"{row.regularity} activation" in ingredients.INGREDIENTS
    assert set(losses.LOSSES) | set(optimizers.OPTIMIZERS) <= set(ingredients.INGREDIENTS)


SOFTMAX_VIT = family("vit", IMAGE, **VIT, activation="gelu")
UNSAFE = {"flatten": layer.Flatten(), "dense": layer.Dense(4), "norm": layer.LayerNorm(0.0), "head": layer.Dense(K)}
HEAD_BIAS = {"flatten": layer.Flatten(), "dense": layer.Dense(4, False), "activation": layer.Activation("relu")}
HEAD_BIAS |= {"head": layer.Dense(K)}
TABLE = {
    # name: layers, inputs, loss, decay, covered, one piece, known bad steps, whether there are no others
    "mlp": (mlp("relu", [4]), ROW, "half_mse", 0.0, "theorem 1", False, [1.0], True),
    "analytic mlp": (mlp("gelu", [4]), ROW, "ce", 0.0, "theorem 1", True, [], True),
    "elu": (mlp("elu", [4, 4], bias=False), ROW, "half_mse", 0.0, "theorem 1", False, [], True),
    "max-pool": (vgg("gelu", "max"), IMAGE, "half_mse", 0.0, "extension F7", False, [], True),
    "average-pool": (vgg("gelu", "average"), IMAGE, "half_mse", 0.0, "proposition 11", True, [], True),
    "relu, average-pool": (vgg("relu", "average"), IMAGE, "ce", 0.0, "extension F7", False, [], True),
    "vit": (family("vit", IMAGE, **VIT, activation="relu"), IMAGE, "half_mse", 0.0, "extension F7", False, [], True),
    "analytic vit": (SOFTMAX_VIT, IMAGE, "ce", 0.5, "proposition 11", True, [2.0], True),
    "norm without epsilon": (UNSAFE, ROW, "ce", 0.0, "outside", False, [], False),
    "relu6": (mlp("relu6", [2]), ROW, "half_mse", 1.0, "theorem 1", False, [1 / 2, 1 / 38, 1 / 74, 1.0], False),
    "output bias alone": (HEAD_BIAS, ROW, "half_mse", 0.0, "theorem 1", False, [], False),
    "relu of relu": (mlp("relu", [4, 4], bias=False), ROW, "half_mse", 0.5, "theorem 1", False, [2.0], True),
    "linear": (family("deep_linear", ROW, hidden=[4, 4]), ROW, "ce", 0.5, "theorem 1", True, [2.0], True),
    "relu last": (scalar("paper_net", activation="relu"), NUMBER, "ce", 0.0, "theorem 1", False, [], False),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_table(name: str) -> None:
    layers, inputs, about, decay, covered, one_piece, bad, complete = TABLE[name]
    known = theory.says(layers, inputs, loss(about, decay), GD)
    assert (known.covered, known.one_piece, known.complete) == (covered, one_piece, complete)
    assert etas(known) == pytest.approx(bad)
    assert covered in theory.COVERED
    assert hash(known) == hash(theory.says(layers, inputs, loss(about, decay), GD))
    plain = known.as_dict()
    assert [row["name"] for row in plain["ingredients"]] == [row.name for row in known.ingredients]
    assert [row["eta"] for row in plain["bad_steps"]] == [step.eta for step in known.bad_steps]
    assert (plain["no_bad_step"] is not None) == (complete and not bad)


def test_the_ingredients_of_a_cell_are_listed_once_and_in_order() -> None:
    sgd = config.Sgd(name="sgd", learning_rate=config.EtaLambda(eta_lambda=1.0), batch_size=4)
    layers = mlp({"leaky_relu": 0.2}, [4, 4])
    known = theory.says(layers, ROW, loss("half_mse", 0.1), sgd)
    names = [row.name for row in known.ingredients]
    slope = "leaky_relu of slope 0.2: piecewise linear activation"
    assert names == ["flatten", "dense", "bias", slope, "half_mse", "weight_decay", "sgd"]
    named = theory.says(mlp("gelu", [4]), ROW, loss("ce"), GD)
    assert "gelu: analytic activation" in [row.name for row in named.ingredients]


def test_many_step_sizes_are_one_line() -> None:
    known = theory.says(mlp("relu6", [300]), ROW, loss("half_mse"), GD)
    assert known.bad_steps[0].label == "1, 0.02703, …, 9.258e-05 (301)"
    assert known.bad_steps[0].as_dict()["count"] == 301
    found = match(known, 1 / (1 + 36 * 7))
    assert (
        found is not None
        and found.bad is known.bad_steps[0]
        and found.distance == abs(1 - Fraction(found.eta) * 253) > 0
    )


def test_a_step_size_matches_up_to_the_rounding_of_its_precision() -> None:
    known = theory.says(mlp("relu", [4]), ROW, loss("half_mse", 0.01), GD)
    exact = 1 / 1.01
    single = float(np.float32(exact))
    near = [match(known, exact), match(known, single, "float32"), match(known, 100.0)]
    assert [one and one.bad for one in near] == [known.bad_steps[0]] * 2 + [known.bad_steps[1]]
    assert not any(one and one.exact for one in near), "neither 0.01 nor 1.01 is a power of 2"
    assert match(known, single) is None
    assert match(known, float(np.nextafter(np.float32(exact), np.float32(2))), "float32") is None
    assert match(known, exact * (1 + 1e-14)) is None
    assert match(known, 1.0, "float32") is None


@pytest.mark.parametrize(
    ("eigenvalue", "decay", "eta", "exact"),
    [(4.0, 0.0, 0.25, True), (3.0, 0.0, 1 / 3, False), (3.0, 1.0, 0.25, True), (1.0, 1e-20, 1.0, False),
     (0.9, 0.1, 1.0, False), (0.75, 0.25, 1.0, True), (1 - 2**-53, 2**-52, 1.0, False)],
)  # fmt: skip
def test_whether_a_step_size_is_bad_is_decided_exactly(
    eigenvalue: float, decay: float, eta: float, exact: bool
) -> None:
    known = theory.says({"form": layer.QuadraticForm((eigenvalue,))}, NUMBER, loss("output", decay), GD)
    found = match(known, eta)
    assert found is not None and found.exact is exact
    assert found.distance == abs(1 - Fraction(eta) * (Fraction(eigenvalue) + Fraction(decay)))
    said = theory.told(known, found)
    assert ("within one rounding" in said) is not exact
    assert exact or said.endswith("no other step size is bad, so the map is non-singular")


def test_of_several_bad_steps_the_exact_one_counts_then_the_first() -> None:
    known = theory.says({"form": layer.QuadraticForm((1.0, 2.0, 3.0))}, NUMBER, loss("output"), GD)
    used = optimizers.StepSizes(np.array([1 / 3, 0.5, 1.0]), np.array([0, 9, 7]))
    found = theory.matches(known, used, "float64")
    assert found is not None and (found.eta, found.step, found.exact) == (1.0, 7, True)


def test_an_eigenvalue_without_a_finite_inverse_is_no_bad_step() -> None:
    layers = {"form": layer.QuadraticForm((1e-320, 1.0))}
    known = theory.says(layers, NUMBER, loss("output"), GD)
    assert [bad.etas for bad in known.bad_steps] == [(1.0,)]
    assert match(known, 0.1) is None


def test_a_risk_that_is_linear_but_for_decay_is_singular_at_its_inverse() -> None:
    known = theory.says(family("deep_linear", ROW, hidden=[]), ROW, loss("output", 0.5), GD)
    assert [bad.etas for bad in known.bad_steps] == [(2.0,)]
    assert known.complete
    hessian = net(family("deep_linear", ROW, hidden=[]), ROW, loss("output", 0.5))
    assert np.allclose(hessian.hessian(jnp.ones(hessian.size)), 0.5 * np.eye(hessian.size))


def test_biases_break_the_chain_of_two_numbers() -> None:
    parts = {"a": layer.Dense(1, bias=True), "b": layer.Activation("relu"), "c": layer.Dense(1, bias=False)}
    assert "C3" not in theory.says(parts, NUMBER, loss("half_mse"), GD).others


def test_a_step_size_that_is_only_possible_is_neither_excluded_nor_known() -> None:
    known = theory.says(mlp("leaky_relu", [4, 4]), ROW, loss("half_mse", 0.25), GD)
    assert (known.bad, known.complete, known.no_bad_step) == ("only 1/w = 4 possible", False, None)
    assert known.excludes(1.0, "float32") and known.excludes(0.8, "float64")
    assert not known.excludes(4.0, "float64") and not known.excludes(4 + 1e-7, "float32")
    assert theory.matches(known, 4.0, "float64") is None
    assert known.as_dict()["possible"] == [4.0]
    open_ = theory.says(mlp("relu6", [4]), ROW, loss("half_mse"), GD)
    assert open_.possible is None and not open_.excludes(0.3, "float64") and open_.as_dict()["possible"] is None


def test_every_statement_of_ours_has_its_section_with_hypotheses_proof_and_check() -> None:
    root = pathlib.Path(__file__).parents[2]
    text = (root / theory.DOCUMENT).read_text(encoding="utf-8")
    sections = {part.split()[0]: part for part in text.split("\n## ")[1:]}
    cited = {name for name in theory.STATEMENTS if name.startswith("F")}
    for folder in ("harness", "leaderboard", "zoo"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".html", ".md") and "submissions" not in path.parts:
                cited |= set(re.findall(r"\bF\d{1,2}\b(?!\")", path.read_text(encoding="utf-8")))
    assert cited == set(theory.STATEMENTS) - {name for name in theory.STATEMENTS if name.startswith("C")}
    for name in cited:
        assert all(f"**{word}" in sections[name] for word in ("Statement", "Proof", "Check")), name


def test_remarks_are_about_runs_not_about_maps() -> None:
    sgd = config.Sgd(name="sgd", batch_size=4, learning_rate=config.EtaLambda(eta_lambda=1.5))
    known = theory.says(mlp("relu", [3]), ROW, loss("half_mse"), sgd)
    assert known.remarks == (theory.MINIBATCH, theory.ETA_LAMBDA)
    assert known.covered == "theorem 1"
    assert theory.says(mlp("relu", [3]), ROW, loss("half_mse"), GD).remarks == ()


def test_momentum_has_the_bad_steps_of_descent_or_none_and_the_paper_does_not_speak_of_it() -> None:
    quadratic = {"form": layer.QuadraticForm((4.0, 2.0, -0.5))}
    for covering in (quadratic, mlp("tanh", [3]), mlp("relu", [3])):
        said = {
            name: theory.says(
                covering,
                NUMBER if covering is quadratic else ROW,
                loss("output" if covering is quadratic else "half_mse"),
                config.Momentum(name=name, learning_rate=0.1, momentum=0.9),
            )
            for name in ("heavy_ball", "nesterov")
        }
        plain = theory.says(
            covering,
            NUMBER if covering is quadratic else ROW,
            loss("output" if covering is quadratic else "half_mse"),
            GD,
        )
        assert {one.covered for one in said.values()} == {"extension F11"}
        assert all(theory.MOMENTUM in one.remarks for one in said.values())
        assert theory.MOMENTUM not in plain.remarks
        assert (said["heavy_ball"].bad_steps, said["heavy_ball"].complete) == ((), True)
        assert said["heavy_ball"].no_bad_step == theory.FIXED_VOLUME
        assert (said["nesterov"].bad_steps, said["nesterov"].complete) == (plain.bad_steps, plain.complete)
    relu_pool = theory.says(
        vgg("relu", "max"), IMAGE, loss("ce"), config.Momentum(name="nesterov", learning_rate=0.1, momentum=0.9)
    )
    assert relu_pool.covered == "extension F7", "the worse of the two"


def test_a_dense_layer_on_tokens_shares_its_weights() -> None:
    vit = family("vit", IMAGE, patch=2, width=4, depth=1, heads=2, mlp_width=3, activation="gelu")
    found = [row.name for row in theory.says(vit, IMAGE, loss("half_mse"), GD).ingredients]
    assert "dense on each token" in found and "dense" in found  # the head is after the mean
    assert "dense on each token" not in [
        row.name for row in theory.says(mlp("relu", [3]), ROW, loss("ce"), GD).ingredients
    ]
