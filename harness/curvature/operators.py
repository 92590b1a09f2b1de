# SPDX-License-Identifier: Apache-2.0
"""Operators: symmetric linear maps of a flat vector, made from a function of that vector.

An `Operator` takes the point (any tree of arrays: parameters, data) and gives `matvec: (P,) -> (P,)`. It is called
inside compiled code, so the point is an argument and one compiled program serves all points.

Example:
    >>> import jax.numpy as jnp
    >>> from harness.curvature import operators
    >>> hessian = operators.hessian(lambda theta, scale: 0.5 * scale * jnp.sum(jnp.array([1.0, 2.0, 3.0]) * theta**2))
    >>> product = hessian((jnp.zeros(3), 2.0))  # linearised at the point: one gradient; each product about two more
    >>> product(jnp.ones(3)).tolist()
    [2.0, 4.0, 6.0]
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from harness.curvature import merged

Matvec = Callable[[jax.Array], jax.Array]
Operator = Callable[[Any], Matvec]


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("constants",), meta_fields=("product", "size", "dtype")
)
@dataclasses.dataclass(frozen=True)
class Linear:
    """An operator at a point as arrays, which compiled programs give and take: what its products need, computed once.

    Attributes:
        constants: What the linearisation left.
        product: The product, as a jaxpr of constants and the pieces of a vector, end to end, that gives its pieces.
        size: P.
        dtype: That of vectors.
    """

    constants: tuple[jax.Array, ...]
    product: Any
    size: int
    dtype: Any

    def __call__(self, v: jax.Array) -> jax.Array:
        """Returns the product with v (P,)."""
        return jnp.concatenate(self._pieces(jnp.split(v, self._places()[1:])))

    def into(self, rows: jax.Array, k: jax.Array) -> jax.Array:
        """Writes the product with row k of rows (m, P) into row k + 1, piece by piece: it is held nowhere else.

        Where row k were still read when the first piece is written, XLA would copy all rows. So the place of writing
        is made to depend on all pieces, in a way that XLA cannot see through; it removes optimization_barrier on CPU.
        """
        pieces = self._pieces(jnp.split(rows[k], self._places()[1:]))
        unknown = jnp.isnan(sum(piece[0] for piece in pieces))
        row = k + 1 + jnp.minimum(unknown.astype(k.dtype), 0)
        place = 0
        for piece in pieces:
            rows = jax.lax.dynamic_update_slice(rows, piece[None], (row, place))
            place += piece.size
        return rows

    def _places(self) -> list[int]:
        """Returns where the pieces of a vector begin."""
        sizes = [piece.aval.size for piece in self.product.invars]
        return np.cumsum([0, *sizes[:-1]]).tolist()

    def _pieces(self, taken: list[jax.Array]) -> list[jax.Array]:
        pieces: list[jax.Array] = core.jaxpr_as_fun(core.ClosedJaxpr(self.product, self.constants))(*taken)
        return pieces


def linearised(operator: Operator, size: int) -> Callable[[Any], Linear]:
    """Returns the compiled function from a point to its Linear; vectors have the dtype of the point's first array.

    Products of several programs at one point, or of one that the host calls again and again, so pay for the
    linearisation once. Cost: for a Hessian about a gradient, nothing where the risk is summed in chunks, which each
    product computes anew.
    """

    @jax.jit
    def at(point: Any) -> Linear:
        dtype = jax.tree.leaves(point)[0].dtype
        traced = merged.merged(jax.make_jaxpr(operator(point))(jax.ShapeDtypeStruct((size,), dtype)))
        return Linear(tuple(traced.consts), _unjoined(traced.jaxpr), size, dtype)

    return at


def _unjoined(product: Any) -> Any:
    """Returns a jaxpr of pieces: without what only splits its vector, and without the last equation if that joins."""
    equations, (vector,), results = list(product.eqns), product.invars, product.outvars
    taken = [vector]
    uses = [equation for equation in equations if any(atom is vector for atom in equation.invars)]
    if len(uses) == 1 and uses[0].primitive.name == "split" and vector not in results:
        equations.remove(uses[0])
        taken = uses[0].outvars
    if equations and equations[-1].primitive.name == "concatenate" and equations[-1].outvars == results:
        results = equations.pop().invars
    return product.replace(eqns=equations, invars=taken, outvars=results)


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


def single(risk: Callable[..., jax.Array]) -> Callable[[tuple[Any, ...], jax.Array], jax.Array]:
    """Returns `(point, v) -> H v`, for where no other product is asked at the point.

    Forward over reverse without linearising, which would hold what the layers leave for products that do not come.
    Cost: about 2 gradients (`gdzoo bench curvature`).
    """

    def product(point: tuple[Any, ...], v: jax.Array) -> jax.Array:
        theta, *data = point
        along: jax.Array = jax.jvp(lambda t: jax.grad(risk)(t, *data), (theta,), (v,))[1]
        return along

    return product
