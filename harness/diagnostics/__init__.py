# SPDX-License-Identifier: Apache-2.0
"""DIAGNOSTICS: what is recorded at checkpoint steps, one file per question; RUN: what a whole run's records say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from harness import records
from harness.diagnostics import fit, gaps, kinks, sharpness, singularity, trajectory
from harness.diagnostics.point import Nearby, Point, Probe

__all__ = ["DEFAULT", "DIAGNOSTICS", "RUN", "Diagnostic", "Nearby", "Point", "Probe", "RunDiagnostic", "measure"]


@dataclasses.dataclass(frozen=True)
class Diagnostic:
    """One question about a point of a run.

    Attributes:
        measure: The answer, as values of METRICS.
        metrics: The names it gives.
        cost: In gradients and Hessian-vector products.
        default: Whether it is asked at every checkpoint step unless told otherwise.
    """

    measure: Callable[[Point], dict[str, float]]
    metrics: tuple[str, ...]
    cost: str
    default: bool = True


@dataclasses.dataclass(frozen=True)
class RunDiagnostic:
    """One question about a whole run, answered from its records.

    Attributes:
        measure: The answer, as values of METRICS.
        metrics: The names it gives.
        cost: In words.
    """

    measure: Callable[[Sequence[records.Record]], dict[str, float]]
    metrics: tuple[str, ...]
    cost: str


DIAGNOSTICS: dict[str, Diagnostic] = {
    "fit": Diagnostic(fit.measure, fit.METRICS, "1 gradient"),
    "sharpness": Diagnostic(sharpness.measure, sharpness.METRICS, "P products (dense) or one Lanczos run"),
    "singularity": Diagnostic(singularity.measure, singularity.METRICS, "that same run, and 32 products for log|det|"),
    "gaps": Diagnostic(gaps.measure, gaps.METRICS, "nothing beyond that same run"),
    "kinks": Diagnostic(
        kinks.measure, kinks.METRICS, "2 forward passes, 2 gradients, 1 product; not asked by default", default=False
    ),
}

RUN: dict[str, RunDiagnostic] = {
    "trajectory": RunDiagnostic(trajectory.summary, trajectory.METRICS, "nothing: from the records"),
}

DEFAULT = tuple(name for name, row in DIAGNOSTICS.items() if row.default)
"""What is asked at every checkpoint step."""


def measure(point: Point, names: Iterable[str] = DEFAULT) -> dict[str, float]:
    """Returns the value of every metric of some diagnostics at a point of a run."""
    return {metric: value for name in names for metric, value in DIAGNOSTICS[name].measure(point).items()}
