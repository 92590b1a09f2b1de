# SPDX-License-Identifier: Apache-2.0
"""Operators: symmetric linear maps of a flat vector, made from a function of that vector.

An `Operator` takes the point (any tree of arrays: parameters, data) and gives `matvec: (P,) -> (P,)`. It is called
inside compiled code, so the point is an argument and one compiled program serves all points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

Matvec = Callable[[jax.Array], jax.Array]
Operator = Callable[[Any], Matvec]


def hessian(risk: Callable[..., jax.Array]) -> Operator:
    """Returns the Hessian of `risk` with respect to its first argument.

    The point is the tuple of risk's arguments. Forward-over-reverse, linearised once per point: the first product costs
    about 3 gradients, each further one about 2 (measured, CPU).
    """

    def at(point: tuple[Any, ...]) -> Matvec:
        theta, *data = point
        _, matvec = jax.linearize(lambda t: jax.grad(risk)(t, *data), theta)
        return matvec

    return at
