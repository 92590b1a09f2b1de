# SPDX-License-Identifier: Apache-2.0
"""Lanczos with full reorthogonalisation, grown by compiled steps until stated residuals are met.

Own code rather than matfree or scipy's eigsh: neither lets one run grow until a condition on its Ritz pairs holds, and
both cost more here (`gdzoo bench curvature`). Both serve as test oracles.

The basis is one array whose buffer every step reuses, and into which products are written and made orthogonal in
place: a run of m products holds m + 1 vectors, and what the operator itself needs. The operator is linearised once for
all products at a point. The host looks at the residuals after each of the first products, later less often; a look
costs 0.02 ms at 16 products, 0.3 ms at 64. Where the basis is full the run restarts thick, with the Ritz vectors of
both ends of the spectrum. Sources: Lanczos 1950; Parlett, The Symmetric Eigenvalue Problem, 1980; restart: Wu & Simon,
SIAM J. Matrix Anal. Appl. 2000.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness.curvature import operators, orthogonal
from harness.curvature import spectrum as spectra

FIRST = 6
"""Products before the host looks at the residuals of a run for the first time."""

SHARE = 16
"""After k products it looks again after k // SHARE more, at least one: a run takes a sixteenth too many at most."""

COLUMNS = 65536
"""Columns of the basis that are combined at once, so that combining needs no second basis."""

LEAST = 8
"""Smallest capacity: a restart keeps half of it."""


def rounding(dtype: Any) -> float:
    """Returns the floor of every error bar, relative to the norm of the operator: the rounding of its products."""
    return 100 * float(np.finfo(dtype).eps)


class Basis(NamedTuple):
    """A growing orthonormal basis and the operator in it.

    Attributes:
        rows: (capacity + 1, P); row k is q_k, rows beyond `steps` are finite and mean nothing.
        projected: (capacity + 1, capacity + 1); column k holds q_i . A q_k for i <= k.
        beta: Norm of what the basis lacks of the last product: the coupling of its last row to row `steps`.
        steps: Scalar int: index of the next row to multiply.
    """

    rows: jax.Array
    projected: jax.Array
    beta: jax.Array
    steps: jax.Array


class Ritz(NamedTuple):
    """Ritz pairs of a basis.

    Attributes:
        values: (k,) ascending.
        residuals: (k,) norms of A y - theta y, not below the rounding of products.
        weights: (k, k); a pair's coordinates in the basis are a column.
        beta: Coupling of the basis to what it lacks; the residual of any span of Ritz vectors is
            beta times the norm of the last coordinates.
    """

    values: np.ndarray
    residuals: np.ndarray
    weights: np.ndarray
    beta: float


class Probes(NamedTuple):
    """Short runs whose vectors were not kept, on the host.

    Attributes:
        projected: (k, capacity + 1, capacity + 1) of each, as in Basis.
        beta: (k,) of each.
        lengths: (k,) squared norm of each start vector without its part along the fixed rows.
        first, steps: Index of the first row of each, and of the row after its last.
    """

    projected: np.ndarray
    beta: np.ndarray
    lengths: np.ndarray
    first: int
    steps: int


class Lanczos(NamedTuple):
    """The compiled programs of one operator. Programs take over the buffers of the bases that they are given.

    Attributes:
        size: P.
        capacity: Largest number of rows that are multiplied, at most P.
        at: `point -> Linear`, which the others multiply with: the operator is linearised once for all of them.
        begin: `(key, dtype) -> basis` of one random vector.
        enter: `(rows, values, vector) -> basis` from a vector, orthogonal to the first rows: Ritz vectors of `values`.
        extend: `(at, basis, key, steps) -> basis` with so many more products, or as many as there is room for.
        probe: `(at, rows, fixed, vectors, key, steps) -> rows, probes`: for each of vectors (k, P) a run of so many
            products from it, orthogonal to the first `fixed` rows.
        combine: `(rows, weights) -> rows`, the first of which are the combinations of rows that weights (k, j) name.
    """

    size: int
    capacity: int
    at: Callable[[Any], operators.Linear]
    begin: Callable[[jax.Array, Any], Basis]
    enter: Callable[[jax.Array, np.ndarray, jax.Array], Basis]
    extend: Callable[[operators.Linear, Basis, jax.Array, int], Basis]
    probe: Callable[..., tuple[jax.Array, Probes]]
    combine: Callable[[jax.Array, np.ndarray], jax.Array]


