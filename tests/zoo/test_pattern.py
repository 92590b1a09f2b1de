# SPDX-License-Identifier: Apache-2.0
"""Margins: signs that name a piece, and sizes that say how far its border is."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import zoo
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
    row = zoo.FAMILIES[family]
    config = row.config.model_validate({"family": family, **fields})
    return row.layers(config, IMAGE, 3), zoo.build(family, config, inputs=IMAGE, outputs=3)


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
