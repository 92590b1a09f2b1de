# SPDX-License-Identifier: Apache-2.0
"""Checks: why a function cannot be measured, each in one sentence that says what to do.

A survey rests on this: apply(params, x) is a function of its arguments alone, computed in float64 throughout, that
gives each example its own outputs. What breaks one of these rules gives numbers that look right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harness import errors
from zoo import modules

Apply = Callable[[Any, Any], Any]

FEW = 4
"""Examples on which a function is tried."""

NARROW = ("float32", "float16", "bfloat16")


def parameters(tree: Any) -> None:
    """Refuses parameters that are not finite floats.

    Raises:
        errors.InputError: If one is not.
    """
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    if not leaves:
        raise errors.InputError("params holds no array; give the tree of parameters that apply takes")
    for path, leaf in leaves:
        name = f"params{jax.tree_util.keystr(path)}"
        dtype = getattr(leaf, "dtype", None) or np.asarray(leaf).dtype
        if not jnp.issubdtype(dtype, jnp.floating):
            raise errors.InputError(
                f"{name} is {dtype}, and gradient descent moves floats only; keep it out of params and let apply "
                "close over it: lambda params, x: apply({**params, ...}, x)"
            )
        if not np.isfinite(np.asarray(leaf, "float64")).all():
            raise errors.InputError(f"{name} is not finite; give parameters from before the run diverged")


def outputs(apply: Apply, params: Any, x: jax.Array) -> jax.ShapeDtypeStruct:
    """Returns shape and dtype of what apply gives for x (N, ...); refuses what is no function of (params, x).

    Raises:
        errors.InputError: If it cannot be called so, keeps state, gives other shapes, or leaves float64.
    """
    count = len(x)
    try:
        traced, shape = jax.make_jaxpr(apply, return_shape=True)(params, x)
    except modules.Unsuitable as error:
        raise errors.InputError(str(error)) from error
    except Exception as error:
        raise errors.InputError(
            f"apply(params, x) fails for x of shape {tuple(x.shape)}: {_first_line(error)}; give a function of the "
            "parameters and of a whole batch x, with everything else closed over"
        ) from error
    if isinstance(shape, tuple | list):
        raise errors.InputError(
            f"apply returns {len(shape)} things, as one that keeps state (BatchNorm) does; return the outputs alone, "
            "with that state frozen: lambda params, x: apply(params, state, x)[0]"
        )
    if not hasattr(shape, "shape"):
        raise errors.InputError(f"apply returns a {type(shape).__name__}; return one array of outputs (N, K)")
    if not shape.shape or shape.shape[0] != count:
        raise errors.InputError(
            f"apply gives shape {tuple(shape.shape)} for {count} examples; return one row for each, (N, K); a function "
            "of a single example becomes one by jax.vmap(apply, (None, 0))"
        )
    if shape.dtype != jnp.float64:
        raise errors.InputError(
            f"apply gives {shape.dtype} for float64 parameters and data; take away what fixes a dtype (astype, "
            "dtype=jnp.float32), so that it computes in the dtype of its arguments"
        )
    if (narrow := next(_narrowed(traced.jaxpr), None)) is not None:
        raise errors.InputError(
            f"apply rounds to {narrow} on the way, so its float64 outputs have the digits of {narrow}; take away what "
            "fixes a dtype (astype, dtype=jnp.float32), so that it computes in the dtype of its arguments"
        )
    return jax.ShapeDtypeStruct(shape.shape, shape.dtype)


def behaviour(apply: Apply, params: Any, x: jax.Array) -> None:
    """Refuses a function that gives something else when it is called again, or mixes the examples of a batch.

    Cost: two calls on FEW examples, and one on a single one.

    Raises:
        errors.InputError: If it does.
    """
    few = x[:FEW]
    first, second = (np.asarray(apply(params, few)) for _ in range(2))
    if not np.array_equal(first, second, equal_nan=True):
        raise errors.InputError(
            "apply gives other numbers when it is called again with the same arguments; switch off what is drawn "
            "(dropout, noise, augmentation), or close over one key"
        )
    if len(few) == 1 or not np.isfinite(first).all():  # `finite` says what is wrong then
        return
    alone = np.asarray(apply(params, few[:1]))[0]
    if np.max(np.abs(alone - first[0]), initial=0.0) > 1e-6 * np.max(np.abs(first), initial=0.0):
        raise errors.InputError(
            "the outputs of an example change with the others in its batch, as with BatchNorm in training; put the "
            "network into evaluation (module.eval(), use_running_average=True), or use a norm of one example"
        )


def finite(values: jax.Array, what: str, remedy: str) -> None:
    """Refuses numbers of examples (N, ...) that are not finite.

    Raises:
        errors.InputError: If some are not; says of how many examples, and the first.
    """
    wrong = ~np.isfinite(np.asarray(values)).reshape(len(values), -1).all(axis=1)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise errors.InputError(
            f"{what} of {int(wrong.sum())} of {len(wrong)} examples are NaN or infinite, the first that of example "
            f"{first}; {remedy}"
        )


def _narrowed(jaxpr: Any) -> Iterator[str]:
    """Yields the narrower types to which a program converts float64."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "convert_element_type":
            new = str(equation.params["new_dtype"])
            if new in NARROW and str(equation.invars[0].aval.dtype) == "float64":
                yield new
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda one: hasattr(one, "eqns")):
            if hasattr(inner, "eqns"):
                yield from _narrowed(inner)
            elif hasattr(inner, "jaxpr"):
                yield from _narrowed(inner.jaxpr)


def activity(apply: Apply, params: Any, x: jax.Array) -> int:
    """Returns how many numbers a function gives on the way for one example, as zoo.layer.activity counts of layers."""
    return max(1, _numbers(jax.make_jaxpr(apply)(params, x[:1]).jaxpr))


def _numbers(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        inner = [one for one in equation.params.values() if hasattr(one, "jaxpr")]
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        total += times * sum(_numbers(one.jaxpr) for one in inner)
        total += sum(int(np.prod(out.aval.shape)) for out in equation.outvars) if not inner else 0
    return total


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {errors.first_line(error)[:200]}".rstrip(".")
