# SPDX-License-Identifier: Apache-2.0
"""Exclusion: what Lanczos never saw, bounded from above with a stated probability of failure.

A Ritz pair proves that an eigenvalue is near; nothing proves that there is no other, unless the start is random. Let v
be an eigenvector of the largest eigenvalue lambda of a symmetric A of size n with spectrum in [mu, lambda], b the start
vector, uniform on the sphere, xi the largest Ritz value of k products, and suppose xi <= lambda - delta. For
p(t) = T(s)/s, s^2 = (lambda - delta - t)/(lambda - delta - mu), T the Chebyshev polynomial of degree 2k - 1 (so that p
has degree k - 1), the Rayleigh quotient of p(A) b is at most xi, which says

    (b.v)^2 p(lambda)^2 delta <= sum over the others of (b.v_i)^2 p(lambda_i)^2 (lambda - delta - lambda_i)
                              <= (1 - (b.v)^2) (lambda - delta - mu),

since |T| <= 1 on [0, 1]. As p(lambda)^2 delta = sinh^2((2k - 1) asinh sqrt(r)) (lambda - delta - mu) with
r = delta/(lambda - delta - mu), this means |b.v| <= 1/cosh((2k - 1) asinh sqrt(r)). The density of b.v is at most
sqrt(n/(2 pi)), so that happens with probability at most sqrt(2n/pi)/cosh((2k - 1) asinh sqrt(r)), whatever the
spectrum. (The argument of Kuczynski & Wozniakowski, SIAM J. Matrix Anal. Appl. 1992, with the constant written out;
see also van Dorsselaer, Hochstenbach & van der Vorst, SIAM J. Matrix Anal. Appl. 2000.)

It is used on the complement of the converged Ritz vectors V, of which few steps suffice: what is left there is small.
If A V = V Theta + R, the eigenvalues of A are within |R| of those of Theta and of the complement, one for one (Weyl).

The probability is that of an ideal random start in exact arithmetic. The start here is pseudo-random, from the seed and
step of the run, and what rounding does is left to the floor of the error bars and to harness/curvature/rounding.py
(models, not bounds).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from harness.curvature import lanczos, operators, rounding
from harness.curvature import spectrum as spectra

STEPS = 32
"""Products of the run on the complement, at least."""

MORE = 2
"""Products by which it goes on beyond them."""

FAILURE = spectra.FAILURE
"""Probability over the start vector that the bound is false, at most."""

PRODUCTS = 96
"""Products that `outer` spends before the run on the complement."""

SHARP = 1e-8
"""Residual, relative to the largest Ritz value in modulus, below which `outer` takes a pair out."""


ROWS = PRODUCTS + STEPS
"""Rows of a basis that `outer` has use for."""


class Excluded(NamedTuple):
    """What is known of the whole operator after a run on the complement of some Ritz pairs.

    Attributes:
        spectrum: The Ritz values of both runs together, and between what all other eigenvalues lie.
        basis: The vectors of the pairs, and those of the run.
        pairs: The Ritz pairs of that basis.
    """

    spectrum: spectra.Spectrum
    basis: lanczos.Basis
    pairs: lanczos.Ritz


def share(size: int, steps: int, failure: float) -> float:
    """Returns delta / (lambda - mu): the share of the spectrum's width by which the largest Ritz value may fall short.

    Args:
        size: n; fewer are as sure.
        steps: Products k of the run.
        failure: Probability that it falls short by more.
    """
    root = math.sinh(math.acosh(max(1.0, math.sqrt(2 * size / math.pi) / failure)) / (2 * steps - 1))
    return root**2 / (1 + root**2)


def bound(program: lanczos.Lanczos, basis: lanczos.Basis, fixed: int) -> tuple[float, float]:
    """Returns between what all eigenvalues on the complement of the first `fixed` rows of a basis lie. Cost: nothing.

    Both ends of the complement's spectrum are bounded at once, each with half of FAILURE, because its width is not
    known beforehand. Infinite where the products are too few for that. However often it is asked of a growing basis,
    the probability that an answer is false is that of one: all say that |b.v| exceeds the same number.

    Args:
        program: The programs of the operator.
        basis: A basis that was entered with `fixed` rows, from a vector that is uniform on the sphere.
        fixed: How many rows.
    """
    nodes = lanczos.part_ritz(basis, fixed)
    steps = len(nodes.values)
    lost = share(program.size, steps, FAILURE / 2)
    if steps + fixed >= program.size:
        lost = 0.0  # the whole complement
    if lost >= 0.5:
        return -math.inf, math.inf
    width = float(nodes.values[-1] - nodes.values[0]) / (1 - 2 * lost)
    room = float(nodes.residuals.min()) + lost * width
    return float(nodes.values[0]) - room, float(nodes.values[-1]) + room


def complement(
    program: lanczos.Lanczos,
    at: operators.Linear,
    known: tuple[spectra.Spectrum, lanczos.Basis, lanczos.Ritz],
    taken: np.ndarray,
    key: jax.Array,
    satisfied: Callable[[spectra.Spectrum], bool] = lambda known: True,
) -> Excluded:
    """Returns what is known after a run on the complement of some Ritz pairs, which bounds all other eigenvalues.

    Cost: STEPS products, and then more of them until `satisfied`, or the basis is full.

    Args:
        program: The programs of the operator.
        at: The operator at a point.
        known: What lanczos.run returned; its basis is taken over.
        taken: Indices of the pairs; at most the capacity less STEPS.
        key: Random key of the start vector.
        satisfied: Looks at the spectrum known so far, of which `products` are those of this run.
    """
    before, basis, pairs = known
    weights, fixed = pairs.weights[:, taken], len(taken)
    couplings = pairs.beta * weights[-1]
    # The residual of all pairs together: they share one direction, that of the next row.
    coupling = max(float(np.linalg.norm(couplings)), float(pairs.residuals.min()))
    vector = jax.random.normal(key, (program.size,), basis.rows.dtype)
    basis = program.enter(program.combine(basis.rows, weights), pairs.values[taken], vector)
    while True:
        steps = int(basis.steps) - fixed
        basis = program.extend(at, basis, key, MORE if steps else STEPS)
        jax.block_until_ready(basis)  # see dense.matrix
        products = int(basis.steps) - fixed
        least, rest = bound(program, basis, fixed)
        joined = lanczos.joined_ritz(basis, couplings)
        found = before._replace(
            values=joined.values, errors=joined.residuals, products=products, rest=rest, coupling=coupling, least=least
        )
        if int(basis.steps) == program.capacity or satisfied(found):
            return Excluded(found._replace(products=before.products + products), basis, joined)


def outer(operator: operators.Operator, size: int, rows: int) -> Callable[[Any, jax.Array], spectra.Spectrum]:
    """Returns the function `(point, key) -> spectrum` that knows the outer eigenvalues, and bounds all others.

    For statements about every step size at once: no step size decides what is resolved. All that converges to SHARP
    within PRODUCTS products is taken out. Cost: PRODUCTS + STEPS
    products, and that of rounding.frobenius.

    Args:
        operator: The symmetric operator.
        size: P.
        rows: Largest capacity of the basis, at least 2 STEPS; ROWS are of use.
    """
    program = lanczos.lanczos(operator, size, capacity=min(rows, ROWS))
    rounded = rounding.frobenius(operator, size)

    def spectrum(point: Any, key: jax.Array) -> spectra.Spectrum:
        run_key, rest_key = jax.random.split(key)
        at = program.at(point)
        known, basis, pairs = lanczos.run(program, at, run_key, lambda _: False, limit=PRODUCTS)
        off = rounded(point)
        if known.complete:
            return spectra.widened(known, off)
        sharp = np.flatnonzero(pairs.residuals <= SHARP * np.abs(pairs.values).max())
        largest = np.argsort(-np.abs(pairs.values[sharp]))[: program.capacity - STEPS]
        found = complement(program, at, (known, basis, pairs), np.sort(sharp[largest]), rest_key)
        return spectra.widened(found.spectrum, off)

    return spectrum
