# SPDX-License-Identifier: Apache-2.0
"""Merging: two matrix products that are added are one, over twice as many terms: A B' + C D' = (A, C) (B, D)'.

The product rule gives such a sum in the gradient of every dense layer's weight: each part is as large as the weight,
and both are held at once. XLA on CPU does not merge them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core


def merged(product: Any) -> Any:
    """Returns a closed jaxpr that computes the same as `product`, up to the order of summation.

    Only where the result is larger than what it is made of: else there is nothing to save. What is not needed then is
    still in it, and XLA leaves it out. Inner jaxprs, those of loops for one, stay as they are.
    """
    return jax.make_jaxpr(lambda *arguments: _evaluated(product, arguments))(*product.in_avals)


def _evaluated(product: Any, arguments: tuple[jax.Array, ...]) -> list[jax.Array]:
    """Returns the results of a jaxpr, evaluated equation by equation."""
    made: dict[Any, Any] = {}
    known = dict(zip(product.jaxpr.constvars, product.consts, strict=True))
    known.update(zip(product.jaxpr.invars, arguments, strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else known[atom]

    for equation in product.jaxpr.eqns:
        sides = [None if isinstance(atom, core.Literal) else made.get(atom) for atom in equation.invars]
        values = [value(atom) for atom in equation.invars]
        if equation.primitive.name == "add_any" and _alike(sides[0], sides[1]):
            known[equation.outvars[0]] = _together(sides[0], sides[1], value)
            continue
        found = equation.primitive.bind(*values, **equation.primitive.get_bind_params(equation.params))
        known.update(zip(equation.outvars, found if equation.primitive.multiple_results else [found], strict=True))
        made.update(dict.fromkeys(equation.outvars, equation))
    return [value(result) for result in product.jaxpr.outvars]


def _alike(one: Any, other: Any) -> bool:
    """Says whether both are products, larger than what they are made of, that sum over the same axes."""
    if one is None or other is None or {one.primitive.name, other.primitive.name} != {"dot_general"}:
        return False
    shapes = [[atom.aval.shape for atom in equation.invars] for equation in (one, other)]
    larger = one.outvars[0].aval.size >= sum(atom.aval.size for atom in one.invars)
    summed = one.params["dimension_numbers"][0][0]
    return bool(larger and summed and one.params == other.params and shapes[0] == shapes[1])


def _together(one: Any, other: Any, value: Callable[[Any], jax.Array]) -> jax.Array:
    """Returns the sum of two products as one."""
    contracted, _ = one.params["dimension_numbers"]
    pairs = zip(one.invars, other.invars, contracted, strict=True)
    a, b = (jnp.concatenate([value(first), value(second)], axis=axes[0]) for first, second, axes in pairs)
    product: jax.Array = jax.lax.dot_general_p.bind(a, b, **one.params)
    return product
