# SPDX-License-Identifier: Apache-2.0
"""VGG-style convolutional networks: stages of 3x3 convolutions, each stage closed by a 2x2 max-pool, a dense head.

Source: Simonyan & Zisserman, ICLR 2015, arXiv 1409.1556. Hypotheses of the theorem: convolutions are covered for
generic data; max-pooling is max(u, v) = v + relu(u - v), a piecewise-analytic step the paper does not name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import pydantic

from zoo import config

if TYPE_CHECKING:
    from flax import nnx

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
    bias: config.Bias = True


def check(config: Config, inputs: tuple[int, ...]) -> None:
    """Raises ValueError when the image cannot be halved once per stage."""
    height, width, _ = inputs
    factor = 2 ** len(config.stages)
    if height % factor or width % factor:
        raise ValueError(
            f"{len(config.stages)} stages halve the image {len(config.stages)} times, "
            f"but {height}x{width} is not divisible by {factor}"
        )


def network(config: Config, inputs: tuple[int, ...], outputs: int, rngs: nnx.Rngs) -> nnx.Module:
    """Returns the network; kernels are LeCun-normal, biases zero."""
    from zoo import activations, layers

    phi = activations.function(config.activation)
    height, width, channels = inputs
    stack: dict[str, layers.Layer] = {}
    for s, stage in enumerate(config.stages):
        for c, channels_out in enumerate(stage):
            stack[f"conv_{s}_{c}"] = layers.conv3x3(channels, channels_out, bias=config.bias, rngs=rngs)
            stack[f"activation_{s}_{c}"] = phi
            channels = channels_out
        stack[f"pool_{s}"] = layers.max_pool2x2
        height, width = height // 2, width // 2
    stack["flatten"] = layers.flatten
    features = height * width * channels
    for d, features_out in enumerate(config.dense):
        stack[f"dense_{d}"] = layers.dense(features, features_out, bias=config.bias, rngs=rngs)
        stack[f"activation_dense_{d}"] = phi
        features = features_out
    stack["head"] = layers.dense(features, outputs, bias=config.bias, rngs=rngs)
    return layers.Stack(stack)
