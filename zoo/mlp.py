# SPDX-License-Identifier: Apache-2.0
"""Fully connected networks: flatten, then dense layers with one activation between them.

Source: Rumelhart, Hinton & Williams, 1986. Hypotheses of the theorem: dense layers, covered directly.
"""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from zoo import config, layer


class Config(config.Config):
    """An MLP: the widths of its hidden layers, its activation, whether layers have biases, how large it starts."""

    family: Literal["mlp"]
    hidden: Annotated[config.Widths, pydantic.Field(description="Widths of the hidden layers.")]
    activation: config.Activation
    bias: config.Bias = True
    gain: config.Gain = 1.0


def layers(config: Config, inputs: layer.Shape, outputs: int) -> layer.Layers:
    """Returns flatten, for each hidden width dense_i and activation_i, and head; fits every input."""
    found: dict[str, layer.Layer] = {"flatten": layer.Flatten()}
    for i, width in enumerate(config.hidden):
        found[f"dense_{i}"] = layer.Dense(width, config.bias, config.gain)
        found[f"activation_{i}"] = layer.Activation(config.activation)
    return found | {"head": layer.Dense(outputs, config.bias, config.gain)}


SETTINGS = {
    "tiny": config.tiny(1482, {"hidden": [16, 16], "activation": "relu"}),
    "lenet-300-100": config.Setting(
        {"hidden": [300, 100], "activation": "tanh"},
        (28, 28, 1),
        10,
        266_610,
        "LeCun, Bottou, Bengio & Haffner, Proc. IEEE 1998, section III.C.4: 28x28-300-100-10; the count follows",
    ),
    "edge-of-stability": config.Setting(
        {"hidden": [200, 200], "activation": "tanh"},
        (32, 32, 3),
        10,
        656_810,
        "Cohen et al., ICLR 2021, arXiv 2103.00065: two hidden layers of 200 on CIFAR-10; the count follows",
    ),
}
