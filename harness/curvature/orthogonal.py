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


def orthogonalise(rows: jax.Array, count: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Removes from row `count` its components along those before it, twice, in place.

    Args:
        rows: (k, P), of which the first `count` are orthonormal and the others finite.
        count: Scalar int, less than k.

    Returns:
        The rows, and the components (k,), zero from `count` on. Cost: 6 `count` P multiplications and additions.
    """
    size, high = rows.shape[1], min(ROWS, rows.shape[0])
    parts = -(-size // COLUMNS) if jax.default_backend() == "cpu" else 1
    wide = -(-size // parts)
    nothing = jnp.zeros(rows.shape[0], rows.dtype)

    def block(rows: jax.Array, i: jax.Array, left: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Returns block i of rows in columns from `left`, its first row, and which of its rows count.

        The last block is moved up to fit; the rows that it shares with the one before do not count again.
        """
        first = jnp.minimum(i * high, rows.shape[0] - high)
        place = first + jnp.arange(high)
        cut = jax.lax.dynamic_slice(rows, (first, left), (high, wide))
        return cut, first, (place >= i * high) & (place < count)

    blocks = (count + high - 1) // high

    def off(rows: jax.Array, piece: jax.Array, along: jax.Array, left: jax.Array, new: jax.Array) -> jax.Array:
        """Takes components off the columns from `left`, those that are new."""

        def remove(i: jax.Array, piece: jax.Array) -> jax.Array:
            cut, first, counts = block(rows, i, left)
            here = jax.lax.dynamic_slice_in_dim(along, first, high)
            return piece - jnp.where(new, jnp.where(counts, here, 0) @ cut, 0)

        return jax.lax.fori_loop(0, blocks, remove, piece)

    def onto(rows: jax.Array, found: jax.Array, piece: jax.Array, left: jax.Array) -> jax.Array:
        """Adds the components of the columns from `left`."""

        def add(i: jax.Array, found: jax.Array) -> jax.Array:
            cut, first, counts = block(rows, i, left)
            here = jax.lax.dynamic_slice_in_dim(found, first, high)
            return jax.lax.dynamic_update_slice_in_dim(found, here + jnp.where(counts, cut @ piece, 0), first, axis=0)

        return jax.lax.fori_loop(0, blocks, add, found)

    def sweep(rows: jax.Array, along: jax.Array | None, *, last: bool = False) -> tuple[jax.Array, jax.Array]:
        """Takes the components `along` off the row, and returns its components after that, unless it is the last."""

        def part(j: jax.Array, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            rows, found = state
            left = jnp.minimum(j * wide, size - wide)
            new = left + jnp.arange(wide) >= j * wide
            piece = jax.lax.dynamic_slice(rows, (count, left), (1, wide))[0]
            if along is not None:
                piece = off(rows, piece, along, left, new)
                rows = jax.lax.dynamic_update_slice(rows, piece[None], (count, left))
            return rows, found if last else onto(rows, found, jnp.where(new, piece, 0), left)

        return jax.lax.fori_loop(0, parts, part, (rows, nothing))

    rows, once = sweep(rows, None)
    rows, twice = sweep(rows, once)
    return sweep(rows, twice, last=True)[0], once + twice
