# SPDX-License-Identifier: Apache-2.0
"""Lanczos with full reorthogonalisation, grown in compiled blocks of steps until stated residuals are met.

Own code rather than matfree or scipy's eigsh: neither lets one run grow until a condition on its Ritz pairs holds, and
both cost more here (matfree 1.2 to 1.4 times, eigsh 1.1 to 1.8 times, measured on CPU). Both serve as test oracles.
Source: Lanczos 1950; Parlett, The Symmetric Eigenvalue Problem, 1980; "twice is enough" orthogonalisation: Giraud et
al., Numer. Math. 2005.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from harness.curvature import operators
from harness.curvature import spectrum as spectra

STEPS = 8
"""Products per compiled call of a run; the host looks at the residuals between calls."""

ROWS = 16
"""Rows of the basis that one reorthogonalisation product takes."""

ROUNDING = 100 * float(np.finfo(np.float64).eps)
"""Floor of every error bar, relative to the norm of the operator: the rounding of float64 products."""


class Basis(NamedTuple):
    """A growing orthonormal basis and the tridiagonal matrix in it.

    Attributes:
        rows: (rows, P); row k is q_k, rows beyond `steps` are zero.
        alpha: (rows,) diagonal; beta: (rows,) off-diagonal, beta[k] between k and k + 1.
        steps: Scalar int: products taken, also the index of the next row to multiply.
    """

    rows: jax.Array
    alpha: jax.Array
    beta: jax.Array
    steps: jax.Array


class Ritz(NamedTuple):
    """Ritz pairs of a basis: values (k,) ascending, residuals (k,), weights (k, k), a pair's coordinates a column."""

    values: np.ndarray
    residuals: np.ndarray
    weights: np.ndarray


class Lanczos(NamedTuple):
    """The compiled programs of one operator.

    Attributes:
        size: P.
        capacity: Largest number of products of one run, at most P.
        extend: `(point, basis, key, steps) -> basis` with so many more products, or as many as span the space.
        begin: `(vector, fixed) -> basis` that starts at a vector, orthogonal to the leading `fixed` (k, P) rows.
    """

    size: int
    capacity: int
    extend: Callable[[Any, Basis, jax.Array, int], Basis]
    begin: Callable[[jax.Array, np.ndarray | None], Basis]


def lanczos(operator: operators.Operator, size: int, *, capacity: int) -> Lanczos:
    """Compiles (on first use) the programs of one operator.

    Args:
        operator: The symmetric operator.
        size: P.
        capacity: Largest number of products of one run. Memory: (capacity + 2 ROWS) P floats.
    """
    capacity = min(capacity, size)
    rows = -(-(capacity + 2 * ROWS) // ROWS) * ROWS

    def fresh(k: jax.Array, filled: jax.Array, key: jax.Array) -> jax.Array:
        w = _orthogonalise(jax.random.normal(jax.random.fold_in(key, k), (size,), filled.dtype), filled, k)
        return w / jnp.linalg.norm(w)

    @jax.jit
    def extend(point: Any, basis: Basis, key: jax.Array, steps: int) -> Basis:
        matvec = operator(point)
        stop = jnp.minimum(basis.steps + steps, size)

        def step(k: jax.Array, basis: Basis) -> Basis:
            q = basis.rows[k]
            w = matvec(q)
            alpha = basis.alpha.at[k].set(q @ w)
            w = _orthogonalise(w, basis.rows, k)
            beta = jnp.linalg.norm(w)
            # An invariant subspace: go on in a random direction outside it, which finds repeated eigenvalues. What is
            # dropped with beta is below the floor of the error bars.
            broken = beta <= 0.5 * ROUNDING * jnp.maximum(jnp.max(jnp.abs(alpha)), jnp.max(basis.beta))
            w = jax.lax.cond(broken, lambda: fresh(k, basis.rows, key), lambda: w / beta)
            full = k + 1 >= size
            next_rows = basis.rows.at[k + 1].set(jnp.where(full, 0, w))
            return Basis(next_rows, alpha, basis.beta.at[k].set(jnp.where(broken | full, 0, beta)), k + 1)

        return jax.lax.fori_loop(basis.steps, stop, step, basis)

    @jax.jit
    def start(vector: jax.Array, filled: jax.Array, count: jax.Array) -> Basis:
        w = _orthogonalise(vector, filled, count)
        zeros = jnp.zeros(rows, vector.dtype)
        return Basis(filled.at[count].set(w / jnp.linalg.norm(w)), zeros, zeros, count)

    def begin(vector: jax.Array, fixed: np.ndarray | None) -> Basis:
        count = 0 if fixed is None else len(fixed)
        filled = np.zeros((rows, size), vector.dtype)
        filled[:count] = 0 if fixed is None else fixed
        return start(vector, jnp.asarray(filled), jnp.asarray(count))

    return Lanczos(size, capacity, extend, begin)


def _orthogonalise(w: jax.Array, rows: jax.Array, last: jax.Array) -> jax.Array:
    """Removes from w its components along rows 0..last, twice, ROWS rows at a time."""

    def remove(i: jax.Array, w: jax.Array) -> jax.Array:
        block = jax.lax.dynamic_slice_in_dim(rows, (i % blocks) * ROWS, ROWS)
        return w - (block @ w) @ block

    blocks = last // ROWS + 1
    return jax.lax.fori_loop(0, 2 * blocks, remove, w)


def ritz(basis: Basis, *, first: int = 0, drop: int = 0) -> Ritz:
    """Returns the Ritz pairs of the tridiagonal matrix from row `first` on, without its last `drop` rows (host).

    Raises:
        FloatingPointError: If a product was not finite.
    """
    steps = max(int(basis.steps) - drop, first + 1)
    alpha = np.asarray(basis.alpha[first:steps], np.float64)
    beta = np.asarray(basis.beta[first:steps], np.float64)
    if not np.isfinite(alpha).all() or not np.isfinite(beta).all():
        raise FloatingPointError("a product with the operator is not finite")
    values, weights = scipy.linalg.eigh_tridiagonal(alpha, beta[:-1])
    residuals = np.abs(beta[-1] * weights[-1])
    return Ritz(values, np.maximum(residuals, ROUNDING * np.abs(values).max()), weights)


def run(
    program: Lanczos, point: Any, key: jax.Array, satisfied: Callable[[spectra.Spectrum], bool]
) -> tuple[spectra.Spectrum, np.ndarray, Ritz]:
    """Grows a basis from a random vector until `satisfied`, the capacity, or the whole space.

    Args:
        program: The compiled programs of an operator.
        point: Where the operator is taken, float64.
        key: Random key of the start vector.
        satisfied: Looks at the spectrum known so far and says whether it is good enough.

    Returns:
        The spectrum (complete when the basis spans the whole space), the basis rows (k, P) and the Ritz pairs.
    """
    vector_key, fresh_key = jax.random.split(key)
    dtype = jax.tree.leaves(point)[0].dtype
    basis = program.begin(jax.random.normal(vector_key, (program.size,), dtype), None)
    while True:
        basis = jax.block_until_ready(program.extend(point, basis, fresh_key, STEPS))  # see dense.matrix
        pairs = ritz(basis)
        steps = len(pairs.values)
        known = spectra.Spectrum(pairs.values, pairs.residuals, steps == program.size, program.size, steps)
        if known.complete or steps >= program.capacity or satisfied(known):
            return known, np.asarray(basis.rows[:steps]), pairs
