# SPDX-License-Identifier: Apache-2.0
"""Rounding: how far what is computed in floating point may be from what is meant, as a model of it says.

A bound for an eigensolver says nothing of the rounding in the entries of H: where large numbers cancel inside the
network, a matrix that is symmetric to the last bit may be off by more than its eigenvalues are apart. So the product
with H is computed again a few times in Monte Carlo arithmetic: after each operation of the program every number is
moved by a pseudo-random share of up to one unit in its last place, and by sqrt(n) units before and after a sum of n
terms, whose order is not known. What that does to random vectors gives the Frobenius norm of the rounding of H, and
with it (Weyl) how far eigenvalues may be off.

The result of one operation lies within such a move (correct rounding is half a unit; elementary functions move by LOOSE
units), but the moves are drawn as if roundings were independent, which they are not: so this is a model and no bound.
It takes each cancellation at the size that it has at this point. Moves are a hash of the number itself: equal numbers
stay equal and 0 stays 0, so exact ties are kept; so are numbers that differ in sign alone, but for the terms of a sum,
whose partial sums round all the same. At a point within rounding of a kink they land on either piece, and the error bar
is as large as the difference. Sources: Parker, UCLA CSD-970002, 1997 (Monte Carlo arithmetic); Vignes, Math. Comput.
Simul. 1993; Higham & Mary, SIAM J. Sci. Comput. 2019 (why sqrt(n)).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from harness.curvature import operators

PROBES = 4
"""Random vectors that are multiplied twice, each time with other moves."""

PAIRS = 2
"""Pairs of evaluations of a vector, whose entries are many."""

SAFETY = 8.0
"""How many times the root mean square is taken: that of a few draws may be too small by a factor of 3."""

GRADIENTS = 8.0
"""Gradients that one product in Monte Carlo arithmetic costs, linearisation included: 5 to 9 (VGG, ViT; CPU)."""

EXACT = frozenset(
    (
        "abs", "argmax", "broadcast_in_dim", "clamp", "concatenate", "convert_element_type", "copy", "copy_p",
        "dynamic_slice", "dynamic_update_slice", "gather", "max", "min", "neg", "optimization_barrier", "pad", "pcast",
        "pvary", "reduce_max", "reduce_min", "reshape", "rev", "select_n", "sign", "slice", "split", "squeeze",
        "stop_gradient", "transpose",
    )
)  # fmt: skip
"""Primitives that round nothing; what is not known here is taken to round."""

ELEMENTARY = frozenset(
    ("cos", "erf", "erfc", "exp", "exp2", "expm1", "log", "log1p", "logistic", "pow", "rsqrt", "sin", "tan", "tanh")
)
"""Functions that are taken to be right to LOOSE units in the last place only."""

LOOSE = 4.0
"""Units in the last place by which an elementary function may be off."""

SUMS = frozenset(("conv_general_dilated", "convolve", "cumsum", "dot_general", "reduce_sum"))
"""Primitives that add up terms inside."""


def frobenius(operator: operators.Operator, size: int) -> Callable[[Any], float]:
    """Returns the function from a point to SAFETY times the Frobenius norm of the rounding of H, as modelled.

    Eigenvalues of what is computed are within it of those of H, one for one (Weyl), as far as the model holds.
    Cost: 2 PROBES GRADIENTS gradients, and the compilation of one more program.

    Args:
        operator: The symmetric operator.
        size: P.

    Returns:
        The function; it raises FloatingPointError where a product is not finite.
    """
    drawn = _drawn(lambda point, v: operator(point)(v))

    def rounding(point: Any) -> float:
        dtype = jax.tree.leaves(point)[0].dtype
        lengths = [_apart(drawn, i, point, _direction(i, size, dtype))[0] for i in range(PROBES)]
        return math.sqrt(size) * _several(lengths)

    return rounding


def spread(function: Callable[..., Any]) -> Callable[..., tuple[float, ...]]:
    """Returns the function that gives SAFETY times the norm of the rounding of each result, as modelled.

    Cost: 2 PAIRS evaluations, each some 3 times as dear as a plain one.

    Args:
        function: Of trees of arrays, to a tree of arrays.

    Returns:
        The function; it raises FloatingPointError where a result is not finite.
    """
    drawn = _drawn(function)

    def rounding(*arguments: Any) -> tuple[float, ...]:
        found = [_apart(drawn, i, *arguments) for i in range(PAIRS)]
        return tuple(_several(lengths) for lengths in zip(*found, strict=True))

    return rounding


def _drawn(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the compiled function `(salt, ...)` in Monte Carlo arithmetic."""
    return jax.jit(lambda salt, *arguments: perturbed(function, salt)(*arguments))


def _apart(drawn: Callable[..., Any], i: int, *arguments: Any) -> list[float]:
    """Returns how far each result is from itself in the i-th pair of evaluations."""
    found = [jax.tree.leaves(jax.device_get(drawn(jnp.uint32(2 * i + j), *arguments))) for j in range(2)]
    if not all(np.isfinite(array).all() for one in found for array in one):
        raise FloatingPointError("what rounds at random is not finite")
    return [_length(a - b) for a, b in zip(*found, strict=True)]


def _length(x: np.ndarray) -> float:
    """Returns the norm of x, whose squares may overflow."""
    largest = float(np.abs(x).max())
    return largest * float(np.linalg.norm(x / largest)) if largest else 0.0


def _several(lengths: Sequence[float]) -> float:
    """Returns SAFETY times the root mean square of one evaluation, from how far pairs of them are apart."""
    return SAFETY * math.hypot(*lengths) / math.sqrt(2 * len(lengths))


