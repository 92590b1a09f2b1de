# SPDX-License-Identifier: Apache-2.0
"""The configurations of the families: names as in the tables, and nothing accepted that would have to be guessed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import pydantic
import pytest

import zoo
from harness import template
from zoo import activations, config

TINY = {family: {"family": family, **model} for family, model in template.MODELS.items()}


def test_activation_names_are_those_of_the_table() -> None:
    assert get_args(config.ActivationName) == tuple(activations.ACTIVATIONS)


def test_every_family_has_a_small_example() -> None:
    assert set(TINY) == set(zoo.FAMILIES)


@pytest.mark.parametrize("family", zoo.FAMILIES)
def test_a_configuration_is_named_frozen_and_survives_a_round_trip(family: str) -> None:
    made = zoo.FAMILIES[family].config.model_validate(TINY[family])
    assert made.model_dump()["family"] == family
    assert zoo.FAMILIES[family].config.model_validate(made.model_dump()) == made
    assert hash(made) == hash(zoo.FAMILIES[family].config.model_validate(TINY[family]))
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        made.family = "other"  # type: ignore[attr-defined]


@pytest.mark.parametrize("family", zoo.FAMILIES)
@pytest.mark.parametrize("change", [{"widht": 3}, {"activation": "rleu"}, {"activation": None}, {"family": "other"}])
def test_a_configuration_refuses_unknown_keys_and_names(family: str, change: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        zoo.FAMILIES[family].config.model_validate(TINY[family] | change)


@pytest.mark.parametrize(
    ("family", "key"),
    [(family, key) for family, model in TINY.items() for key, value in model.items() if isinstance(value, int)],
)
@pytest.mark.parametrize("value", [0, -1, 65537, 1.0, True, "2", None])
def test_a_size_is_a_positive_integer_in_range(family: str, key: str, value: Any) -> None:
    with pytest.raises(pydantic.ValidationError):
        zoo.FAMILIES[family].config.model_validate(TINY[family] | {key: value})


@pytest.mark.parametrize("widths", [[0], [True], [1.0], ["1"], [65537], [1] * 65, "16", {"a": 1}, None])
def test_hidden_widths_are_a_list_of_sizes(widths: Any) -> None:
    with pytest.raises(pydantic.ValidationError):
        zoo.FAMILIES["mlp"].config.model_validate(TINY["mlp"] | {"hidden": widths})


def test_an_mlp_may_have_no_hidden_layer() -> None:
    assert zoo.FAMILIES["mlp"].config.model_validate(TINY["mlp"] | {"hidden": []}).model_dump()["hidden"] == ()


@pytest.mark.parametrize("stages", [[], [[]], [[0]], [4], [[4, 4.0]], [[1]] * 17])
def test_vgg_stages_are_lists_of_channels(stages: Any) -> None:
    with pytest.raises(pydantic.ValidationError):
        zoo.FAMILIES["vgg"].config.model_validate(TINY["vgg"] | {"stages": stages})


def test_the_heads_of_a_vit_divide_its_width() -> None:
    with pytest.raises(pydantic.ValidationError, match="width 12 is not divisible by heads 5"):
        zoo.FAMILIES["vit"].config.model_validate(TINY["vit"] | {"heads": 5})


def test_a_configuration_that_does_not_fit_the_image_is_refused_without_building() -> None:
    vgg = zoo.FAMILIES["vgg"].config.model_validate(TINY["vgg"])
    zoo.FAMILIES["vgg"].check(vgg, (8, 8, 1))
    with pytest.raises(ValueError, match="2 stages halve the image 2 times, but 6x8 is not divisible by 4"):
        zoo.FAMILIES["vgg"].check(vgg, (6, 8, 1))
    vit = zoo.FAMILIES["vit"].config.model_validate(TINY["vit"] | {"patch": 3})
    with pytest.raises(ValueError, match="patches of side 3 do not tile a 8x8 image"):
        zoo.FAMILIES["vit"].check(vit, (8, 8, 1))
    mlp = zoo.FAMILIES["mlp"].config.model_validate(TINY["mlp"])
    zoo.FAMILIES["mlp"].check(mlp, (7, 5, 3))


def test_importing_the_zoo_loads_neither_jax_nor_flax() -> None:
    code = "import sys, zoo; print(sorted({'jax', 'flax', 'optax', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
