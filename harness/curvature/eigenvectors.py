# SPDX-License-Identifier: Apache-2.0
"""Three eigenvectors that a survey has at hand: of the largest eigenvalue, the least, and the one nearest 1/eta.

A survey that asks for them spends no product more: they are Ritz vectors of its Lanczos basis, or come from the dense
matrix that it has made. A vector v with residual r = |Hv - lambda v| is off the eigenvector by an angle whose sine is
at most r over the gap to the other eigenvalues (Davis & Kahan, SIAM J. Numer. Anal. 1970). Where an eigenvalue is
repeated the gap is 0 and a single vector means nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from harness.curvature import lanczos
from harness.curvature import spectrum as spectra


class Eigenvectors(NamedTuple):
    """Unit eigenvectors, a row for each of spectrum.NAMED.

    Attributes:
        rows: (3, P) float64.
        values: (3,) their eigenvalues.
        residuals: (3,) |Hv - value v| at most, with the rounding of H in it.
        gaps: (3,) from each value to the nearest other known one; infinity where there is no other.
    """

    rows: jax.Array
    values: np.ndarray
    residuals: np.ndarray
    gaps: np.ndarray

    @property
    def angles(self) -> np.ndarray:
        """Bounds of the sines (3,) of the angles to the eigenvectors, as far as the gaps are known; at most 1."""
        with np.errstate(divide="ignore"):
            return np.minimum(1.0, self.residuals / np.maximum(self.gaps - self.residuals, 0.0))


def of(basis: lanczos.Basis, pairs: lanczos.Ritz, eta: float, rounding: float) -> Eigenvectors:
    """Returns them from the Ritz pairs of a basis, which stays as it is.

    Cost: no product; 3 P numbers for each row of the basis.

    Args:
        basis: The basis.
        pairs: Its Ritz pairs.
        eta: Step size.
        rounding: How far the operator is off, in norm.
    """
    chosen = spectra.named(pairs.values, eta)
    weights = np.zeros((len(basis.rows), len(chosen)))
    weights[: len(pairs.values)] = pairs.weights[:, chosen]
    rows = jax.block_until_ready(jnp.asarray(weights.T, basis.rows.dtype) @ basis.rows)
    return Eigenvectors(rows, pairs.values[chosen], pairs.residuals[chosen] + rounding, _gaps(pairs.values)[chosen])


def of_matrix(matrix: np.ndarray, known: spectra.Spectrum, eta: float) -> Eigenvectors:
    """Returns them from the whole matrix (P, P), of which all eigenvalues are known.

    Cost: no product; (4/3) P^3 operations for each.
    """
    chosen = spectra.named(known.values, eta)
    symmetric = 0.5 * (matrix + matrix.T)
    found = {int(i): scipy.linalg.eigh(symmetric, subset_by_index=(i, i))[1][:, 0] for i in set(chosen.tolist())}
    rows = jnp.asarray(np.stack([found[int(i)] for i in chosen]))
    return Eigenvectors(rows, known.values[chosen], known.errors[chosen], _gaps(known.values)[chosen])


def _gaps(values: np.ndarray) -> np.ndarray:
    """Returns how far each of ascending values (k,) is from the nearest other."""
    between = np.concatenate([[np.inf], np.diff(values), [np.inf]])
    return np.minimum(between[:-1], between[1:])
