# SPDX-License-Identifier: Apache-2.0
"""The published networks: of the size that was published, and with the bad step sizes that their specs claim."""

from __future__ import annotations

import re

import pytest

import zoo
from harness import config, data, specs, theory, workspace

SETTINGS = {
    "vgg-11": "vgg11",
    "vgg-13": "vgg13",
    "vgg-16": "vgg16",
    "vgg-19": "vgg19",
    "vit-ti": "vit-ti/16",
    "vit-s": "vit-s/16",
    "vit-b": "vit-b/16",
    "resnet-20": "resnet20",
    "resnet-32": "resnet32",
    "resnet-56": "resnet56",
    "mixer-s": "mixer-s/16",
    "mixer-b": "mixer-b/16",
    "fc-tanh": "edge-of-stability",
}
"""Each spec, and the setting of the zoo that it is; tests/zoo/test_settings.py counts their parameters."""

FOLDER = workspace.CHECKOUT / "specs" / "published"
SPECS = {one.name: one for one in specs.read_all([FOLDER])}

DECAYED = {"vgg": "exactly {2000}", "resnet": "exactly {1e+04}"}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_published_network_is_the_one_that_was_published(name: str) -> None:
    first = SPECS[name].cells[0]
    family = zoo.FAMILIES[first.model.family]
    setting = family.settings[SETTINGS[name]]
    published = family.config.model_validate({"family": first.model.family, **setting.fields})
    for cell in SPECS[name].cells:
        assert cell.model == published.model_copy(update={"activation": getattr(cell.model, "activation", None)})
        assert (data.facts(cell.data).shape, data.facts(cell.data).classes) == (setting.inputs, setting.outputs)
    assert first.model == published, "the first cell has the published activation"
    counts = re.findall(r"([\d,]{7,}) parameters", (FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    counts += re.findall(r"fc-tanh, ([\d,]+)", (FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    assert {int(count.replace(",", "")) for count in counts} == {setting.parameters}


def test_every_published_network_is_asked() -> None:
    assert set(SPECS) == set(SETTINGS)


@pytest.mark.parametrize("cell", [cell for one in SPECS.values() for cell in one.cells], ids=lambda cell: cell.label)
def test_a_published_network_has_the_bad_step_sizes_that_its_spec_claims(cell: config.Cell) -> None:
    says = theory.of(cell)
    relu_head = cell.model.family in DECAYED and getattr(cell.model, "activation", "") == "relu"
    expected = "exactly {1}" if relu_head and cell.loss.name == "half_mse" else "none"
    if cell.loss.weight_decay:
        expected = DECAYED[cell.model.family]
    assert says.bad == expected
    assert says.complete, "for all data"
