# SPDX-License-Identifier: Apache-2.0
"""The spectral density by stochastic Lanczos quadrature: which share of all eigenvalues lies where.

Each probe is a short Lanczos run from a random start; its Ritz values, weighted by the squared first coordinates of
their vectors, are the Gauss quadrature of the density as that vector sees it. Sources: Lin, Saad & Yang, SIAM Review
2016; Ghorbani, Krishnan & Xiao, ICML 2019, arXiv 1901.10159.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness.curvature import lanczos, operators

PROBES = 8
"""Probe vectors."""

STEPS = 32
"""Products per probe."""


class Density(NamedTuple):
    """Quadratures of the spectral density, one per probe.

    Attributes:
        nodes: (probes, steps) Ritz values, ascending.
        weights: (probes, steps), positive, each row sums to 1.
        products: Operator products that were spent.
    """

    nodes: np.ndarray
    weights: np.ndarray
    products: int


def estimate(
    program: lanczos.Lanczos, at: operators.Linear, key: jax.Array, *, probes: int = PROBES, steps: int = STEPS
) -> Density:
    """Returns the quadratures of some probes, in one compiled call. Cost: probes * steps products.

    Args:
        program: The programs of the operator; its capacity is at least `steps`.
        at: The operator at a point.
        key: Random key of the probes.
        probes: Number of probe vectors.
        steps: Products per probe.
    """
    vectors = jax.random.normal(key, (probes, program.size), at.dtype)
    rows = jnp.zeros((program.capacity + 1, program.size), at.dtype)
    _, found = program.probe(at, rows, 0, vectors, key, steps)
    pairs = [lanczos.probe_ritz(found, i) for i in range(probes)]
    nodes, weights = np.stack([one.values for one in pairs]), np.stack([one.weights[0] ** 2 for one in pairs])
    return Density(nodes, weights, nodes.size)


def share_below(density: Density, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the share of eigenvalues at or below each level (L,), and its standard error over probes.

    A quadrature of k steps places a jump within the distance of its neighbouring nodes, which the error leaves out.
    """
    below = np.stack([[w[x <= level].sum() for level in levels] for x, w in zip(*density[:2], strict=True)])
    return below.mean(axis=0), below.std(axis=0, ddof=1) / np.sqrt(len(below))
