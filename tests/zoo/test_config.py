# SPDX-License-Identifier: Apache-2.0
"""The configurations of the families: names as in the tables, and nothing accepted that would have to be guessed."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pydantic
import pytest

import zoo
from zoo import activations, config

TINY = {name: {"family": name, **row.settings["tiny"].fields} for name, row in zoo.FAMILIES.items()}
WITH_ACTIVATION = [name for name, row in zoo.FAMILIES.items() if "activation" in row.config.model_fields]


def made(name: str, /, **changes: Any) -> Any:
    return zoo.FAMILIES[name].config.model_validate(TINY[name] | changes)


@pytest.mark.parametrize("family", zoo.FAMILIES)
def test_a_configuration_is_named_frozen_and_survives_a_round_trip(family: str) -> None:
    found = made(family)
    assert found.family == family
    for mode in ("python", "json"):
        again = zoo.FAMILIES[family].config.model_validate(found.model_dump(mode=mode))
        assert (again, hash(again)) == (found, hash(found))
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        found.family = "other"


@pytest.mark.parametrize("family", zoo.FAMILIES)
@pytest.mark.parametrize("change", [{"widht": 3}, {"activation": "rleu"}, {"activation": None}, {"family": "other"}])
def test_a_configuration_refuses_unknown_keys_and_names(family: str, change: dict[str, Any]) -> None:
    if family == "stack" and change == {"activation": None}:
        return  # its list names them, or this one does
    with pytest.raises(pydantic.ValidationError):
        made(family, **change)


SIZES = [(family, key) for family, model in TINY.items() for key, value in model.items() if isinstance(value, int)]
FACTORS = [
    ("mlp", "gain"),
    ("deep_linear", "gain"),
    ("vgg", "gain"),
    ("vgg", "width"),
    ("resnet", "gain"),
    ("vit", "norm_epsilon"),
]
WIDTHS = [("mlp", "hidden"), ("deep_linear", "hidden")]
REFUSED: dict[str, tuple[list[tuple[str, str]], list[Any]]] = {
    "a size is a positive integer in range": (SIZES, [0, -1, 65537, 1.0, True, "2", None]),
    "a factor is a positive finite number": (FACTORS, [0, -1.0, math.inf, math.nan, "1", True]),
    "hidden widths are a list of sizes": (
        WIDTHS,
        [[0], [True], [1.0], ["1"], [65537], [1] * 65, "16", {"a": 1}, None],
    ),
    "stages are lists of channels": ([("vgg", "stages")], [[], [[]], [[0]], [4], [[4, 4.0]], [[1]] * 17]),
    "eigenvalues are a list of finite numbers": (
        [("quadratic", "eigenvalues")],
        [[], [math.inf], [math.nan], ["1"], [True], [1.0] * 10001, 1.0],
    ),
}


@pytest.mark.parametrize(
    ("family", "key", "value"),
    [
        pytest.param(family, key, value, id=f"{rule}-{family}.{key}-{place}")
        for rule, (fields, values) in REFUSED.items()
        for family, key in fields
        for place, value in enumerate(values)
    ],
)
def test_a_value_that_breaks_the_rule_of_its_field_is_refused(family: str, key: str, value: Any) -> None:
    with pytest.raises(pydantic.ValidationError):
        made(family, **{key: value})


def test_an_mlp_may_have_no_hidden_layer() -> None:
    assert made("mlp", hidden=[]).model_dump()["hidden"] == ()


def test_groups_are_for_group_norm() -> None:
    assert made("resnet", norm="group", groups=2).groups == 2
    for norm in ("none", "layer"):
        with pytest.raises(pydantic.ValidationError, match=f"groups 2 goes with norm group, not with norm {norm}"):
            made("resnet", norm=norm, groups=2)


@pytest.mark.parametrize("family", ["vit", "mixer"])
def test_null_epsilon_means_no_layer_norm(family: str) -> None:
    kinds = [type(each).__name__ for each in found_layers(family, norm_epsilon=1e-5)]
    assert kinds.count("LayerNorm") == 3
    assert {each.epsilon for each in found_layers(family, norm_epsilon=1e-5) if hasattr(each, "epsilon")} == {1e-5}
    assert "LayerNorm" not in [type(each).__name__ for each in found_layers(family, norm_epsilon=None)]


def found_layers(family: str, **changes: Any) -> list[Any]:
    """Returns every layer of a changed tiny network, nested ones too."""
    return list(zoo.layer.walk(zoo.FAMILIES[family].layers(made(family, **changes), (4, 4, 1), 3)))


@pytest.mark.parametrize("family", WITH_ACTIVATION)
def test_an_activation_is_a_name_or_a_leaky_relu_with_its_slope(family: str) -> None:
    for name in activations.ACTIVATIONS:
        assert made(family, activation=name).activation == name
    own = made(family, activation={"leaky_relu": 0.2})
    assert own.activation == config.LeakyRelu(leaky_relu=0.2)
    assert own.model_dump(mode="json")["activation"] == {"leaky_relu": 0.2}
    assert made(family, activation=own.activation) == own


def test_the_usual_slope_has_one_way_to_be_written() -> None:
    short, long = made("mlp", activation="leaky_relu"), made("mlp", activation={"leaky_relu": 0.01})
    assert short == long
    assert long.model_dump(mode="json")["activation"] == "leaky_relu"
    assert long.model_dump_json() == short.model_dump_json()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("rleu", "Input should be 'relu', 'leaky_relu', 'gelu'"),
        ({"leaky_relu": 0}, "Input should be greater than 0"),
        ({"leaky_relu": 1}, "Input should be less than 1"),
        ({"leaky_relu": "0.1"}, "Input should be a valid number"),
        ({"leaky_relu": 0.1, "slope": 0.1}, "Extra inputs are not permitted"),
        ({"relu": 0.1}, "Field required"),
        (["relu"], "Input should be 'relu', 'leaky_relu', 'gelu'"),
    ],
)
def test_a_wrong_activation_is_refused_in_one_sentence(wrong: Any, words: str) -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        made("mlp", activation=wrong)
    assert refused.value.errors()[0]["msg"].startswith(words)


def test_importing_the_zoo_loads_neither_jax_nor_flax() -> None:
    code = "import sys, zoo; print(sorted({'jax', 'flax', 'optax', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
