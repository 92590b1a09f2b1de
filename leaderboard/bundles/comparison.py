# SPDX-License-Identifier: Apache-2.0
"""Comparisons of a bundle with what was computed again of it: parts of its runs, and whole runs.

Bits where the machine is like the one of the runs; elsewhere numbers, by leaderboard/bundles/tolerance.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness import theory
from harness.records import verdict
from harness.risk import layout
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import claim, consistency, process, tolerance, tracing
from leaderboard.export import document, labels

FEW = 10
"""Steps after which trajectories may have parted on machines of other bits."""


def parts(bundle: bundles.Bundle, recomputation: process.Recomputation) -> Iterator[claim.Check]:
    """Yields a check for everything that was computed again short of whole runs."""
    for run in bundle.runs:
        yield from _problem(bundle, run, recomputation.problem)
    for message, run in _by_run(bundle, recomputation):
        where = f"seed {run.seed}"
        match message["found"]:
            case "start":
                allowed = 0.0 if recomputation.exact else 1e-5 * message["eta"]
                subject = claim.Subject("recomputed", "the step size", where)
                yield claim.near(subject, run.eta or math.nan, message["eta"], allowed)
            case "excluded":
                yield _lower_bound(bundle, message)
            case "trace":
                yield from tracing.point(bundle, message)
            case "divergence":
                yield claim.same(claim.Subject("recomputed", "diverged_at", where), run.diverged_at, message["step"])
            case "state" if message["from"] != message["step"] and not _is_repeated(message):
                least = 0.0 if one_piece(bundle) else tolerance.KINKED
                steps = message["step"] - message["from"]
                allowed = max(tolerance.state(steps), tolerance.SHAKEN * float(message["shaken"]), least)
                yield _parameters("recomputed", message, None if recomputation.exact else allowed)
            case "record" if not _is_repeated(message):
                yield from _record(bundle, "recomputed", message, recomputation.exact)


def whole_runs(bundle: bundles.Bundle, recomputation: process.Recomputation) -> Iterator[claim.Check]:
    """Yields a check for everything of runs that were repeated from their seeds."""
    for message, run in _by_run(bundle, recomputation):
        if message["found"] == "run":
            yield from _run(message, run)
            if recomputation.exact and (said := bundle.manifest.files.get(f"seed-{run.seed}/trace.jsonl")):
                subject = claim.Subject("replayed", "the trace", f"seed {run.seed}")
                yield claim.same(subject, said.sha256, message["trace"])
        elif _is_repeated(message) and message["found"] == "state":
            yield _parameters("replayed", message, None if recomputation.exact else tolerance.REPEATED)
        elif _is_repeated(message) and message["found"] == "record":
            yield from _record(bundle, "replayed", message, recomputation.exact)


def is_of_steps(check: claim.Check) -> bool:
    """Says whether a check is of steps between states that were made again."""
    return check.level == "recomputed" and ", steps " in check.where


def end_was_seen(run: document.Run, recomputation: process.Recomputation) -> bool:
    """Says whether the last record of a run was computed again, and where it diverged."""
    messages = [message for message in recomputation.messages if message["seed"] == run.seed]
    kinds = {message["found"] for message in messages}
    steps = {message["step"] for message in messages if message["found"] == "record" and message["whole"]}
    return "run" in kinds or (run.steps[-1] in steps and (run.status != "diverged" or "divergence" in kinds))


def one_piece(bundle: bundles.Bundle) -> bool:
    """Says whether the risk of a bundle's cell is analytic everywhere."""
    return theory.of(bundle.cell).one_piece


def _by_run(
    bundle: bundles.Bundle, recomputation: process.Recomputation
) -> Iterator[tuple[process.Message, document.Run]]:
    runs = {run.seed: run for run in bundle.runs}
    return ((message, runs[message["seed"]]) for message in recomputation.messages)


def _is_repeated(message: process.Message) -> bool:
    """Says whether a message is of a run that was repeated from its seed."""
    return bool(message.get("repeated"))


