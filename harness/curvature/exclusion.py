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
"""Products of the run on the complement."""

FAILURE = spectra.FAILURE
"""Probability over the start vector that the bound is false, at most."""

PRODUCTS = 96
"""Products that `outer` spends before the run on the complement."""

SHARP = 1e-8
"""Residual, relative to the largest Ritz value in modulus, below which `outer` takes a pair out."""


ROWS = PRODUCTS + STEPS
"""Rows of a basis that `outer` has use for."""


class Excluded(NamedTuple):
    """What is known of the complement of some Ritz pairs.

    Attributes:
        rest, coupling, least: As in Spectrum.
        rows: A basis whose first rows are the vectors of the pairs.
        products: Products that were spent.
    """

    rest: float
    coupling: float
    rows: jax.Array
    products: int
    least: float


def share(size: int, steps: int, failure: float) -> float:
    """Returns delta / (lambda - mu): the share of the spectrum's width by which the largest Ritz value may fall short.

    Args:
        size: n; fewer are as sure.
        steps: Products k of the run.
        failure: Probability that it falls short by more.
    """
    root = math.sinh(math.acosh(max(1.0, math.sqrt(2 * size / math.pi) / failure)) / (2 * steps - 1))
    return root**2 / (1 + root**2)


def bound(
    program: lanczos.Lanczos, at: operators.Linear, rows: jax.Array, fixed: int, key: jax.Array
) -> tuple[tuple[float, float], jax.Array, int]:
    """Returns between what all eigenvalues on the complement of the first `fixed` rows lie, the rows, and products.

    Both ends of the complement's spectrum are bounded at once, each with half of FAILURE, because its width is not
    known beforehand. Infinite where STEPS products are too few for that. Cost: STEPS products.

    Args:
        program: The programs of the operator.
        at: The operator at a point.
        rows: Rows of a basis with room for STEPS more; they are taken over.
        fixed: How many of them are kept, and stay out of it.
        key: Random key of the start vector.
    """
    vector = jax.random.normal(key, (1, program.size), rows.dtype)
    rows, probes = program.probe(at, rows, fixed, vector, key, STEPS)
    nodes = lanczos.probe_ritz(probes, 0)
    steps = len(nodes.values)
    lost = share(program.size, steps, FAILURE / 2)
    if steps + fixed >= program.size:
        lost = 0.0  # the whole complement
    if lost >= 0.5:
        return (-math.inf, math.inf), rows, steps
    width = float(nodes.values[-1] - nodes.values[0]) / (1 - 2 * lost)
    room = float(nodes.residuals.min()) + lost * width
    return (float(nodes.values[0]) - room, float(nodes.values[-1]) + room), rows, steps


def complement(
    program: lanczos.Lanczos,
    at: operators.Linear,
    rows: jax.Array,
    pairs: lanczos.Ritz,
    taken: np.ndarray,
    key: jax.Array,
) -> Excluded:
    """Returns what bounds all eigenvalues but those of some Ritz pairs. Cost: STEPS products.

    Args:
        program: The programs of the operator.
        at: The operator at a point.
        rows: Rows of the basis of the pairs; they are taken over.
        pairs: Its Ritz pairs.
        taken: Indices of those that are taken out; at most the capacity less STEPS.
        key: Random key of the start vector.
    """
    weights = pairs.weights[:, taken]
    (least, rest), rows, spent = bound(program, at, program.combine(rows, weights), len(taken), key)
    # The residual of all pairs together: they share one direction, that of the next row.
    coupling = max(pairs.beta * float(np.linalg.norm(weights[-1])), float(pairs.residuals.min()))
    return Excluded(rest, coupling, rows, spent, least)


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
        found = complement(program, at, basis.rows, pairs, np.sort(sharp[largest]), rest_key)
        products = known.products + found.products
        known = known._replace(rest=found.rest, coupling=found.coupling, products=products, least=found.least)
        return spectra.widened(known, off)

    return spectrum
