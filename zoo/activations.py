# SPDX-License-Identifier: Apache-2.0
"""ACTIVATIONS: the scalar functions between layers, with what the theorem asks about them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax


@dataclasses.dataclass(frozen=True)
class Activation:
    """One activation function.

    Attributes:
        formula: The function of x.
        regularity: `analytic` on the whole line, or `piecewise analytic` between its breakpoints.
        breakpoints: Where it is not analytic.
        value_at_0: phi(0).
        slope_at_0: phi'(0) as autodiff takes it (at a breakpoint, jax's convention).
        source: Paper that introduced it or made it standard.
    """

    formula: str
    regularity: Literal["analytic", "piecewise analytic"]
    breakpoints: tuple[float, ...]
    value_at_0: float
    slope_at_0: float
    source: str


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation("max(x, 0)", "piecewise analytic", (0.0,), 0.0, 0.0, "Nair & Hinton, ICML 2010"),
    "leaky_relu": Activation(
        "x if x >= 0 else x/100", "piecewise analytic", (0.0,), 0.0, 1.0, "Maas, Hannun & Ng, ICML 2013"
    ),
    "gelu": Activation("x Phi(x), Phi the normal distribution function", "analytic", (), 0.0, 0.5, "arXiv 1606.08415"),
    "tanh": Activation("tanh(x)", "analytic", (), 0.0, 1.0, "LeCun et al., Efficient BackProp, 1998"),
    "sigmoid": Activation("1/(1 + exp(-x))", "analytic", (), 0.5, 0.25, "Rumelhart, Hinton & Williams, 1986"),
    "identity": Activation("x", "analytic", (), 0.0, 1.0, "deep linear networks"),
}


def function(name: str) -> Callable[[jax.Array], jax.Array]:
    """Returns the elementwise function of a name in ACTIVATIONS; loads jax."""
    from jax import nn

    functions: dict[str, Callable[[jax.Array], jax.Array]] = {
        "relu": nn.relu,
        "leaky_relu": lambda x: nn.leaky_relu(x, 0.01),
        "gelu": lambda x: nn.gelu(x, approximate=False),
        "tanh": nn.tanh,
        "sigmoid": nn.sigmoid,
        "identity": lambda x: x,
    }
    return functions[name]
