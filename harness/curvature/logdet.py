# SPDX-License-Identifier: Apache-2.0
"""log|det(I - eta H)|: exact from all eigenvalues, else by deflation and stochastic Lanczos quadrature.

Recipe (mathematics, D3): add the converged eigenvalues with |lambda| > CUT / eta exactly; on their orthogonal
complement, where log|1 - eta x| is smooth, estimate the trace by Rademacher probes, each a short Lanczos run whose
Gauss quadrature gives its quadratic form. Where the trace of H is known, eta x is added to the function, so that its
slope at 0 is gone and with it most of the probes' spread, and the trace is taken off again exactly. Sources: Hutchinson
1990; Ubaru, Chen & Saad, SIAM J. Matrix Anal. 2017.

Example:
    >>> import numpy as np
    >>> from harness.curvature import logdet, spectrum
    >>> known = spectrum.Spectrum(np.array([-1.0, 0.5]), np.zeros(2), complete=True, size=2, products=2)
    >>> f"{logdet.exact(known, 0.5).value:.6f}"  # log(1.5 * 0.75)
    '0.117783'
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import numpy as np
import scipy.special

from harness.curvature import lanczos, operators
from harness.curvature import spectrum as spectra

CUT = 0.5
"""Eigenvalues beyond CUT / eta in modulus are resolved, and taken out before all others are bounded."""

CLOSE = 1e-4
"""A pair has converged where its residual, times eta, is this share of sigma_min and of the eigenvalue, times eta."""

DEFLATED = 0.03
"""Eigenvalues beyond DEFLATED / eta that have converged are taken out for the probes: less is left to chance."""

PROBES = 5
"""Probe vectors."""

STEPS = 2
"""Products per probe, at most: each quadrature is exact for polynomials of degree 4, or 2 where one is enough."""

NARROW = 1.1
"""Width of the complement's spectrum, times eta, up to which one product per probe is enough."""


class LogDet(NamedTuple):
    """log|det(I - eta H)| in nats and its error bar (half a 95 % interval, and propagated eigenvalue errors).

    Where an eigenvalue is 1/eta up to its error bar the error is infinite, and the value may be -infinity.
    """

    value: float
    error: float
    products: int


class Deflated(NamedTuple):
    """What was taken out: eigenvalues, rows of which the first are their vectors, and what is left.

    Attributes:
        values, errors: (k,) each.
        rows: (capacity + 1, P).
        ends: Between which all eigenvalues on the complement lie.
    """

    values: np.ndarray
    errors: np.ndarray
    rows: jax.Array
    ends: tuple[float, float]


def exact(spectrum: spectra.Spectrum, eta: float) -> LogDet:
    """Returns the sum of log|1 - eta lambda| over a complete spectrum; error infinite where 1/eta is in reach."""
    value, error = _sum(spectrum.values, spectrum.errors, eta)
    return LogDet(value, error, 0)


def chosen(pairs: lanczos.Ritz, eta: float, room: int, cut: float = CUT) -> np.ndarray:
    """Returns which Ritz pairs to take out: those beyond cut / eta that have converged, the largest that have room.

    Args:
        pairs: Ritz pairs of a run.
        eta: Step size.
        room: Most pairs.
        cut: CUT, or DEFLATED.
    """
    scaled = eta * np.abs(pairs.values)
    near = np.minimum(max(float(np.abs(1 - eta * pairs.values).min()), 1e-6), scaled)
    found = np.flatnonzero((scaled > cut) & (eta * pairs.residuals <= CLOSE * near))
    return np.sort(found[np.argsort(-np.abs(pairs.values[found]))[:room]])


def estimate(
    program: lanczos.Lanczos,
    at: operators.Linear,
    eta: float,
    key: jax.Array,
    deflated: Deflated,
    trace: float | None = None,
) -> LogDet:
    """Returns log|det(I - eta H)| from deflated eigenvalues and probes on their complement.

    The error adds three parts: the deflated eigenvalues' residuals; half the width of the 95 % interval over probes, by
    Student's t; and the mean of what each probe's quadrature may be off. It is infinite where the complement is not
    known to lie below 1/eta.
    Cost: PROBES * STEPS products.

    Args:
        program: The programs of the operator.
        at: The operator at a point.
        eta: Step size.
        key: Random key of the probes.
        deflated: What was deflated; its rows are taken over.
        trace: The trace of H where it is known exactly, else None.
    """
    value, error = _sum(deflated.values, deflated.errors, eta)
    slope = 0.0 if trace is None else eta
    vectors = jax.random.rademacher(key, (PROBES, program.size), deflated.rows.dtype)
    bounded = math.isfinite(deflated.ends[0]) and eta * deflated.ends[1] < 1
    steps = 1 if bounded and eta * (deflated.ends[1] - deflated.ends[0]) <= NARROW else STEPS
    _, probes = program.probe(at, deflated.rows, len(deflated.values), vectors, key, steps)
    ends = deflated.ends if bounded else (None, None)
    forms = np.array([[_form(probes, i, eta, slope, end) for end in ends] for i in range(PROBES)])
    if trace is not None:
        value -= eta * (trace - float(deflated.values.sum()))
    means = forms.mean(axis=1)
    value += float(means.mean())
    if not bounded:
        return LogDet(value, math.inf, PROBES * steps)
    quantile = float(scipy.special.stdtrit(PROBES - 1, 0.975))
    spread = quantile * float(np.std(means, ddof=1) / np.sqrt(PROBES))
    off = float(np.mean(np.abs(forms[:, 0] - forms[:, 1]))) / 2
    return LogDet(value, error + spread + off, PROBES * steps)


def _form(probes: lanczos.Probes, i: int, eta: float, slope: float, end: float | None) -> float:
    """Returns the quadrature of log|1 - eta x| + slope x for probe i: Gauss-Radau with a node at `end`, else Gauss."""
    nodes, shares = lanczos.quadrature(probes, i, end)
    seen = shares > 0  # a node that the vector does not see may be 1/eta, and 0 times its logarithm is no number
    with np.errstate(divide="ignore"):
        values = np.log(np.abs(1 - eta * nodes[seen])) + slope * nodes[seen]
    return float(probes.lengths[i]) * float(shares[seen] @ values)


def _sum(values: np.ndarray, errors: np.ndarray, eta: float) -> tuple[float, float]:
    """Returns the sum of log|1 - eta lambda| and how far it may fall when each eigenvalue moves within its error."""
    distances = np.abs(1 - eta * values)
    room = distances - spectra.scaled_errors(values, errors, eta)
    with np.errstate(divide="ignore"):
        value = float(np.sum(np.log(distances)))
    if np.any(room <= 0):
        return value, float("inf")
    return value, float(np.sum(np.log(distances) - np.log(room)))
