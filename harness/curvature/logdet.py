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

CUT = 0.3
"""Eigenvalues beyond CUT / eta in modulus are deflated when they have converged."""

PROBES = 8
"""Probe vectors."""

STEPS = 4
"""Products per probe. With nothing left beyond CUT the quadrature error falls by 42 with each: 3e-7 after four."""


class LogDet(NamedTuple):
    """log|det(I - eta H)| in nats and its error bar (half a 95 % interval, and propagated eigenvalue errors).

    Where an eigenvalue is 1/eta up to its error bar the error is infinite, and the value may be -infinity.
    """

    value: float
    error: float
    products: int


class Deflated(NamedTuple):
    """What was taken out: eigenvalues (k,), their errors (k,), and rows of which the first k are their vectors."""

    values: np.ndarray
    errors: np.ndarray
    rows: jax.Array


def exact(spectrum: spectra.Spectrum, eta: float) -> LogDet:
    """Returns the sum of log|1 - eta lambda| over a complete spectrum; error infinite where 1/eta is in reach."""
    value, error = _sum(spectrum.values, spectrum.errors, eta)
    return LogDet(value, error, 0)


def chosen(pairs: lanczos.Ritz, eta: float, room: int) -> np.ndarray:
    """Returns which Ritz pairs to deflate: those beyond CUT / eta that have converged, the largest if there is no room.

    Args:
        pairs: Ritz pairs of a run.
        eta: Step size.
        room: Most pairs.
    """
    distances = np.abs(1 - eta * pairs.values)
    outside = eta * np.abs(pairs.values) > CUT
    found = np.flatnonzero(outside & (eta * pairs.residuals <= 1e-3 * np.maximum(distances, 1e-3)))
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
    Student's t; and the mean change of a probe's quadrature when its last step is dropped, which grows where undeflated
    eigenvalues crowd 1/eta.
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
    _, probes = program.probe(at, deflated.rows, len(deflated.values), vectors, key, STEPS)
    forms = [_form(probes, i, eta, slope, 0) for i in range(PROBES)]
    shorter = [_form(probes, i, eta, slope, 1) for i in range(PROBES)]
    if trace is not None:
        value -= eta * (trace - float(deflated.values.sum()))
    if not np.isfinite(forms).all():  # an eigenvalue that was not deflated is 1/eta to the last bit
        return LogDet(-math.inf, math.inf, PROBES * STEPS)
    quantile = float(scipy.special.stdtrit(PROBES - 1, 0.975))
    spread = quantile * float(np.std(forms, ddof=1) / np.sqrt(PROBES))
    change = float(np.abs(np.mean(forms) - np.mean(shorter)))
    return LogDet(value + float(np.mean(forms)), error + spread + change, PROBES * STEPS)


def _form(probes: lanczos.Probes, i: int, eta: float, slope: float, drop: int) -> float:
    """Returns the Gauss quadrature of log|1 - eta x| + slope x for probe i, without its last `drop` products."""
    nodes = lanczos.probe_ritz(probes, i, drop=drop)
    shares = nodes.weights[0] ** 2
    seen = shares > 0  # a node that the vector does not see may be 1/eta, and 0 times its logarithm is no number
    with np.errstate(divide="ignore"):
        values = np.log(np.abs(1 - eta * nodes.values[seen])) + slope * nodes.values[seen]
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
