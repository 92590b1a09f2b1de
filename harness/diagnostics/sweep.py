# SPDX-License-Identifier: Apache-2.0
"""Every step size at a frozen point (mathematics, D12): is the map singular exactly where the spectrum says?

At fixed theta, sigma_min(I - eta H) as a function of eta is piecewise linear and zero exactly at the critical steps
1/lambda_i. That the spectrum's own formula is zero there says nothing; so the zeros are checked by other means: vectors
v of another decomposition (LAPACK's of a Hessian made anew, or ARPACK's), and explicit products |v - H v / lambda_i|,
each an upper bound of sigma_min. Between the zeros, on a logarithmic grid, sigma_min must exceed its error bar.

Looked at are step sizes from LEAST / lambda_max to MOST / lambda_max. Cost: 2 P products (dense); or those of ARPACK
for the TOP largest eigenvalues. Failure: a repeated eigenvalue that Lanczos saw once counts once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from harness.curvature import arpack, operators
from harness.diagnostics import gaps, plan
from harness.diagnostics import point as points
from harness.records import verdict
from harness.risk import objective
from harness.training.problem import Problem

METRICS = ("sweep_zeros", "sweep_zero", "sweep_zero_error", "sweep_regular")

LEAST, MOST = 0.1, 1000.0
"""The range of step sizes, in units of 1 / lambda_max."""

GRID = 400
"""Step sizes of the logarithmic grid."""

TOP = 10
"""Zeros that are checked where the spectrum is known in part: those of the largest eigenvalues."""

PRODUCTS = 200
"""Products that ARPACK may spend."""


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs at most, in gradients; ARPACK's products are linearised anew each time."""
    if size.method == "dense":
        return 2 * plan.PRODUCT * size.parameters
    return plan.FIRST * PRODUCTS + plan.PRODUCT * TOP


def measure(point: points.Point) -> dict[str, float]:
    """Returns how many zeros were checked, the largest sigma_min found at one, its error bar, and the regular share.

    The zero and its error bar are NaN where there is none: no eigenvalue is positive.

    Raises:
        ValueError: If it is not known where the point is.
    """
    theta, _, problem, *_ = point.nearby
    known = point.survey.spectrum
    top = float(known.values[-1])
    steps, errors = gaps.critical_steps(known)
    inside = steps * top <= MOST
    if not inside.any():
        return {"sweep_zeros": 0.0, "sweep_zero": math.nan, "sweep_zero_error": math.nan, "sweep_regular": math.nan}
    multiply = program(problem.objective.risk)

    def products(rows: np.ndarray) -> np.ndarray:
        return np.asarray(multiply(theta, problem.exact, jnp.asarray(rows)))

    if problem.surveyor.method == "dense":
        vectors = scipy.linalg.eigh(_symmetric(products(np.eye(len(theta)))))[1].T
    else:
        inside &= np.arange(len(steps)) < min(TOP, len(theta) - 1)
        vectors = _largest(problem, theta, int(inside.sum()))
    inside &= np.arange(len(steps)) < len(vectors)
    zeros, bars = at_zeros(1 / steps[inside], errors[inside] / steps[inside] ** 2, vectors, products(vectors))
    grid = np.geomspace(LEAST / top, MOST / top, GRID)
    sigma, uncertain, _ = gaps.sweep(known, grid)
    return {
        "sweep_zeros": float(inside.sum()),
        "sweep_zero": float(zeros.max()) if len(zeros) else math.nan,
        "sweep_zero_error": float(bars.max()) if len(zeros) else math.nan,
        "sweep_regular": float(np.mean(sigma > verdict.MARGIN * uncertain)),
    }


def at_zeros(
    values: np.ndarray, errors: np.ndarray, vectors: np.ndarray, products: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns, for each claimed eigenvalue, |v - H v / lambda| of the unit vector v whose Rayleigh quotient is nearest.

    It is an upper bound of sigma_min(I - H / lambda), whatever v is. If the claim is true it does not exceed the second
    array: the claim's error bar and twice the residual of v, over lambda.

    Args:
        values: (m,) claimed eigenvalues, above 0.
        errors: (m,) their error bars.
        vectors: (k, P) unit vectors.
        products: (k, P), H times each.
    """
    if not len(vectors):
        return np.zeros(0), np.zeros(0)
    quotients = np.sum(vectors * products, axis=1)
    residuals = np.linalg.norm(products - quotients[:, None] * vectors, axis=1)
    nearest = np.abs(values[:, None] - quotients[None]).argmin(axis=1)
    zeros = np.linalg.norm(vectors[nearest] - products[nearest] / values[:, None], axis=1)
    return zeros, (errors + 2 * residuals[nearest]) / values


def _largest(problem: Problem, theta: jax.Array, count: int) -> np.ndarray:
    """Returns ARPACK's unit vectors (count, P) of the largest eigenvalues of H, fewer if they do not converge."""

    def product(v: np.ndarray) -> np.ndarray:
        return np.asarray(problem.product(theta, jnp.asarray(v)))

    return arpack.vectors(product, len(theta), count, end="largest", width=4 * TOP, products=PRODUCTS)


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return 0.5 * (matrix + matrix.T)


@functools.lru_cache(maxsize=1)
def program(risk: Callable[..., jax.Array]) -> Callable[[jax.Array, objective.Batch, jax.Array], jax.Array]:
    """Returns the compiled function `(theta, batch, rows (k, P)) -> H rows`, linearised once, row after row."""

    @jax.jit
    def multiply(theta: jax.Array, batch: objective.Batch, rows: jax.Array) -> jax.Array:
        return jax.lax.map(operators.hessian(risk)((theta, batch)), rows)

    return multiply
