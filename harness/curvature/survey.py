# SPDX-License-Identifier: Apache-2.0
"""Survey: everything that is asked of the Hessian at one point, by the dense method or by Lanczos.

Example:
    >>> import jax, jax.numpy as jnp
    >>> from harness.curvature import operators, spectrum, survey
    >>> hessian = operators.hessian(lambda theta: 0.5 * jnp.sum(jnp.array([1.0, 2.0, 3.0]) * theta**2))
    >>> surveyor = survey.surveyor(hessian, 3, "dense")
    >>> found = surveyor.survey((jnp.ones(3),), 0.4, jax.random.key(0))
    >>> found.spectrum.values.tolist()
    [1.0, 2.0, 3.0]
    >>> sigma_min, error = spectrum.distance_from_one(found.spectrum, 0.4)  # |1 - 0.4 * 2|
    >>> f"{sigma_min:.3f}, error below {1e-12:g}: {error < 1e-12}"
    '0.200, error below 1e-12: True'
    >>> f"{found.log_det.value:.4f}"  # log(0.6 * 0.2 * 0.2)
    '-3.7297'
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from harness.curvature import dense, eigenvectors, exclusion, lanczos, logdet, operators, rounding
from harness.curvature import spectrum as spectra

Method = Literal["dense", "lanczos"]

DENSE_UP_TO = 2000
"""`curvature: auto` takes the dense method for at most this many parameters."""

PRODUCTS = 160
"""Products that a Lanczos run may spend; then it reports what was reached, with its error bars."""

MEMORY = 8 * 2**30
"""Bytes that a float64 basis may take. It has room for PRODUCTS rows below that, for fewer above (then it restarts)."""

ROOM = 2 * exclusion.STEPS
"""Rows of the smallest basis: half of them can be deflated, and the run on the complement fits in the other half."""


class Survey(NamedTuple):
    """The spectrum of the Hessian, log|det(I - eta H)|, and where it was asked for three eigenvectors, at one point."""

    spectrum: spectra.Spectrum
    log_det: logdet.LogDet
    vectors: eigenvectors.Eigenvectors | None = None


class Surveyor(NamedTuple):
    """The compiled questions.

    Attributes:
        method: How they are answered.
        top: `(point, key) -> (lambda_max, error bar)`, resolved to 1e-9 of itself.
        survey: `(point, eta, key, vectors=False) -> Survey`, with eigenvectors if that is said.
        spectrum: `(point, eta, key) -> spectrum`: the same without log|det|, with what bounds the eigenvalues it never
            saw.
        program: The programs of Lanczos, where it is the method.
    """

    method: Method
    top: Callable[[Any, jax.Array], tuple[float, float]]
    survey: Callable[..., Survey]
    spectrum: Callable[[Any, float, jax.Array], spectra.Spectrum]
    program: lanczos.Lanczos | None = None


def resolve(method: str, size: int) -> Method:
    """Returns the method for a spec's `curvature` (auto, dense or lanczos) and P parameters."""
    if method == "auto":
        return "dense" if size <= DENSE_UP_TO else "lanczos"
    return "dense" if method == "dense" else "lanczos"


