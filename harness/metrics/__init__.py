# SPDX-License-Identifier: Apache-2.0
"""METRICS: every number that gdzoo records, its meaning and its source.

This is the one table for the log, the export, the site and the documentation; each file of this folder holds the rows
of one group. Symbols: L the empirical risk (mean over examples), theta the parameters, P their number, H the Hessian
of L at theta on the full training set, lambda_i its eigenvalues, eta the step size, G(theta) = theta - eta grad
L(theta) the gradient-descent map, whose derivative is DG = I - eta H.
"""

from __future__ import annotations

from harness.metrics import (
    batches,
    departure,
    exponents,
    flip,
    hessian,
    inverse,
    kinks,
    layers,
    map,
    minimum,
    run,
    saddle,
    sweep,
    trace,
    train,
)
from harness.metrics.metric import BARS, Metric

__all__ = ["BARS", "FAILURES", "METRICS", "Metric"]

FAILURES: dict[str, str] = {
    "train": train.FAILURE,
    "hessian": hessian.FAILURE,
    "map": map.FAILURE,
    "kinks": kinks.FAILURE,
    "batches": batches.FAILURE,
    "sweep": sweep.FAILURE,
    "inverse": inverse.FAILURE,
    "exponents": exponents.FAILURE,
    "minimum": minimum.FAILURE,
    "saddle": saddle.FAILURE,
    "departure": departure.FAILURE,
    "flip": flip.FAILURE,
    "layers": layers.FAILURE,
    "run": run.FAILURE,
    "trace": trace.FAILURE,
}
"""How the numbers of a group can mislead; one entry for each group of METRICS."""

FOLLOWS: dict[str, str] = {
    "eta_sharpness": "sharpness_upper",
    "n_negative": "n_above_two_inv_eta_error",
    "n_negative_error": "n_negative",
    "relative_progress": "second_exponent_error",
    "directional_smoothness": "relative_progress",
    "margin": "directional_smoothness",
    "margin_bound": "margin",
    "displacement": "kantorovich",
    "escape_drop": "departure_curvature_error",
}
"""The metrics that do not stand with their group in METRICS, each with the one that it stands after there."""


def _in_order(rows: dict[str, Metric]) -> dict[str, Metric]:
    """Returns rows with those of FOLLOWS moved; tables, files and pages keep this order."""
    names = [name for name in rows if name not in FOLLOWS]
    for name, before in FOLLOWS.items():
        names.insert(names.index(before) + 1, name)
    return {name: rows[name] for name in names}


METRICS: dict[str, Metric] = _in_order(
    train.ROWS
    | hessian.ROWS
    | map.ROWS
    | kinks.ROWS
    | batches.ROWS
    | sweep.ROWS
    | inverse.ROWS
    | exponents.ROWS
    | minimum.ROWS
    | saddle.ROWS
    | departure.ROWS
    | flip.ROWS
    | layers.ROWS
    | run.ROWS
    | trace.ROWS
)
