# SPDX-License-Identifier: Apache-2.0
"""The recipe of a cell: everything that changes a number, typed, with every default and range."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pydantic
import pydantic_core

import zoo
from harness import data, diagnostics, starts
from harness.config import data as data_config
from harness.risk import losses
from harness.specs import problems
from zoo import config
from zoo.config import Config

CHECKPOINTS = 16

Count = Annotated[int, pydantic.Field(ge=1, le=2**31 - 1)]


if TYPE_CHECKING:

    class Model(config.Config):
        """What the configurations of all families have."""

        family: str

else:  # the names come from the table
    Model = Annotated[
        functools.reduce(operator.or_, (family.config for family in zoo.FAMILIES.values())),
        pydantic.Field(discriminator="family"),
    ]

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
    Random | Given | PlantedMinimum | HeadSaddle | Origin | DeepLinearSaddle | ZeroUnitSaddle | SplitSaddle,
    pydantic.Field(discriminator="name"),
]


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


class Sgd(Config):
    """Gradient descent on random mini-batches."""

    name: Literal["sgd"]
    learning_rate: LearningRate
    batch_size: BatchSize
    sampling: Sampling = "replacement"
    schedule: Schedule = CONSTANT


class Momentum(Config):
    """Gradient descent with momentum: Polyak's heavy ball, or Nesterov's."""

    name: Literal["heavy_ball", "nesterov"]
    learning_rate: LearningRate
    momentum: Annotated[float, pydantic.Field(gt=0, lt=1, description="What v is multiplied by at each step.")]
    batch_size: MaybeBatch = None
    sampling: Sampling = "replacement"
    schedule: Schedule = CONSTANT


Optimizer = Annotated[Gd | Sgd | Momentum, pydantic.Field(discriminator="name")]


PERCENT = re.compile(r"(?!0*(\.0*)? ?%)([0-9]{1,6}(\.[0-9]{1,3})?) ?%")


def _percent(value: Any) -> float:
    found = PERCENT.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise pydantic_core.PydanticCustomError("percent", "not a percentage")
    return float(found[2])


class Budget(Config):
    """Diagnostics in the order of `gdzoo list diagnostics`, each that still fits a share of the training's cost."""

    budget: Annotated[
        float,
        pydantic.BeforeValidator(_percent),
        pydantic.PlainSerializer(lambda value: f"{value:.10g} %", return_type=str),
        pydantic.WithJsonSchema({"type": "string", "pattern": f"^{PERCENT.pattern}$", "examples": ["10 %"]}),
        pydantic.Field(description="Share of the training's cost that diagnostics may add, in gradients: `10 %`."),
    ]


if TYPE_CHECKING:
    DiagnosticName = str
else:  # the names come from the table
    DiagnosticName = Literal[tuple(diagnostics.DIAGNOSTICS)]


