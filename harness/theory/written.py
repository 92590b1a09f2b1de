# SPDX-License-Identifier: Apache-2.0
"""A certificate as plain values, which others can check: what is certified, and the intervals that it follows from.

A point is written as its bands: intervals [low, high] of which one holds each eigenvalue > 0 of H there, each
eigenvalue widened by verdict.MARGIN error bars. The range of step sizes follows from the bands by intersection
(step_sizes.py), with no derivative; the bands follow from the cell by computing its points once more.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from harness import config, errors
from harness.curvature import exclusion
from harness.records import verdict
from harness.theory import certify, step_sizes

SCHEMA: Literal[1] = 1


def plain(one: certify.Certificate, points: int, margin: float = verdict.MARGIN) -> dict[str, Any]:
    """Returns a certificate as plain values; points on single pieces are left out, for they say nothing of the map.

    Args:
        one: The certificate.
        points: How many points were asked.
        margin: Times each eigenvalue is widened by its error bar; 1 to compare with what is claimed.

    Raises:
        errors.InputError: The step size is one of a run, relative to its sharpness.
    """
    require_of_one_map(one.cell)
    whole = one.whole and bool(one.evidence)
    certified = one.range if whole else step_sizes.Steps(0.0, ())
    return {
        "schema": SCHEMA,
        "suite": one.cell.suite,
        "spec": one.cell.spec,
        "label": one.cell.label,
        "title": one.cell.title,
        "source": one.cell.source,
        "cell_id": one.cell.cell_id,
        "cell": one.cell.resolved(),
        "dataset": one.dataset,
        "parameters": one.parameters,
        "eta": one.eta,
        "verdict": one.verdict,
        "why": one.why,
        "theory": {
            "covered": one.theory.covered,
            "one_piece": one.theory.one_piece,
            "bad": one.theory.bad,
            "others": one.theory.others,
        },
        "asked": points,
        "points": [
            {
                "method": point.method,
                "where": point.where,
                "failure": 0.0 if point.spectrum.complete else exclusion.FAILURE,
                "bands": step_sizes.bands(point.spectrum, margin).tolist(),
            }
            for point in one.evidence
            if whole
        ],
        "missing": one.missing,
        "range": {
            "below": certified.below if math.isfinite(certified.below) else None,
            "but": [[left.low, left.high] for left in certified.candidates],
        },
    }


def require_of_one_map(cell: config.Cell) -> None:
    """Makes sure that the step size is a number, so that all runs iterate one map.

    Raises:
        errors.InputError: It is relative to the sharpness at a start.
    """
    if not isinstance(cell.optimizer.learning_rate, int | float):
        raise errors.InputError(
            f"{cell.suite}/{cell.label}: the step size is a multiple of 1/λ_max at the start, and each run's map its "
            "own; a certificate that is written is of a step size that is a number"
        )
