# SPDX-License-Identifier: Apache-2.0
"""Residual networks for small images: a convolution, stages of two-convolution blocks, the mean, a dense head.

Source: He, Zhang, Ren & Sun, CVPR 2016, arXiv 1512.03385, section 4.2, with shortcuts of option A (no parameters). Two
things differ. BatchNorm couples the examples of a batch, so there is none: GroupNorm or LayerNorm, with as many
parameters, or nothing stands in its place. Without a norm the sums would grow with depth, so each block's inner branch
is scaled by 1 / sqrt(blocks of the network) (Hayou et al., Stable ResNet, AISTATS 2021, arXiv 2010.12859).

Hypotheses of the theorem: convolutions are covered for generic data; residual sums, and norms with epsilon > 0, are
analytic steps that the paper does not name.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import pydantic

from zoo import config, layer


class Config(config.Config):
    """A ResNet: the channels of its stages, blocks in each stage, activation, norm."""

    family: Literal["resnet"]
    channels: Annotated[
        tuple[config.Width, ...],
        pydantic.Field(strict=False, min_length=1, max_length=8, description="Channels of each stage, not falling."),
    ]
    blocks: Annotated[int, pydantic.Field(ge=1, le=64, description="Blocks in each stage.")]
    activation: config.Activation
    norm: Annotated[
        Literal["none", "layer", "group"],
        pydantic.Field(
            description="After each convolution: nothing, LayerNorm over the channels of a position, or GroupNorm."
        ),
    ] = "none"
    groups: Annotated[config.Width, pydantic.Field(description="Groups of channels, with `norm: group` only.")] = 1
    bias: Annotated[
        bool, pydantic.Field(description="Whether layers have biases; a convolution before a norm never has.")
    ] = True
    gain: config.Gain = 1.0

    @pydantic.model_validator(mode="after")
    def _groups_are_for_groups(self) -> Config:
        if self.groups != 1 and self.norm != "group":
            raise ValueError(f"groups {self.groups} goes with norm group, not with norm {self.norm}")
        return self


def layers(config: Config, inputs: layer.Shape, outputs: int) -> layer.Layers:
    """Returns conv, norm, activation, for each block block_s_b and activation_s_b, pool, and head."""
    norms = {"none": None, "layer": layer.LayerNorm(), "group": layer.GroupNorm(config.groups)}
    norm = norms[config.norm]
    scale = 1.0 if norm else 1 / math.sqrt(len(config.channels) * config.blocks)

    def convolution(name: str, channels: int, stride: int) -> dict[str, layer.Layer]:
        bias = config.bias and norm is None
        conv = layer.Convolution(channels, stride=stride, bias=bias, gain=config.gain)
        return {f"conv{name}": conv} | ({f"norm{name}": norm} if norm else {})

    found = convolution("", config.channels[0], 1) | {"activation": layer.Activation(config.activation)}
    for s, channels in enumerate(config.channels):
        for b in range(config.blocks):
            smaller = s > 0 and b == 0
            inner = {
                **convolution("_0", channels, 2 if smaller else 1),
                "activation": layer.Activation(config.activation),
                **convolution("_1", channels, 1),
            }
            shortcut = {"subsample": layer.Subsample(channels)} if smaller else {}
            found[f"block_{s}_{b}"] = layer.Residual(inner, shortcut, scale)
            found[f"activation_{s}_{b}"] = layer.Activation(config.activation)
    return found | {"pool": layer.Mean(), "head": layer.Dense(outputs, config.bias, config.gain)}


def _published(blocks: int, parameters: int) -> config.Setting:
    """Returns the ResNet with 6 blocks + 2 layers of the paper, GroupNorm in place of BatchNorm."""
    fields: dict[str, Any] = {
        "channels": [16, 32, 64],
        "blocks": blocks,
        "activation": "relu",
        "norm": "group",
        "groups": 8,
        "gain": 1.41421356,
    }
    source = "He et al., CVPR 2016, arXiv 1512.03385, table 6; GroupNorm (arXiv 1803.08494) in place of BatchNorm"
    return config.Setting(fields, (32, 32, 3), 10, parameters, source)


SETTINGS = {
    "tiny": config.tiny(1306, {"channels": [4, 8], "blocks": 1, "activation": "relu"}),
    "resnet20": _published(3, 269_722),
    "resnet32": _published(5, 464_154),
    "resnet56": _published(9, 853_018),
}
