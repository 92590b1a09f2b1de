# SPDX-License-Identifier: Apache-2.0
"""Verify: what a bundle claims is compared with what is found here, in the order of what it costs.

`reported`: it is a whole bundle (reading.py), and its numbers agree with each other and with what is possible
(consistency.py); no gradient. `recomputed`: the start from its seed, the first steps, a few segments between states,
the first and the last record, in float64; where these rest on Lanczos, its lower bounds once more from random starts
that the challenge draws. `replayed`: every run, whole, from its seed. The label is what this program found, never what
a bundle says.

One pass, from top to bottom: a bundle was read; consistency.py compares its numbers with each other; challenge.py draws
what is computed again, process.py computes it, comparison.py compares; here the comparisons become a label, and
trust.py makes a verdict of it.
"""

from __future__ import annotations

import math
import secrets
from typing import NamedTuple

from harness import config
from harness.runtime import provenance
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import challenge as challenges
from leaderboard.bundles import claim, comparison, consistency, process, trust
from leaderboard.export import labels
from zoo import code


class Outcome(NamedTuple):
    """What was found of a bundle.

    Attributes:
        bundle: The bundle.
        checks: Every comparison.
        verdict: Its summary, with the label.
    """

    bundle: bundles.Bundle
    checks: list[claim.Check]
    verdict: trust.Verdict

    @property
    def confirmed(self) -> bool:
        """Whether every claim that was looked at holds."""
        return self.verdict.label != "disputed"


class Judgement(NamedTuple):
    """What comparisons come to.

    Attributes:
        checks: Those that count.
        reached: The label, if all of them hold.
        note: Why it is less than the level; mostly empty.
    """

    checks: list[claim.Check]
    reached: labels.Label
    note: str = ""

    @property
    def label(self) -> labels.Label:
        """The label."""
        return self.reached if all(check.holds for check in self.checks) else "disputed"


def verify(
    bundle: bundles.Bundle,
    level: labels.Level = "recomputed",
    *,
    challenge: str = "",
    seconds: int = process.SECONDS,
    tell: process.Tell = lambda what, done, of: None,
) -> Outcome:
    """Checks a bundle as far as a level goes; stops at the level at which a claim does not hold.

    Args:
        bundle: The bundle.
        level: How far to go.
        challenge: What segments and starts of Lanczos are drawn with; a random one without.
        seconds: CPU seconds that a recomputation may take.
        tell: Called with how far it is.

    Raises:
        errors.InputError: It cannot be computed here.
        errors.Rejected: The recomputation was refused or took too much; says why.
    """
    request = process.Request(level, challenge or secrets.token_hex(16), seconds=seconds)
    free = Judgement(list(consistency.checks(bundle)), "reported")
    if level == "reported" or free.label == "disputed":
        return Outcome(bundle, free.checks, _verdict(bundle, free, request, None))
    if own := _own(bundle):
        return Outcome(bundle, free.checks, _verdict(bundle, free._replace(note=own), request, None))
    request = request._replace(segments=challenges.segments(bundle, level, request.challenge))
    recomputation = process.recompute(bundle, request, tell)
    bits_promised = recomputation.exact
    other_bits = _other_bits(bundle, recomputation) if bits_promised else ""
    if other_bits:  # an equal canary is no proof of equal machines: once more, by tolerances
        left = max(1, seconds - math.ceil(recomputation.seconds))
        recomputation = process.recompute(bundle, request._replace(seconds=left, bits=False), tell)
    judged = _judged(bundle, level, recomputation, bits_promised)
    whole = Judgement([*free.checks, *judged.checks], judged.reached, judged.note or other_bits)
    return Outcome(bundle, whole.checks, _verdict(bundle, whole, request, recomputation))


def _own(bundle: bundles.Bundle) -> str:
    """Returns why nothing of a bundle can be computed again from the bundle and gdzoo alone; mostly empty."""
    if isinstance(bundle.cell.model, code.Config):
        return f"not recomputed: its network is code of its author's, {bundle.cell.model.build}, which is not run here"
    if isinstance(bundle.cell.data, config.File):
        return "not recomputed: its data are a file of its author's, which is no part of a bundle"
    return ""


def _other_bits(bundle: bundles.Bundle, recomputation: process.Recomputation) -> str:
    """Returns in how many comparisons the bits are other ones, in words; empty where all are the same."""
    checks = [*comparison.parts(bundle, recomputation), *comparison.whole_runs(bundle, recomputation)]
    other = [check for check in checks if not check.holds]
    return f"other bits: {len(other)} of {len(checks)} comparisons" if other else ""


def _judged(
    bundle: bundles.Bundle, level: labels.Level, recomputation: process.Recomputation, bits_promised: bool
) -> Judgement:
    """Returns what the comparisons with a recomputation come to.

    Where bits are other, numbers that part late in a whole run prove nothing. Nor do steps between states where the
    risk has pieces: rounding decides now and then on which one a step is taken, and what follows may be other steps
    (practical/vgg: 1.6 % after 29 steps, on CPUs of two makers). A machine of the bundle's canary can tell.
    """
    parts = list(comparison.parts(bundle, recomputation))
    whole_runs = list(comparison.whole_runs(bundle, recomputation))
    other_steps, parted = [], []
    if not bits_promised and not comparison.one_piece(bundle):
        other_steps = [check for check in parts if not check.holds and comparison.is_of_steps(check)]
    if not recomputation.exact:
        parted = [check for check in whole_runs if not check.holds]
    checks = [check for check in (*parts, *whole_runs) if check not in (*other_steps, *parted)]
    unseen = [run.seed for run in bundle.runs if not comparison.end_was_seen(run, recomputation)]
    if other_steps:
        count = f"{len(other_steps)} of {len(parts)} comparisons"
        note = f"not recomputed: the bits are other here, and in {count} steps part; a machine of its canary can tell"
        return Judgement(checks, "reported", note)
    if unseen:
        note = f"the ends of seeds {claim.shown(unseen)} were not confirmed: their states were left out"
        return Judgement(checks, "reported", note)
    if parted:
        count = f"{len(parted)} of {len(whole_runs)} numbers"
        return Judgement(checks, "recomputed", f"not replayed: the bits are other here, and {count} part with them")
    return Judgement(checks, level)


def _verdict(
    bundle: bundles.Bundle,
    judgement: Judgement,
    request: process.Request,
    recomputation: process.Recomputation | None,
) -> trust.Verdict:
    """Returns the verdict on a bundle, with what the verifier's code and machine are."""
    exact = recomputation is not None and recomputation.exact
    commit, dirty = provenance.commit()
    return trust.verdict(
        {
            "schema": trust.SCHEMA,
            "suite": bundle.manifest.suite,
            "cell_id": bundle.manifest.cell_id,
            "bundle": bundle.digest,
            "label": judgement.label,
            "level": request.level,
            "bits": exact,
            "challenge": request.challenge,
            "segments": () if exact and request.level == "replayed" else request.segments,  # whole runs hold them all
            "note": judgement.note,
            "seconds": round(recomputation.seconds, 1) if recomputation else 0.0,
            "commit": commit,
            "dirty": dirty,
            "versions": provenance.versions(),
            "profile": recomputation.machine["profile"] if recomputation else {},
            "canary": recomputation.machine["canary"] if recomputation else None,
            "pairs": trust.pairs(judgement.checks),
        }
    )
