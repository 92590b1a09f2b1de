# SPDX-License-Identifier: Apache-2.0
"""A risk of one parameter that is written down, whatever the input: the closed-form controls of one dimension.

`CURVES` has one row for each function. All are analytic between their breakpoints, and their second derivative is
constant on some of the intervals between them: there the gradient-descent map is singular at its reciprocal. Under the
loss that is the output itself the risk is L(theta). Theta starts standard normal. Hypotheses of the theorem: no network
at all; a scalar function that is piecewise analytic with finitely many breakpoints.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Literal

import pydantic

from zoo import config, layer

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax


@dataclasses.dataclass(frozen=True)
class Curve:
    """One function L of one parameter theta.

    Attributes:
        formula: L(theta).
        breakpoints: Where it is not analytic, increasing.
        plateaus: The values that L'' takes on whole intervals; on the others it is not constant.
        where: On which intervals.
        source: Where it is from.
    """

    formula: str
    breakpoints: tuple[float, ...]
    plateaus: tuple[float, ...]
    where: str
    source: str


CURVES: dict[str, Curve] = {
    "figure_1": Curve(
        "θ⁴/2 - 3θ² + 8 where |θ| <= 2, else θ²; its derivative is continuous",
        (-2.0, 2.0),
        (2.0,),
        "where |θ| > 2, L'' = 2",
        "Craciun & Ghoshdastidar, NeurIPS 2025, arXiv 2510.24466, figure 1",
    ),
    "plateaus": Curve(
        "θ²/2 + Σ s(2θ - 2k + 1) (θ - k + 1/4)²/2 over k = 1, 2, 3, with the step s(x) = 1/(1 + exp(1/x - 1/(1 - x))) "
        "on (0, 1), 0 below and 1 above; infinitely often differentiable",
        (0.5, 1.0, 1.5, 2.0, 2.5, 3.0),
        (1.0, 2.0, 3.0, 4.0),
        "L'' = 1 up to 1/2, 2 on [1, 3/2], 3 on [2, 5/2] and 4 from 3 on",
        "closed-form control: smooth, and not analytic",
    ),
}


class Config(config.Config):
    """A risk of one parameter: which."""

    family: Literal["curve"]
    function: Annotated[
        Literal["figure_1", "plateaus"],
        pydantic.Field(description="The risk: figure 1 of the paper, or a smooth one with plateaus 1, 2, 3, 4 of L''."),
    ]


def layers(config: Config, inputs: layer.Shape, outputs: int) -> layer.Layers:
    """Returns the curve; it fits every input and has one output whatever `outputs` asks for."""
    return {"curve": layer.Curve(config.function)}


def function(name: str) -> Callable[[jax.Array], jax.Array]:
    """Returns the elementwise function of a row, in the dtype of its argument; loads jax."""
    from jax import nn
    from jax import numpy as jnp

    def figure_1(theta: jax.Array) -> jax.Array:
        return jnp.where(jnp.abs(theta) <= 2, theta**4 / 2 - 3 * theta**2 + 8, theta**2)

    def step(x: jax.Array) -> jax.Array:
        inside = jnp.where((x > 0) & (x < 1), x, 0.5)  # outside, an infinite slope times 0 would be no number
        return jnp.where(x <= 0, 0.0, jnp.where(x >= 1, 1.0, nn.sigmoid(1 / (1 - inside) - 1 / inside)))

    def plateaus(theta: jax.Array) -> jax.Array:
        bends = [step(2 * theta - 2 * k + 1) * (theta - k + 0.25) ** 2 for k in (1, 2, 3)]
        return (theta**2 + sum(bends)) / 2

    return {"figure_1": figure_1, "plateaus": plateaus}[name]


SETTINGS = {
    "tiny": config.tiny(1, {"function": "figure_1"}, inputs=(1, 1, 1), outputs=1),
    "plateaus": config.Setting({"function": "plateaus"}, (1, 1, 1), 1, 1, CURVES["plateaus"].source),
}
