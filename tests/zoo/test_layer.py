# SPDX-License-Identifier: Apache-2.0
"""Layers as data: the shapes that they claim are those that are computed, and what does not fit is refused."""

from __future__ import annotations

import jax
import pytest
from flax import nnx

import zoo
from tests import builders
from zoo import layer, layers

OTHERS = {
    "vgg, average": ("vgg", {"stages": [[2], [3]], "dense": [4], "activation": "relu", "pool": "average"}),
    "vit, class token": (
        "vit",
        {
            "patch": 4,
            "width": 4,
            "depth": 1,
            "heads": 2,
            "mlp_width": 3,
            "activation": "relu",
            "pooling": "class_token",
        },
    ),
    "vit, fixed": (
        "vit",
        {"patch": 4, "width": 4, "depth": 1, "heads": 2, "mlp_width": 3, "activation": "relu", "positions": "fixed"},
    ),
    "resnet, group": ("resnet", {"channels": [2, 4], "blocks": 2, "activation": "relu", "norm": "group", "groups": 2}),
    "stack, the rest": (
        "stack",
        {
            "layers": [
                {"embedding": 2, "vocabulary": 3},
                {"image": [12, 8]},
                {"convolution": 4, "depthwise": True},
                {"shared": "cell", "layers": ["tanh"]},
                "tokens",
                "last_token",
                {"dense": "outputs"},
            ]
        },
    ),
    "resnet, layer": ("resnet", {"channels": [2, 2], "blocks": 1, "activation": "relu", "norm": "layer"}),
}
SHAPES = {"paper_net": (1, 1, 1), "stack, the rest": (12, 8, 1)}
"""Of one example, where it is not any image."""
NETWORKS = {name: (name, row.settings["tiny"].fields) for name, row in zoo.FAMILIES.items()} | OTHERS


def found(label: str, inputs: layer.Shape, outputs: int) -> layer.Layers:
    """Returns the layers of one of NETWORKS."""
    family, fields = NETWORKS[label]
    return builders.layers(family, inputs, outputs, **fields)


def computed(network: layer.Layers, shape: layer.Shape) -> layer.Shape:
    """Returns the shape of one example after the network, as its modules compute it."""
    x = jax.ShapeDtypeStruct((3, *shape), "float32")
    return jax.eval_shape(lambda x: layers.network(network, shape, nnx.Rngs(0))(x), x).shape[1:]


@pytest.mark.parametrize("label", NETWORKS)
def test_every_layer_gives_the_shape_that_it_claims(label: str) -> None:
    shape = SHAPES.get(label, (12, 8, 2))
    for name, each in found(label, shape, 5).items():
        assert computed({name: each}, shape) == each.output(shape), name
        shape = each.output(shape)
    assert shape == ((1,) if label in ("paper_net", "quadratic", "curve") else (5,))


def test_every_class_of_layer_is_built_and_stands_in_a_network() -> None:
    def leaves(cls: type[layer.Layer]) -> set[type[layer.Layer]]:
        below = cls.__subclasses__()
        return set().union(*map(leaves, below)) if below else {cls}

    networks = (found(label, SHAPES.get(label, (8, 8, 2)), 2) for label in NETWORKS if label != "paper_net")
    used = {type(each) for network in networks for each in layer.walk(network)}
    assert leaves(layer.Layer) == set(layers.BUILDERS) == used


