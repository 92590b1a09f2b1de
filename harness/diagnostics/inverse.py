# SPDX-License-Identifier: Apache-2.0
"""One step back: the points z that one full-batch step takes to theta' = theta - eta grad L(theta) (mathematics, D8).

z - eta grad L(z) = theta' is solved by damped Newton steps from theta' and from NOISY points around theta, one step
length away. Where eta H < 1 everywhere there is exactly one solution, theta. Elsewhere the map may fold, and a second
solution is reported, not scored: not injective is not singular.

The linear systems with I - eta H are symmetric and indefinite. scipy's MINRES solves them: few steps, since the
spectrum is a crowd at 1 and some outliers; seven vectors of memory, where jax's GMRES keeps its whole basis; lineax has
no MINRES, and jax's CG needs a definite matrix. Dense LU would cost P products for each Newton step.

Cost: at most PRODUCTS products for each start, mostly a fifth of that. Failure: Newton may stall at a fold or a kink of
the map; the residual says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import linalg

from harness.curvature import spectrum as spectra
from harness.diagnostics import plan
from harness.diagnostics import point as points

METRICS = ("inverse_residual", "inverse_distance", "inverse_distance_error", "other_preimages")

NOISY = 2
"""Starts around theta, besides the one at theta'."""

PRODUCTS = 400
"""Products with H that one start may spend."""

NEWTON = 30
"""Newton steps of one start."""

HALVINGS = 10
"""How often a Newton step is halved before the start counts as stalled."""

SOLVED = 1e-8
"""Residual, in lengths of the step, below which a solution counts as one."""

APART = 1e-6
"""Distance, in lengths of the step, beyond which two solutions count as two, if it exceeds 10 error bars."""

Map = Callable[[np.ndarray], np.ndarray]
Product = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Preimage(NamedTuple):
    """Where damped Newton steps ended.

    Attributes:
        z: (P,) float64.
        residual: |z - eta grad L(z) - theta'|.
        error: Length of the Newton step that would come next: how far the solution is, to first order.
        products: Products that were spent.
    """

    z: np.ndarray
    residual: float
    error: float
    products: int


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs at most, in gradients; a product is linearised anew each time."""
    return (1 + NOISY) * (plan.FIRST * PRODUCTS + NEWTON)


def measure(point: points.Point) -> dict[str, float]:
    """Returns residual and distance of the solution found from theta', its error bar, and the number of others.

    Distances are in lengths of the step |theta' - theta|. The error bar of the distance is the larger of the residual
    over sigma_min at theta and the next Newton step. NaN where the gradient vanishes.

    Raises:
        ValueError: If it is not known where the point is.
    """
    theta, _, problem, *_ = point.nearby
    here = np.asarray(theta)
    moved = here - point.eta * np.asarray(problem.gradient(theta))
    length = float(np.linalg.norm(moved - here))
    if not length:
        return dict.fromkeys(METRICS, math.nan)
    sigma = spectra.distance_from_one(point.survey.spectrum, point.eta)[0]
    key = point.nearby.key_of("inverse")
    noise = np.array([jax.random.normal(jax.random.fold_in(key, i), here.shape) for i in range(NOISY)])
    starts = [moved, *(here + length * row / np.linalg.norm(row) for row in noise)]

    def gradient(z: np.ndarray) -> np.ndarray:
        return np.asarray(problem.gradient(jnp.asarray(z)))

    def product(z: np.ndarray, v: np.ndarray) -> np.ndarray:
        return np.asarray(problem.product(jnp.asarray(z), jnp.asarray(v)))

    found = [preimage(gradient, product, point.eta, moved, z) for z in starts]
    first = found[0]
    accuracy = max(first.error, first.residual / sigma if sigma else math.inf)
    return {
        "inverse_residual": first.residual / length,
        "inverse_distance": float(np.linalg.norm(first.z - here)) / length,
        "inverse_distance_error": accuracy / length,
        "other_preimages": float(len(others(here, found, length))),
    }


def preimage(gradient: Map, product: Product, eta: float, target: np.ndarray, z: np.ndarray) -> Preimage:
    """Solves z - eta grad L(z) = target by damped Newton steps from z, until rounding, PRODUCTS or a stall.

    Args:
        gradient: `z -> grad L(z)`, (P,) float64.
        product: `(z, v) -> H(z) v`.
        eta: Step size.
        target: (P,) float64.
        z: (P,) float64, where to begin.
    """
    spent = 0

    def residual(z: np.ndarray) -> np.ndarray:
        return z - eta * gradient(z) - target

    def correction(z: np.ndarray, right: np.ndarray, accuracy: float) -> np.ndarray:
        """Solves (I - eta H(z)) x = right, up to what is left of PRODUCTS."""

        def matvec(v: np.ndarray) -> np.ndarray:
            nonlocal spent
            spent += 1
            return v.ravel() - eta * product(z, v.ravel())

        operator = linalg.LinearOperator((len(z), len(z)), matvec=matvec, dtype=np.float64)
        solved: np.ndarray = linalg.minres(operator, right, rtol=accuracy, maxiter=max(1, PRODUCTS - spent))[0]
        return solved

    value = residual(z)
    first = float(np.linalg.norm(value))
    floor = 4 * np.finfo(np.float64).eps * float(np.linalg.norm(target) + np.linalg.norm(value - z))
    for _ in range(NEWTON):
        size = float(np.linalg.norm(value))
        step = correction(z, value, max(1e-10, min(1e-2, size / first)) if first else 1e-2)
        if size <= floor or spent >= PRODUCTS or not np.isfinite(step).all():
            break
        for halving in range(HALVINGS):
            share = 0.5**halving
            tried = residual(z - share * step)
            if np.linalg.norm(tried) < (1 - 1e-4 * share) * size:
                break
        else:
            break
        z, value = z - share * step, tried
    return Preimage(z, float(np.linalg.norm(value)), float(np.linalg.norm(step)), spent)


def others(theta: np.ndarray, found: list[Preimage], length: float) -> list[Preimage]:
    """Returns those solutions that are neither theta nor one another, up to their error bars.

    Args:
        theta: (P,) float64, a solution.
        found: Where the starts ended.
        length: Of the step.
    """
    kept: list[Preimage] = []
    for one in found:
        known = [(theta, 0.0), *((other.z, other.error) for other in kept)]
        room = [max(APART * length, 10 * (one.error + error)) for _, error in known]
        apart = all(np.linalg.norm(one.z - z) > far for (z, _), far in zip(known, room, strict=True))
        if one.residual <= SOLVED * length and apart:
            kept.append(one)
    return kept
