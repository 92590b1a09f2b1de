# SPDX-License-Identifier: Apache-2.0
"""Whether the saddle that a run was planted at is one, and what is known of it (mathematics, section 5).

Asked once, of the saddle theta_s itself, whatever displacement the run begins with: the gradient there; the least
eigenvalue and the number of negative ones, dense, against what the construction says; and a second difference of the
risk along the least eigenvector, which knows nothing of autodiff: at a kink the two disagree (for ReLU at a head saddle
autodiff says 0 and the difference does not).

Cost: P products, an eigenvalue problem, 3 risks; above the limit of the dense method ARPACK's products for each of the
negative eigenvalues, one after the other, MOST of them at most. Failure: beyond MOST their number is not known (NaN).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from harness.curvature import arpack, dense, operators, rounding
from harness.curvature import spectrum as spectra
from harness.diagnostics import plan
from harness.diagnostics import point as points
from harness.risk import objective
from harness.starts import saddles
from harness.training.problem import Problem

METRICS = (
    "saddle_gradient",
    "saddle_least",
    "saddle_least_error",
    "saddle_predicted",
    "saddle_negative",
    "saddle_negative_predicted",
    "saddle_curvature",
    "saddle_curvature_error",
)

SPACING = 1e-4
"""Distance of the second difference, in parameter units."""

CLUSTER = 1e-7
"""Eigenvalues this near to the least one, relative to the largest in modulus, count as it."""


MOST = 32
"""Negative eigenvalues that are looked for, one by one, above the limit of the dense method."""

WIDTH, PRODUCTS = 40, 800
"""Vectors that ARPACK holds then, and products that it may spend on each."""


class Local(NamedTuple):
    """What was computed at a saddle.

    Attributes:
        gradient: Norm of the gradient.
        values: Eigenvalues, ascending: all P, or the least ones and the largest.
        negative: How many are negative; NaN where it is not known.
        error: Their error bar.
        steepest: (m, P) orthonormal eigenvectors of the least eigenvalue.
        spanned: Whether these are all of its eigenvectors.
        scale: Largest eigenvalue in modulus.
    """

    gradient: float
    values: np.ndarray
    negative: float
    error: float
    steepest: np.ndarray
    spanned: bool
    scale: float


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs, in gradients, the eigenvalue problem not counted."""
    if size.parameters > dense.limit():
        return plan.FIRST * 100 * MOST + 2  # typically; at most PRODUCTS for each
    return plan.PRODUCT * size.parameters + 2


def measure(point: points.Point) -> dict[str, float]:
    """Returns gradient, least eigenvalue, counts and second difference at the saddle, measured and predicted.

    Raises:
        ValueError: If the run was not planted at a saddle.
        FloatingPointError: If a product is not finite.
    """
    problem, planted = point.nearby.problem, point.nearby.planted
    if planted is None:
        raise ValueError("the run was not planted at a saddle")
    found = at(problem, planted)
    if found is None:
        return dict.fromkeys(METRICS, math.nan)
    curvature, bar = _second_difference(problem, planted, found)
    return {
        "saddle_gradient": found.gradient,
        "saddle_least": float(found.values[0]),
        "saddle_least_error": found.error,
        "saddle_predicted": planted.least,
        "saddle_negative": found.negative,
        "saddle_negative_predicted": planted.negative,
        "saddle_curvature": curvature,
        "saddle_curvature_error": bar,
    }


def at(problem: Problem, planted: saddles.Saddle) -> Local | None:
    """Returns what is known of a saddle, computed once for each; None where it is too large and ARPACK fails.

    Raises:
        FloatingPointError: If a product is not finite.
    """
    return _at(_Where(problem, planted))


class _Where:
    """A saddle of a problem, told apart by identity, so that what is known of it can be kept."""

    def __init__(self, problem: Problem, planted: saddles.Saddle) -> None:
        self.problem, self.planted = problem, planted

    def __hash__(self) -> int:
        return hash((id(self.problem.objective.risk), id(self.planted.theta)))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Where)
            and self.problem.objective.risk is other.problem.objective.risk
            and self.planted.theta is other.planted.theta
        )


