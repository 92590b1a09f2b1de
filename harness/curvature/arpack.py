# SPDX-License-Identifier: Apache-2.0
"""ARPACK (scipy's) for a few outer eigenvectors: an independent decomposition, and vectors that Lanczos does not keep.

The survey's own Lanczos (lanczos.py) grows until its claims hold and keeps no vectors. Here vectors are asked for, and
each is checked by its residual.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

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
    """Returns unit eigenvectors of a symmetric operator, fewer if they do not converge; the same bits every time.

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
    return np.asarray(found[1].T)
