# SPDX-License-Identifier: Apache-2.0
"""The largest eigenvalues of an operator that changes a little from call to call, and the least one, followed.

Each call starts from the Ritz vectors of the one before: Rayleigh-Ritz in their span together with new directions, then
in the span of what that gives together with its residuals.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from harness.curvature import lanczos, operators

GUARDS = 2
"""Ritz vectors that are followed beyond those that are asked for."""

COLD = 40
"""Times that the first call improves its basis."""


class Tracked(NamedTuple):
    """What is known after a call.

    Attributes:
        values: (top + 1,) the largest eigenvalues, descending, then the least.
        errors: (top + 1,) residual norms; an eigenvalue lies within each, as far as rounding allows.
        basis: (rows, P) Ritz vectors, in the order of the values, then guards.
        products: Scalar int, products that the call took.
    """

    values: jax.Array
    errors: jax.Array
    basis: jax.Array
    products: jax.Array


class Tracker(NamedTuple):
    """The compiled programs.

    Attributes:
        size: P.
        top: How many of the largest eigenvalues.
        rows: Rows of a basis.
        begin: `(point, key) -> Tracked`, from nothing.
        follow: `(point, basis, news (m, P)) -> Tracked`, from the basis of the call before and new directions.
    """

    size: int
    top: int
    rows: int
    begin: Callable[[Any, jax.Array], Tracked]
    follow: Callable[[Any, jax.Array, jax.Array], Tracked]


def price(top: int, size: int) -> float:
    """Returns what a call costs in steady state, in gradients."""
    return 2.0 * min(3 * (top + GUARDS + 1) + 3, size)


def tracker(operator: operators.Operator, size: int, top: int) -> Tracker:
    """Returns the programs for the `top` largest eigenvalues of an operator and the least one."""
    rows = min(top + 1 + GUARDS, size)
    kept = min(top, rows - 1)

    def improved(point: Any, vectors: jax.Array) -> tuple[Tracked, jax.Array]:
        basis = jnp.linalg.qr(vectors.T)[0].T
        images = jax.vmap(operator(point))(basis)
        projected = basis @ images.T
        values, weights = jnp.linalg.eigh((projected + projected.T) / 2)
        last = len(values) - 1
        order = jnp.array([*range(last, last - kept, -1), 0, *range(last - kept, last - rows + 1, -1)])
        ritz, residuals = weights[:, order].T @ basis, weights[:, order].T @ images
        residuals = residuals - values[order][:, None] * ritz
        floor = lanczos.rounding(vectors.dtype) * jnp.max(jnp.abs(values))
        errors = jnp.maximum(jnp.linalg.norm(residuals, axis=1), floor)
        missing = jnp.full(top - kept, jnp.nan, vectors.dtype)
        values, errors = (jnp.concatenate([of[:kept], missing, of[kept : kept + 1]]) for of in (values[order], errors))
        return Tracked(values, errors, ritz, jnp.asarray(len(basis))), residuals

    @jax.jit
    def begin(point: Any, key: jax.Array) -> Tracked:
        drawn = jax.random.normal(key, (rows, size), jax.tree.leaves(point)[0].dtype)

        def again(_: int, found: tuple[Tracked, jax.Array]) -> tuple[Tracked, jax.Array]:
            before, residuals = found
            better, residuals = improved(point, jnp.concatenate([before.basis, residuals])[:size])
            return better._replace(products=before.products + better.products), residuals

        return jax.lax.fori_loop(0, COLD, again, improved(point, drawn))[0]

    @jax.jit
    def follow(point: Any, basis: jax.Array, news: jax.Array) -> Tracked:
        first, residuals = improved(point, jnp.concatenate([basis, news])[:size])
        second, _ = improved(point, jnp.concatenate([first.basis, residuals])[:size])
        return second._replace(products=first.products + second.products)

    return Tracker(size, top, rows, begin, follow)