def _problem(bundle: bundles.Bundle, run: document.Run, problem: process.Message) -> Iterator[claim.Check]:
    """The data set and the network."""
    where = f"seed {run.seed}"
    for name, value in problem.items():
        if name not in ("found", "layout"):
            claimed = run.dataset.sha256 if name == "dataset" else getattr(run, name)
            yield claim.same(claim.Subject("recomputed", name, where), claimed, value)
    if leaves := bundle.layouts[run.seed]:
        right = layout.plain(leaves) == problem["layout"]
        words = ("the network's" if right else "another", "the network's", "the same")
        yield claim.related(claim.Subject("recomputed", "layout", where), *words, right)


def _parameters(level: labels.Level, message: process.Message, allowed: float | None) -> claim.Check:
    """Parameters that were reached again; to the bit where no distance is allowed."""
    where = f"seed {message['seed']}, steps {message['from']} to {message['step']}"
    subject = claim.Subject(level, "parameters", where)
    if allowed is None:
        found = "bits" if message["same"] else "other bits"
        return claim.related(subject, "bits", found, "the same", message["same"])
    return claim.near(subject, 0.0, float(message["distance"]), allowed)


def _lower_bound(bundle: bundles.Bundle, message: process.Message) -> claim.Check:
    """Whether a lower bound of sigma_min holds again, from a start of Lanczos that is the verifier's own."""
    (values,) = [record.values for record in bundle.recorded[message["seed"]] if record.step == message["step"]]
    claimed = values["sigma_min_lower"]
    lower, error, upper = (float(message[name]) for name in ("lower", "error", "upper"))
    holds = verdict.apart(lower, error) and claimed <= upper * (1 + consistency.ROUNDING)
    found = f"[{claim.shown(lower)}, {claim.shown(upper)}]"
    relation = "above 0 again, and nothing below what is claimed"
    where = f"seed {message['seed']}, step {message['step']}"
    subject = claim.Subject("recomputed", "sigma_min_lower, another start", where)
    return claim.related(subject, claim.shown(claimed), found, relation, holds)


def _record(
    bundle: bundles.Bundle, level: labels.Level, message: process.Message, exact: bool
) -> Iterator[claim.Check]:
    """Every number of a record."""
    where = f"seed {message['seed']}, step {message['step']}"
    at_step = [record.values for record in bundle.recorded[message["seed"]] if record.step == message["step"]]
    claimed = at_step[0] if at_step else None
    if claimed is None or message["values"] is None:
        words = ["no record" if values is None else "a record" for values in (claimed, message["values"])]
        yield claim.same(claim.Subject(level, "a record", where), *words)
        return
    found, shaken = (
        {name: float(value) for name, value in (message[key] or {}).items()} for key in ("values", "shaken")
    )
    if message["whole"]:
        odd = sorted(set(claimed) ^ set(found))
        yield claim.same(claim.Subject(level, "the metrics of a record", where), odd, [])
    far = level == "replayed" and message["step"] > FEW
    for name in sorted(set(claimed) & set(found)):
        allowed = 0.0
        if not exact:
            grown = tolerance.SHAKEN * abs(found[name] - shaken[name]) if name in shaken else 0.0
            if name in shaken and not one_piece(bundle):
                grown = max(grown, tolerance.KINKED_NUMBER * abs(claimed[name]))
            allowed = max(tolerance.of(name, claimed, found, far=far), grown if math.isfinite(grown) else 0.0)
        yield claim.near(claim.Subject(level, name, where), claimed[name], found[name], allowed)


def _run(message: process.Message, run: document.Run) -> Iterator[claim.Check]:
    """What is said of a whole run: its checkpoints, how it ended, its verdict."""

    def subject(what: str) -> claim.Subject:
        return claim.Subject("replayed", what, f"seed {run.seed}")

    yield claim.same(subject("checkpoint steps"), list(run.steps), message["steps"])
    for name in ("status", "diverged_at", "reached_at", "verdict"):
        yield claim.same(subject(name), getattr(run, name), message[name])
    known = {name: why for name, why in message["left_out"].items() if name in run.left_out}  # newer questions aside
    yield claim.same(subject("left_out"), run.left_out, known)
    if run.end is not None:
        yield claim.same(subject("kind of end"), run.end.point, message["end"]["point"])
