# SPDX-License-Identifier: Apache-2.0
"""Data space: the Jacobian of all outputs, seen from the N K numbers that it fits (mathematics, section 2).

With J_i (K, P) the Jacobian of example i and A_i the curvature of the loss in its outputs, B stacks A_i^(1/2) J_i. The
Gauss-Newton matrix of examples S with weights w is sum_{i in S} w_i B_i' B_i / sum_{i in S} w_i, and where the
residuals vanish it is the Hessian. Everything that such matrices do happens in the range of B', whose dimension r is N
K at most; in an orthonormal frame of it B becomes a factor R (N K, r) with R R' = B B', the Gram matrix (neural tangent
kernel) of the outputs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from harness import config
from harness.risk import losses, objective

LIMIT = 5_000
"""Largest N K for which the Gram matrix is made: 200 MB, and a minute or two of one core for its eigenvectors."""

ROWS = 2**27
"""Most numbers of B held at once, 1 GiB in float64; of a larger one blocks of rows are made again for each pair."""

Outputs = Callable[[jax.Array, jax.Array], jax.Array]


class Factor(NamedTuple):
    """B in an orthonormal frame of the range of B'.

    Attributes:
        rows: (N, K, r) float64.
        values: (r,) eigenvalues of R'R, ascending, all beyond rounding.
        error: Each of them, and each that is taken for 0, is off by this at most: eps times their number times the
            largest (a model of rounding).
        full: The rank that nothing but the data stands against: N times the rank of A_i.
    """

    rows: np.ndarray
    values: np.ndarray
    error: float
    full: int

    @property
    def rank(self) -> int:
        """R."""
        return len(self.values)


def factor(outputs: Outputs, loss: config.Loss, theta: jax.Array, batch: objective.Batch) -> Factor:
    """Returns the factor of a batch at theta, in float64.

    Cost: K gradients of the whole risk (N K pullbacks of single examples), and the eigenvectors of a symmetric matrix
    of min(N K, P) rows.

    Args:
        outputs: `(theta, x) -> (N, K)`.
        loss: The `loss` part of a cell.
        theta: (P,) float64.
        batch: The examples; rows of weight 0, which only pad, are left out.

    Raises:
        ValueError: If N K exceeds LIMIT.
        FloatingPointError: If an entry is not finite.
    """
    real = np.asarray(batch.weights) > 0
    x, targets = jnp.asarray(np.asarray(batch.x)[real]), jnp.asarray(np.asarray(batch.targets)[real])
    examples, width = targets.shape
    if examples * width > LIMIT:
        raise ValueError(f"{examples * width} outputs; at most {LIMIT}")
    made = _rows(outputs, loss)
    block = max(1, ROWS // (width * len(theta)))
    parts = [slice(at, at + block) for at in range(0, examples, block)]
    if len(parts) == 1 and len(theta) < examples * width:
        stacked = np.asarray(jax.block_until_ready(made(theta, x, targets))).reshape(-1, len(theta))
        values, frame, error = _frame(stacked.T @ stacked)
        rows = stacked @ frame
    else:
        gram = np.empty((examples * width,) * 2)
        for i, first in enumerate(parts):
            left = np.asarray(jax.block_until_ready(made(theta, x[first], targets[first]))).reshape(-1, len(theta))
            for second in parts[i:]:
                right = left
                if second != first:
                    right = np.asarray(jax.block_until_ready(made(theta, x[second], targets[second])))
                    right = right.reshape(-1, len(theta))
                rows_, columns_ = (slice(part.start * width, part.stop * width) for part in (first, second))
                gram[rows_, columns_] = left @ right.T
                gram[columns_, rows_] = gram[rows_, columns_].T
        values, frame, error = _frame(gram)
        rows = frame * np.sqrt(values)
    return Factor(rows.reshape(examples, width, -1), values, error, examples * rank(loss, width))


def remembering(outputs: Outputs, loss: config.Loss, batch: objective.Batch) -> Callable[[jax.Array], Factor]:
    """Returns `theta -> factor` that computes a factor once for each theta in a row: several questions share it."""
    held: list[tuple[jax.Array, Factor]] = []

    def of(theta: jax.Array) -> Factor:
        if not held or held[0][0] is not theta:
            held[:] = [(theta, factor(outputs, loss, theta, batch))]
        return held[0][1]

    return of


def rank(loss: config.Loss, outputs: int) -> int:
    """Returns the rank of the curvature of a loss in K outputs: K, one less for a softmax, 0 for what is linear."""
    return {"half_mse": outputs, "output": 0}.get(loss.name, outputs - 1)


def curvature(found: Factor, weights: np.ndarray) -> np.ndarray:
    """Returns all eigenvalues but 0 of the Gauss-Newton matrix of the whole batch with weights (N,), ascending."""
    shares = np.sqrt(weights / weights.sum())[:, None, None]
    scaled = (found.rows * shares).reshape(-1, found.rank)
    if np.ptp(weights) == 0:
        return found.values / len(weights)
    return np.asarray(scipy.linalg.eigvalsh(scaled.T @ scaled))


def _frame(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns the eigenvalues of a Gram matrix beyond rounding, their eigenvectors as columns, and the rounding."""
    if not np.isfinite(matrix).all():
        raise FloatingPointError("a Jacobian is not finite")
    values, vectors = scipy.linalg.eigh(matrix, driver="evd")
    error = float(np.finfo(np.float64).eps * len(values) * max(values[-1], 0.0))
    kept = values > error
    return values[kept], vectors[:, kept], error


@functools.lru_cache(maxsize=2)
def _rows(outputs: Outputs, loss: config.Loss) -> Callable[[jax.Array, jax.Array, jax.Array], jax.Array]:
    """Returns the compiled function `(theta, x (n, ...), targets (n, K)) -> A^(1/2) J`, (n, K, P)."""

    def of(theta: jax.Array, x: jax.Array, target: jax.Array) -> jax.Array:
        values, pull = jax.vjp(lambda theta: outputs(theta, x[None])[0], theta)
        jacobian = jax.lax.map(lambda one: pull(one)[0], jnp.eye(len(values), dtype=values.dtype))
        if loss.name == "half_mse":
            return jacobian
        bent = jax.hessian(lambda f: losses.per_example(loss, f[None], target[None])[0])(values)
        squares, vectors = jnp.linalg.eigh(bent)
        # What rounding makes of a 0 may be negative; the row it would weigh is one of zeros.
        return (jnp.sqrt(jnp.maximum(squares, 0))[:, None] * vectors.T) @ jacobian

    return jax.jit(lambda theta, x, targets: jax.lax.map(lambda pair: of(theta, *pair), (x, targets)))
