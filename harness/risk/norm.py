# SPDX-License-Identifier: Apache-2.0
"""The norm of a vector whose squares may be beyond what its precision holds."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def norm(x: jax.Array) -> jax.Array:
    """Returns the Euclidean norm over the last axis, in the dtype of x; finite where x is and a number holds it.

    Where the sum of squares neither overflows nor loses digits it is the square root of that, to the last bit.
    """
    limits = jnp.finfo(x.dtype)  # type: ignore[no-untyped-call]  # of jax
    squared = jnp.sum(x**2, axis=-1)
    plain = jnp.isfinite(squared) & (squared >= limits.tiny / limits.eps)
    largest = jnp.max(jnp.abs(x), axis=-1)
    unit = jnp.where(largest > 0, largest, 1)
    return jnp.where(plain, jnp.sqrt(squared), largest * jnp.sqrt(jnp.sum((x / unit[..., None]) ** 2, axis=-1)))
