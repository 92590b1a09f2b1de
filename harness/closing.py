# SPDX-License-Identifier: Apache-2.0
"""Closing: what the records of a run that ended entitle to claim, of the map and of the point where it ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness import ends, optimizers, records, theory, verdict


def said(cell: Any, eta: float, recorded: Sequence[records.Record], *, diverged: bool) -> dict[str, Any]:
    """Returns `verdict` and `end`, as `run.json` says them.

    Args:
        cell: The cell.
        eta: The step size of the run.
        recorded: Its records.
        diverged: Whether it diverged.
    """
    known = theory.matches(theory.of(cell), eta, cell.precision)
    proven = optimizers.OPTIMIZERS[cell.optimizer.name].never_singular
    end = ends.end(cell, recorded, diverged=diverged)
    claim = verdict.verdict(recorded, singular=known is not None, proven=proven)
    return {"verdict": claim, "end": {"point": end.word, "because": end.because}}
