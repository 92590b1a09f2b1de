# SPDX-License-Identifier: Apache-2.0
"""Verify: what a bundle claims is compared with what is found here, in the order of what it costs.

`reported`: it is a whole bundle (leaderboard/bundles/bundle.py), and its numbers agree with each other and with what is
possible (leaderboard/bundles/consistency.py); no gradient. `recomputed`: the start from its seed, the first steps, a
few segments between states, the first and the last record, in float64; where these rest on Lanczos, its lower bounds
once more from random starts that the challenge draws. `replayed`: every run, whole, from its seed. The label is what
this program found, never what a bundle says.

Bits are compared where the canary and the profile of the runs are this machine's; elsewhere, and where bits turn out to
be other ones, numbers, by leaderboard/bundles/tolerance.py. Segments and starts of Lanczos are drawn with a challenge,
a value that whoever made the bundle could not know, so that nobody can search for seeds from which Lanczos overlooks
something. The longest steps for their gradients come first: that is where a jump would have to hide.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import pathlib
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from harness import errors, theory, workspace
from harness.jobs import task
from harness.records import verdict
from harness.risk import layout
from harness.runtime import compilation_cache, lapack, provenance
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import claim, consistency, tolerance, trust
from leaderboard.export import document, labels

SECONDS = 3600
"""CPU seconds that a recomputation may take, unless told otherwise."""

MEMORY = 8 << 30
"""Bytes of data that its process may hold."""

FILE_BYTES = 1 << 30
"""Bytes of a file that its process may write."""

SUSPICIOUS, DRAWN = 1, 1
"""Segments that are made again beside the last: the most suspicious, and drawn ones."""

FEW = 10
"""Steps after which trajectories may have parted on machines of other bits."""

DECISIVE = ("jax", "jaxlib", "numpy", "scipy")
"""Packages whose versions bits depend on."""

Tell = Callable[[str, int, int], None]
"""`(what, done, of)`: how far a recomputation is."""


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


class Found(NamedTuple):
    """What the recomputation says.

    Attributes:
        problem: What the data set and the network are.
        place: Profile and canary of the process.
        rest: Its other messages.
        seconds: The CPU seconds that it took.
    """

    problem: dict[str, Any]
    place: dict[str, Any]
    rest: list[dict[str, Any]]
    seconds: float


def verify(
    bundle: bundles.Bundle,
    level: labels.Level = "recomputed",
    *,
    challenge: str = "",
    seconds: int = SECONDS,
    tell: Tell = lambda what, done, of: None,
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
    challenge = challenge or secrets.token_hex(16)
    checks = list(consistency.checks(bundle))
    reached: labels.Label = "reported"
    segments: tuple[tuple[int, int], ...] = ()
    found, note = None, ""
    if level != "reported" and all(check.holds for check in checks):
        segments = every(bundle) if level == "replayed" else drawn(bundle, challenge)
        found = recomputed(bundle, level, segments, challenge=challenge, seconds=seconds, tell=tell)
        both, promised = [*compared(bundle, found), *repeated(bundle, found)], bool(found.place["exact"])
        other = [check for check in both if not check.holds] if promised else []
        if other:  # an equal canary is no proof of equal machines: once more, by tolerances
            note = f"other bits: {len(other)} of {len(both)} comparisons"
            left = max(1, seconds - math.ceil(found.seconds))
            found = recomputed(bundle, level, segments, challenge=challenge, bits=False, seconds=left, tell=tell)
        near, far = list(compared(bundle, found)), list(repeated(bundle, found))
        parted = [] if found.place["exact"] else [check for check in far if not check.holds]
        astray = [] if promised or _one_piece(bundle) else [check for check in near if _strays(check)]
        checks += [check for check in (*near, *far) if check not in (*parted, *astray)]
        unseen = [run.seed for run in bundle.runs if not _ended(run, found)]
        reached = "reported" if unseen or astray else "recomputed" if parted else level
        if astray:
            note = (
                f"not recomputed: the bits are other here, and in {len(astray)} of {len(near)} comparisons steps part"
            )
            note += "; a machine of its canary can tell"
        elif unseen:
            note = f"the ends of seeds {claim.shown(unseen)} were not confirmed: their states were left out"
        elif parted:
            note = f"not replayed: the bits are other here, and {len(parted)} of {len(far)} numbers part with them"
    exact = found is not None and bool(found.place["exact"])
    commit, dirty = provenance.commit()
    verdict = trust.verdict(
        {
            "schema": trust.SCHEMA,
            "suite": bundle.manifest.suite,
            "cell_id": bundle.manifest.cell_id,
            "bundle": bundle.digest,
            "label": reached if all(check.holds for check in checks) else "disputed",
            "level": level,
            "bits": exact,
            "challenge": challenge,
            "segments": () if exact and level == "replayed" else segments,  # whole runs hold them all
            "note": note,
            "seconds": round(found.seconds, 1) if found else 0.0,
            "commit": commit,
            "dirty": dirty,
            "versions": provenance.versions(),
            "profile": found.place["profile"] if found else {},
            "canary": found.place["canary"] if found else None,
            "pairs": trust.pairs(checks),
        }
    )
    return Outcome(bundle, checks, verdict)


def _strays(check: claim.Check) -> bool:
    """Says whether steps between states that were made again part with them: no proof where bits are other.

    Where the risk has pieces, rounding decides now and then on which one a step is taken, and what follows may be other
    steps (practical/vgg: 1.6 % after 29 steps, on CPUs of two makers). A machine of the bundle's canary can tell.
    """
    return not check.holds and check.level == "recomputed" and ", steps " in check.where


def _ended(run: document.Run, found: Found) -> bool:
    """Says whether the last record of a run was computed again, and where it diverged."""
    mine = [one for one in found.rest if one["seed"] == run.seed]
    words = {one["found"] for one in mine}
    steps = {one["step"] for one in mine if one["found"] == "record" and one["whole"]}
    return "run" in words or (run.steps[-1] in steps and (run.status != "diverged" or "divergence" in words))


def every(bundle: bundles.Bundle) -> tuple[tuple[int, int], ...]:
    """Returns all segments between states that were handed in."""
    found = {pair for states in bundle.states.values() for pair in itertools.pairwise(states)}
    return tuple(sorted(found))


def drawn(bundle: bundles.Bundle, challenge: str) -> tuple[tuple[int, int], ...]:
    """Returns which segments are made again: the last, the most suspicious, and some drawn with a challenge."""
    lengths: dict[tuple[int, int], float] = {}
    for run in bundle.runs:
        steps = list(bundle.states[run.seed])
        for between in itertools.pairwise(steps):
            lengths[between] = max(lengths.get(between, 0.0), _stretch(bundle, run, *between))
    ordered = sorted(lengths)
    if not ordered:
        return ()
    chosen = {ordered[-1], *sorted(lengths, key=lambda between: -lengths[between])[:SUSPICIOUS]}
    for number in range(DRAWN):
        seed = hashlib.sha256(f"{bundle.digest}:{challenge}:{number}".encode()).digest()
        left = [between for between in ordered if between not in chosen]
        if left:
            chosen.add(left[int.from_bytes(seed, "big") % len(left)])
    return tuple(sorted(chosen))


def _stretch(bundle: bundles.Bundle, run: document.Run, first: int, last: int) -> float:
    """Returns how long a segment is for its steps: its length over steps times eta times the larger gradient."""
    gradients = {record.step: record.values.get("grad_norm", math.nan) for record in bundle.recorded[run.seed]}
    before, after = (bundle.states[run.seed][step]["theta"].astype("f8") for step in (first, last))
    most = (run.eta or math.nan) * max(gradients[first], gradients[last]) * (last - first)
    length = float(np.linalg.norm(after - before))
    return length / most if most > 0 else math.inf


def recomputed(
    bundle: bundles.Bundle,
    level: labels.Level,
    segments: tuple[tuple[int, int], ...],
    *,
    challenge: str = "",
    bits: bool = True,
    seconds: int = SECONDS,
    tell: Tell = lambda what, done, of: None,
) -> Found:
    """Returns what a process of its own computes again; see harness/jobs/recompute.py.

    Args:
        bundle: The bundle.
        level: How far to go.
        segments: Pairs of steps between which the steps are made again.
        challenge: What starts of Lanczos are drawn with.
        bits: Whether bits are to be compared where they can be.
        seconds: CPU seconds that it may take.
        tell: Called with how far it is.

    Raises:
        errors.InputError: It cannot be computed here, as where a data set cannot be had.
        errors.Rejected: It refused, died, or took more than it may.
    """
    with tempfile.TemporaryDirectory(prefix="gdzoo-verify-") as name:
        folder = pathlib.Path(name)
        _write(folder, bundle, level, segments, challenge, seconds, bits)
        began = resource.getrusage(resource.RUSAGE_CHILDREN)
        messages: dict[str, list[dict[str, Any]]] = {}
        with (
            open(folder / "stderr", "wb") as noise,
            subprocess.Popen(
                [sys.executable, "-m", "harness.jobs.recompute", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=noise,
                env=environment(folder),
                cwd=workspace.CHECKOUT,
            ) as process,
        ):
            try:
                for message in _messages(process):
                    if "done" in message:
                        tell(bundle.manifest.label, message["done"], message["of"])
                    kind = next((word for word in ("refused", "unable") if word in message), message.get("found", ""))
                    messages.setdefault(kind, []).append(message)
            finally:
                process.kill()
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
        if "unable" in messages:
            raise errors.InputError(f"{bundle.place}: cannot be checked here: {messages['unable'][0]['unable']}")
        if "refused" in messages:
            raise errors.Rejected(f"{bundle.place}: rejected: {messages['refused'][0]['refused']}")
        if process.returncode or not {"problem", "place"} <= set(messages):
            last = (folder / "stderr").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            why = f"took more than {seconds} CPU seconds" if spent >= seconds - 1 else "died: " + " ".join(last)[:200]
            raise errors.Rejected(f"{bundle.place}: rejected: its recomputation {why}")
    (problem,), (place,) = messages.pop("problem"), messages.pop("place")
    messages.pop("", None)
    return Found(problem, place, [one for several in messages.values() for one in several], spent)


def _write(
    folder: pathlib.Path,
    bundle: bundles.Bundle,
    level: labels.Level,
    segments: tuple[Any, ...],
    challenge: str,
    seconds: int,
    bits: bool,
) -> None:
    """Writes what the process is asked, and the states that it reads."""
    from safetensors import numpy as writer

    cell = task.Task(bundle.cell, tuple(range(bundle.manifest.seeds)), "gdzoo verify")
    runs = [
        {
            "seed": run.seed,
            "eta": run.eta,
            "together": bundle.together[run.seed],
            "steps": run.steps,
            "proven": _proven(bundle, run),
            "reached": run.reached_at is not None,
            "diverged": run.status == "diverged",
        }
        for run in bundle.runs
    ]
    request = {
        "task": cell.dump(),
        "runs": runs,
        "whole": level == "replayed",
        "segments": segments,
        "canary": bundle.manifest.canary if bits and _alike(bundle) else None,
        "profiles": list(bundle.profiles.values()),
        "drawn": int.from_bytes(hashlib.sha256(f"{bundle.digest}:{challenge}:starts".encode()).digest()[:7], "big"),
        "limits": {"RLIMIT_CPU": seconds, "RLIMIT_DATA": MEMORY, "RLIMIT_FSIZE": FILE_BYTES, "RLIMIT_CORE": 0},
    }
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    for seed, states in bundle.states.items():
        if states:
            (folder / f"seed-{seed}.safetensors").write_bytes(writer.save(bundles.packed(states)))


def _proven(bundle: bundles.Bundle, run: document.Run) -> list[int]:
    """Returns the steps of the first and the last record of a run, where Lanczos proved a lower bound there."""
    recorded = bundle.recorded[run.seed]
    if run.curvature != "lanczos":
        return []
    return sorted({one.step for one in (*recorded[:1], *recorded[-1:]) if verdict.undecided(one.values) is None})


def environment(folder: pathlib.Path) -> dict[str, str]:
    """Returns the environment of the process: nothing of this one but where programs, data and compiled code are."""
    settled = lapack.settings()
    kept = ("PATH", "LD_LIBRARY_PATH", "NPROC", "PJRT_NPROC", "XLA_FLAGS", "LANG", *settled)
    return {
        **settled,
        **{name: os.environ[name] for name in kept if name in os.environ},
        "HOME": str(folder),
        "GDZOO_HOME": str(folder),
        "TFDS_DATA_DIR": str(workspace.data()),
        "JAX_COMPILATION_CACHE_DIR": str(compilation_cache.folder()),
    }


def _messages(process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)
    for _ in range(100):
        if process.poll() is not None:
            return
        time.sleep(0.1)


def _alike(bundle: bundles.Bundle) -> bool:
    """Says whether the runs were made, each from its beginning, with the versions that bits depend on and are here."""
    versions = provenance.versions()
    alike = all(run.versions.get(name) == versions[name] for run in bundle.runs for name in DECISIVE)
    return alike and not any(run.mixed for run in bundle.runs)


def compared(bundle: bundles.Bundle, found: Found) -> Iterator[claim.Check]:
    """Yields a check for everything that was computed again short of whole runs."""
    exact = bool(found.place["exact"])
    for run in bundle.runs:
        for name, value in found.problem.items():
            if name not in ("found", "layout"):
                claimed = run.dataset.sha256 if name == "dataset" else getattr(run, name)
                yield claim.same("recomputed", name, f"seed {run.seed}", claimed, value)
        if said := bundle.layouts[run.seed]:
            right = layout.plain(said) == found.problem["layout"]
            words = ("the network's" if right else "another", "the network's", "the same")
            yield claim.holds("recomputed", "layout", f"seed {run.seed}", *words, right)
    for one, run in _of(bundle, found):
        where = f"seed {run.seed}"
        match one["found"]:
            case "start":
                room = 0.0 if exact else 1e-5 * one["eta"]
                yield claim.near("recomputed", "the step size", where, run.eta or math.nan, one["eta"], room)
            case "excluded":
                yield _excluded(bundle, one)
            case "divergence":
                yield claim.same("recomputed", "diverged_at", where, run.diverged_at, one["step"])
            case "state" if one["from"] != one["step"] and not _repeats(one):
                least = 0.0 if _one_piece(bundle) else tolerance.KINKED
                steps = one["step"] - one["from"]
                most = max(tolerance.state(steps), tolerance.SHAKEN * float(one["shaken"]), least)
                yield _state(one, exact, "recomputed", most)
            case "record" if not _repeats(one):
                yield from _record(bundle, one, exact, "recomputed")


def repeated(bundle: bundles.Bundle, found: Found) -> Iterator[claim.Check]:
    """Yields a check for everything of runs that were repeated from their seeds."""
    exact = bool(found.place["exact"])
    for one, run in _of(bundle, found):
        if one["found"] == "run":
            yield from _run(one, run)
        elif _repeats(one) and one["found"] == "state":
            yield _state(one, exact, "replayed", tolerance.REPEATED)
        elif _repeats(one):
            yield from _record(bundle, one, exact, "replayed")


def _of(bundle: bundles.Bundle, found: Found) -> Iterator[tuple[dict[str, Any], document.Run]]:
    runs = {run.seed: run for run in bundle.runs}
    return ((one, runs[one["seed"]]) for one in found.rest)


def _one_piece(bundle: bundles.Bundle) -> bool:
    return theory.of(bundle.cell).one_piece


def _repeats(one: dict[str, Any]) -> bool:
    return bool(one.get("repeated"))


def _state(one: dict[str, Any], exact: bool, level: labels.Level, most: float) -> claim.Check:
    where = f"seed {one['seed']}, steps {one['from']} to {one['step']}"
    if exact:
        said = "bits" if one["same"] else "other bits"
        return claim.holds(level, "parameters", where, "bits", said, "the same", one["same"])
    return claim.near(level, "parameters", where, 0.0, float(one["distance"]), most)


def _excluded(bundle: bundles.Bundle, one: dict[str, Any]) -> claim.Check:
    """Whether a lower bound of sigma_min holds again, from a start of Lanczos that is the verifier's own."""
    (values,) = [record.values for record in bundle.recorded[one["seed"]] if record.step == one["step"]]
    claimed = values["sigma_min_lower"]
    lower, error, upper = (float(one[name]) for name in ("lower", "error", "upper"))
    holds = verdict.apart(lower, error) and claimed <= upper * (1 + consistency.ROUNDING)
    found = f"[{claim.shown(lower)}, {claim.shown(upper)}]"
    wanted = "above 0 again, and nothing below what is claimed"
    where = f"seed {one['seed']}, step {one['step']}"
    return claim.holds(
        "recomputed", "sigma_min_lower, another start", where, claim.shown(claimed), found, wanted, holds
    )


