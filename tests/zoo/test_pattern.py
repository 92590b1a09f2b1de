# SPDX-License-Identifier: Apache-2.0
"""Margins: signs that name a piece, and sizes that say how far its border is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from tests import builders
from zoo import layer, pattern

IMAGE = (4, 4, 1)
RESNET = {"channels": [2], "blocks": 1}
NETS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "mlp": ({"hidden": [3, 2], "activation": "relu6"}, {"activation_0", "activation_1"}),
    "vgg": ({"stages": [[2]], "activation": "tanh"}, {"pool_0"}),
    "resnet": (
        {**RESNET, "activation": "relu"},
        {"activation", "block_0_0/inner/activation", "activation_0_0"},
    ),
    "mixer": (
        {"patch": 2, "width": 3, "depth": 1, "tokens_width": 2, "channels_width": 2, "activation": "elu"},
        {"tokens_0/inner/mix/inner/activation_0", "channels_0/inner/activation_0"},
    ),
}


def built(family: str, fields: dict[str, Any]) -> tuple[layer.Layers, Any]:
    return builders.layers(family, IMAGE, 3, **fields), builders.network(family, IMAGE, 3, **fields)


@pytest.mark.parametrize("family", NETS)
def test_every_kink_has_its_margins(family: str) -> None:
    fields, names = NETS[family]
    layers, network = built(family, fields)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, *IMAGE)))
    found = pattern.margins(layers, IMAGE)(network.init(jax.random.key(0)), x)
    assert set(found) == names
    assert all(array.shape[0] == 5 for array in found.values())


def test_an_analytic_network_has_none() -> None:
    layers, network = built("mlp", {"hidden": [3], "activation": "gelu"})
    assert pattern.margins(layers, IMAGE)(network.init(jax.random.key(0)), jnp.ones((2, *IMAGE))) == {}


def test_margins_are_preactivations_minus_breakpoints() -> None:
    layers, network = built("mlp", {"hidden": [3], "activation": "hard_tanh"})
    params = network.init(jax.random.key(0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, *IMAGE)))
    before = x.reshape(5, -1) @ params["dense_0"]["kernel"]
    found = pattern.margins(layers, IMAGE)(params, x)["activation_0"]
    assert np.asarray(found) == pytest.approx(np.stack([before + 1, before - 1], axis=-1))


def test_margins_of_a_window_tell_its_largest_entry_and_the_runner_up() -> None:
    layers: layer.Layers = {"pool": layer.MaxPool()}
    x = jnp.asarray([[1.0, 5.0], [3.0, 3.0]]).reshape(1, 2, 2, 1)
    (found,) = pattern.margins(layers, (2, 2, 1))({}, x).values()
    assert np.asarray(found).ravel().tolist() == [-4.0, 2.0, -2.0, -2.0]


FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gelu": lambda x: x * special.ndtr(x),
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "square": lambda x: x**2,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
}


@pytest.mark.parametrize("activation", FORMS)
def test_equal_entries_tie_exactly_in_compiled_code_and_others_are_as_far_apart_as_they_are(activation: str) -> None:
    layers: layer.Layers = {"activation": layer.Activation(activation), "pool": layer.MaxPool()}  # type: ignore[arg-type]
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 5))
    x[:, :4] = 0.377  # windows of equal numbers, of which the products in x Phi(x) are not exact
    x[:, 4:6, :4] = [[[-0.4]], [[0.9]]]  # and such of two pairs
    found = np.asarray(jax.jit(pattern.margins(layers, (8, 8, 5)))({}, jnp.asarray(x))["pool"])
    windows = FORMS[activation](x).reshape(3, 4, 2, 4, 2, 5).transpose(0, 1, 3, 5, 2, 4).reshape(3, 4, 4, 5, 4)
    others = np.stack([np.delete(windows, i, axis=-1).max(axis=-1) for i in range(4)], axis=-1)
    assert (found[:, :2] == 0).all()
    assert (found[:, 2, :2, :, 2:] == 0).all()
    assert np.abs(found - (windows - others)).max() < 1e-15
    assert np.array_equal(np.sign(found[:, 2:]), np.sign((windows - others)[:, 2:]))


def test_blank_parts_of_images_tie_through_a_whole_network() -> None:
    fields = {"stages": [[3], [4]], "activation": "gelu"}
    layers, network = (make("vgg", (16, 16, 1), 3, **fields) for make in (builders.layers, builders.network))
    drawn = np.random.default_rng(0)
    x = np.zeros((4, 16, 16, 1))
    x[:, 12:, 12:] = drawn.normal(size=(4, 4, 4, 1))
    start = jax.tree.map(lambda leaf: leaf + 0.1 * drawn.normal(size=leaf.shape), network.init(jax.random.key(0)))
    found = jax.jit(pattern.margins(layers, (16, 16, 1)))(start, jnp.asarray(x))
    # 3x3 convolutions see the border one pixel deep, and what is not blank one pixel beyond it.
    assert (np.asarray(found["pool_0"])[:, 1:5, 1:5] == 0).all()
    assert (np.asarray(found["pool_1"])[:, 1:2, 1:2] == 0).all()
    for margins in found.values():
        apart = np.abs(np.asarray(margins))
        assert apart[apart > 0].min() > 1e-9, "what differs does so by more than rounding"


def test_margins_of_a_curve_are_those_of_its_parameter() -> None:
    layers: layer.Layers = {"curve": layer.Curve("figure_1")}
    params = {"curve": {"theta": jnp.array([-3.0])}}
    found = pattern.margins(layers, (1, 1, 1))(params, jnp.ones((2, 1, 1, 1)))["curve"]
    assert np.asarray(found).tolist() == [[-1.0, -5.0]] * 2


def test_on_one_pattern_a_relu_network_is_one_polynomial() -> None:
    # Along a line without a sign change the outputs of a network of two affine layers are of degree 2.
    layers, network = built("mlp", {"hidden": [4], "activation": "relu"})
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, *IMAGE)))
    start = jax.tree.map(lambda leaf: leaf.astype("float64"), network.init(jax.random.key(0)))
    move = jax.tree.map(lambda leaf: 1e-4 * jnp.ones_like(leaf), start)
    margins = pattern.margins(layers, IMAGE)
    line = [jax.tree.map(lambda a, b, t=t: a + t * b, start, move) for t in range(4)]
    signs = [np.concatenate([np.sign(array).ravel() for array in margins(at, x).values()]) for at in line]
    assert all((one == signs[0]).all() for one in signs)
    outputs = np.stack([np.asarray(network.apply(at, x)) for at in line])
    assert np.abs(np.diff(outputs, n=3, axis=0)).max() < 1e-12
    assert np.abs(np.diff(outputs, n=2, axis=0)).max() > 1e-10
