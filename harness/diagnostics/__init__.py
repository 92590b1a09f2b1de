# SPDX-License-Identifier: Apache-2.0
"""DIAGNOSTICS: what is recorded at every checkpoint step, one file per question."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from harness.diagnostics import fit, sharpness, singularity
from harness.diagnostics.point import Point

__all__ = ["DIAGNOSTICS", "Diagnostic", "Point", "measure"]


@dataclasses.dataclass(frozen=True)
class Diagnostic:
    """One question about a point of a run.

    Attributes:
        measure: The answer, as values of METRICS.
        metrics: The names it gives.
        cost: In gradients and Hessian-vector products.
    """

    measure: Callable[[Point], dict[str, float]]
    metrics: tuple[str, ...]
    cost: str


DIAGNOSTICS: dict[str, Diagnostic] = {
    "fit": Diagnostic(fit.measure, fit.METRICS, "1 gradient"),
    "sharpness": Diagnostic(sharpness.measure, sharpness.METRICS, "P products (dense) or one Lanczos run"),
    "singularity": Diagnostic(singularity.measure, singularity.METRICS, "that same run, and 32 products for log|det|"),
}


def measure(point: Point) -> dict[str, float]:
    """Returns the value of every metric at a point of a run."""
    return {name: value for row in DIAGNOSTICS.values() for name, value in row.measure(point).items()}
