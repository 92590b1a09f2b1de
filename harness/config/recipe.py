# SPDX-License-Identifier: Apache-2.0
"""The recipe of a cell: everything that changes a number, typed, with every default and range."""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic

import zoo
from harness.config.data import Data
from harness.config.diagnostics import Diagnostics
from harness.config.loss import Loss
from harness.config.optimizer import Optimizer
from harness.config.start import Random, Start
from harness.config.trace import Trace
from zoo import code
from zoo.config import Config

CHECKPOINTS = 16


if TYPE_CHECKING:

    class Model(Config):
        """What the configurations of all families have."""

        family: str

else:  # the names come from the table
    Model = Annotated[
        functools.reduce(operator.or_, (code.Config, *(family.config for family in zoo.FAMILIES.values()))),
        pydantic.Field(discriminator="family"),
        pydantic.BeforeValidator(code.written),
    ]


class Target(Config):
    """How far a run is to come, and then ends: one of the two."""

    loss_gap: Annotated[
        float | None, pydantic.Field(gt=0, description="Training loss above the infimum of the risk, at most.")
    ] = None
    loss: Annotated[float | None, pydantic.Field(description="Training loss, at most.")] = None


class Recipe(Config):
    """Everything that changes a number, and nothing else."""

    data: Annotated[Data, pydantic.Field(description="The training set.")]
    model: Annotated[Model, pydantic.Field(description="The network: its family and that family's own fields.")]
    loss: Annotated[Loss, pydantic.Field(description="The loss of one example; the risk is its mean.")]
    start: Annotated[Start, pydantic.Field(description="Where a run begins.")] = Random(name="random")
    optimizer: Annotated[Optimizer, pydantic.Field(description="The map that is iterated.")]
    steps: Annotated[int, pydantic.Field(ge=1, le=10**7, description="Optimizer steps of a run.")]
    checkpoints: Annotated[
        int,
        pydantic.Field(
            ge=2,
            le=1000,
            default_factory=lambda fields: min(CHECKPOINTS, fields.get("steps", CHECKPOINTS) + 1),
            description="Number of log-spaced checkpoint steps, the first 0, the last `steps`; 16 unless given, "
            "`steps` + 1 for shorter runs.",
        ),
    ]
    target: Annotated[
        Target | None,
        pydantic.Field(
            description="A run ends at the first step (with mini-batches, checkpoint step) at which it is so far: "
            "`{loss_gap: 1e-3}` above the infimum, or `{loss: 0.5}`; null for never."
        ),
    ] = None
    precision: Annotated[
        Literal["float32", "float64"], pydantic.Field(description="Arithmetic of training; diagnostics use float64.")
    ] = "float32"
    curvature: Annotated[
        Literal["auto", "dense", "lanczos"],
        pydantic.Field(
            description="How eigenvalues are found; auto: dense up to 2,000 parameters, Lanczos above. `dense` is for "
            "at most 5,000 parameters on a CPU, 20,000 on an accelerator."
        ),
    ] = "auto"
    diagnostics: Diagnostics = "auto"
    trace: Annotated[
        Trace | None,
        pydantic.Field(
            description="Loss at every step, and at many of them the largest eigenvalues: `{top: 8, every: 10}`, "
            "`{points: 200}` or `{budget: 25 %}`; null for none."
        ),
    ] = None

    def resolved(self) -> dict[str, Any]:
        """Returns the recipe as nested plain values, defaults written out, in the form of a spec."""
        return self.model_dump(mode="json", include=set(Recipe.model_fields))

    @property
    def checkpoint_steps(self) -> tuple[int, ...]:
        """The steps at which a run is measured."""
        return checkpoint_steps(self.steps, self.checkpoints)


def checkpoint_steps(steps: int, checkpoints: int) -> tuple[int, ...]:
    """Returns the steps at which a run is measured: 0, `steps`, and log-spaced ones between.

    Args:
        steps: Optimizer steps of the run, at least 1.
        checkpoints: How many steps to return, at least 2; never more than there are.

    Returns:
        min(checkpoints, steps + 1) increasing integers.
    """
    count = min(checkpoints, steps + 1) - 1
    if count == 1:
        return (0, steps)
    chosen = [0]
    for i in range(count):
        spaced = round(steps ** (i / (count - 1)))
        # Steps stay distinct, and room is left for those to come.
        chosen.append(min(max(spaced, chosen[-1] + 1), steps - (count - 1 - i)))
    return tuple(chosen)
