# SPDX-License-Identifier: Apache-2.0
"""Conclusions: what the records of a run that ended entitle to claim, of the map and of the point where it ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness import config, records, theory
from harness.curvature import spectrum
from harness.records import ends, verdict
from harness.records.run_facts import RunFacts
from harness.training import optimizers


def of_run(cell: config.Cell, facts: RunFacts, recorded: Sequence[records.Record]) -> dict[str, Any]:
    """Returns what `run.json` says of a run that ended: `verdict`, what it rests on, and `end`.

    Args:
        cell: The cell.
        facts: What is known of the run: its step size, whether it diverged, how its Hessians were surveyed.
        recorded: Its records.
    """
    assert facts.eta is not None, "a run that ended has a step size"
    known = theory.of(cell)
    used = optimizers.step_sizes(cell, facts.eta, made([record.step for record in recorded], facts.diverged_at))
    match = theory.matches(known, used, cell.precision)
    invertible = optimizers.OPTIMIZERS[cell.optimizer.name].never_singular
    claim = verdict.verdict(recorded, singular=match is not None and match.exact, proven=invertible)
    doubt = verdict.doubt(recorded) if claim == "undecided" else None
    end = ends.end(cell, recorded, diverged=facts.diverged_at is not None)
    return {
        "verdict": claim,
        "doubt": None if doubt is None else doubt._asdict(),
        "failure_probability": failure(len(recorded), claim, proven=invertible, curvature=facts.curvature),
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