def _in_order(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the names as the table has them, each once, `fit` among them, so that one choice is one cell."""
    return tuple(name for name in diagnostics.DIAGNOSTICS if name in names or name == "fit")


def _kind(value: Any) -> str:
    return "budget" if isinstance(value, dict | Budget) else "names" if isinstance(value, list | tuple) else "auto"


Diagnostics = Annotated[
    Annotated[Literal["auto"], pydantic.Tag("auto")]
    | Annotated[
        tuple[DiagnosticName, ...],
        pydantic.Field(strict=False),
        pydantic.AfterValidator(_in_order),
        pydantic.Tag("names"),
    ]
    | Annotated[Budget, pydantic.Tag("budget")],
    pydantic.Discriminator(_kind),
    pydantic.Field(
        description="What is measured: auto for the cheap ones that apply, a list of names, or `{budget: 10 %}` of the "
        "training's cost for as many as fit; `fit` always. `gdzoo check` says what is left out."
    ),
]


class Target(Config):
    """How far a run is to come, and then ends: one of the two."""

    loss_gap: Annotated[
        float | None, pydantic.Field(gt=0, description="Training loss above the infimum of the risk, at most.")
    ] = None
    loss: Annotated[float | None, pydantic.Field(description="Training loss, at most.")] = None


class Recipe(Config):
    """Everything that changes a number, and nothing else."""

    data: Annotated[data_config.Data, pydantic.Field(description="The training set.")]
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

    def resolved(self) -> dict[str, Any]:
        """Returns the recipe as nested plain values, defaults written out, in the form of a spec."""
        return self.model_dump(mode="json", include=set(Recipe.model_fields))


def conflicts(recipe: Recipe) -> Iterator[problems.Problem]:
    """Yields what is wrong between fields that are right by themselves."""
    wrong = list(data.conflicts(recipe.data))
    yield from (problems.Problem(("data", *path), text) for path, text in wrong)
    if recipe.checkpoints > recipe.steps + 1:
        text = f"{recipe.checkpoints} is not allowed; allowed: at most {recipe.steps + 1}, which is steps + 1"
        yield problems.Problem(("checkpoints",), text)
    yield from _misscheduled(recipe)
    if recipe.target is not None:
        if (recipe.target.loss_gap is None) == (recipe.target.loss is None):
            yield problems.Problem(("target",), "this is not allowed; allowed: one key, loss_gap or loss", key=True)
        elif recipe.target.loss_gap is not None and not losses.known(recipe.loss):
            text = "the infimum of the risk is not known: under weight_decay, and for output unless it is given"
            yield problems.Problem(("target", "loss_gap"), f"{text}; use loss", key=True)
    if wrong:
        return
    facts = data.facts(recipe.data)
    sampling = getattr(recipe.optimizer, "sampling", "replacement")
    if sampling != "replacement" and len(set(getattr(recipe.data, "weights", ()))) > 1:
        text = f"{sampling!r} is not allowed; allowed: replacement, as the examples have unequal weights"
        yield problems.Problem(("optimizer", "sampling"), text)
    batch_size = getattr(recipe.optimizer, "batch_size", None)
    if batch_size is not None and batch_size > facts.examples:
        limit = f"at most {facts.examples}, the examples of a full batch"
        yield problems.Problem(("optimizer", "batch_size"), f"{batch_size} is not allowed; allowed: {limit}")
    if facts.task == "regression" and recipe.loss.name in ("ce", "smoothed_ce"):
        why = f"the targets of {recipe.data.name} are numbers"
        text = f"{recipe.loss.name!r} is not allowed; allowed: half_mse, output; {why}"
        yield problems.Problem(("loss", "name"), text)
    planted = not isinstance(getattr(recipe.data, "targets", "labels"), str)
    if planted and (recipe.loss.name not in ("half_mse", "ce") or recipe.loss.weight_decay):
        text = "planted targets are a global minimum under half_mse and ce without weight decay only"
        yield problems.Problem(("data", "targets"), f"{text}; change the loss, or write labels")
    if recipe.start.name == "planted_minimum" and not planted:
        text = (
            "planted_minimum is not allowed; it starts where planted targets come from: data.targets: {planted: SEED}"
        )
        yield problems.Problem(("start", "name"), text)
    try:
        zoo.check(recipe.model.family, recipe.model, facts.shape, facts.classes)
    except ValueError as error:
        yield problems.Problem(("model",), str(error), key=True)
        return
    why = starts.refusal(recipe, facts)
    if why:
        yield problems.Problem(
            ("start", "name"), f"{recipe.start.name!r} is not allowed; allowed: another start, or model: {why}"
        )


def _misscheduled(recipe: Recipe) -> Iterator[problems.Problem]:
    """Yields what is wrong with the steps of a schedule."""
    schedule = recipe.optimizer.schedule
    where = ("optimizer", "schedule")
    if isinstance(schedule, Piecewise):
        if len(schedule.at) != len(schedule.factors):
            text = f"{len(schedule.factors)} numbers; allowed: {len(schedule.at)}, one for each step of `at`"
            yield problems.Problem((*where, "factors"), text)
        if list(schedule.at) != sorted(set(schedule.at)):
            yield problems.Problem((*where, "at"), "not ascending; allowed: each step once, the first first")
    elif isinstance(schedule, Linear | Cosine) and schedule.warmup >= recipe.steps:
        text = f"{schedule.warmup} is not allowed; allowed: less than the {recipe.steps} steps of a run"
        yield problems.Problem((*where, "warmup"), text)
