# SPDX-License-Identifier: Apache-2.0
"""The recipe of a cell: everything that changes a number, typed, with every default and range."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic

import zoo
from harness import data, problems, starts
from zoo import config

CHECKPOINTS = 16

Count = Annotated[int, pydantic.Field(ge=1, le=2**31 - 1)]
Line = Annotated[str, pydantic.Field(min_length=1, pattern=r"^\S(.*\S)?$")]


class Part(pydantic.BaseModel):
    """A frozen part of a spec that refuses keys it does not know and types it would have to guess."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


if TYPE_CHECKING:

    class Model(config.Config):
        """What the configurations of all families have."""

        family: str

    DatasetName = str
    StartName = str
else:  # the names come from the tables
    Model = Annotated[
        functools.reduce(operator.or_, (family.config for family in zoo.FAMILIES.values())),
        pydantic.Field(discriminator="family"),
    ]
    DatasetName = Literal[tuple(data.DATASETS)]
    StartName = Literal[tuple(starts.STARTS)]


class Data(Part):
    """A data set and how much of it."""

    name: Annotated[DatasetName, pydantic.Field(description="The data set.")]
    examples: Annotated[
        Count | None, pydantic.Field(description="Train on the first so many training examples; null for all.")
    ] = None


class HalfMse(Part):
    """Half the squared distance between outputs and one-hot label, summed over outputs."""

    name: Literal["half_mse"]


class SmoothedCe(Part):
    """Cross-entropy against smoothed labels."""

    name: Literal["smoothed_ce"]
    smoothing: Annotated[
        float, pydantic.Field(gt=0, lt=1, description="Share of the label's mass that is spread over all classes.")
    ] = 0.1


class Ce(Part):
    """Cross-entropy against the one-hot label."""

    name: Literal["ce"]


Loss = Annotated[HalfMse | SmoothedCe | Ce, pydantic.Field(discriminator="name")]


class Start(Part):
    """A start point."""

    name: Annotated[StartName, pydantic.Field(description="The start point.")]


class EtaLambda(Part):
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


class Gd(Part):
    """Full-batch gradient descent."""

    name: Literal["gd"]
    learning_rate: LearningRate


class Sgd(Part):
    """Gradient descent on random mini-batches."""

    name: Literal["sgd"]
    learning_rate: LearningRate
    batch_size: Annotated[Count, pydantic.Field(description="Examples in each mini-batch.")]


Optimizer = Annotated[Gd | Sgd, pydantic.Field(discriminator="name")]


class Recipe(Part):
    """Everything that changes a number, and nothing else."""

    data: Annotated[Data, pydantic.Field(description="The training set.")]
    model: Annotated[Model, pydantic.Field(description="The network: its family and that family's own fields.")]
    loss: Annotated[Loss, pydantic.Field(description="The loss of one example; the risk is its mean.")]
    start: Annotated[Start, pydantic.Field(description="Where a run begins.")] = Start(name="random")
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
    precision: Annotated[
        Literal["float32", "float64"], pydantic.Field(description="Arithmetic of training; diagnostics use float64.")
    ] = "float32"
    curvature: Annotated[
        Literal["auto", "dense", "lanczos"],
        pydantic.Field(description="How eigenvalues are found; auto: dense for small nets, Lanczos above."),
    ] = "auto"

    def resolved(self) -> dict[str, Any]:
        """Returns the recipe as nested plain values, defaults written out, in the form of a spec."""
        return self.model_dump(mode="json", include=set(Recipe.model_fields))


def conflicts(recipe: Recipe) -> Iterator[problems.Problem]:
    """Yields what is wrong between fields that are right by themselves."""
    dataset = data.DATASETS[recipe.data.name]
    examples = recipe.data.examples or dataset.train_examples
    if examples > dataset.train_examples:
        limit = f"at most {dataset.train_examples}, the training examples of {recipe.data.name}"
        yield problems.Problem(("data", "examples"), f"{examples} is not allowed; allowed: {limit}")
    elif isinstance(recipe.optimizer, Sgd) and recipe.optimizer.batch_size > examples:
        text = (
            f"{recipe.optimizer.batch_size} is not allowed; allowed: at most {examples}, the examples of a full batch"
        )
        yield problems.Problem(("optimizer", "batch_size"), text)
    if recipe.checkpoints > recipe.steps + 1:
        text = f"{recipe.checkpoints} is not allowed; allowed: at most {recipe.steps + 1}, which is steps + 1"
        yield problems.Problem(("checkpoints",), text)
    try:
        zoo.FAMILIES[recipe.model.family].check(recipe.model, dataset.shape)
    except ValueError as error:
        yield problems.Problem(("model",), str(error), key=True)
