# SPDX-License-Identifier: Apache-2.0
"""MLP-Mixers: patches, then blocks of one MLP across tokens and one across features, the mean, a dense head.

Source: Tolstikhin et al., NeurIPS 2021, arXiv 2105.01601; without dropout and stochastic depth. Hypotheses of the
theorem: dense layers, here with shared weights, are covered; residual sums and LayerNorm with epsilon > 0 are analytic
steps that the paper does not name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pydantic

from zoo import config, layer


class Config(config.Config):
    """A Mixer: patch side, token width, depth, hidden widths of its two kinds of MLP, activation."""

    family: Literal["mixer"]
    patch: Annotated[config.Width, pydantic.Field(description="Side of a patch, in pixels.")]
    width: Annotated[config.Width, pydantic.Field(description="Features of a token.")]
    depth: Annotated[int, pydantic.Field(ge=1, le=64, description="Number of blocks.")]
    tokens_width: Annotated[config.Width, pydantic.Field(description="Hidden width of the MLPs across tokens.")]
    channels_width: Annotated[config.Width, pydantic.Field(description="Hidden width of the MLPs across features.")]
    activation: config.Activation
    norm_epsilon: config.NormEpsilon = 1e-6


def layers(config: Config, inputs: layer.Shape, outputs: int) -> layer.Layers:
    """Returns patches, embed, tokens_b and channels_b for each block, norm, pool, and head."""
    norm = {} if config.norm_epsilon is None else {"norm": layer.LayerNorm(config.norm_epsilon)}
    patches = layer.Patches(config.patch)
    tokens = patches.output(inputs)[0]

    def mlp(hidden: int, width: int) -> dict[str, layer.Layer]:
        return {
            "dense_0": layer.Dense(hidden),
            "activation_0": layer.Activation(config.activation),
            "dense_1": layer.Dense(width),
        }

    found: dict[str, layer.Layer] = {"patches": patches, "embed": layer.Dense(config.width)}
    for b in range(config.depth):
        across = layer.MixTokens(mlp(config.tokens_width, tokens))
        found[f"tokens_{b}"] = layer.Residual({**norm, "mix": across})
        found[f"channels_{b}"] = layer.Residual({**norm, **mlp(config.channels_width, config.width)})
    return found | norm | {"pool": layer.Mean(), "head": layer.Dense(outputs)}


def _published(width: int, depth: int, tokens_width: int, channels_width: int, parameters: int) -> config.Setting:
    """Returns a Mixer of the paper on patches of 16 pixels."""
    fields: dict[str, Any] = {
        "patch": 16,
        "width": width,
        "depth": depth,
        "tokens_width": tokens_width,
        "channels_width": channels_width,
        "activation": "gelu",
    }
    source = "Tolstikhin et al., NeurIPS 2021, arXiv 2105.01601, table 1; ImageNet head of 1000 outputs"
    return config.Setting(fields, (224, 224, 3), 1000, parameters, source)


SETTINGS = {
    "tiny": config.tiny(
        1154, {"patch": 2, "width": 12, "depth": 1, "tokens_width": 8, "channels_width": 24, "activation": "relu"}
    ),
    "mixer-s/16": _published(512, 8, 256, 2048, 18_528_264),
    "mixer-b/16": _published(768, 12, 384, 3072, 59_880_472),
}
