# SPDX-License-Identifier: Apache-2.0
"""Tracking: the largest eigenvalues and the least one of an operator that changes slowly from call to call.

A call begins with what the last one left and grows a space, one product at a time, from the residual of the wanted Ritz
pair that is worst off, and as a Krylov space from there until the next look (Davidson, J. Comput. Phys. 1975, without
a preconditioner). It ends where the wanted values are as good as asked for. All of it is one compiled program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness.curvature import lanczos, operators

TO = 1e-3
"""Relative error to which the largest eigenvalues are followed; the least one, relative to the norm."""

MOST = 32
"""Largest number of eigenvalues that are tracked beside the least one."""


class Tracked(NamedTuple):
    """What a call found.

    Attributes:
        values: (top + 1,) the `top` largest, descending, then the least one; NaN beyond P values, and where a product
            was not finite.
        errors: (top + 1,) norms of H y - value y, not below the rounding of products: an eigenvalue lies so near.
        basis: (rows, P) orthonormal, from which the next call starts: Ritz vectors in the order of `values`, then
            those below the largest. Rows beyond P are zero.
        products: Scalar int, of this call.
    """

    values: jax.Array
    errors: jax.Array
    basis: jax.Array
    products: jax.Array


class Tracker(NamedTuple):
    """The compiled programs of one operator.

    Attributes:
        size: P.
        top: How many of the largest eigenvalues are tracked.
        rows: Vectors that a call hands to the next.
        begin: `(point, key) -> Tracked` without any, to convergence.
        follow: `(point, basis, news) -> Tracked` from the basis of the last call; `news` (m, P) are directions in which
            an unknown eigenvector may lie, of any length.
    """

    size: int
    top: int
    rows: int
    begin: Callable[[Any, jax.Array], Tracked]
    follow: Callable[[Any, jax.Array, jax.Array], Tracked]


class _Space(NamedTuple):
    """A growing orthonormal space: rows (capacity, P), their products (capacity, P).

    `projected` (capacity, capacity) holds rows @ products.T of the first `filled` rows; `done` says that nothing is
    left to do.
    """

    rows: jax.Array
    products: jax.Array
    projected: jax.Array
    filled: jax.Array
    done: jax.Array


class _Pairs(NamedTuple):
    """Wanted Ritz pairs: values (w,), residuals (w, P), their norms (w,), estimated errors in units of the goal (w,).

    And the coordinates (capacity, rows) of what the next call starts from.
    """

    values: jax.Array
    residuals: jax.Array
    norms: jax.Array
    short: jax.Array
    weights: jax.Array


def tracker(operator: operators.Operator, size: int, top: int) -> Tracker:
    """Compiles (on first use) the programs of one operator.

    Args:
        operator: The symmetric operator.
        size: P.
        top: How many of the largest eigenvalues, 1 to MOST.
    """
    guards = 2
    rows = top + 1 + guards
    capacity = min(size, 4 * rows + 24)

    def outside(space: _Space, vector: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Returns the unit vector of what lies outside a space, and the share of the length that does."""
        length = jnp.linalg.norm(vector)
        unit = vector / jnp.where(length > 0, length, 1)
        for _ in range(2):
            unit = unit - (space.rows @ unit) @ space.rows
        left = jnp.linalg.norm(unit)
        return unit / jnp.where(left > 0, left, 1), left

    def multiplied(matvec: operators.Matvec, space: _Space, vector: jax.Array, least: float) -> _Space:
        """Returns the space with a direction more, unless less than `least` of it lies outside."""
        unit, left = outside(space, vector)

        def grown(space: _Space) -> _Space:
            k = space.filled
            product = matvec(unit)
            filled = space.rows.at[k].set(unit)
            along = filled @ product
            projected = space.projected.at[:, k].set(along).at[k, :].set(along)
            return _Space(filled, space.products.at[k].set(product), projected, k + 1, space.done)

        # A comparison with NaN is false: what is not finite must go in, to be seen.
        return jax.lax.cond((left < least) | (space.filled >= capacity), lambda space: space, grown, space)

    def pairs(space: _Space, to: float) -> _Pairs:
        """Returns the wanted pairs of a space, in float64 as far as they are small."""
        count, place = space.filled, jnp.arange(capacity)
        square = jnp.asarray(space.projected, "float64")
        finite = jnp.all(jnp.isfinite(square))
        square = jnp.where(finite, square, 0)
        norm = jnp.max(jnp.sum(jnp.abs(square), axis=1))
        values, vectors = jnp.linalg.eigh(square + jnp.diag(jnp.where(place < count, 0, 2 * norm + 1)))
        norm = jnp.max(jnp.where(place < count, jnp.abs(values), 0))
        # The largest, the least one, then the guards below the largest.
        order = jnp.concatenate([count - 1 - jnp.arange(top), jnp.zeros(1, int), count - 1 - top - jnp.arange(guards)])
        there = jnp.concatenate([order[:top] >= 0, jnp.ones(1, bool), order[top + 1 :] >= 1])
        order = jnp.clip(order, 0, capacity - 1)
        weights = jnp.where(there, vectors[:, order], 0)
        chosen = jnp.where(there, values[order], jnp.nan)[: top + 1]
        narrow = jnp.asarray(weights[:, : top + 1].T, space.rows.dtype)
        level = jnp.asarray(jnp.nan_to_num(chosen), space.rows.dtype)
        residuals = narrow @ space.products - level[:, None] * (narrow @ space.rows)
        norms = jnp.asarray(jnp.linalg.norm(residuals, axis=1), "float64")
        # What is missing lies outside the space, below the guards and above the second least.
        below = values[jnp.clip(count - 1 - top - guards, 0, capacity - 1)]
        gaps = jnp.where(jnp.arange(top + 1) < top, chosen - below, values[jnp.minimum(1, count - 1)] - chosen)
        wrong = jnp.minimum(norms, norms**2 / jnp.maximum(gaps, np.finfo("float64").tiny))
        floor = lanczos.rounding(space.rows.dtype) * norm
        goal = jnp.where(jnp.arange(top + 1) < top, jnp.maximum(to * jnp.abs(chosen), floor), jnp.maximum(to, 0) * norm)
        short = jnp.where(there[: top + 1] & (norms > floor), wrong / jnp.maximum(goal, floor), 0)
        short = jnp.where(jnp.isnan(short), 0, short)
        chosen = jnp.where(finite, chosen, jnp.nan)
        return _Pairs(chosen, residuals, jnp.where(finite, jnp.maximum(norms, floor), jnp.nan), short, weights)

    def grow(matvec: operators.Matvec, start: jax.Array, to: float) -> tuple[Tracked, jax.Array]:
        """Returns what is found from the rows of `start`, and whether it is as good as asked for."""
        dtype = start.dtype
        space = _Space(
            jnp.zeros((capacity, size), dtype),
            jnp.zeros((capacity, size), dtype),
            jnp.zeros((capacity, capacity), dtype),
            jnp.zeros((), int),
            jnp.zeros((), bool),
        )
        space = jax.lax.fori_loop(0, len(start), lambda k, s: multiplied(matvec, s, start[k], 1e-3), space)

        def look(space: _Space) -> _Space:
            found = pairs(space, to)
            worst = jnp.argmax(found.short)
            good = found.short[worst] <= 1
            before = space.filled
            more = jnp.where(good, 0, 1 + before // 8)

            def chain(k: jax.Array, now: tuple[_Space, jax.Array]) -> tuple[_Space, jax.Array]:
                space, direction = now
                space = multiplied(matvec, space, direction, 1e-3)
                return space, space.products[jnp.maximum(space.filled - 1, 0)]

            space, _ = jax.lax.fori_loop(0, more, chain, (space, found.residuals[worst]))
            finite = jnp.all(jnp.isfinite(space.projected))
            return space._replace(done=good | (space.filled == before) | (space.filled >= capacity) | ~finite)

        space = jax.lax.while_loop(lambda space: ~space.done, look, space)
        found = pairs(space, to)
        kept = jnp.asarray(found.weights.T, dtype) @ space.rows
        values, errors = (jnp.asarray(each, dtype) for each in (found.values, found.norms))
        stopped = jnp.any(~jnp.isfinite(space.projected)) | (space.filled >= size)
        return Tracked(values, errors, kept, space.filled), stopped | (jnp.max(found.short) <= 1)

    @jax.jit
    def begin(point: Any, key: jax.Array) -> Tracked:
        matvec = operator(point)
        dtype = jax.tree.leaves(point)[0].dtype
        first = jax.random.normal(key, (rows, size), dtype)
        found, good = grow(matvec, first, 0.1 * TO)

        def again(state: tuple[Tracked, jax.Array, jax.Array]) -> tuple[Tracked, jax.Array, jax.Array]:
            last, _, k = state
            fresh = jax.random.normal(jax.random.fold_in(key, k), (1, size), dtype)
            found, good = grow(matvec, jnp.concatenate([last.basis, fresh]), 0.1 * TO)
            return found._replace(products=last.products + found.products), good, k + 1

        state = (found, good, jnp.zeros((), int))
        return jax.lax.while_loop(lambda state: ~state[1] & (state[2] < ROUNDS), again, state)[0]

    @jax.jit
    def follow(point: Any, basis: jax.Array, news: jax.Array) -> Tracked:
        return grow(operator(point), jnp.concatenate([basis, news.astype(basis.dtype)]), TO)[0]

    return Tracker(size, top, rows, begin, follow)


ROUNDS = 20
"""Restarts after which a cold start gives what it has."""


def price(top: int, size: int) -> float:
    """Returns about how many gradients a call of `follow` costs."""
    return 1 + 1.7 * min(size, 8 + 3 * top)