@functools.lru_cache(maxsize=2)
def _at(where: _Where) -> Local | None:
    problem, theta = where.problem, where.planted.theta
    size = float(jnp.linalg.norm(jax.block_until_ready(problem.gradient(theta))))
    if problem.size > dense.limit():
        return _outer(problem, where.planted, size)
    risk = problem.objective.risk
    matrix = np.asarray(_hessian(risk, problem.size)((theta, problem.exact)))
    spectrum = spectra.widened(dense.spectrum(matrix), _rounding(risk, problem.size)((theta, problem.exact)))
    values, vectors = scipy.linalg.eigh(0.5 * (matrix + matrix.T))
    scale = float(np.abs(values).max())
    near = values <= values[0] + max(CLUSTER * scale, 2 * float(spectrum.errors[0]))
    error = float(spectrum.errors[0])
    steepest = np.ascontiguousarray(vectors[:, near].T)
    return Local(size, values, float(np.sum(values < -error)), error, steepest, True, scale)


def _outer(problem: Problem, planted: saddles.Saddle, gradient: float) -> Local | None:
    """Returns what ARPACK says of a saddle that is too large for a whole Hessian; None where it does not converge.

    Where the construction says that more than MOST are negative, only the vectors of the least one are looked for.
    """
    theta = planted.theta

    def product(v: np.ndarray) -> np.ndarray:
        return np.asarray(problem.product(theta, jnp.asarray(v)))

    def lowest(scale: float, level: float, most: int) -> arpack.Lowest:
        options = {"scale": scale, "level": level, "most": most, "width": WIDTH, "products": PRODUCTS}
        return arpack.lowest(product, problem.size, **options)  # type: ignore[arg-type]

    top = arpack.vectors(product, problem.size, 1, end="largest", width=WIDTH, products=PRODUCTS)
    if not len(top):
        return None
    largest = float(top[0] @ product(top[0]))
    least = lowest(abs(largest), -math.inf, 1)
    if not len(least.values):
        return None
    scale = max(abs(largest), abs(float(least.values[0])))
    counted = not planted.negative > MOST
    level = -CLUSTER * scale if counted else float(least.values[0]) + 2 * CLUSTER * scale
    found = lowest(scale, level, MOST + 1)
    if not len(found.values):
        return None
    error = found.error + _rounding(problem.objective.risk, problem.size)((theta, problem.exact))
    near = found.values <= found.values[0] + max(CLUSTER * scale, 2 * error)
    negative = float(np.sum(found.values < level)) if counted and found.whole else math.nan
    steepest, spanned = found.vectors[near], found.whole or not near.all()
    return Local(gradient, np.append(found.values, largest), negative, error, steepest, spanned, scale)


@functools.lru_cache(maxsize=1)
def _hessian(risk: Callable[..., jax.Array], size: int) -> dense.Matrix:
    return dense.matrix(operators.hessian(risk), size)


@functools.lru_cache(maxsize=1)
def _rounding(risk: Callable[..., jax.Array], size: int) -> Callable[[Any], float]:
    return rounding.frobenius(operators.hessian(risk), size)


@functools.lru_cache(maxsize=1)
def _risk(risk: Callable[..., jax.Array]) -> Callable[[jax.Array, objective.Batch], jax.Array]:
    return jax.jit(risk)


def _second_difference(problem: Problem, planted: saddles.Saddle, found: Local) -> tuple[float, float]:
    """Returns (L(theta + h y) - 2 L(theta) + L(theta - h y)) / h^2 and its error: rounding, and that of half of h."""
    risk = _risk(problem.objective.risk)
    y = jnp.asarray(found.steepest[0])

    def difference(h: float) -> tuple[float, float]:
        low, middle, high = (float(risk(planted.theta + s * h * y, problem.exact)) for s in (-1, 0, 1))
        return (high - 2 * middle + low) / h**2, 8 * float(np.finfo(np.float64).eps) * abs(middle) / h**2

    (coarse, _), (fine, rounding) = difference(SPACING), difference(SPACING / 2)
    return fine, abs(fine - coarse) + rounding
