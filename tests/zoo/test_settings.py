# SPDX-License-Identifier: Apache-2.0
"""The named settings: every one fits its family, and has as many parameters as were published."""

from __future__ import annotations

import json
import math

import jax
import pytest

import zoo

SETTINGS = [(family, name) for family, row in zoo.FAMILIES.items() for name in row.settings]
PUBLISHED = {
    "lenet-300-100": 266_610,
    "edge-of-stability": 656_810,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vit-ti/16": 5_717_416,
    "vit-s/16": 22_050_664,
    "vit-b/16": 86_567_656,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet56": 853_018,
    "mixer-s/16": 18_528_264,
    "mixer-b/16": 59_880_472,
}
"""Written out again, so that a slip in the table is seen."""


def counted(family: str, name: str) -> int:
    """Returns the number of parameters of a setting, without allocating one."""
    row = zoo.FAMILIES[family]
    setting = row.settings[name]
    config = row.config.model_validate({"family": family, **setting.fields})
    network = zoo.build(family, config, inputs=setting.inputs, outputs=setting.outputs)
    leaves = jax.tree.leaves(jax.eval_shape(network.init, jax.random.key(0)))
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in leaves)
    return sum(math.prod(leaf.shape) for leaf in leaves)


@pytest.mark.parametrize(("family", "name"), SETTINGS)
def test_a_setting_has_the_parameters_that_its_row_states(family: str, name: str) -> None:
    assert counted(family, name) == zoo.FAMILIES[family].settings[name].parameters


def test_the_table_states_the_published_numbers() -> None:
    stated = {name: zoo.FAMILIES[family].settings[name].parameters for family, name in SETTINGS}
    assert {name: stated[name] for name in PUBLISHED} == PUBLISHED


@pytest.mark.parametrize("family", zoo.FAMILIES)
def test_every_family_has_a_tiny_setting_that_fits_small_images(family: str) -> None:
    row = zoo.FAMILIES[family]
    tiny = row.settings["tiny"]
    assert next(iter(row.settings)) == "tiny"
    assert counted(family, "tiny") < 2000
    config = row.config.model_validate({"family": family, **tiny.fields})
    alone = family in ("paper_net", "quadratic", "curve")
    for inputs in [(1, 1, 1)] if alone else [(4, 4, 1), (8, 8, 1)]:
        zoo.check(family, config, inputs, 1 if alone else 10)
    assert (tiny.inputs, tiny.outputs) == (((1, 1, 1), 1) if alone else ((8, 8, 1), 10))


@pytest.mark.parametrize(("family", "name"), SETTINGS)
def test_a_setting_is_a_spec_without_its_family_and_has_a_source(family: str, name: str) -> None:
    row = zoo.FAMILIES[family]
    setting = row.settings[name]
    assert json.loads(json.dumps(setting.fields)) == setting.fields, "lists, not tuples"
    config = row.config.model_validate({"family": family, **setting.fields})
    dumped = config.model_dump(mode="json")
    assert {key: dumped[key] for key in setting.fields} == setting.fields
    assert list(setting.fields) == [key for key in dumped if key in setting.fields], "in the order of the fields"
    zoo.check(family, config, setting.inputs, setting.outputs)
    assert setting.source and row.source and row.title
    assert setting.parameters is not None or name == "tiny"
