# SPDX-License-Identifier: Apache-2.0
"""What the configurations of all families share, and what a setting of a family is."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal

import pydantic

SLOPE = 0.01
"""The slope of leaky_relu below zero where none is given."""

Width = Annotated[int, pydantic.Field(ge=1, le=65536)]
"""A number of units, channels or tokens' features."""

Widths = Annotated[tuple[Width, ...], pydantic.Field(strict=False, max_length=64)]
"""The widths of layers, in order."""

Bias = Annotated[bool, pydantic.Field(description="Whether layers have biases.")]

Gain = Annotated[
    float,
    pydantic.Field(
        ge=1e-12, le=100, description="Kernels start with variance gain^2 / fan-in; 1.41421356 is He et al.'s."
    ),
]

NormEpsilon = Annotated[
    Annotated[float, pydantic.Field(gt=0, le=1)] | None,
    pydantic.Field(description="Added to the variance in LayerNorm; null for no LayerNorm at all."),
]

ActivationName = Literal[
    "relu",
    "leaky_relu",
    "gelu",
    "gelu_tanh",
    "sigmoid",
    "tanh",
    "silu",
    "softplus",
    "elu",
    "relu6",
    "hard_tanh",
    "identity",
    "square",
]
"""A name in ACTIVATIONS (a test holds the two lists equal)."""


class Config(pydantic.BaseModel):
    """A frozen configuration that refuses keys it does not know and types it would have to guess."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class LeakyRelu(Config):
    """The leaky ReLU with a slope of one's own."""

    leaky_relu: Annotated[float, pydantic.Field(gt=0, lt=1, description="The slope below zero.")]


def _canonical(activation: str | LeakyRelu) -> str | LeakyRelu:
    return "leaky_relu" if activation == LeakyRelu(leaky_relu=SLOPE) else activation


Activation = Annotated[
    Annotated[ActivationName, pydantic.Tag("name")] | Annotated[LeakyRelu, pydantic.Tag("leaky_relu")],
    pydantic.Discriminator(lambda value: "leaky_relu" if isinstance(value, dict | LeakyRelu) else "name"),
    pydantic.AfterValidator(_canonical),
    pydantic.Field(description="The function between layers, or `{leaky_relu: s}` for slope s below zero."),
]


@dataclasses.dataclass(frozen=True)
class Setting:
    """A family's configuration that has a name.

    Attributes:
        fields: The fields of its configuration without `family`, as they would stand in a spec.
        inputs: Shape of one example, (height, width, channels).
        outputs: Number of outputs K.
        parameters: Number of parameters as published, or as follows from the source.
        source: Paper and place that the configuration and the number come from.
    """

    fields: dict[str, Any]
    inputs: tuple[int, int, int]
    outputs: int
    parameters: int
    source: str


def tiny(
    parameters: int, fields: dict[str, Any], *, inputs: tuple[int, int, int] = (8, 8, 1), outputs: int = 10
) -> Setting:
    """Returns the setting that tests and new specs use: seconds on a CPU, nothing published."""
    return Setting(fields, inputs, outputs, parameters, "small enough to try: seconds on a CPU")
