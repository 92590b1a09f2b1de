# SPDX-License-Identifier: Apache-2.0
"""What the trace of a run says: its largest eigenvalues past 1/eta and 2/eta, at many more steps than looks.

Eigenvalues of the trace are followed, not excluded: each has an eigenvalue within its error bar, but one that rises
from the bulk may go unseen for a while. What surveys at the same steps found missing is counted. Cost: none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from harness import records
from harness.diagnostics import episodes, trajectory
from harness.records import square, traces

METRICS = (
    "trace_points",
    "trace_products",
    "trace_compared",
    "trace_missed",
    "trace_narrow",
    "trace_crossings",
    "trace_phases",
    "trace_crossing_p",
    "trace_closest",
    "trace_closest_over_null",
    "trace_edge",
    "trace_episodes",
    "trace_episode_steps",
    "trace_batch_sharpness",
    "trace_batch_sharpness_error",
)

COUNTS = ("trace_points", "trace_products", "trace_compared", "trace_missed", "trace_crossings")
"""Those that add up over runs."""

EDGE = 0.2
"""How far eta * lambda_1 may be from 2 where a run is at the edge."""


def summary(
    recorded: Sequence[records.Record], *, one_piece: bool = False, trace: Sequence[traces.TracePoint] = ()
) -> dict[str, float]:
    """Returns what trace points say together; numbers that need what the trace does not have are NaN.

    Args:
        recorded: The records of the run: the infimum of its risk is theirs.
        one_piece: Whether the risk is analytic everywhere, so that every change of the count is a crossing.
        trace: The trace points of the run, in the order of their steps.
    """
    from scipy import stats

    looks = [_look(point, _infimum(recorded)) for point in trace]
    counted = [look for look in looks if "n_above_inv_eta" in look.values]
    phases = trajectory.crossing_phases(counted, one_piece=True) if one_piece else np.array([])
    compared = [point for point in trace if point.missed is not None]
    counts = [point.above().number for point in trace]
    fallen = episodes.summary(looks)
    sharpness, error = _batch_sharpness(trace)
    return {
        "trace_points": float(len(trace)),
        "trace_products": float(sum(point.products for point in trace)),
        "trace_compared": float(len(compared)),
        "trace_missed": float(sum((point.missed or 0) + bool(point.least_missed) for point in compared)),
        "trace_narrow": float(len(looks) - len(counted)),
        "trace_crossings": float(sum(abs(after - before) for before, after in itertools.pairwise(counts))),
        "trace_phases": float(len(phases)) if one_piece else math.nan,
        "trace_crossing_p": float(stats.kstest(phases, "uniform").pvalue) if len(phases) else math.nan,
        "trace_closest": min(map(_distance, trace), default=math.nan),
        "trace_closest_over_null": trajectory.closest_over_null(counted) if counted else math.nan,
        "trace_edge": _share_at_edge(trace),
        "trace_episodes": fallen["episodes"],
        "trace_episode_steps": fallen["episode_steps"],
        "trace_batch_sharpness": sharpness,
        "trace_batch_sharpness_error": error,
    }


def _infimum(recorded: Sequence[records.Record]) -> float:
    """Returns the infimum of the risk, from a record's loss and its distance from it; NaN where that is not known."""
    for one in recorded:
        if math.isfinite(gap := one.values.get("loss_gap", math.nan)):
            return one.values["loss"] - gap
    return math.nan


def _look(point: traces.TracePoint, infimum: float) -> records.Record:
    """Returns a trace point as a record, as far as it knows what `trajectory` and `episodes` read.

    The count and the gaps around 1/eta are left out where all tracked eigenvalues lie above: more may.
    """
    values = {
        "eta": point.eta,
        "grad_norm": point.grad_norm,
        "pl_ratio": square.square(point.grad_norm) / (2 * (point.loss - infimum)) if point.loss > infimum else math.nan,
        "lambda_min": point.values[-1],
        "lambda_min_error": point.errors[-1],
    }
    count = point.above()
    if count.whole:
        scaled = np.array([point.eta * value for value in point.values if not math.isnan(value)])
        above, below = scaled[scaled > 1] - 1, 1 - scaled[scaled <= 1]
        values |= {
            "n_above_inv_eta": float(count.number),
            "gap_above": float(above.min()) if above.size else math.inf,
            "gap_below": float(below.min()) if below.size else math.inf,
            "sigma_min": float(np.abs(1 - scaled).min()) if scaled.size else math.nan,
        }
    return records.Record(point.step, values)


def _distance(point: traces.TracePoint) -> float:
    """Returns what the distance of eta times the nearest eigenvalue from 1 is at most: a tracked one's, and its bar."""
    pairs = [pair for pair in zip(point.values, point.errors, strict=True) if not math.isnan(sum(pair))]
    return min((abs(1 - point.eta * value) + point.eta * error for value, error in pairs), default=math.inf)


def _share_at_edge(trace: Sequence[traces.TracePoint]) -> float:
    """Returns the share of a run's steps from whose trace point to the next eta * lambda_1 is within EDGE of 2."""
    steps = [(after.step - before.step, before) for before, after in itertools.pairwise(trace)]
    total = sum(length for length, _ in steps)
    near = sum(length for length, point in steps if abs(point.eta * point.values[0] - 2) <= EDGE)
    return near / total if total else math.nan


def _batch_sharpness(trace: Sequence[traces.TracePoint]) -> tuple[float, float]:
    """Returns the mean of eta times the batch sharpness over the trace points of the second half of a run.

    Its error bar is 1.96 standard errors of the mean over drawn batches, and takes trace points for independent.
    """
    late = [point for point in trace if 2 * point.step >= trace[-1].step and math.isfinite(point.batch_sharpness)]
    if not late:
        return math.nan, math.nan
    values = [point.eta * point.batch_sharpness for point in late]
    errors = [point.eta * point.batch_sharpness_error for point in late]
    return float(np.mean(values)), 1.96 * float(np.linalg.norm(errors)) / len(late)
