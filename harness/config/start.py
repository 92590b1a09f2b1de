# SPDX-License-Identifier: Apache-2.0
"""The `start` part of a spec: where a run begins."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from zoo.config import Config


class Random(Config):
    """The family's own random initialisation, from the run's seed."""

    name: Literal["random"]


class Given(Config):
    """The parameters that the spec gives; every seed starts there."""

    name: Literal["given"]
    theta: Annotated[
        tuple[float, ...],
        pydantic.Field(
            strict=False,
            min_length=1,
            max_length=1000,
            description="All parameters, layer by layer in the alphabetical order of their names.",
        ),
    ]


Perturbation = Annotated[
    float,
    pydantic.Field(
        ge=0, le=1e6, description="Length of a random displacement, drawn by the run's seed; 0 to start at the point."
    ),
]
Drawn = Annotated[
    int, pydantic.Field(ge=0, le=2**31 - 1, description="The seed that draws what the point leaves free.")
]
Radius = Annotated[
    float,
    pydantic.Field(
        gt=0, le=1e6, description="A run has left once its share in the steepest negative directions is this long."
    ),
]


class PlantedMinimum(Config):
    """The parameters that the data set's planted targets come from: an exact global minimum."""

    name: Literal["planted_minimum"]
    perturbation: Perturbation = 0.0


class Branch(Config):
    """Where another run was: its saved state at a checkpoint step."""

    name: Literal["branch"]
    run: Annotated[
        str,
        pydantic.Field(
            min_length=15,
            max_length=24,
            pattern=r"^[0-9a-f]{12}-s[0-9]{1,10}$",
            description="That run, as `gdzoo status` and its folder name it: `0123456789ab-s0`.",
        ),
    ]
    step: Annotated[
        int, pydantic.Field(ge=0, le=10**7, description="Its step there; steps and batches are counted on from it.")
    ]
    perturbation: Perturbation = 0.0


class HeadSaddle(Config):
    """The last two layers zero, the output bias optimal, what lies below drawn: a strict saddle of known spectrum."""

    name: Literal["head_saddle"]
    perturbation: Perturbation = 0.0
    radius: Radius = 0.01
    seed: Drawn = 0


class Origin(Config):
    """All parameters zero but the output bias, which is optimal: strict for two layers, flat for more."""

    name: Literal["origin"]
    perturbation: Perturbation = 0.0
    radius: Radius = 0.01


class DeepLinearSaddle(Config):
    """A deep linear network that has learned so many of the strongest directions, and balances them."""

    name: Literal["deep_linear_saddle"]
    rank: Annotated[int, pydantic.Field(ge=0, le=65536, description="How many directions are learned.")]
    perturbation: Perturbation = 0.0
    radius: Radius = 0.01


class ZeroUnitSaddle(Config):
    """Units, or an attention head, that reach no output and that no output pulls: a strict saddle off every kink."""

    name: Literal["zero_unit_saddle"]
    perturbation: Perturbation = 0.0
    radius: Radius = 0.01
    seed: Drawn = 0


class SplitSaddle(Config):
    """A critical point of the network with one unit less, one unit of which is split in two."""

    name: Literal["split_saddle"]
    share: Annotated[
        float,
        pydantic.Field(
            ge=-10, le=10, description="Share gamma of the outgoing weights that one of the two units gets."
        ),
    ] = 0.5
    perturbation: Perturbation = 0.0
    radius: Radius = 0.01
    seed: Drawn = 0


Start = Annotated[
    Random | Given | Branch | PlantedMinimum | HeadSaddle | Origin | DeepLinearSaddle | ZeroUnitSaddle | SplitSaddle,
    pydantic.Field(discriminator="name"),
]
