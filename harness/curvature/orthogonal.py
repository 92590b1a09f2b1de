# SPDX-License-Identifier: Apache-2.0
"""Classical Gram-Schmidt, twice, against the rows of a basis, a block of rows and columns at a time.

"Twice is enough": Giraud, Langou, Rozloznik & van den Eshof, Numer. Math. 2005. XLA on CPU copies what it slices from
an array before it multiplies: whole rows would be copied from and to main memory, and be held beside the basis. A block
of this size stays in a core's cache, and is projected on again right after the last projection was taken off it: the
basis is read three times, not four. Accelerators take all columns at once: there a loop costs more.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

ROWS = 8
"""Rows of a block."""

COLUMNS = 8192
"""Columns of a block, at most, on a CPU."""


def orthogonalise(w: jax.Array, rows: jax.Array, count: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Removes from w its components along the first `count` rows, twice; returns what is left and the components.

    Args:
        w: (P,).
        rows: (k, P), of which the first `count` are orthonormal and the others finite.
        count: Scalar int, at most k.

    Returns:
        (P,) and (k,), the components zero from `count` on. Cost: 6 `count` P multiplications and additions.
    """
    size, high = w.shape[0], min(ROWS, rows.shape[0])
    parts = -(-size // COLUMNS) if jax.default_backend() == "cpu" else 1
    wide = -(-size // parts)
    nothing = jnp.zeros(rows.shape[0], w.dtype)

    def block(i: jax.Array, left: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns block i of rows in columns from `left`, its first row, and which of its rows count.

        The last block is moved up to fit; the rows that it shares with the one before do not count again.
        """
        first = jnp.minimum(i * high, rows.shape[0] - high)
        place = first + jnp.arange(high)
        cut = jax.lax.dynamic_slice(rows, (first, left), (high, wide))
        return cut, first, (place >= i * high) & (place < count)

    blocks = (count + high - 1) // high

    def off(piece: jax.Array, along: jax.Array, left: jax.Array, new: jax.Array) -> jax.Array:
        """Takes components off the columns from `left`, those that are new."""

        def remove(i: jax.Array, piece: jax.Array) -> jax.Array:
            cut, first, counts = block(i, left)
            here = jax.lax.dynamic_slice_in_dim(along, first, high)
            return piece - jnp.where(new, jnp.where(counts, here, 0) @ cut, 0)

        return jax.lax.fori_loop(0, blocks, remove, piece)

    def onto(found: jax.Array, piece: jax.Array, left: jax.Array) -> jax.Array:
        """Adds the components of the columns from `left`."""

        def add(i: jax.Array, found: jax.Array) -> jax.Array:
            cut, first, counts = block(i, left)
            here = jax.lax.dynamic_slice_in_dim(found, first, high)
            return jax.lax.dynamic_update_slice_in_dim(found, here + jnp.where(counts, cut @ piece, 0), first, axis=0)

        return jax.lax.fori_loop(0, blocks, add, found)

    def sweep(w: jax.Array, along: jax.Array | None, *, last: bool = False) -> tuple[jax.Array, jax.Array]:
        """Takes the components `along` off w, and returns it with its components after that, unless it is the last."""

        def part(j: jax.Array, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            w, found = state
            left = jnp.minimum(j * wide, size - wide)
            new = left + jnp.arange(wide) >= j * wide
            piece = jax.lax.dynamic_slice_in_dim(w, left, wide)
            if along is not None:
                piece = off(piece, along, left, new)
                w = jax.lax.dynamic_update_slice_in_dim(w, piece, left, axis=0)
            return w, found if last else onto(found, jnp.where(new, piece, 0), left)

        return jax.lax.fori_loop(0, parts, part, (w, nothing))

    w, once = sweep(w, None)
    w, twice = sweep(w, once)
    return sweep(w, twice, last=True)[0], once + twice
