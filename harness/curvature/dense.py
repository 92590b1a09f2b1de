# SPDX-License-Identifier: Apache-2.0
"""Dense: the whole matrix, all its eigenvalues, in float64. The reference for everything else.

Example:
    >>> import jax.numpy as jnp
    >>> from harness.curvature import dense, operators
    >>> hessian = operators.hessian(lambda theta: 0.5 * jnp.sum(jnp.array([1.0, 2.0, 3.0]) * theta**2))
    >>> dense.matrix(hessian, 3)((jnp.ones(3),)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from harness.curvature import operators, rounding
from harness.curvature import spectrum as spectra

Matrix = Callable[[Any], jax.Array]

LIMIT = 5_000
"""Most parameters whose whole matrix is made on a CPU: two minutes of one core for its eigenvalues, 800 MB."""

ACCELERATED = 20_000
"""Most parameters on an accelerator."""


def limit() -> int:
    """Returns the most parameters of the dense method on the device in use."""
    return LIMIT if jax.default_backend() == "cpu" else ACCELERATED


def matrix(operator: operators.Operator, size: int) -> Matrix:
    """Returns the compiled function `point -> (P, P)`, one product per column, columns one after the other.

    On CPU a block of products at once is slower than single ones (measured: 6 times for an MLP in float64). P^2 floats
    of memory.
    """

    @jax.jit
    def columns(point: Any) -> jax.Array:
        matvec = operator(point)
        dtype = jax.tree.leaves(point)[0].dtype

        def column(i: jax.Array) -> jax.Array:
            return matvec(jnp.zeros(size, dtype).at[i].set(1))

        return jax.lax.map(column, jnp.arange(size))

    # Waited for: where memory ran out that raises, while reading the array would end the process (jaxlib, CPU).
    return lambda point: jax.block_until_ready(columns(point))


def known(operator: operators.Operator, size: int) -> Callable[[Any], spectra.Spectrum]:
    """Returns the function from a point to all eigenvalues; as `seen`, without the matrix."""
    made = seen(operator, size)
    return lambda point: made(point)[0]


def seen(operator: operators.Operator, size: int) -> Callable[[Any], tuple[spectra.Spectrum, np.ndarray]]:
    """Returns the function from a point to all eigenvalues, in whose error bars the rounding of the matrix is, and it.

    It raises what `spectrum` does. Cost: P products, (4/3) P^3 operations, and that of rounding.frobenius.
    """
    whole, off = matrix(operator, size), rounding.frobenius(operator, size)

    def at(point: Any) -> tuple[spectra.Spectrum, np.ndarray]:
        made = np.asarray(whole(point))
        return spectra.widened(spectrum(made), off(point)), made

    return at


def spectrum(matrix: np.ndarray) -> spectra.Spectrum:
    """Returns all eigenvalues of a symmetric matrix (P, P) float64, whose entries are taken as they are.

    The error bar is Weyl's: the norm of the antisymmetric part, which is rounding of the products, plus the
    backward error P eps ||H|| of the symmetric eigensolver. Cost: (4/3) P^3 operations.

    Raises:
        FloatingPointError: If an entry is not finite.
    """
    if not np.isfinite(matrix).all():
        raise FloatingPointError("an entry of the matrix is not finite")
    size = matrix.shape[0]
    asymmetry = 0.5 * float(np.linalg.norm(matrix - matrix.T))
    values = scipy.linalg.eigvalsh(0.5 * (matrix + matrix.T))
    error = asymmetry + size * np.finfo(np.float64).eps * float(np.abs(values).max())
    return spectra.Spectrum(values, np.full(size, error), complete=True, size=size, products=size)
