# SPDX-License-Identifier: Apache-2.0
"""What a configuration is: the typed fields of a spec's parts, with ranges, defaults and what people read of them.

One file for each part: `data`, `loss`, `start`, `optimizer`, `diagnostics`; `recipe` is all that changes a number, and
`cell` is a recipe with the names of its spec. Nothing here knows what is done with them.

Example:
    >>> from harness import config
    >>> config.Gd(name="gd", learning_rate=0.5).batch_size is None  # every step sees the whole batch
    True
    >>> config.checkpoint_steps(steps=300, checkpoints=5)
    (0, 1, 7, 45, 300)
"""

from __future__ import annotations

from harness.config.cell import ADDED, DOMAIN, SCHEMA, Cell, hash_of
from harness.config.data import Data, File, Images, Planted, Tfds
from harness.config.diagnostics import Budget, DiagnosticName, Diagnostics
from harness.config.expected import Expected, Range, Value
from harness.config.loss import Ce, HalfMse, Loss, Output, SmoothedCe
from harness.config.optimizer import (
    CONSTANT,
    Constant,
    Cosine,
    EtaLambda,
    Gd,
    LearningRate,
    Linear,
    Momentum,
    Optimizer,
    Piecewise,
    Schedule,
    Sgd,
    extremes,
)
from harness.config.precision import refused_step_size
from harness.config.recipe import Model, Recipe, Target, checkpoint_steps
from harness.config.start import (
    Branch,
    DeepLinearSaddle,
    Given,
    HeadSaddle,
    Origin,
    PlantedMinimum,
    Random,
    SplitSaddle,
    Start,
    ZeroUnitSaddle,
)
from harness.config.trace import MOST_TRACE_POINTS, Trace

__all__ = [
    "ADDED",
    "CONSTANT",
    "DOMAIN",
    "MOST_TRACE_POINTS",
    "SCHEMA",
    "Branch",
    "Budget",
    "Ce",
    "Cell",
    "Constant",
    "Cosine",
    "Data",
    "DeepLinearSaddle",
    "DiagnosticName",
    "Diagnostics",
    "EtaLambda",
    "Expected",
    "File",
    "Gd",
    "Given",
    "HalfMse",
    "HeadSaddle",
    "Images",
    "LearningRate",
    "Linear",
    "Loss",
    "Model",
    "Momentum",
    "Optimizer",
    "Origin",
    "Output",
    "Piecewise",
    "Planted",
    "PlantedMinimum",
    "Random",
    "Range",
    "Recipe",
    "Schedule",
    "Sgd",
    "SmoothedCe",
    "SplitSaddle",
    "Start",
    "Target",
    "Tfds",
    "Trace",
    "Value",
    "ZeroUnitSaddle",
    "checkpoint_steps",
    "extremes",
    "hash_of",
    "refused_step_size",
]
