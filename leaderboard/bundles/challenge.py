# SPDX-License-Identifier: Apache-2.0
"""What a challenge draws: the segments of runs that are made again, and the starts of Lanczos.

A challenge is a value that whoever made the bundle could not know, so that nobody can search for seeds from which
Lanczos overlooks something. The longest steps for their gradients come first: that is where a jump would have to hide.
"""

from __future__ import annotations

import hashlib
import itertools
import math

import numpy as np

from leaderboard.bundles import bundle as bundles
from leaderboard.export import document, labels

Segments = tuple[tuple[int, int], ...]
"""Pairs of steps between which the steps are made again."""

SUSPICIOUS, DRAWN = 1, 1
"""Segments that are made again beside the last: the most suspicious, and drawn ones."""


def segments(bundle: bundles.Bundle, level: labels.Level, challenge: str) -> Segments:
    """Returns the segments that a level makes again: all where whole runs are repeated, else some."""
    return every_segment(bundle) if level == "replayed" else drawn_segments(bundle, challenge)


def every_segment(bundle: bundles.Bundle) -> Segments:
    """Returns all segments between states that were handed in."""
    return tuple(sorted({pair for states in bundle.states.values() for pair in itertools.pairwise(states)}))


def drawn_segments(bundle: bundles.Bundle, challenge: str) -> Segments:
    """Returns the last segment, the most suspicious ones, and some drawn with a challenge."""
    suspicion: dict[tuple[int, int], float] = {}
    for run in bundle.runs:
        for segment in itertools.pairwise(bundle.states[run.seed]):
            suspicion[segment] = max(suspicion.get(segment, 0.0), _suspicion(bundle, run, segment))
    ordered = sorted(suspicion)
    if not ordered:
        return ()
    chosen = {ordered[-1], *sorted(suspicion, key=lambda segment: -suspicion[segment])[:SUSPICIOUS]}
    for number in range(DRAWN):
        left = [segment for segment in ordered if segment not in chosen]
        if left:
            chosen.add(left[int.from_bytes(_digest(bundle, challenge, str(number)), "big") % len(left)])
    return tuple(sorted(chosen))


def traced_steps(bundle: bundles.Bundle, seed: int, challenge: str) -> list[int]:
    """Returns the steps whose trace points are checked: of those with a state the last, and one drawn."""
    known = sorted({point.step for point in bundle.traces.get(seed, ())} & set(bundle.states.get(seed, ())))
    drawn = int.from_bytes(_digest(bundle, challenge, f"trace {seed}"), "big")
    return sorted({*known[-1:], *([known[drawn % len(known)]] if known else [])})


def lanczos_key(bundle: bundles.Bundle, challenge: str) -> int:
    """Returns the key, below 2^56, that the verifier's own starts of Lanczos are drawn with."""
    return int.from_bytes(_digest(bundle, challenge, "starts")[:7], "big")


def _digest(bundle: bundles.Bundle, challenge: str, purpose: str) -> bytes:
    return hashlib.sha256(f"{bundle.digest}:{challenge}:{purpose}".encode()).digest()


def _suspicion(bundle: bundles.Bundle, run: document.Run, segment: tuple[int, int]) -> float:
    """Returns how long a segment is for its steps: its length over steps times eta times the larger gradient."""
    first, last = segment
    gradients = {record.step: record.values.get("grad_norm", math.nan) for record in bundle.recorded[run.seed]}
    before, after = (bundle.states[run.seed][step]["theta"].astype("f8") for step in segment)
    most = (run.eta or math.nan) * max(gradients[first], gradients[last]) * (last - first)
    length = float(np.linalg.norm(after - before))
    return length / most if most > 0 else math.inf