def capacity(size: int) -> int:
    """Returns the rows of a basis for P parameters: PRODUCTS, or what MEMORY holds, at least ROOM."""
    return max(ROOM, min(PRODUCTS, MEMORY // (8 * size) - 1))


def surveyor(
    operator: operators.Operator,
    size: int,
    method: Method,
    *,
    rows: int | None = None,
    trace: Callable[[Any], jax.Array] | None = None,
) -> Surveyor:
    """Returns the questions to ask of an operator on vectors of length `size`.

    Cost in products: dense, P; Lanczos, what its residuals need, mostly 35 to 75 (PRODUCTS + exclusion.STEPS at most),
    and logdet.PROBES * logdet.STEPS. Both: that of rounding.frobenius.

    Args:
        operator: The symmetric operator.
        size: P.
        method: How to answer.
        rows: Capacity of the basis, `capacity(size)` unless given.
        trace: Compiled function from a point to the exact trace, where the structure gives it.
    """
    if method == "dense":
        return _dense(operator, size)
    program = lanczos.lanczos(operator, size, capacity=rows or capacity(size))
    rounded = rounding.frobenius(operator, size)

    def top(point: Any, key: jax.Array) -> tuple[float, float]:
        known, _, _ = lanczos.run(program, program.at(point), key, lambda s: s.errors[-1] <= 1e-9 * abs(s.values[-1]))
        return float(known.values[-1]), float(known.errors[-1]) + rounded(point)

    def seen(
        point: Any, eta: float, key: jax.Array, *, vectors: bool = False
    ) -> tuple[spectra.Spectrum, logdet.Deflated | None, eigenvectors.Eigenvectors | None]:
        """Returns the spectrum, what was taken out of it (None where it is complete), and eigenvectors if asked."""
        run_key, rest_key, _ = jax.random.split(key, 3)
        # A space that fits is spanned whole: every eigenvalue is then known, repeated ones too.
        fits = size <= program.capacity
        at = program.at(point)
        # 1. Lanczos on the whole space, until the largest eigenvalue and the one nearest 1/eta are resolved; where
        # memory is short until all is, for only this run can restart.
        enough = nearest if program.capacity >= PRODUCTS else resolved
        known, basis, pairs = lanczos.run(
            program, at, run_key, lambda s: not fits and enough(s, eta), limit=max(PRODUCTS, program.capacity)
        )
        off = rounded(point)
        if known.complete:
            return spectra.widened(known, off), None, eigenvectors.of(basis, pairs, eta, off) if vectors else None
        # 2. The eigenvalues beyond CUT / eta that have converged are taken out.
        taken = logdet.chosen(pairs, eta, program.capacity - exclusion.STEPS)
        # 3. A run on the complement bounds all others. It begins anew, so it sees what the first one could not,
        # repeated eigenvalues too, and goes on until all that is asked for is resolved.
        most = PRODUCTS + exclusion.STEPS - known.products
        found = exclusion.complement(
            program, at, (known, basis, pairs), taken, rest_key, lambda s: s.products >= most or resolved(s, eta)
        )
        named = eigenvectors.of(found.basis, found.pairs, eta, off) if vectors else None
        # 4. For log|det| more of what both runs have found is taken out, and all that is beyond the bounds of the rest.
        values, ends = found.pairs.values, (found.spectrum.least, found.spectrum.rest)
        deep = logdet.chosen(found.pairs, eta, program.capacity - logdet.STEPS, logdet.DEFLATED)
        deep = np.union1d(deep, np.flatnonzero((values < ends[0]) | (values > ends[1])))
        rows = program.combine(found.basis.rows, found.pairs.weights[:, deep])
        deflated = logdet.Deflated(values[deep], found.pairs.residuals[deep] + off, rows, ends)
        return spectra.widened(found.spectrum, off), deflated, named

    def survey(point: Any, eta: float, key: jax.Array, *, vectors: bool = False) -> Survey:
        known, deflated, named = seen(point, eta, key, vectors=vectors)
        if deflated is None:
            return Survey(known, logdet.exact(known, eta), named)
        exact = None if trace is None else float(trace(point))
        probe_key = jax.random.split(key, 3)[2]
        return Survey(known, logdet.estimate(program, program.at(point), eta, probe_key, deflated, exact), named)

    return Surveyor("lanczos", top, survey, lambda point, eta, key: seen(point, eta, key)[0], program)


def _dense(operator: operators.Operator, size: int) -> Surveyor:
    seen = dense.seen(operator, size)

    def spectrum(point: Any) -> spectra.Spectrum:
        return seen(point)[0]

    def top(point: Any, _key: jax.Array) -> tuple[float, float]:
        known = spectrum(point)
        return float(known.values[-1]), float(known.errors[-1])

    def survey(point: Any, eta: float, _key: jax.Array, *, vectors: bool = False) -> Survey:
        known, matrix = seen(point)
        named = eigenvectors.of_matrix(matrix, known, eta) if vectors else None
        return Survey(known, logdet.exact(known, eta), named)

    return Surveyor("dense", top, survey, lambda point, _eta, _key: spectrum(point))


def nearest(spectrum: spectra.Spectrum, eta: float) -> bool:
    """Says whether what lies near 1/eta is resolved.

    It is when the largest eigenvalue is known to 1e-6 of itself, and every Ritz value beyond logdet.CUT / eta, times
    eta, to logdet.CLOSE of sigma_min: the bound of sigma_min has to allow for what they are off together.
    """
    values, errors = spectrum.values, spectrum.errors
    sigma, sigma_error = spectra.distance_from_one(spectrum, eta)
    far = eta * np.abs(values) > logdet.CUT
    close = max(sigma_error, float(np.max(eta * errors[far], initial=0.0))) <= logdet.CLOSE * sigma
    return close and bool(errors[-1] <= 1e-6 * abs(values[-1]))


def resolved(spectrum: spectra.Spectrum, eta: float) -> bool:
    """Says whether a survey may stop.

    It may when what `nearest` asks for is known, and the least eigenvalue to 1e-2 of itself.
    """
    return nearest(spectrum, eta) and bool(spectrum.errors[0] <= 1e-2 * abs(spectrum.values[0]))
