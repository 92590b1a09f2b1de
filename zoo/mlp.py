# SPDX-License-Identifier: Apache-2.0
"""Fully connected networks: flatten, then dense layers with one activation between them.

Source: Rumelhart, Hinton & Williams, 1986. Hypotheses of the theorem: dense layers, covered directly.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Annotated, Literal

import pydantic

from zoo import config

if TYPE_CHECKING:
    from flax import nnx


class Config(config.Config):
    """An MLP: the widths of its hidden layers, its activation, and whether layers have biases."""

    family: Literal["mlp"]
    hidden: Annotated[
        tuple[config.Width, ...],
        pydantic.Field(strict=False, max_length=64, description="Widths of the hidden layers."),
    ]
    activation: config.Activation
    bias: config.Bias = True


def check(config: Config, inputs: tuple[int, ...]) -> None:
    """Accepts every input shape: an MLP flattens."""


def network(config: Config, inputs: tuple[int, ...], outputs: int, rngs: nnx.Rngs) -> nnx.Module:
    """Returns the network; kernels are LeCun-normal, biases zero."""
    from zoo import activations, layers

    widths = [math.prod(inputs), *config.hidden]
    stack: dict[str, layers.Layer] = {"flatten": layers.flatten}
    for i, (width_in, width_out) in enumerate(itertools.pairwise(widths)):
        stack[f"dense_{i}"] = layers.dense(width_in, width_out, bias=config.bias, rngs=rngs)
        stack[f"activation_{i}"] = activations.function(config.activation)
    stack["head"] = layers.dense(widths[-1], outputs, bias=config.bias, rngs=rngs)
    return layers.Stack(stack)
