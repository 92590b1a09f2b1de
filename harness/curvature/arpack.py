# SPDX-License-Identifier: Apache-2.0
"""ARPACK (scipy's) for a few outer eigenvectors: an independent decomposition, and vectors that Lanczos does not keep.

The survey's own Lanczos (lanczos.py) grows until its claims hold and keeps no vectors. Here vectors are asked for, and
each is checked by its residual.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from scipy.sparse import linalg


def vectors(
    product: Callable[[np.ndarray], np.ndarray],
    size: int,
    count: int,
    *,
    end: Literal["largest", "least"],
    width: int,
    products: int,
    tolerance: float = 1e-10,
) -> np.ndarray:
    """Returns unit eigenvectors of a symmetric operator, the same bits every time.

    Fewer if they do not converge, and none of an operator that is 0.

    Args:
        product: `(P,) -> (P,)` float64.
        size: P, above `count`.
        count: How many.
        end: Of which end of the spectrum.
        width: Vectors that ARPACK holds.
        products: Products that it may spend, about.
        tolerance: Residual, relative to the eigenvalue, at which a vector has converged.

    Returns:
        (at most count, P).
    """
    operator = linalg.LinearOperator((size, size), matvec=lambda v: product(v.ravel()), dtype=np.float64)
    drawn, held = np.random.default_rng(0), min(size, width)
    which = {"largest": "LA", "least": "SA"}[end]
    start, rounds = drawn.normal(size=size), max(1, products // held)
    try:  # with `rng`: directions that it draws where Krylov vectors run out are not the system's
        found = linalg.eigsh(operator, count, which=which, v0=start, ncv=held, maxiter=rounds, tol=tolerance, rng=drawn)
    except linalg.ArpackNoConvergence as error:
        return np.asarray(error.eigenvectors.T)
    except linalg.ArpackError:  # the operator is 0
        return np.zeros((0, size))
    return np.asarray(found[1].T)


class Lowest(NamedTuple):
    """The eigenvalues below a level, found one after the other.

    Attributes:
        values: (k,) ascending, the last of them at the level or above where `whole`.
        vectors: (k, P), orthonormal to their residuals.
        error: An eigenvalue lies so near to each.
        whole: Whether there is none below the level but these.
    """

    values: np.ndarray
    vectors: np.ndarray
    error: float
    whole: bool


def lowest(
    product: Callable[[np.ndarray], np.ndarray],
    size: int,
    *,
    scale: float,
    level: float,
    most: int,
    width: int,
    products: int,
) -> Lowest:
    """Returns the eigenvalues below a level, each with its multiplicity.

    One vector is found at a time, of the operator without those that were found (they are moved up by 3 scales): a
    single Krylov space sees one vector of a repeated eigenvalue, and these see all of them.

    Args:
        product: `(P,) -> (P,)` float64.
        size: P.
        scale: Largest eigenvalue in modulus, about.
        level: Where to stop.
        most: Most vectors that are looked for.
        width: Vectors that ARPACK holds.
        products: Products that it may spend on each vector.
    """
    found: list[np.ndarray] = []
    values: list[float] = []
    errors: list[float] = []
    while len(found) < most:
        known = np.array(found).reshape(-1, size)

        def lifted(v: np.ndarray, known: np.ndarray = known) -> np.ndarray:
            return product(v) - scale * v + 3 * scale * (known.T @ (known @ v))

        one = vectors(lifted, size, 1, end="least", width=width, products=products)
        if not len(one):
            break
        v = one[0] - known.T @ (known @ one[0])
        v /= np.linalg.norm(v)
        bent = product(v)
        values.append(float(v @ bent))
        errors.append(float(np.linalg.norm(bent - values[-1] * v)))
        found.append(v)
        if values[-1] >= level:
            break
    order = np.argsort(values)
    whole = bool(values) and values[-1] >= level
    return Lowest(np.array(values)[order], np.array(found).reshape(-1, size)[order], max(errors, default=0.0), whole)
