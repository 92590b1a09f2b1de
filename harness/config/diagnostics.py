# SPDX-License-Identifier: Apache-2.0
"""The `diagnostics` part of a spec: what is measured."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

import pydantic
import pydantic_core

from zoo.config import Config

PERCENT = re.compile(r"(?!0*(\.0*)? ?%)([0-9]{1,6}(\.[0-9]{1,3})?) ?%")


def _percent(value: Any) -> float:
    found = PERCENT.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise pydantic_core.PydanticCustomError("percent", "not a percentage")
    return float(found[2])


Percent = Annotated[
    float,
    pydantic.BeforeValidator(_percent),
    pydantic.PlainSerializer(lambda value: f"{value:.10g} %", return_type=str),
    pydantic.WithJsonSchema({"type": "string", "pattern": f"^{PERCENT.pattern}$", "examples": ["10 %"]}),
]
"""A percentage: `10 %` in a file."""


class Budget(Config):
    """Diagnostics in the order of `gdzoo list diagnostics`, each that still fits a share of the training's cost."""

    budget: Annotated[
        Percent,
        pydantic.Field(description="Share of the training's cost that diagnostics may add, in gradients: `10 %`."),
    ]


DiagnosticName = Literal[
    "fit",
    "margin",
    "sharpness",
    "singularity",
    "gaps",
    "state",
    "critical",
    "kinks",
    "changes",
    "minibatches",
    "sweep",
    "inverse",
    "exponents",
    "progress",
    "departure",
    "minimum",
    "stability",
    "displacement",
    "saddle",
    "escape",
    "flip",
    "layers",
]
"""A name in DIAGNOSTICS, in its order (a test holds the two lists equal)."""


def _in_order(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the names as the table has them, each once, `fit` among them, so that one choice is one cell."""
    return tuple(name for name in get_args(DiagnosticName) if name in names or name == "fit")


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
