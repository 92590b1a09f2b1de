# SPDX-License-Identifier: Apache-2.0
"""What one recorded number is, and the units, estimators and sources that several of them share."""

from __future__ import annotations

import dataclasses
from typing import Literal

Bar = Literal["", "bound", "95 %", "modelled"]

BARS: dict[Bar, str] = {
    "bound": "the value cannot be off by more, as far as rounding is as modelled",
    "95 %": "half the width of a 95 % interval over what was drawn, with bounds of what was not",
    "modelled": "the size of what the value may be off by, to first order or as a model of rounding; no bound",
}
"""What an error bar says."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """One recorded number.

    Attributes:
        label: What tables and axes print.
        group: First half of its key in MLflow (`<group>/<name>`).
        unit: Unit in words; "1" for a dimensionless number, "nats" for a natural logarithm.
        direction: Whether smaller or larger is better, or neither.
        definition: One sentence that defines it.
        estimator: How it is computed, and when that is exact.
        source: Where the definition comes from.
        error: Name of the metric that holds its error bar, if it has one.
        bound: What the value is when the spectrum is known in part only (`curvature` = lanczos).
        bar: What it says, if it is an error bar: one of BARS.
    """

    label: str
    group: str
    unit: str
    direction: Literal["lower", "higher", "none"]
    definition: str
    estimator: str
    source: str
    error: str | None = None
    bound: Literal["", "≤", "≥", "≈"] = ""
    bar: Bar = ""

    def key(self, name: str) -> str:
        """Returns the metric's key in MLflow, for example `map/sigma_min`."""
        return f"{self.group}/{name}"


EIGENVALUE_UNIT = "loss units per squared parameter unit"

DENSE_OR_LANCZOS = (
    "Dense symmetric eigenvalues of the float64 Hessian for small nets; above that, Lanczos with full "
    "reorthogonalisation in float64, where the error bar is the residual of the Ritz pair. The rounding in H itself is "
    "in the error bar as a model says it is."
)
EIGENVALUE_ERROR = (
    "Ritz residual, or the backward error of the dense solver, which are bounds; plus the rounding in H, which is "
    "modelled: products in which each operation rounds at random (Monte Carlo arithmetic), 8 times their spread."
)
COUNT_ERROR = (
    "Count of the known eigenvalues whose error bars reach the level; of a Lanczos run, by the bar of rounding alone."
)

PAPER = "Craciun & Ghoshdastidar, NeurIPS 2025, arXiv 2510.24466"
EDGE = "Cohen et al., ICLR 2021, arXiv 2103.00065"
KUCZYNSKI = "Kuczynski & Wozniakowski, SIAM J. Matrix Anal. Appl. 1992"
PARLETT = "Parlett, The Symmetric Eigenvalue Problem, 1980, ch. 4."
FLEGAL = "Flegal & Jones, Ann. Stat. 2010."
WEYL = "Weyl's inequality."
