# SPDX-License-Identifier: Apache-2.0
"""The `optimizer` part of a spec: the map that is iterated, its step size, and which examples a step sees.

All optimizers can be asked for `batch_size` (None: all examples), `sampling` and `momentum` (None: plain descent);
where one has no such field, the answer is a constant of its class and stands in no spec.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import pydantic

from zoo.config import Config

Count = Annotated[int, pydantic.Field(ge=1, le=2**31 - 1)]


class EtaLambda(Config):
    """A step size in units of the sharpness at the start: eta = eta_lambda / lambda_max, resolved for each seed."""

    eta_lambda: Annotated[
        float,
        pydantic.Field(
            gt=0,
            le=1000,
            description="eta = eta_lambda / λ_max at the start: at 1 the map starts singular, above 2 unstable.",
        ),
    ]


LearningRate = Annotated[
    Annotated[float, pydantic.Field(gt=0), pydantic.Tag("number")] | Annotated[EtaLambda, pydantic.Tag("eta_lambda")],
    pydantic.Discriminator(lambda value: "eta_lambda" if isinstance(value, dict | EtaLambda) else "number"),
    pydantic.Field(description="The step size eta, or `{eta_lambda: c}` for eta = c / λ_max at the start."),
]


class Constant(Config):
    """The same step size at every step."""

    name: Literal["constant"]


class Piecewise(Config):
    """A step size that jumps at given steps."""

    name: Literal["piecewise"]
    at: Annotated[
        tuple[Count, ...],
        pydantic.Field(strict=False, min_length=1, max_length=100, description="Ascending steps at which it jumps."),
    ]
    factors: Annotated[
        tuple[Annotated[float, pydantic.Field(gt=0, le=1000)], ...],
        pydantic.Field(
            strict=False, min_length=1, max_length=100, description="What learning_rate is multiplied by from each on."
        ),
    ]


Warmup = Annotated[
    int, pydantic.Field(ge=0, le=2**31 - 1, description="Steps in which it first rises to learning_rate.")
]
To = Annotated[
    float, pydantic.Field(gt=0, le=1, description="Share of learning_rate that is left after the last step.")
]


class Linear(Config):
    """A step size that falls in a straight line."""

    name: Literal["linear"]
    warmup: Warmup = 0
    to: To = 0.01


class Cosine(Config):
    """A step size that falls along half a cosine."""

    name: Literal["cosine"]
    warmup: Warmup = 0
    to: To = 0.01


Schedule = Annotated[
    Annotated[Constant | Piecewise | Linear | Cosine, pydantic.Field(discriminator="name")],
    pydantic.Field(description="How the step size changes from step to step; constant unless given."),
]
CONSTANT = Constant(name="constant")


def extremes(schedule: Constant | Piecewise | Linear | Cosine, steps: int) -> tuple[float, ...]:
    """Returns factors between which those of all steps of a run lie, the last checkpoint step's among them."""
    match schedule:
        case Constant():
            return (1.0,)
        case Piecewise():
            return (1.0, *(factor for factor, at in zip(schedule.factors, schedule.at, strict=False) if at <= steps))
        case _:
            return (1.0, 1 / (schedule.warmup + 1), schedule.to)


BatchSize = Annotated[Count, pydantic.Field(description="Examples in each mini-batch.")]
MaybeBatch = Annotated[Count | None, pydantic.Field(description="Examples in each mini-batch; null for all.")]
Sampling = Annotated[
    Literal["replacement", "reshuffling", "cyclic"],
    pydantic.Field(
        description="Which examples a mini-batch has: drawn with replacement; the next in an order drawn anew for each "
        "epoch; the next in the order of the data set."
    ),
]


class Gd(Config):
    """Full-batch gradient descent."""

    name: Literal["gd"]
    learning_rate: LearningRate
    schedule: Schedule = CONSTANT
    batch_size: ClassVar[None] = None
    sampling: ClassVar[Literal["replacement"]] = "replacement"
    momentum: ClassVar[None] = None


class Sgd(Config):
    """Gradient descent on random mini-batches."""

    name: Literal["sgd"]
    learning_rate: LearningRate
    batch_size: BatchSize
    sampling: Sampling = "replacement"
    schedule: Schedule = CONSTANT
    momentum: ClassVar[None] = None


class Momentum(Config):
    """Gradient descent with momentum: Polyak's heavy ball, or Nesterov's."""

    name: Literal["heavy_ball", "nesterov"]
    learning_rate: LearningRate
    momentum: Annotated[float, pydantic.Field(gt=0, lt=1, description="What v is multiplied by at each step.")]
    batch_size: MaybeBatch = None
    sampling: Sampling = "replacement"
    schedule: Schedule = CONSTANT


Optimizer = Annotated[Gd | Sgd | Momentum, pydantic.Field(discriminator="name")]