def _direction(i: int, size: int, dtype: Any) -> jax.Array:
    """Returns the i-th of the random vectors of length 1."""
    v = jax.random.normal(jax.random.key(i), (size,), dtype)
    return v / jnp.linalg.norm(v)


def perturbed(function: Callable[..., Any], salt: jax.Array) -> Callable[..., Any]:
    """Returns the function in Monte Carlo arithmetic.

    Args:
        function: Of trees of arrays, to an array.
        salt: Scalar uint32; another one draws other moves.
    """

    def evaluated(*arguments: Any) -> Any:
        traced, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        results = _evaluated(traced, jax.tree.leaves(arguments), salt)
        return jax.tree.unflatten(jax.tree.structure(shape), results)

    return evaluated


def _evaluated(program: Any, arguments: Sequence[Any], salt: jax.Array) -> list[Any]:
    """Returns the results of a closed jaxpr, each of whose operations rounds at random."""
    known = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
    known.update(zip(program.jaxpr.invars, arguments, strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else known[atom]

    for equation in program.jaxpr.eqns:
        found = _applied(equation, [value(atom) for atom in equation.invars], salt)
        known.update(zip(equation.outvars, found, strict=True))
    return [value(result) for result in program.jaxpr.outvars]


def _applied(equation: Any, values: list[Any], salt: jax.Array) -> list[Any]:
    """Returns the results of one equation."""
    name, params = equation.primitive.name, equation.params
    if name == "scan":
        return _scanned(params, values, salt)
    if name == "shard_map":
        return _shared(params, values, salt)
    inner = params.get("jaxpr", params.get("call_jaxpr"))
    if inner is not None:
        return _evaluated(_closed(inner), values, salt)
    reach = LOOSE if name in ELEMENTARY else math.sqrt(_terms(equation))
    if name in SUMS:
        values = [_moved(values[0], salt, reach=reach, signs=True), *values[1:]]
    found = equation.primitive.bind(*values, **equation.primitive.get_bind_params(params))
    results = list(found) if equation.primitive.multiple_results else [found]
    if name in EXACT:
        return results
    return [
        _moved(result, salt + 0x10000, reach=reach) if jnp.issubdtype(result.dtype, jnp.floating) else result
        for result in results
    ]


def _closed(program: Any) -> Any:
    return program if hasattr(program, "consts") else core.ClosedJaxpr(program, ())


def _terms(equation: Any) -> int:
    """Returns how many terms are added up for each number of an equation's result."""
    name, params = equation.primitive.name, equation.params
    if name not in SUMS:
        return 1
    if name == "dot_general":
        return math.prod(equation.invars[0].aval.shape[axis] for axis in params["dimension_numbers"][0][0])
    if name in ("reduce_sum", "cumsum"):
        axes = params.get("axes", (params.get("axis"),))
        return math.prod(equation.invars[0].aval.shape[axis] for axis in axes)
    kernel = equation.invars[1].aval.shape
    outputs = -1 if name == "convolve" else params["dimension_numbers"].rhs_spec[0]
    return math.prod(kernel) // kernel[outputs]


def _scanned(params: dict[str, Any], values: list[Any], salt: jax.Array) -> list[Any]:
    """Returns the results of a loop."""
    first, last = params["num_consts"], params["num_consts"] + params["num_carry"]

    def body(carry: list[Any], x: list[Any]) -> tuple[list[Any], list[Any]]:
        found = _evaluated(params["jaxpr"], [*values[:first], *carry, *x], salt)
        return found[: last - first], found[last - first :]

    options = {name: params[name] for name in ("length", "reverse", "unroll")}
    carry, stacked = jax.lax.scan(body, values[first:last], values[last:], **options)
    return [*carry, *stacked]


def _shared(params: dict[str, Any], values: list[Any], salt: jax.Array) -> list[Any]:
    """Returns the results of what each device does with its own rows."""
    inner = _closed(params["jaxpr"])
    apart: Callable[..., list[Any]] = jax.shard_map(
        lambda salt, *values: _evaluated(inner, values, salt),
        mesh=params["mesh"],
        in_specs=(jax.sharding.PartitionSpec(), *params["in_specs"]),
        out_specs=list(params["out_specs"]),
    )
    return apart(salt, *values)


@functools.partial(jax.jit, static_argnames=("reach", "signs"))
def _moved(x: jax.Array, salt: jax.Array, *, reach: float, signs: bool = False) -> jax.Array:
    """Returns numbers moved by up to `reach` units in the last place, each by a share that its own bits draw.

    Args:
        x: The numbers.
        salt: Draws other shares.
        reach: Units.
        signs: Whether x and -x move by different shares.
    """
    limits: Any = jnp.finfo(x.dtype)  # type: ignore[no-untyped-call]  # of jax
    word = np.dtype(f"uint{limits.bits}").type
    one = jax.lax.bitcast_convert_type(x.dtype.type(1), word)
    bits = jax.lax.bitcast_convert_type(x if signs else jnp.abs(x), word) ^ (salt.astype(word) * word(0x9E3779B1))
    # Multiplicative hashing: the top bits of the product with a large odd number, as the fraction of one from 1 to 2.
    drawn = (bits * word(0xD1342543DE82EF95 % 2**limits.bits)) >> (limits.bits - limits.nmant)
    share = jax.lax.bitcast_convert_type(drawn | one, x.dtype) - 1.5
    return x * (1 + share * x.dtype.type(2 * reach * float(limits.eps)))
