# SPDX-License-Identifier: Apache-2.0
"""VGG networks: stages of 3x3 convolutions, each stage closed by a 2x2 pooling, then dense layers and a dense head.

Source: Simonyan & Zisserman, ICLR 2015, arXiv 1409.1556; without dropout. A pooling window that reaches over an odd
border takes what is there, so images of any size fit. Hypotheses of the theorem: convolutions are covered for generic
data; average-pooling is linear; max-pooling is max(u, v) = v + relu(u - v), a piecewise-analytic step the paper does
not name.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import pydantic

from zoo import config, layer

Stage = Annotated[tuple[config.Width, ...], pydantic.Field(strict=False, min_length=1, max_length=16)]


class Config(config.Config):
    """A VGG: for each stage the channels of its convolutions, then the widths of dense layers before the head."""

    family: Literal["vgg"]
    stages: Annotated[
        tuple[Stage, ...],
        pydantic.Field(
            strict=False, min_length=1, max_length=16, description="For each stage, the channels of its convolutions."
        ),
    ]
    dense: Annotated[
        tuple[config.Width, ...],
        pydantic.Field(strict=False, max_length=16, description="Widths of dense layers before the head."),
    ] = ()
    activation: config.Activation
    pool: Annotated[
        Literal["max", "average"], pydantic.Field(description="What each 2x2 window becomes: its maximum or its mean.")
    ] = "max"
    width: Annotated[
        float,
        pydantic.Field(
            gt=0, le=64, description="Multiplies channels of `stages` and widths of `dense`; rounded, at least 1."
        ),
    ] = 1.0
    bias: config.Bias = True
    gain: config.Gain = 1.0


def layers(config: Config, inputs: layer.Shape, outputs: int) -> layer.Layers:
    """Returns conv_s_c and activation_s_c for each stage, pool_s after it, flatten, the dense layers, and head."""
    pool = layer.MaxPool() if config.pool == "max" else layer.AveragePool()

    def scaled(width: int) -> int:
        return max(1, math.floor(config.width * width + 0.5))

    found: dict[str, layer.Layer] = {}
    for s, stage in enumerate(config.stages):
        for c, channels in enumerate(stage):
            found[f"conv_{s}_{c}"] = layer.Convolution(scaled(channels), bias=config.bias, gain=config.gain)
            found[f"activation_{s}_{c}"] = layer.Activation(config.activation)
        found[f"pool_{s}"] = pool
    found["flatten"] = layer.Flatten()
    for d, width in enumerate(config.dense):
        found[f"dense_{d}"] = layer.Dense(scaled(width), config.bias, config.gain)
        found[f"activation_dense_{d}"] = layer.Activation(config.activation)
    return found | {"head": layer.Dense(outputs, config.bias, config.gain)}


def _published(letter: str, convolutions: tuple[int, ...], parameters: int) -> config.Setting:
    """Returns configuration A, B, D or E of the paper, given how many convolutions each stage has."""
    channels = (64, 128, 256, 512, 512)
    fields: dict[str, Any] = {
        "stages": [[c] * n for c, n in zip(channels, convolutions, strict=True)],
        "dense": [4096, 4096],
        "activation": "relu",
    }
    source = f"Simonyan & Zisserman, ICLR 2015, arXiv 1409.1556: configuration {letter} of table 1, counts of table 2"
    return config.Setting(fields, (224, 224, 3), 1000, parameters, source)


SETTINGS = {
    "tiny": config.tiny(1398, {"stages": [[4, 4], [8, 8]], "activation": "relu"}),
    "vgg11": _published("A", (1, 1, 2, 2, 2), 132_863_336),
    "vgg13": _published("B", (2, 2, 2, 2, 2), 133_047_848),
    "vgg16": _published("D", (2, 2, 3, 3, 3), 138_357_544),
    "vgg19": _published("E", (2, 2, 4, 4, 4), 143_667_240),
}
