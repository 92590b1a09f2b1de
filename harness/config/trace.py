# SPDX-License-Identifier: Apache-2.0
"""The `trace` part of a spec: how many eigenvalues are followed through a run, and how often they are asked."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from harness.config.diagnostics import Percent
from zoo.config import Config

MOST_TRACE_POINTS = 100_000
"""Trace points of a run, at most."""


class Trace(Config):
    """The largest eigenvalues and the least one, followed: with one of the keys every, points, budget."""

    top: Annotated[int, pydantic.Field(ge=1, le=32, description="How many of the largest eigenvalues.")] = 8
    every: Annotated[
        int | None, pydantic.Field(ge=1, le=10**7, description="A trace point after each so many steps.")
    ] = None
    points: Annotated[
        int | None, pydantic.Field(ge=2, le=MOST_TRACE_POINTS, description="So many trace points, as `spacing` says.")
    ] = None
    spacing: Annotated[
        Literal["log", "linear"], pydantic.Field(description="How `points` lie between the first step and the last.")
    ] = "log"
    budget: Annotated[
        Percent | None,
        pydantic.Field(
            description="Share of the training's cost that trace points may add, in gradients: `25 %`; it decides how "
            "often."
        ),
    ] = None
    precision: Annotated[Literal["training", "float64"], pydantic.Field(description="Arithmetic of the trace.")] = (
        "training"
    )
    batches: Annotated[
        int | None,
        pydantic.Field(
            ge=0,
            le=1024,
            multiple_of=2,
            description="Mini-batches that the batch sharpness of SGD is averaged over at a trace point, an even "
            "number; null for as many as cost 10 gradients (16 to 512), 0 for none.",
        ),
    ] = None
