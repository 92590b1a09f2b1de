# SPDX-License-Identifier: Apache-2.0
"""Stacks: lists of layers that are written down, what every other family is in their terms, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import jax
import numpy as np
import pydantic
import pytest
from flax import nnx
from jax import flatten_util

import zoo
from harness import config as configs
from harness import errors, theory
from harness.starts import heads
from harness.theory import certify
from tests import builders
from zoo import items, layer, stack

SETTINGS = [(family, name) for family, row in zoo.FAMILIES.items() if family != "stack" for name in row.settings]
SMALL = 2_000
"""Parameters up to which a network is computed, and not only counted."""
GD = configs.Gd(name="gd", learning_rate=0.1)


def of(*layers: Any, **fields: Any) -> stack.Config:
    """Returns the configuration of a stack, through JSON as a spec would."""
    return stack.Config.model_validate({"family": "stack", "layers": json.loads(json.dumps(layers)), **fields})


def twins(family: str, name: str) -> tuple[Any, stack.Config, zoo.Setting]:
    """Returns the configuration of a setting, that of the same network written out as a stack, and the setting."""
    row = zoo.FAMILIES[family]
    setting = row.settings[name]
    config = row.config.model_validate({"family": family, **setting.fields})
    return config, of(*stack.written(row.layers(config, setting.inputs, setting.outputs))), setting


@pytest.mark.parametrize(("family", "name"), SETTINGS)
def test_every_setting_of_every_family_is_a_list(family: str, name: str) -> None:
    config, written, setting = twins(family, name)
    known = zoo.FAMILIES[family].layers(config, setting.inputs, setting.outputs)
    found = stack.layers(written, setting.inputs, setting.outputs)
    assert (found, list(found)) == (known, list(known))
    loss = configs.HalfMse(name="half_mse")
    assert theory.says(found, setting.inputs, loss, GD) == theory.says(known, setting.inputs, loss, GD)


@pytest.mark.parametrize(("family", "name"), [row for row in SETTINGS if row[1] == "tiny"])
def test_the_bits_of_a_written_network_are_those_of_its_family(family: str, name: str) -> None:
    config, written, setting = twins(family, name)
    assert setting.parameters <= SMALL
    found = []
    for part in (config, written):
        network = zoo.build(part.family, part, inputs=setting.inputs, outputs=setting.outputs)
        x = jax.random.uniform(jax.random.key(1), (5, *setting.inputs), "float32")

        def risk(params: Any, network: Any = network, x: Any = x) -> jax.Array:
            return (network.apply(params, x) ** 2).sum()

        params = network.init(jax.random.key(0))
        kept = params, network.apply(params, x), jax.jit(jax.grad(risk))(params)
        found.append(np.asarray(flatten_util.ravel_pytree(kept)[0]))
    assert np.array_equal(*found)


def test_a_stack_of_an_mlp_is_certified_as_the_mlp() -> None:
    mlp = builders.mlp(4)
    written = stack.written(builders.layers("mlp", (1, 1, 3), 3, hidden=[4], activation="tanh"))
    cells = (builders.cell(model=model) for model in (mlp, {"family": "stack", "layers": written}))
    one, other = (certify.certify(cell).as_dict() for cell in cells)
    assert one["verdict"] == "certified" and one["points"]
    for name in set(one) - {"cell_id"}:
        assert one[name] == other[name], name


def test_what_is_written_in_two_ways_is_one_configuration() -> None:
    short = of("relu", "leaky_relu", {"dense": 3})
    long = of({"layer": "relu"}, {"leaky_relu": 0.01}, {"dense": 3, "bias": True, "gain": 1.0, "name": None})
    assert short == long
    assert short.model_dump(mode="json")["layers"] == ["relu", "leaky_relu", {"dense": 3}]
    kept = of({"residual": [{"layer": "mean", "name": "pool"}], "scale": 0.5}, {"norm": "group", "groups": 2})
    assert kept.model_dump(mode="json")["layers"] == [
        {"residual": [{"layer": "mean", "name": "pool"}], "scale": 0.5},
        {"norm": "group", "groups": 2},
    ]


def test_parameters_stand_in_the_order_of_the_list() -> None:
    config = of(*["tanh", {"dense": 2}] * 30, {"dense": "outputs", "name": "zz"})
    network = zoo.build("stack", config, inputs=(2,), outputs=3)
    names = list(jax.eval_shape(network.init, jax.random.key(0)))
    assert names == sorted(names) and names[:2] == ["01_dense", "03_dense"] and len(names) == 31


def test_places_lead_to_what_is_written() -> None:
    inner = [{"convolution": 2}, {"residual": ["tanh"], "shortcut": [{"convolution": 2}]}]
    config = of({"residual": inner, "shortcut": [{"convolution": 2}]}, "mean", {"dense": "outputs"})
    rows = stack.rows(config, (4, 4, 1), 3)
    assert [row.path[-1] for row in rows] == [
        *("00_convolution", "00_tanh", "00_convolution", "01_residual", "00_convolution", "00_residual"),
        *("01_mean", "02_dense"),
    ]
    assert [row.shape for row in rows] == [(4, 4, 2)] * 6 + [(2,), (3,)]
    assert rows[1].place == ("layers", 0, "residual", 1, "residual", 0)
    assert rows[1].path == ("00_residual", "inner", "01_residual", "inner", "00_tanh")
    found = stack.layers(config, (4, 4, 1), 3)
    for row in rows:
        node: Any = found
        for step in row.path:
            node = node[step] if isinstance(node, dict) else getattr(node, step)
        assert node == row.layer


def test_the_word_activation_is_that_of_the_stack() -> None:
    found = stack.layers(of("activation", {"dense": "outputs"}, activation="gelu"), (3,), 2)
    assert found["00_activation"] == layer.Activation("gelu")
    with pytest.raises(layer.Misfit, match="the stack has no activation") as refused:
        stack.layers(of({"dense": 2}, "activation"), (3,), 2)
    assert refused.value.place == ("layers", 1)


@pytest.mark.parametrize(
    ("layers", "place", "words"),
    [
        ([{"dense": 3}], (0,), "the last layer gives an array of shape (4, 4, 3), but (2,) is asked for"),
        (["flatten", {"convolution": 3}], (1,), "an image (height, width, channels) is needed here, not an array of"),
        ([{"residual": ["mean"]}], (0,), "the residual sum adds (4, 4, 1) and (1,)"),
        ([{"residual": ["tanh", {"attention": 1}]}], (0, "residual", 1), "tokens (tokens, features) are needed here"),
        ([{"residual": ["tanh"], "shortcut": [{"attention": 1}]}], (0, "shortcut", 0), "tokens (tokens, features)"),
        (
            [{"mix_tokens": ["tanh"]}],
            (0,),
            "tokens (tokens, features) are needed here, not an array of",
        ),
        ([{"patches": 2}, {"mix_tokens": [{"attention": 3}]}], (1, "mix_tokens", 0), "width 4 is not divisible by"),
        ([{"repeat": 256, "layers": ["tanh"] * 5}], (0, "layers", 4), "more than 1,024 layers"),
        ([{"shared": "a", "layers": [{"shared": "a"}]}], (0, "layers", 0), "no block before is called a"),
        (
            [{"shared": "a", "layers": ["tanh"]}, "flatten", {"shared": "a"}],
            (2,),
            "takes arrays of shape (4, 4, 1)",
        ),
        ([{"shared": "a", "layers": ["tanh"]}, {"shared": "a", "layers": ["relu"]}], (1,), "has other layers than"),
        (["tokens", {"image": [3, 5]}], (1,), "an image of 3x5 positions is not made of 16 tokens"),
        ([{"dense": 1}, {"embedding": 3, "vocabulary": 2}], (1,), "so it comes first in the stack"),
        ([{"convolution": 4}, {"convolution": 6, "depthwise": True}], (1,), "6 channels are no multiple of the 4"),
        ([{"dense": 3, "name": "a"}, {"dense": 3, "name": "a"}], (1,), "two layers of a list are called a"),
    ],
)
def test_what_does_not_fit_is_refused_where_it_is_written(layers: Any, place: stack.Place, words: str) -> None:
    with pytest.raises(layer.Misfit) as refused:
        zoo.check("stack", of(*layers), (4, 4, 1), 2)
    assert refused.value.place == ("layers", *place)
    assert words in str(refused.value)


def nested(depth: int) -> Any:
    """Returns one item with so many lists within one another."""
    item: Any = "tanh"
    for _ in range(depth):
        item = {"residual": [item]}
    return item


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([nested(items.DEPTH)], "lists within lists; allowed: 6 within one another at most"),
        ([nested(100_000)], "lists within lists; allowed: 6 within one another at most"),
        (["tanh"] * 257, "at most 256 items"),
        ([{"dense": 3, "name": "order"}], "another name, as this one is taken"),
        ([{"dense": 3, "name": "A"}], "should match pattern"),
        ([{"convolution": 3, "side": 2}], "an odd number"),
        ([{"position": "learned", "grid": [2, 2]}], "a grid goes with position fixed"),
        ([{"norm": "layer", "groups": 2}], "groups 2 goes with norm group"),
    ],
)
def test_what_is_too_deep_too_long_or_makes_no_sense_is_refused(layers: Any, words: str) -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        stack.Config.model_validate({"family": "stack", "layers": layers})
    assert words in str(refused.value)


def test_the_deepest_list_is_taken() -> None:
    assert items.depth(of(nested(items.DEPTH - 1)).layers) == items.DEPTH


def test_names_do_not_hide_what_modules_have() -> None:
    assert {name for name in dir(nnx.Module) if not name.startswith("_")} <= items.RESERVED


def test_a_repeated_block_is_that_often_there_and_a_shared_one_has_one_set_of_parameters() -> None:
    block = {"repeat": 2, "layers": [{"residual": [{"dense": 3, "name": "one"}], "name": "block"}, {"dense": 3}]}
    cell = {"shared": "cell", "layers": [{"dense": 3}, "tanh"]}
    network = zoo.build(
        "stack", of(block, cell, {"shared": "cell"}, cell, {"dense": "outputs"}), inputs=(3,), outputs=2
    )
    shapes = jax.tree.map(lambda leaf: leaf.shape, jax.eval_shape(network.init, jax.random.key(0)))
    assert set(shapes) == {"00_00_01_dense", "00_01_01_dense", "block_0", "block_1", "01_shared", "04_dense"}
    assert shapes["01_shared"] == {"inner": {"00_dense": {"bias": (3,), "kernel": (3, 3)}}}
    params = jax.tree.map(np.asarray, network.init(jax.random.key(0)))
    x = np.random.default_rng(0).standard_normal((4, 3)).astype("float32")

    def dense(x: np.ndarray, part: Any) -> np.ndarray:
        return x @ part["kernel"] + part["bias"]

    known = x
    for time in ("0", "1"):
        known = known + dense(known, params[f"block_{time}"]["inner"]["one"])
        known = dense(known, params[f"00_0{time}_01_dense"])
    for _ in range(3):
        known = np.tanh(dense(known, params["01_shared"]["inner"]["00_dense"]))
    assert np.allclose(network.apply(params, x), dense(known, params["04_dense"]), rtol=1e-5, atol=1e-5)


def test_no_closed_point_and_no_list_of_bad_steps_rests_on_a_shared_layer() -> None:
    cell = {"shared": "cell", "layers": [{"dense": 4}, "tanh"]}
    layers = stack.layers(of("flatten", {"dense": 4}, cell, {"shared": "cell"}, {"dense": "outputs"}), (2, 2, 1), 2)
    head, why = heads.find(layers)
    assert head is None and "no dense layer, convolution or norm" in why
    assert heads.units(layers) is None
    says = theory.says(layers, (2, 2, 1), configs.HalfMse(name="half_mse"), GD)
    assert (says.bad, says.one_piece, says.covered) == ("?", True, "proposition 11")
    own = stack.layers(
        of("flatten", {"dense": 4}, cell, {"shared": "cell"}, {"dense": 4}, "tanh", {"dense": 2}), (2, 2, 1), 2
    )
    assert heads.find(own)[0] is not None
    assert theory.says(own, (2, 2, 1), configs.HalfMse(name="half_mse"), GD).bad == "none"


def test_a_dilated_kernel_is_one_with_zeros_and_a_depthwise_one_is_diagonal() -> None:
    random = np.random.default_rng(1)
    x = random.standard_normal((2, 6, 5, 2))

    def made(item: Any) -> tuple[Any, Any]:
        network = zoo.build("stack", of(item, "mean", {"dense": "outputs"}), inputs=(6, 5, 2), outputs=4)
        shapes = jax.eval_shape(network.init, jax.random.key(0))
        return network, jax.tree.map(lambda leaf: random.standard_normal(leaf.shape), shapes)

    narrow, params = made({"convolution": 4, "dilation": 2, "name": "a"})
    wide = made({"convolution": 4, "side": 5, "name": "a"})[0]
    spread = np.zeros((5, 5, 2, 4))
    spread[::2, ::2] = params["a"]["kernel"]
    others = params | {"a": params["a"] | {"kernel": spread}}
    assert np.allclose(narrow.apply(params, x), wide.apply(others, x), rtol=1e-12, atol=1e-12)
    narrow, params = made({"convolution": 4, "depthwise": True, "stride": 2, "name": "a"})
    wide = made({"convolution": 4, "stride": 2, "name": "a"})[0]
    spread = np.zeros((3, 3, 2, 4))
    for channel in range(4):
        spread[:, :, channel // 2, channel] = params["a"]["kernel"][:, :, 0, channel]
    others = params | {"a": params["a"] | {"kernel": spread}}
    assert np.allclose(narrow.apply(params, x), wide.apply(others, x), rtol=1e-12, atol=1e-12)


def test_a_causal_token_sees_no_later_one() -> None:
    items_ = ["tokens", {"attention": 1, "causal": True}, {"dense": 1}, "flatten"]
    network = zoo.build("stack", of(*items_), inputs=(1, 5, 2), outputs=5)
    params = jax.tree.map(lambda leaf: leaf + 0.3, network.init(jax.random.key(0)))
    x = np.random.default_rng(2).standard_normal((1, 1, 5, 2)).astype("float32")
    slopes = np.asarray(jax.jacobian(lambda x: network.apply(params, x)[0])(x))[:, 0, 0].any(axis=-1)
    assert np.array_equal(slopes, np.tril(np.ones((5, 5), bool)))


def test_a_number_in_a_layer_that_training_does_not_hold_is_refused_there() -> None:
    layers = [{"residual": [{"norm": "layer", "epsilon": 1e-60}]}, "flatten", {"dense": "outputs"}]
    with pytest.raises(errors.InputError) as refused:
        builders.cells(model={"family": "stack", "layers": layers})
    assert "model.layers[0].residual[0].epsilon: 1e-60 is not allowed" in str(refused.value)


@pytest.mark.parametrize(
    ("data", "vocabulary", "words"),
    [
        ({"name": "digits", "examples": 8}, 4, "an embedding of 4 integers does not fit: digits has no integers"),
        (
            {"name": "parity", "examples": 8, "length": 4},
            1,
            "an embedding of 1 integers does not fit: parity has 2 integers; allowed: a vocabulary of at least 2",
        ),
    ],
)
def test_an_embedding_is_for_the_integers_of_the_data(data: Any, vocabulary: int, words: str) -> None:
    layers = [{"embedding": 2, "vocabulary": vocabulary}, "mean", {"dense": "outputs"}]
    with pytest.raises(errors.InputError) as refused:
        builders.cells(data=data, model={"family": "stack", "layers": layers})
    assert "model.layers[0]: " + words in str(refused.value)
