# SPDX-License-Identifier: Apache-2.0
"""Closing: what the records of a run that ended entitle to claim, of the map and of the point where it ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness import records, theory
from harness.curvature import spectrum
from harness.records import ends, verdict
from harness.training import optimizers


def said(
    cell: Any, eta: float, recorded: Sequence[records.Record], *, diverged_at: int | None, curvature: str
) -> dict[str, Any]:
    """Returns what `run.json` says: `verdict`, what it rests on, and `end`.

    Args:
        cell: The cell.
        eta: The step size of the run, before its schedule.
        recorded: Its records.
        diverged_at: The step at which it diverged, if it did.
        curvature: How its Hessians were surveyed: `dense` or `lanczos`.
    """
    known = theory.of(cell)
    used = optimizers.step_sizes(cell, eta, made([record.step for record in recorded], diverged_at))
    match = theory.matches(known, used, cell.precision)
    proven = optimizers.OPTIMIZERS[cell.optimizer.name].never_singular
    claim = verdict.verdict(recorded, singular=match is not None and match.exact, proven=proven)
    doubt = verdict.doubt(recorded) if claim == "undecided" else None
    end = ends.end(cell, recorded, diverged=diverged_at is not None)
    return {
        "verdict": claim,
        "doubt": None if doubt is None else doubt._asdict(),
        "failure_probability": failure(len(recorded), claim, proven=proven, curvature=curvature),
        "bad_step": None if match is None else match.as_dict(),
        "end": {"point": end.word, "because": end.because},
    }


def made(recorded: Sequence[int], diverged_at: int | None) -> int:
    """Returns how many steps a run made until it ended, from the steps of its records."""
    return diverged_at if diverged_at is not None else max(recorded, default=0)


def failure(surveys: int, claim: str, *, proven: bool, curvature: str) -> float:
    """Returns the probability over random starts of Lanczos that the verdict of a run is false, at most.

    That of each survey that it rests on, added up; 0 where it rests on none.
    """
    rests = claim == "invertible" and not proven and curvature == "lanczos"
    return spectrum.FAILURE * surveys if rests else 0.0
