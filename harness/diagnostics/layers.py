# SPDX-License-Identifier: Apache-2.0
"""In which layers eigenvectors live: of the largest eigenvalue, the least, and the nearest to 1/eta (mathematics, D17).

The share of a layer is the squared norm of the unit eigenvector on its parameters; shares add up to 1. A layer is what
stands before the last `/` of a parameter's name in the run's layout: kernel and bias together. Recorded is the largest
share of each vector; all of them stand in `layers.jsonl` of the run folder, a line a step (harness/records/layers.py).

If v is off by an angle, each share is off by its sine at most: the difference of the two projectors has the eigenvalues
+sin and -sin. Where that bound exceeds KNOWN, as for an eigenvalue that is repeated, or nearly, a single vector means
nothing and no share is given (NaN). Cost: nothing beyond the survey, whose Ritz vectors they are; where the spectrum is
dense, (4/3) P^3 operations for each. Failure: an eigenvalue that Lanczos has not met may lie nearer to one of these
than the gap says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.curvature import eigenvectors
from harness.diagnostics import point as points
from harness.records import layers as kept
from harness.risk import layout

METRICS = ("layer_share_largest", "layer_share_least", "layer_share_nearest", "layer_share_error")

KNOWN = 0.1
"""Sine of the angle of a vector up to which its shares are given."""


def measure(point: points.Point) -> dict[str, float]:
    """Returns the largest share of a layer in each vector, and the largest error bar of those that are known.

    Raises:
        ValueError: If it is not known where the point is, or the survey was not asked for eigenvectors.
    """
    found = of(point.vectors, point.nearby.problem.objective.layout)
    largest = found.shares.max(axis=1)
    known = found.errors[np.isfinite(largest)]
    error = float(known.max()) if len(known) else float("nan")
    return dict(zip(METRICS, (*map(float, largest), error), strict=True))


def of(vectors: eigenvectors.Eigenvectors, leaves: Sequence[layout.Leaf]) -> kept.Layers:
    """Returns the share of each layer in each vector, NaN where it is not known.

    Args:
        vectors: The eigenvectors.
        leaves: Which numbers of theta are which parameter.
    """
    names = tuple(dict.fromkeys(leaf.name.rpartition("/")[0] or leaf.name for leaf in leaves))
    squares = np.asarray(vectors.rows) ** 2
    shares = np.zeros((len(squares), len(names)))
    for leaf in leaves:
        layer = names.index(leaf.name.rpartition("/")[0] or leaf.name)
        shares[:, layer] += squares[:, leaf.offset : leaf.offset + int(np.prod(leaf.shape))].sum(axis=1)
    shares[vectors.angles > KNOWN] = np.nan
    return kept.Layers(names, vectors.values, vectors.angles, shares)