def _record(bundle: bundles.Bundle, one: dict[str, Any], exact: bool, level: labels.Level) -> Iterator[claim.Check]:
    where = f"seed {one['seed']}, step {one['step']}"
    at = [record.values for record in bundle.recorded[one["seed"]] if record.step == one["step"]]
    claimed = at[0] if at else None
    if claimed is None or one["values"] is None:
        words = ["no record" if values is None else "a record" for values in (claimed, one["values"])]
        yield claim.same(level, "a record", where, *words)
        return
    found, shaken = ({name: float(value) for name, value in (one[key] or {}).items()} for key in ("values", "shaken"))
    older = tolerance.older(claimed)  # then newer questions, and those that are put otherwise now, are left aside
    if one["whole"]:
        odd = set(claimed) - set(found) if older else set(claimed) ^ set(found)
        yield claim.same(level, "the metrics of a record", where, sorted(odd), [])
    for name in sorted((set(claimed) & set(found)) - (tolerance.REDEFINED if older else set())):
        room = 0.0
        if not exact:
            grown = tolerance.SHAKEN * abs(found[name] - shaken[name]) if name in shaken else 0.0
            if name in shaken and not _one_piece(bundle):
                grown = max(grown, tolerance.KINKED_NUMBER * abs(claimed[name]))
            far = level == "replayed" and one["step"] > FEW
            room = max(tolerance.of(name, claimed, found, far=far), grown if math.isfinite(grown) else 0.0)
        yield claim.near(level, name, where, claimed[name], found[name], room)


def _run(one: dict[str, Any], run: document.Run) -> Iterator[claim.Check]:
    where = f"seed {run.seed}"
    yield claim.same("replayed", "checkpoint steps", where, list(run.steps), one["steps"])
    for name in ("status", "diverged_at", "reached_at", "verdict"):
        yield claim.same("replayed", name, where, getattr(run, name), one[name])
    known = {name: why for name, why in one["left_out"].items() if name in run.left_out}  # newer questions aside
    yield claim.same("replayed", "left_out", where, run.left_out, known)
    if run.end is not None:
        yield claim.same("replayed", "kind of end", where, run.end.point, one["end"]["point"])
