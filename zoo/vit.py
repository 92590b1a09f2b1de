# SPDX-License-Identifier: Apache-2.0
"""Vision transformers: patches, a learned positional code, pre-norm blocks of softmax attention and MLP, mean pooling.

Source: Dosovitskiy et al., ICLR 2021, arXiv 2010.11929 (mean pooling instead of a class token, as its appendix D.3
and Beyer et al., arXiv 2205.01580, do). Hypotheses of the theorem: softmax attention and dense layers are covered;
residual sums and LayerNorm with epsilon > 0 are analytic steps that the paper does not name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import pydantic

from zoo import config

if TYPE_CHECKING:
    from flax import nnx


class Config(config.Config):
    """A ViT: patch side, token width, depth, heads, width of the blocks' MLP and its activation."""

    family: Literal["vit"]
    patch: Annotated[config.Width, pydantic.Field(description="Side of a patch, in pixels.")]
    width: Annotated[config.Width, pydantic.Field(description="Features of a token.")]
    depth: Annotated[int, pydantic.Field(ge=1, le=64, description="Number of blocks.")]
    heads: Annotated[int, pydantic.Field(ge=1, le=64, description="Attention heads; they divide `width`.")]
    mlp_width: Annotated[config.Width, pydantic.Field(description="Hidden width of each block's MLP.")]
    activation: config.Activation

    @pydantic.model_validator(mode="after")
    def _heads_divide_width(self) -> Config:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by heads {self.heads}")
        return self


def check(config: Config, inputs: tuple[int, ...]) -> None:
    """Raises ValueError when the patches do not tile the image."""
    height, width, _ = inputs
    if height % config.patch or width % config.patch:
        raise ValueError(f"patches of side {config.patch} do not tile a {height}x{width} image")


def network(config: Config, inputs: tuple[int, ...], outputs: int, rngs: nnx.Rngs) -> nnx.Module:
    """Returns the network; kernels are LeCun-normal, biases zero.

    The positional code starts normal with deviation 1 / sqrt(width). At the usual 0.02 the blank patches of small
    images meet LayerNorm where it is steepest, and the sharpness starts 20 times higher (measured on digits).
    """
    from zoo import activations, layers

    height, width, channels = inputs
    tokens = (height // config.patch) * (width // config.patch)
    stack: dict[str, layers.Layer] = {
        "patches": layers.patches(config.patch),
        "embed": layers.dense(channels * config.patch**2, config.width, bias=True, rngs=rngs),
        "position": layers.Position(tokens, config.width, rngs=rngs),
    }
    for b in range(config.depth):
        stack[f"attention_{b}"] = layers.Residual(
            config.width, layers.attention(config.width, config.heads, rngs=rngs), rngs=rngs
        )
        mlp = layers.Stack(
            {
                "dense_0": layers.dense(config.width, config.mlp_width, bias=True, rngs=rngs),
                "activation_0": activations.function(config.activation),
                "dense_1": layers.dense(config.mlp_width, config.width, bias=True, rngs=rngs),
            }
        )
        stack[f"mlp_{b}"] = layers.Residual(config.width, mlp, rngs=rngs)
    stack["norm"] = layers.norm(config.width, rngs=rngs)
    stack["mean"] = layers.mean_over_tokens
    stack["head"] = layers.dense(config.width, outputs, bias=True, rngs=rngs)
    return layers.Stack(stack)
