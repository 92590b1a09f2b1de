# SPDX-License-Identifier: Apache-2.0
"""The `loss` part of a spec: the loss of one example, and weight decay."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from zoo.config import Config

Decay = Annotated[
    float,
    pydantic.Field(
        ge=0, le=1, description="d adds d/2 times the squared norm of all parameters to the risk; 0 for none."
    ),
]


class HalfMse(Config):
    """Half the squared distance between outputs and targets, summed over outputs."""

    name: Literal["half_mse"]
    weight_decay: Decay = 0.0


class SmoothedCe(Config):
    """Cross-entropy against smoothed labels."""

    name: Literal["smoothed_ce"]
    smoothing: Annotated[
        float, pydantic.Field(gt=0, lt=1, description="Share of the label's mass that is spread over all classes.")
    ] = 0.1
    weight_decay: Decay = 0.0


class Ce(Config):
    """Cross-entropy against the labels themselves."""

    name: Literal["ce"]
    weight_decay: Decay = 0.0


class Output(Config):
    """The network's output itself, for networks that are a risk: `quadratic`, `curve`."""

    name: Literal["output"]
    infimum: Annotated[
        float | None,
        pydantic.Field(description="The infimum of the risk, decay included, if you know it; null if not."),
    ] = None
    weight_decay: Decay = 0.0


Loss = Annotated[HalfMse | SmoothedCe | Ce | Output, pydantic.Field(discriminator="name")]
