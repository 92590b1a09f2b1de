# SPDX-License-Identifier: Apache-2.0
"""Histograms of spectra: how many eigenvalues lie where, in units of 1/eta, small enough for a page.

The axis is symmetric and logarithmic: eta lambda lies in bin floor(8 s) with s = sign * log10(1 + 999 |eta lambda|), so
that bins beyond 1e-3 are about an eighth of a decade wide, and 1/eta (eta lambda = 1) is where bin 24 begins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from harness import records
from harness.curvature import spectrum

BINS = 8
"""Bins in each decade."""

STEEPNESS = 999
"""The axis is linear below 1/STEEPNESS and logarithmic above it, in units of 1/eta."""

SLACK = 1e-9
"""Bins by which rounding may put an eigenvalue that is 0 or 1/eta on the wrong side of an edge."""

FURTHEST = 128
"""Bins on either side of 0; what lies beyond, at 1e13, is counted in the last one."""

MOST = 3
"""Spectra of a run that are kept: the first, that of the least sigma_min, the last."""


def bins_from_zero(products: np.ndarray) -> np.ndarray:
    """Returns where eta lambda lies on the axis, in bins."""
    return np.asarray(BINS * np.copysign(np.log10(1 + STEEPNESS * np.abs(products)), products))


def of(step: int, known: spectrum.Spectrum, eta: float) -> dict[str, Any]:
    """Returns the histogram of the known eigenvalues at a step.

    Returns:
        step; complete (whether all eigenvalues are known); first (the bin of the first count); counts, from the first
        bin to the last that is not empty.
    """
    bins = np.floor(np.clip(bins_from_zero(eta * known.values) + SLACK, -FURTHEST, FURTHEST - 1)).astype(int)
    first = int(bins.min())
    return {"step": step, "complete": known.complete, "first": first, "counts": np.bincount(bins - first).tolist()}


def chosen(kept: Mapping[int, spectrum.Spectrum], recorded: Sequence[records.Record]) -> list[dict[str, Any]]:
    """Returns the histograms of the first, the last, and the nearest to singular of some spectra, in order of steps.

    Args:
        kept: Spectra by step.
        recorded: Records; a spectrum without one is left out.
    """
    at = {record.step: record.values for record in recorded if record.step in kept and "eta" in record.values}
    if not at:
        return []
    least = min(at, key=lambda step: (at[step].get("sigma_min", math.inf), step))
    return [of(step, kept[step], at[step]["eta"]) for step in sorted({min(at), least, max(at)})]
