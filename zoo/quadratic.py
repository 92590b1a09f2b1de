# SPDX-License-Identifier: Apache-2.0
"""A quadratic of given spectrum: the output is 1/2 sum_i lambda_i theta_i^2, whatever the input.

The closed-form control: under the loss that is the output itself the Hessian is diag(lambda) everywhere, and gradient
descent is theta_i <- (1 - eta lambda_i) theta_i. Parameters start standard normal. Source: Nesterov, Introductory
Lectures on Convex Optimization, 2004, or any other text. Hypotheses of the theorem: no network at all; the risk is a
polynomial, and its singular step sizes are 1 / lambda_i.
"""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from zoo import config, layer


class Config(config.Config):
    """A quadratic: its eigenvalues, one for each parameter."""

    family: Literal["quadratic"]
    eigenvalues: Annotated[
        tuple[Annotated[float, pydantic.Field(ge=-1e30, le=1e30)], ...],
        pydantic.Field(
            strict=False, min_length=1, max_length=10000, description="Eigenvalues of the Hessian, one per parameter."
        ),
    ]


def layers(config: Config, inputs: layer.Shape, outputs: int) -> layer.Layers:
    """Returns the form; it fits every input and has one output whatever `outputs` asks for."""
    return {"form": layer.QuadraticForm(config.eigenvalues)}


SETTINGS = {
    "tiny": config.tiny(3, {"eigenvalues": [2.0, 1.0, 0.5]}, inputs=(1, 1, 1), outputs=1),
    "saddle": config.Setting(
        {"eigenvalues": [4.0, 2.0, 1.0, -0.5]},
        (1, 1, 1),
        1,
        4,
        "a control: three curvatures up, one down, all of I - eta H known for every eta",
    ),
}
