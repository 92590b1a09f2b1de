# SPDX-License-Identifier: Apache-2.0
"""Tracking: the largest eigenvalues and the least one of an operator that changes slowly from call to call.

A call begins with the Ritz vectors of the last one. Their sum is multiplied first, and what of its product lies outside
their span says how far they have turned. Where that is little, each of them is multiplied, and a few times what is new;
mostly that is all.
Where it is much, the vectors are worth little one by one: the space grows from two sums of them, of all and with
signs that alternate, as ARPACK restarts (Sorensen, SIAM J. Matrix Anal. Appl. 1992), by a degree of the polynomial for
each product or two where a block of all would gain one for eleven. The second sum holds news: directions in which an
unknown eigenvector may lie. The space then grows by the residual of the wanted Ritz pair that is worst off (Davidson,
J. Comput. Phys. 1975, without a preconditioner) and as a Krylov space from there until the next look. It ends where an
estimate of the second order in the residuals is as good as asked for. Last, an old vector that lies mostly outside the
space is multiplied too: several vectors of one eigenvalue are so kept apart.

All of a call is one compiled program. What it cannot see: an eigenvalue whose vector has next to no part in the old
vectors and the news (specs/README.md, Trace). `errors` hold all the same: they say that an eigenvalue is near, not
which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness.curvature import lanczos, operators

TO = 1e-3
"""Relative error to which the largest eigenvalues are followed, but not below LEAST of the norm; of the least one,
relative to the norm."""

LEAST = 1e-5
"""Error, relative to the norm, that is small enough for any eigenvalue."""

GUARDS = 2
"""Ritz vectors below the tracked ones that a call hands on."""

CALM = 0.03
"""Share of the product of the vectors' sum that leaves their span, up to which each is multiplied. Measured along runs
of the small networks of `gdzoo bench` by gd: 0.005 to 0.03 late in training, 0.1 to 0.6 while the loss falls fast."""

PROBE = 5
"""Products of the Krylov space of the news where vectors have not turned: what rises unseen to z times the half-width
of the rest is amplified by the Chebyshev polynomial of degree 4 there, by 97 for z = 2."""

WEIGHT = 0.3
"""Of news and of guards in a sum of unit vectors."""

ROUNDS = 20
"""Restarts after which a start without vectors gives what it has."""

USUAL = 1.7
"""Products of a call over the least that it can do with: 1.0 to 1.8 while a loss falls and after (small networks)."""

START = 0.01
"""Errors of a start without vectors, in those of a call that follows."""

DEPENDENT = 1e-4
"""Share of a direction outside the space below which it brings nothing."""


class Tracked(NamedTuple):
    """What a call found.

    Attributes:
        values: (top + 1,) the `top` largest, descending, then the least one; NaN beyond P values, and where a product
            was not finite.
        errors: (top + 1,) norms of H y - value y, not below the rounding of products: an eigenvalue lies so near.
        basis: (rows, P) orthonormal, from which the next call starts: Ritz vectors in the order of `values`, then
            those below the largest. Rows of what is not there are zero.
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
        begin: `(point, key) -> Tracked` without any, to START of TO.
        follow: `(point, basis, news) -> Tracked` from the basis of the last call; `news` (m, P) of any length. Cost:
            `price`; memory: 2 (3 rows + 16) vectors, and what the linearised operator needs.
    """

    size: int
    top: int
    rows: int
    begin: Callable[[Any, jax.Array], Tracked]
    follow: Callable[[Any, jax.Array, jax.Array], Tracked]


class _Space(NamedTuple):
    """A growing orthonormal space; rows beyond `filled` are zero.

    Attributes:
        rows: (capacity, P).
        images: (capacity, P), the products with them.
        projected: (capacity, capacity): rows @ images.T.
        filled: Scalar int.
        testing: Whether old vectors outside the space are still to be looked at.
        done: Whether nothing is left to do.
    """

    rows: jax.Array
    images: jax.Array
    projected: jax.Array
    filled: jax.Array
    testing: jax.Array
    done: jax.Array


class _Pairs(NamedTuple):
    """The wanted Ritz pairs of a space, small arrays in float64.

    Attributes:
        values: (top + 1,).
        residuals: (top + 1, P).
        norms: (top + 1,) of the residuals.
        short: (top + 1,) estimated errors, in units of what is asked for.
        weights: (capacity, rows): coordinates of what the next call starts from.
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
        top: How many of the largest eigenvalues, 1 to 32.
    """
    rows = top + 1 + GUARDS
    capacity = min(size, 3 * rows + 16)
    largest = jnp.arange(top + 1) < top

    def multiplied(matvec: operators.Matvec, space: _Space, vector: jax.Array) -> _Space:
        """Returns the space with a direction more, unless it has it already."""
        unit, left = _outside(space.rows, vector)

        def grown(space: _Space) -> _Space:
            k, image = space.filled, matvec(unit)
            filled = space.rows.at[k].set(unit)
            along = filled @ image
            projected = space.projected.at[:, k].set(along).at[k, :].set(along)
            return space._replace(rows=filled, images=space.images.at[k].set(image), projected=projected, filled=k + 1)

        # A comparison with NaN is false: what is not finite goes in, and is seen.
        # A loop of at most one turn, for unlike a conditional it works in place.
        stays = (left < DEPENDENT) | (space.filled >= capacity)
        return jax.lax.fori_loop(0, jnp.where(stays, 0, 1), lambda _, space: grown(space), space)

    def pairs(space: _Space, to: float) -> _Pairs:
        count, place = space.filled, jnp.arange(capacity)
        square = jnp.asarray(space.projected, "float64")
        finite = jnp.all(jnp.isfinite(square))
        square = jnp.where(finite, square, 0)
        beyond = 2 * jnp.max(jnp.sum(jnp.abs(square), axis=1)) + 1
        values, vectors = jnp.linalg.eigh(square + jnp.diag(jnp.where(place < count, 0, beyond)))
        norm = jnp.max(jnp.where(place < count, jnp.abs(values), 0))
        # Ascending, and after them what stands for rows beyond `filled`.
        high = count - 1 - jnp.arange(top + GUARDS)
        order = jnp.concatenate([high[:top], jnp.zeros(1, high.dtype), high[top:]])
        there = jnp.concatenate([high[:top] >= 0, jnp.ones(1, bool), high[top:] > 0])
        weights = jnp.where(there, vectors[:, jnp.maximum(order, 0)], 0)
        there, chosen = there[: top + 1], values[jnp.maximum(order[: top + 1], 0)]
        across, level = (jnp.asarray(each, space.rows.dtype) for each in (weights.T[: top + 1], chosen))
        residuals = across @ space.images - level[:, None] * (across @ space.rows)
        norms = jnp.asarray(jnp.linalg.norm(residuals, axis=1), "float64")
        # A residual is orthogonal to the space: what it lacks is taken to lie below the guards, or half-way to
        # the second least, for at that end Ritz values are few.
        below, second = values[jnp.maximum(count - 1 - top - GUARDS, 0)], values[jnp.minimum(1, count - 1)]
        gaps = jnp.where(largest, chosen - below, 0.5 * (second - chosen))
        wrong = jnp.minimum(norms, norms**2 / jnp.maximum(gaps, float(np.finfo(float).tiny)))
        floor = lanczos.rounding(space.rows.dtype) * norm
        goal = jnp.where(largest, jnp.maximum(to * jnp.abs(chosen), LEAST * norm), to * norm)
        short = jnp.where(there & (norms > floor), wrong / goal, 0) + jnp.where(there & (count < rows), 2.0, 0)
        known = there & finite
        return _Pairs(
            jnp.where(known, chosen, jnp.nan),
            residuals,
            jnp.where(known, jnp.maximum(norms, floor), jnp.nan),
            jnp.where(jnp.isnan(short), 0, short),
            weights,
        )

    def grown(matvec: operators.Matvec, space: _Space, old: jax.Array, to: float) -> tuple[Tracked, jax.Array]:
        """Returns what is found from a space, and whether it is as good as asked for."""

        def look(space: _Space) -> _Space:
            found, before = pairs(space, to), space.filled
            worst = jnp.argmax(found.short)
            good = found.short[worst] <= 1
            outer = old[: top + 1] - (old[: top + 1] @ space.rows.T) @ space.rows
            share = jnp.sum(outer**2, axis=1)
            tests = good & space.testing & (jnp.max(share) > 0.5)
            direction = jnp.where(good, outer[jnp.argmax(share)], found.residuals[worst])
            _, left = _outside(space.rows, direction)
            fresh = jax.random.normal(jax.random.fold_in(jax.random.key(0), before), (size,), space.rows.dtype)
            direction = jnp.where(left < DEPENDENT, fresh, direction)
            more = jnp.where(good, jnp.where(tests, 1, 0), jnp.maximum(1 + before // 8, rows - before))

            def chain(_: jax.Array, now: tuple[_Space, jax.Array]) -> tuple[_Space, jax.Array]:
                space = multiplied(matvec, *now)
                return space, space.images[jnp.maximum(space.filled - 1, 0)]

            space, _ = jax.lax.fori_loop(0, more, chain, (space, direction))
            seen = jnp.asarray(space.projected[before, before], "float64")
            within = (seen < jnp.nanmin(found.values[:top])) & (seen > found.values[top])
            finite = jnp.all(jnp.isfinite(space.projected))
            done = (good & ~tests) | (space.filled == before) | (space.filled >= capacity) | ~finite
            return space._replace(testing=space.testing & ~(tests & within), done=done)

        space = jax.lax.while_loop(lambda space: ~space.done, look, space)
        found, dtype = pairs(space, to), space.rows.dtype
        kept = jnp.asarray(found.weights.T, dtype) @ space.rows
        values, errors = (jnp.asarray(each, dtype) for each in (found.values, found.norms))
        over = jnp.any(~jnp.isfinite(space.projected)) | (space.filled >= size)
        return Tracked(values, errors, kept, space.filled), over | (jnp.max(found.short) <= 1)

    def empty(dtype: Any) -> _Space:
        vectors = jnp.zeros((capacity, size), dtype)
        square, no = jnp.zeros((capacity, capacity), dtype), jnp.zeros((), bool)
        return _Space(vectors, vectors, square, jnp.zeros((), int), ~no, no)

    @jax.jit
    def begin(point: Any, key: jax.Array) -> Tracked:
        matvec, dtype = operator(point), jax.tree.leaves(point)[0].dtype

        def grow(start: jax.Array) -> tuple[Tracked, jax.Array]:
            space = jax.lax.fori_loop(0, len(start), lambda k, s: multiplied(matvec, s, start[k]), empty(dtype))
            return grown(matvec, space, jnp.zeros((rows, size), dtype), START * TO)

        def again(state: tuple[Tracked, jax.Array, jax.Array]) -> tuple[Tracked, jax.Array, jax.Array]:
            last, _, k = state
            fresh = jax.random.normal(jax.random.fold_in(key, k), (rows, size), dtype)
            # Before the first round there is nothing but what is drawn; later one vector of it may be new.
            start = jnp.where(k == 0, fresh, last.basis)
            found, good = grow(jnp.concatenate([start, fresh[:1]]))
            return found._replace(products=last.products + found.products), good, k + 1

        nothing = jnp.full(top + 1, jnp.nan, dtype)
        first = Tracked(nothing, nothing, jnp.zeros((rows, size), dtype), jnp.zeros((), int))
        state = (first, jnp.zeros((), bool), jnp.zeros((), int))
        return jax.lax.while_loop(lambda state: ~state[1] & (state[2] < ROUNDS), again, state)[0]

    @jax.jit
    def follow(point: Any, basis: jax.Array, news: jax.Array) -> Tracked:
        matvec, dtype = operator(point), basis.dtype
        weights = jnp.where(jnp.arange(rows) <= top, 1.0, WEIGHT).astype(dtype)
        signs = jnp.where(jnp.arange(rows) % 2, -weights, weights)
        lengths = jnp.linalg.norm(news, axis=1, keepdims=True)
        new = WEIGHT * jnp.sum(news / jnp.where(lengths == 0, 1, lengths), axis=0).astype(dtype)
        space = multiplied(matvec, empty(dtype), weights @ basis)
        image = space.images[0]
        calm = jnp.linalg.norm(image - (basis @ image) @ basis) <= CALM * jnp.linalg.norm(image)
        each = jnp.concatenate([basis, new[None]])  # the last vector of the basis is dropped: the sum has it
        each = each.at[0].set(jnp.where(calm, basis[0], signs @ basis + new))

        def start(k: jax.Array, space: _Space) -> _Space:
            image = space.images[jnp.maximum(space.filled - 1, 0)]
            return multiplied(matvec, space, jnp.where(k <= rows, each[jnp.minimum(k, rows)], image))

        space = jax.lax.fori_loop(0, jnp.where(calm, rows + PROBE, 1), start, space)
        return grown(matvec, space, basis, TO)[0]

    return Tracker(size, top, rows, begin, follow)


def _outside(rows: jax.Array, vector: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the unit vector of what lies outside orthonormal rows, and the share of the length that does."""
    length = jnp.linalg.norm(vector)
    unit = vector / jnp.where(length == 0, 1, length)
    for _ in range(2):
        unit = unit - (rows @ unit) @ rows
    left = jnp.linalg.norm(unit)
    return unit / jnp.where(left == 0, 1, left), left


def price(top: int, size: int) -> float:
    """Returns about how many gradients a call of `follow` costs in a full-batch run: USUAL times what it must multiply.

    Each product as 2 gradients. Mini-batches turn vectors faster, and cost more (`gdzoo bench trace`).
    """
    return 1 + 2.0 * USUAL * min(size, top + 1 + GUARDS + PROBE)