def lanczos(operator: operators.Operator, size: int, *, capacity: int) -> Lanczos:
    """Compiles (on first use) the programs of one operator.

    Args:
        operator: The symmetric operator.
        size: P.
        capacity: Largest number of rows of a basis that are multiplied. Memory: (capacity + 1) P floats.
    """
    capacity = min(max(capacity, LEAST), size)
    rows = capacity + 1

    def fresh(k: jax.Array, filled: jax.Array, key: jax.Array) -> jax.Array:
        width, key = min(COLUMNS, size), jax.random.fold_in(key, k)

        def draw(j: jax.Array, filled: jax.Array) -> jax.Array:
            piece = jax.random.normal(jax.random.fold_in(key, j), (1, width), filled.dtype)
            return jax.lax.dynamic_update_slice(filled, piece, (k + 1, jnp.minimum(j * width, size - width)))

        filled, _ = orthogonal.orthogonalise(jax.lax.fori_loop(0, -(-size // width), draw, filled), k + 1)
        return filled.at[k + 1].divide(jnp.linalg.norm(filled[k + 1]))

    def grown(at: operators.Linear, basis: Basis, key: jax.Array, stop: jax.Array) -> Basis:
        floor = 0.5 * rounding(basis.rows.dtype)

        def step(k: jax.Array, basis: Basis) -> Basis:
            filled, along = orthogonal.orthogonalise(at.into(basis.rows, k), k + 1)
            projected = basis.projected.at[:, k].set(along)
            beta = jnp.linalg.norm(filled[k + 1])
            # An invariant subspace: go on in a random direction outside it, which finds repeated eigenvalues. What is
            # dropped with beta is below the floor of the error bars. A loop of at most one turn, for unlike a
            # conditional it works in place.
            broken = beta <= floor * jnp.maximum(jnp.max(jnp.abs(projected)), basis.beta)
            full = k + 1 >= size
            filled = filled.at[k + 1].multiply(jnp.where(broken | full, 0, 1 / beta))
            filled = jax.lax.fori_loop(0, jnp.where(broken & ~full, 1, 0), lambda _, f: fresh(k, f, key), filled)
            return Basis(filled, projected, jnp.where(broken | full, 0, beta), k + 1)

        return jax.lax.fori_loop(basis.steps, jnp.minimum(stop, capacity), step, basis)

    def started(filled: jax.Array, fixed: jax.Array, vector: jax.Array) -> tuple[Basis, jax.Array]:
        filled, _ = orthogonal.orthogonalise(filled.at[fixed].set(vector), fixed)
        length = filled[fixed] @ filled[fixed]
        filled = filled.at[fixed].divide(jnp.sqrt(length))
        zero = jnp.zeros((), filled.dtype)
        return Basis(filled, jnp.zeros((rows, rows), filled.dtype), zero, jnp.asarray(fixed)), length

    @functools.partial(jax.jit, static_argnums=1)
    def drawn(key: jax.Array, dtype: Any) -> jax.Array:
        return jax.random.normal(key, (size,), dtype)

    @jax.jit
    def beginning(vector: jax.Array) -> Basis:
        filled = jnp.zeros((rows, size), vector.dtype).at[0].set(vector / jnp.linalg.norm(vector))
        zero = jnp.zeros((), vector.dtype)
        return Basis(filled, jnp.zeros((rows, rows), vector.dtype), zero, jnp.asarray(0))

    def begin(key: jax.Array, dtype: Any) -> Basis:
        return beginning(drawn(key, dtype))  # apart, for drawing holds three vectors

    @functools.partial(jax.jit, donate_argnums=0)
    def entered(filled: jax.Array, fixed: jax.Array, values: jax.Array, vector: jax.Array) -> Basis:
        basis, _ = started(filled, fixed, vector)
        return basis._replace(projected=jnp.diag(values))

    def enter(filled: jax.Array, values: np.ndarray, vector: jax.Array) -> Basis:
        padded = np.zeros(rows, filled.dtype)
        padded[: len(values)] = values
        return entered(filled, jnp.asarray(len(values)), jnp.asarray(padded), vector)

    @functools.partial(jax.jit, donate_argnums=1)
    def extend(at: operators.Linear, basis: Basis, key: jax.Array, steps: int) -> Basis:
        return grown(at, basis, key, basis.steps + steps)

    @functools.partial(jax.jit, donate_argnums=1)
    def probed(
        at: operators.Linear, filled: jax.Array, fixed: int, vectors: jax.Array, key: jax.Array, steps: int
    ) -> Any:
        def one(filled: jax.Array, vector: jax.Array) -> tuple[jax.Array, Any]:
            basis, length = started(filled, jnp.asarray(fixed), vector)
            basis = grown(at, basis, key, basis.steps + steps)
            return basis.rows, (basis.projected, basis.beta, length)

        return jax.lax.scan(one, filled, vectors)

    def probe(
        at: operators.Linear, filled: jax.Array, fixed: int, vectors: jax.Array, key: jax.Array, steps: int
    ) -> tuple[jax.Array, Probes]:
        filled, found = jax.block_until_ready(probed(at, filled, fixed, vectors, key, steps))
        projected, beta, lengths = (np.asarray(each) for each in found)
        return filled, Probes(projected, beta, lengths, fixed, min(fixed + steps, capacity))

    @functools.partial(jax.jit, donate_argnums=0)
    def combined(filled: jax.Array, weights: jax.Array) -> jax.Array:
        width = min(COLUMNS, size)

        def block(i: jax.Array, filled: jax.Array) -> jax.Array:
            part = jax.lax.dynamic_slice_in_dim(filled, i * width, width, axis=1)
            return jax.lax.dynamic_update_slice_in_dim(filled, weights.T @ part, i * width, axis=1)

        filled = jax.lax.fori_loop(0, size // width, block, filled)
        rest = size - size % width
        return filled.at[:, rest:].set(weights.T @ filled[:, rest:])

    def combine(filled: jax.Array, weights: np.ndarray) -> jax.Array:
        padded = np.zeros((rows, rows), filled.dtype)
        padded[: weights.shape[0], : weights.shape[1]] = weights
        return combined(filled, jnp.asarray(padded))

    return Lanczos(size, capacity, operators.linearised(operator, size), begin, enter, extend, probe, combine)


def ritz(basis: Basis) -> Ritz:
    """Returns the Ritz pairs of a basis (host, float64).

    Raises:
        FloatingPointError: If a product was not finite.
    """
    return _ritz(np.asarray(basis.projected, np.float64), float(basis.beta), 0, int(basis.steps), basis.rows.dtype)


def part_ritz(basis: Basis, first: int) -> Ritz:
    """Returns the Ritz pairs of the rows from `first` on, of what the operator is on the complement of those before.

    Raises:
        FloatingPointError: If a product was not finite.
    """
    return _ritz(np.asarray(basis.projected, np.float64), float(basis.beta), first, int(basis.steps), basis.rows.dtype)


def joined_ritz(basis: Basis, couplings: np.ndarray) -> Ritz:
    """Returns the Ritz pairs of a basis that was entered with Ritz vectors of another.

    What the operator makes of those leaves the basis along the next row of the other one, which the new rows have in
    part: what they have is in `projected`, and what they lack of it adds to the residuals.

    Args:
        basis: The basis.
        couplings: (k,) of the Ritz vectors to that row.

    Raises:
        FloatingPointError: If a product was not finite.
    """
    pairs, count = ritz(basis), len(couplings)
    across = np.asarray(basis.projected, np.float64)[:count, count : int(basis.steps)]
    length = float(couplings @ couplings)
    lacking = math.sqrt(max(0.0, 1 - float(np.sum(across**2)) / length)) if length else 0.0
    residuals = pairs.residuals + lacking * np.abs(couplings @ pairs.weights[:count])
    return pairs._replace(residuals=residuals)


def quadrature(probes: Probes, i: int, end: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the nodes and weights by which v . f(A) v / v . v is found for the start vector v of probe i.

    Gauss quadrature has a node for each product; Gauss-Radau one more, at an end of the spectrum, from the coupling
    that the last product left (Golub 1973).

    Args:
        probes: The probes.
        i: Which.
        end: Beyond which no eigenvalue lies; None for Gauss.

    Raises:
        FloatingPointError: If a product was not finite.
    """
    square = _square(np.asarray(probes.projected[i], np.float64), float(probes.beta[i]), probes.first, probes.steps)
    beta = float(probes.beta[i])
    if end is not None and beta > 0:
        last = np.zeros(len(square))
        last[-1] = beta
        added = np.linalg.solve(square - end * np.eye(len(square)), beta * last)[-1]
        square = np.block([[square, last[:, None]], [last[None], np.array([[end + added]])]])
    values, weights = np.linalg.eigh(square)
    return values, weights[0] ** 2


def _square(projected: np.ndarray, beta: float, first: int, last: int) -> np.ndarray:
    """Returns the symmetric matrix of what the operator is on some rows, from its upper half."""
    square = np.triu(projected[first:last, first:last])
    if not np.isfinite(square).all() or not np.isfinite(beta):
        raise FloatingPointError("a product with the operator is not finite")
    return np.asarray(square + np.triu(square, 1).T)


def _ritz(projected: np.ndarray, beta: float, first: int, last: int, dtype: Any) -> Ritz:
    values, weights = np.linalg.eigh(_square(projected, beta, first, last), UPLO="U")
    floor = rounding(dtype) * np.abs(values).max()
    return Ritz(values, np.maximum(np.abs(beta * weights[-1]), floor), weights, max(beta, floor))


def run(
    program: Lanczos,
    at: operators.Linear,
    key: jax.Array,
    satisfied: Callable[[spectra.Spectrum], bool],
    *,
    limit: int | None = None,
) -> tuple[spectra.Spectrum, Basis, Ritz]:
    """Grows a basis from a random vector until `satisfied`, `limit` products, or the whole space.

    Args:
        program: The compiled programs of an operator.
        at: The operator at a point; its dtype is that of the basis.
        key: Random key of the start vector.
        satisfied: Looks at the spectrum known so far and says whether it is good enough.
        limit: Most products, the capacity unless given. Beyond the capacity the run restarts.

    Returns:
        The spectrum (complete when the basis spans the whole space), the basis and its Ritz pairs.
    """
    vector_key, fresh_key = jax.random.split(key)
    limit = program.capacity if limit is None else limit
    basis = program.begin(vector_key, at.dtype)
    products = steps = 0
    while True:
        more = max(1, steps // SHARE) if products else FIRST
        basis = program.extend(at, basis, fresh_key, min(more, limit - products))
        jax.block_until_ready(basis)  # see dense.matrix
        pairs = ritz(basis)
        products += len(pairs.values) - steps
        steps = len(pairs.values)
        known = spectra.Spectrum(pairs.values, pairs.residuals, steps == program.size, program.size, products)
        if known.complete or products >= limit or satisfied(known):
            return known, basis, pairs
        if steps == program.capacity:
            basis = restart(program, basis, pairs)
            steps = int(basis.steps)
            fresh_key = jax.random.fold_in(fresh_key, products)


def restart(program: Lanczos, basis: Basis, pairs: Ritz) -> Basis:
    """Returns a basis of the Ritz vectors at both ends, three of four at the top, and the next vector: half of it."""
    steps = len(pairs.values)
    low = program.capacity // 8
    kept = np.r_[:low, steps - 3 * low : steps]
    weights = np.zeros((steps + 1, len(kept) + 1))
    weights[:steps, :-1] = pairs.weights[:, kept]
    weights[steps, -1] = 1
    rows = program.combine(basis.rows, weights)
    values = jnp.zeros(basis.projected.shape[0], basis.projected.dtype).at[: len(kept)].set(pairs.values[kept])
    return Basis(rows, jnp.diag(values), basis.beta, jnp.asarray(len(kept)))
