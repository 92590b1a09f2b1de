# SPDX-License-Identifier: Apache-2.0
"""What the records of a whole run say together (mathematics, D2 and D6). Cost: none; everything has been recorded."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness import records

METRICS = (
    "count_changes",
    "crossings",
    "jumps",
    "phases",
    "crossing_p",
    "closest_over_null",
    "log_volume",
    "log_volume_error",
)
CHANGES = ("n_above_inv_eta", "crossings_between", "jumps_between", "changes_unresolved")
"""What `changes` reads of records; all but the first where it is there."""

NEEDS = ("n_above_inv_eta", "gap_above", "gap_below", "sigma_min", "log_abs_det", "log_abs_det_error")


def summary(recorded: Sequence[records.Record], *, one_piece: bool = False) -> dict[str, float]:
    """Returns the changes of the count, the crossing test, the closest approach and the log-volume of a run.

    Args:
        recorded: Its records, in the order of their steps.
        one_piece: Whether the risk is analytic everywhere, so that every change of the count is a crossing.
    """
    from scipy import stats

    told = changes(recorded, one_piece=one_piece)
    phases = crossing_phases(recorded, one_piece=one_piece)
    volume, error = log_volume(recorded)
    return {
        "count_changes": told.all,
        "crossings": told.crossings,
        "jumps": told.jumps,
        "phases": len(phases),
        "crossing_p": float(stats.kstest(phases, "uniform").pvalue) if len(phases) else math.nan,
        "closest_over_null": closest_over_null(recorded),
        "log_volume": volume,
        "log_volume_error": error,
    }


class Changes(NamedTuple):
    """How often the count of eigenvalues above 1/eta changed between the records of a run, with multiplicity.

    Attributes:
        all: Sum of |change of the count| from record to record.
        crossings: Eigenvalues that passed 1/eta continuously; NaN where that was not told apart.
        jumps: Eigenvalues that came to the other side where H jumps at a kink; NaN where that was not told apart.
        unresolved: Changes that bisection left open.
    """

    all: float
    crossings: float
    jumps: float
    unresolved: float


def changes(recorded: Sequence[records.Record], *, one_piece: bool) -> Changes:
    """Returns how often the count changed, and by what: told by `changes` between records, or all by crossings.

    Args:
        recorded: The records of a run, in the order of their steps.
        one_piece: Whether the risk is analytic everywhere.
    """
    counts = [one.values["n_above_inv_eta"] for one in recorded]
    total = float(sum(abs(after - before) for before, after in itertools.pairwise(counts)))
    if one_piece:
        return Changes(total, total, 0.0, 0.0)
    rows = [[one.values.get(name, math.nan) for name in CHANGES[1:]] for one in recorded[1:]]
    crossings, jumps, unresolved = np.sum(np.reshape(rows, (-1, 3)), axis=0).tolist()
    return Changes(total, crossings, jumps, unresolved)


def crossing_phases(recorded: Sequence[records.Record], *, one_piece: bool = False) -> np.ndarray:
    """Returns the phase u in (0, 1) of every crossing of 1/eta by one eigenvalue between two steps (D2).

    If it is at distance a from 1 (of eta lambda) before and at b on the other side after, u = a / (a + b). Where the
    trajectory neither seeks nor shuns the singular set, u is uniform. Pairs of records that are not one step apart, and
    steps at which several eigenvalues pass at once, have no phase; nor, unless the risk is one piece, those whose
    change is not known to be a crossing.
    """
    found: list[float] = []
    for before, after in itertools.pairwise(recorded):
        change = after.values["n_above_inv_eta"] - before.values["n_above_inv_eta"]
        if after.step != before.step + 1 or abs(change) != 1 or not (one_piece or _crossed(after)):
            continue
        sides = ("gap_below", "gap_above") if change > 0 else ("gap_above", "gap_below")
        a, b = before.values[sides[0]], after.values[sides[1]]
        if math.isfinite(a + b) and a + b > 0:
            found.append(a / (a + b))
    return np.array(found)


def _crossed(after: records.Record) -> bool:
    """Says whether one eigenvalue crossed 1/eta since the record before, and that is all that happened."""
    return [after.values.get(name) for name in CHANGES[1:]] == [1, 0, 0]


def closest_over_null(recorded: Sequence[records.Record]) -> float:
    """Returns the least sigma_min of the records over what chance alone would give: 1 / (2 rho T).

    rho is the mean number of eigenvalues of eta H for each unit of length near 1, from the gap that 1 lies in; T the
    number of records where there is such a gap. Crude: records of a run that has converged are not independent, and the
    ratio is then too large. NaN where 1 never lies between two eigenvalues.
    """
    gaps = np.array([one.values["gap_above"] + one.values["gap_below"] for one in recorded])
    inside = np.isfinite(gaps) & (gaps > 0)
    if not inside.any():
        return math.nan
    sigma = np.array([one.values["sigma_min"] for one in recorded])[inside]
    return float(sigma.min() * 2 * np.mean(1 / gaps[inside]) * inside.sum())


def log_volume(recorded: Sequence[records.Record]) -> tuple[float, float]:
    """Returns the sum of log|det DG| over the steps of a run, and its error bar (D6).

    Each step t contributes log|det(I - eta H(theta_t))|, of the point it starts from; under momentum log|det| of the
    map of (theta, v). Exact if every step but the last
    has its record; else straight lines run between records, and the error adds half the difference between holding the
    earlier and holding the later value throughout. Errors of single values are added up. -inf where one is.
    """
    total = error = 0.0
    of_state = {"state_log_abs_det", "state_log_abs_det_error"}
    name = "state_log_abs_det" if recorded and of_state <= set(recorded[0].values) else "log_abs_det"
    for before, after in itertools.pairwise(recorded):
        steps = after.step - before.step
        left, right = before.values[name], after.values[name]
        bars = before.values[f"{name}_error"], after.values[f"{name}_error"]
        if steps == 1:  # the value after is of the next step, and does not count
            total, error = total + left, error + bars[0]
            continue
        share = (steps - 1) / 2  # sum over t < steps of t / steps
        if not math.isfinite(left + right):
            return (-math.inf if -math.inf in (left, right) else math.nan), math.inf
        total += left * (steps - share) + right * share
        error += bars[0] * (steps - share) + bars[1] * share + 0.5 * abs(right - left) * (steps - 1)
    return total, error