@pytest.mark.parametrize("side", range(1, 9))
def test_pooling_and_strides_round_up(side: int) -> None:
    half = -(-side // 2)
    for each in (layer.MaxPool(), layer.AveragePool(), layer.Convolution(2, stride=2), layer.Subsample(2)):
        assert each.output((side, 7, 2)) == computed({"one": each}, (side, 7, 2)) == (half, 4, 2)


def test_a_vgg_halves_28_pixels_to_one_and_stays_there() -> None:
    row = zoo.FAMILIES["vgg"]
    for name in ("vgg11", "vgg19"):
        config = row.config.model_validate({"family": "vgg", **row.settings[name].fields})
        sides, shape = [28], (28, 28, 1)
        for each in row.layers(config, (28, 28, 1), 10).values():
            if isinstance(each, layer.MaxPool):
                sides.append(each.output(shape)[0])
            shape = each.output(shape)
        assert sides == [28, 14, 7, 4, 2, 1]
        zoo.check("vgg", config, (1, 1, 1), 10)


def test_walk_yields_what_is_inside_after_what_holds_it() -> None:
    inside = layer.Dense(2)
    mixer = layer.MixTokens({"dense": inside})
    subsample = layer.Subsample(4)
    block = layer.Residual({"mix": mixer}, {"subsample": subsample})
    head = layer.Dense(3)
    assert list(layer.walk({"block": block, "head": head})) == [block, mixer, inside, subsample, head]


def test_activity_counts_what_all_layers_give_for_one_example() -> None:
    mixer = layer.MixTokens({"dense": layer.Dense(5)})  # across 4 tokens of width 2: (2, 4) to (2, 5), and back
    block = layer.Residual(
        {"mix": mixer}, {"code": layer.Position(), "more": layer.MixTokens({"dense": layer.Dense(5)})}
    )
    inside = (2 * 5 + 5 * 2) + (4 * 2 + 2 * 5 + 5 * 2)
    assert layer.activity({"block": block, "mean": layer.Mean(), "head": layer.Dense(3)}, (4, 2)) == inside + 10 + 2 + 3


@pytest.mark.parametrize(
    ("each", "shape", "words"),
    [
        (layer.Convolution(2), (4,), "an image (height, width, channels) is needed here, not an array of shape (4,)"),
        (layer.MaxPool(), (4, 2), "an image (height, width, channels) is needed here, not an array of shape (4, 2)"),
        (layer.Attention(2), (8, 8, 2), "tokens (tokens, features) are needed here, not an array of shape (8, 8, 2)"),
        (layer.Attention(5), (4, 12), "width 12 is not divisible by heads 5"),
        (layer.GroupNorm(3), (4, 4, 8), "8 channels are not divisible by groups 3"),
        (layer.Patches(3), (8, 6, 1), "patches of side 3 do not tile a 8x6 image"),
        (layer.Position((2, 2)), (5, 4), "a grid of 2x2 has no place for 5 tokens"),
        (layer.Position((2, 2)), (4, 6), "a fixed positional code needs a width divisible by 4, not 6"),
        (layer.Subsample(2), (4, 4, 3), "a shortcut drops no channels: 3 cannot become 2"),
        (layer.Residual({"dense": layer.Dense(3)}), (4,), "the residual sum adds (4,) and (3,)"),
    ],
)
def test_a_layer_says_what_it_does_not_take(each: layer.Layer, shape: layer.Shape, words: str) -> None:
    with pytest.raises(ValueError) as refused:
        layer.output({"one": each}, shape)
    assert str(refused.value) == words


@pytest.mark.parametrize(
    ("family", "inputs", "outputs", "words"),
    [
        ("paper_net", (8, 8, 1), 1, "paper_net takes examples of one number, not of shape (8, 8, 1)"),
        ("paper_net", (1, 1, 1), 10, "paper_net has an output of shape (1,), but (10,) is asked for"),
        ("quadratic", (8, 8, 1), 10, "quadratic has an output of shape (1,), but (10,) is asked for"),
        ("vit", (9, 8, 1), 10, "patches of side 2 do not tile a 9x8 image"),
        ("mixer", (9, 8, 1), 10, "patches of side 2 do not tile a 9x8 image"),
    ],
)
def test_check_and_build_refuse_what_does_not_fit(family: str, inputs: layer.Shape, outputs: int, words: str) -> None:
    row = zoo.FAMILIES[family]
    config = row.config.model_validate({"family": family, **row.settings["tiny"].fields})
    for refuse in (zoo.check, lambda f, c, i, o: zoo.build(f, c, inputs=i, outputs=o)):
        with pytest.raises(ValueError) as refused:
            refuse(family, config, inputs, outputs)
        assert str(refused.value) == words
