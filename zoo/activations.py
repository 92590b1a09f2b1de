# SPDX-License-Identifier: Apache-2.0
"""ACTIVATIONS: the scalar functions between layers, with what the theorem asks about them.

At a breakpoint autodiff takes one side's derivative: that of the flat side for relu, relu6 and hard_tanh (so 0), that
of the right for leaky_relu. elu has one slope there; its second derivative is that of the left.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from zoo import config

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax


@dataclasses.dataclass(frozen=True)
class Activation:
    """One activation function.

    Attributes:
        formula: The function of x.
        regularity: `analytic` on the whole line, `piecewise analytic` or `piecewise linear` between its breakpoints.
        breakpoints: Where it is not analytic.
        smooth: Number of continuous derivatives at the breakpoints; None if there are none.
        value_at_0: phi(0).
        slope_at_0: phi'(0) as autodiff takes it.
        flat: Its values on the half-lines or intervals where it is constant.
        homogeneous: Whether phi(a x) = a phi(x) for all a > 0.
        source: Paper that introduced it or made it standard.
        fades: Whether it is analytic and, towards one end of the line, its slope tends to 0 and phi to 0, or phi to
            another limit v with slope^2 / (v^2 - phi^2) tending to 0 too (F13 in docs/theorems.md).
    """

    formula: str
    regularity: Literal["analytic", "piecewise analytic", "piecewise linear"]
    breakpoints: tuple[float, ...]
    smooth: int | None
    value_at_0: float
    slope_at_0: float
    flat: tuple[float, ...]
    homogeneous: bool
    source: str
    fades: bool = False


def _analytic(
    formula: str, value_at_0: float, slope_at_0: float, source: str, *, homogeneous: bool = False, fades: bool = True
) -> Activation:
    return Activation(formula, "analytic", (), None, value_at_0, slope_at_0, (), homogeneous, source, fades)


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation("max(x, 0)", "piecewise linear", (0.0,), 0, 0.0, 0.0, (0.0,), True, "Nair & Hinton, ICML 2010"),
    "leaky_relu": Activation(
        f"x if x >= 0 else s x; s = {config.SLOPE} unless given",
        "piecewise linear",
        (0.0,),
        0,
        0.0,
        1.0,
        (),
        True,
        "Maas, Hannun & Ng, ICML 2013",
    ),
    "gelu": _analytic("x Phi(x), Phi the normal distribution function", 0.0, 0.5, "arXiv 1606.08415"),
    "gelu_tanh": _analytic("x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))", 0.0, 0.5, "arXiv 1606.08415, section 2"),
    "sigmoid": _analytic("1/(1 + exp(-x))", 0.5, 0.25, "Rumelhart, Hinton & Williams, 1986"),
    "tanh": _analytic("tanh(x)", 0.0, 1.0, "LeCun et al., Efficient BackProp, 1998"),
    "silu": _analytic("x/(1 + exp(-x))", 0.0, 0.5, "arXiv 1702.03118; as swish, arXiv 1710.05941"),
    "softplus": _analytic("log(1 + exp(x))", 0.6931471805599453, 0.5, "Dugas et al., NIPS 2000"),
    "elu": Activation(
        "x if x > 0 else exp(x) - 1", "piecewise analytic", (0.0,), 1, 0.0, 1.0, (), False, "arXiv 1511.07289"
    ),
    "relu6": Activation(
        "min(max(x, 0), 6)", "piecewise linear", (0.0, 6.0), 0, 0.0, 0.0, (0.0, 6.0), False, "arXiv 1704.04861"
    ),
    "hard_tanh": Activation(
        "min(max(x, -1), 1)",
        "piecewise linear",
        (-1.0, 1.0),
        0,
        0.0,
        1.0,
        (-1.0, 1.0),
        False,
        "Collobert, thesis, Paris 6, 2004",
    ),
    "identity": _analytic("x", 0.0, 1.0, "deep linear networks", homogeneous=True, fades=False),
    "square": _analytic("x^2", 0.0, 0.0, "Du & Lee, ICML 2018, arXiv 1803.01206", fades=False),
}


def row(activation: config.Activation) -> Activation:
    """Returns the row of an activation; for a leaky_relu with a slope of its own, with that slope in the formula."""
    if isinstance(activation, config.LeakyRelu):
        formula = f"x if x >= 0 else {activation.leaky_relu} x"
        return dataclasses.replace(ACTIVATIONS["leaky_relu"], formula=formula)
    return ACTIVATIONS[activation]


def function(activation: config.Activation) -> Callable[[jax.Array], jax.Array]:
    """Returns the elementwise function of an activation, in the dtype of its argument; loads jax."""
    from jax import nn
    from jax import numpy as jnp

    if isinstance(activation, config.LeakyRelu):
        slope = activation.leaky_relu
        return lambda x: nn.leaky_relu(x, slope)
    functions: dict[str, Callable[[jax.Array], jax.Array]] = {
        "relu": nn.relu,
        "leaky_relu": lambda x: nn.leaky_relu(x, config.SLOPE),
        "gelu": lambda x: nn.gelu(x, approximate=False),
        "gelu_tanh": lambda x: nn.gelu(x, approximate=True),
        "sigmoid": nn.sigmoid,
        "tanh": nn.tanh,
        "silu": nn.silu,
        "softplus": nn.softplus,
        "elu": nn.elu,
        "relu6": nn.relu6,
        # jnp.clip would take half the slope at a breakpoint, jax.nn.hard_tanh that of the steep side.
        "hard_tanh": lambda x: jnp.where(x > -1, jnp.where(x < 1, x, 1), -1),
        "identity": lambda x: x,
        "square": lambda x: x * x,
    }
    return functions[activation]
