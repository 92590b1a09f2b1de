# SPDX-License-Identifier: Apache-2.0
"""What the configurations of all families share."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

Width = Annotated[int, pydantic.Field(ge=1, le=65536)]
"""A number of units, channels or tokens' features."""

ActivationName = Literal["relu", "leaky_relu", "gelu", "tanh", "sigmoid", "identity"]
"""A name in ACTIVATIONS (a test holds the two lists equal)."""

Activation = Annotated[ActivationName, pydantic.Field(description="The function between layers.")]

Bias = Annotated[bool, pydantic.Field(description="Whether layers have biases.")]


class Config(pydantic.BaseModel):
    """A frozen configuration that refuses keys it does not know and types it would have to guess."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)
