# SPDX-License-Identifier: Apache-2.0
"""Vision transformers: patches, a positional code, pre-norm blocks of softmax attention and MLP, pooling, a dense head.

Source: Dosovitskiy et al., ICLR 2021, arXiv 2010.11929; mean pooling instead of a class token as in its appendix D.3;
fixed code and mean pooling as in Beyer et al., arXiv 2205.01580. Hypotheses of the theorem: softmax attention and dense
layers are covered; residual sums and LayerNorm with epsilon > 0 are analytic steps that the paper does not name.

Learned codes and the class token start normal with deviation 1 / sqrt(width). At the usual 0.02 the blank patches of
small images meet LayerNorm where it is steepest, and the sharpness starts 20 times higher (measured on digits).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic

from zoo import config, layer


class Config(config.Config):
    """A ViT: patch side, token width, depth, heads, width of the blocks' MLP and its activation."""

    family: Literal["vit"]
    patch: Annotated[config.Width, pydantic.Field(description="Side of a patch, in pixels.")]
    width: Annotated[config.Width, pydantic.Field(description="Features of a token.")]
    depth: Annotated[int, pydantic.Field(ge=1, le=64, description="Number of blocks.")]
    heads: Annotated[int, pydantic.Field(ge=1, le=64, description="Attention heads; they divide `width`.")]
    mlp_width: Annotated[config.Width, pydantic.Field(description="Hidden width of each block's MLP.")]
    activation: config.Activation
    positions: Annotated[
        Literal["learned", "fixed"],
        pydantic.Field(description="The positional code: learned, or sines and cosines (`width` divisible by 4)."),
    ] = "learned"
    pooling: Annotated[
        Literal["mean", "class_token"],
        pydantic.Field(description="What the head sees: the mean over tokens, or a learned token put before them."),
    ] = "mean"
    norm_epsilon: config.NormEpsilon = 1e-6
    bias: Annotated[
        bool, pydantic.Field(description="Whether dense layers and attention have biases; LayerNorm keeps its shift.")
    ] = True


def layers(config: Config, inputs: layer.Shape, outputs: int) -> layer.Layers:
    """Returns patches, embed, class token and positional code, attention_b and mlp_b for each block, norm, pool, head.

    The fixed code comes before the class token, which therefore has code zero; a learned code has a row for it.
    """
    height, width, _ = inputs
    norm = {} if config.norm_epsilon is None else {"norm": layer.LayerNorm(config.norm_epsilon)}
    token = {"class_token": layer.ClassToken()} if config.pooling == "class_token" else {}
    if config.positions == "fixed":
        tokens = {"position": layer.Position((height // config.patch, width // config.patch)), **token}
    else:
        tokens = {**token, "position": layer.Position()}
    found: dict[str, layer.Layer] = {
        "patches": layer.Patches(config.patch),
        "embed": layer.Dense(config.width, config.bias),
        **tokens,
    }
    for b in range(config.depth):
        attention = {**norm, "attention": layer.Attention(config.heads, config.bias)}
        mlp = {
            **norm,
            "dense_0": layer.Dense(config.mlp_width, config.bias),
            "activation_0": layer.Activation(config.activation),
            "dense_1": layer.Dense(config.width, config.bias),
        }
        found |= {f"attention_{b}": layer.Residual(attention), f"mlp_{b}": layer.Residual(mlp)}
    pool = layer.FirstToken() if config.pooling == "class_token" else layer.Mean()
    return found | norm | {"pool": pool, "head": layer.Dense(outputs, config.bias)}


def _published(width: int, heads: int, parameters: int, source: str) -> config.Setting:
    """Returns a ViT of depth 12 on patches of 16 pixels, with a class token and learned positions."""
    fields: dict[str, Any] = {
        "patch": 16,
        "width": width,
        "depth": 12,
        "heads": heads,
        "mlp_width": 4 * width,
        "activation": "gelu",
        "positions": "learned",
        "pooling": "class_token",
    }
    return config.Setting(fields, (224, 224, 3), 1000, parameters, source)


_DEIT = "Touvron et al., ICML 2021, arXiv 2012.12877, table 1, without distillation token"

SETTINGS = {
    "tiny": config.tiny(1690, {"patch": 2, "width": 12, "depth": 1, "heads": 2, "mlp_width": 24, "activation": "relu"}),
    "vit-ti/16": _published(192, 3, 5_717_416, _DEIT),
    "vit-s/16": _published(384, 6, 22_050_664, _DEIT),
    "vit-b/16": _published(768, 12, 86_567_656, "Dosovitskiy et al., ICLR 2021, arXiv 2010.11929, table 1"),
}
