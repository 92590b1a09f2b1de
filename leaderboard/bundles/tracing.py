# SPDX-License-Identifier: Apache-2.0
"""What the trace points of a bundle claim: against its own records and spectra, and against what was computed again."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from harness import records
from harness.curvature import spectrum as spectra
from harness.diagnostics import trace_plan
from harness.records import traces
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import claim, process
from leaderboard.export import document, labels

SHARE = {"float32": 1e-4, "float64": 1e-8}
"""How far loss and gradient norm may be from those in float64, as a share; and of the largest eigenvalue, its value."""

LEAST = {"float32": 1e-5, "float64": 1e-9}
"""The same where they vanish, absolutely: what is left where larger numbers cancel."""


def consistent(bundle: bundles.Bundle, run: document.Run, where: str) -> Iterator[claim.Check]:
    """Yields the checks of trace points against the schedule, and against the records and spectra of their steps."""
    points = bundle.traces[run.seed]
    if not points:
        return
    if (allowed := trace_plan.scheduled(bundle.cell)) is not None:
        strange = sorted({point.step for point in points} - {*allowed, *run.steps})
        yield claim.same(claim.Subject("reported", "steps of the trace", where), strange[:5], [])
    at_step = {record.step: record for record in bundle.recorded[run.seed]}
    for point in points:
        place = f"{where}, trace point {point.step}"
        if record := at_step.get(point.step):
            yield from _of_record(bundle, point, record, place)
        if known := bundle.spectra[run.seed].get(point.step):
            yield from _of_spectrum(bundle, point, known, "reported", place)


def point(bundle: bundles.Bundle, message: process.Message) -> Iterator[claim.Check]:
    """Yields the checks of a trace point against what was computed again at its state."""
    (claimed,) = [one for one in bundle.traces[message["seed"]] if one.step == message["step"]]
    place = f"seed {message['seed']}, trace point {claimed.step}"
    for name in ("loss", "grad_norm"):
        yield _near(bundle, claim.Subject("recomputed", name, place), getattr(claimed, name), message[name])
    values, errors = (np.array(message[name], np.float64) for name in ("values", "errors"))
    known = spectra.Spectrum(values, errors, message["whole"], len(values), 0)
    yield from _of_spectrum(bundle, claimed, known, "recomputed", place)


def _precision(bundle: bundles.Bundle) -> str:
    trace = bundle.cell.trace
    return "float64" if trace is not None and trace.precision == "float64" else bundle.cell.precision


def _near(bundle: bundles.Bundle, subject: claim.Subject, claimed: float, found: float) -> claim.Check:
    precision = _precision(bundle)
    room = SHARE[precision] * abs(found) + LEAST[precision] if math.isfinite(found) else 0.0
    return claim.near(subject, claimed, found, room)


def _of_record(
    bundle: bundles.Bundle, point: traces.TracePoint, record: records.Record, where: str
) -> Iterator[claim.Check]:
    """Yields the checks of a trace point against the record of its step."""
    for name in ("eta", "loss", "grad_norm"):
        if name in record.values:
            yield _near(bundle, claim.Subject("reported", name, where), getattr(point, name), record.values[name])
    ends = (("sharpness", 0, bool(point.missed)), ("lambda_min", -1, bool(point.least_missed)))
    for name, place, missed in ends:
        if name in record.values and not missed:
            subject = claim.Subject("reported", f"the tracked {name}", where)
            room = point.errors[place] + record.values.get(f"{name}_error", 0.0) + _slack(bundle, point)
            yield claim.near(subject, point.values[place], record.values[name], room)


def _of_spectrum(
    bundle: bundles.Bundle, point: traces.TracePoint, known: spectra.Spectrum, level: labels.Level, where: str
) -> Iterator[claim.Check]:
    """Yields the checks of a trace point against eigenvalues of its step: each of its own is one of them, or near."""
    slack = _slack(bundle, point)
    if point.missed is not None:
        wider = dataclasses.replace(point, errors=tuple(error + slack for error in point.errors))
        narrow = dataclasses.replace(point, errors=tuple(max(error - slack, 0.0) for error in point.errors))
        least, most = (_missed(traces.compared(other, known)) for other in (wider, narrow))
        subject, found = claim.Subject(level, "what the trace missed", where), f"{least} to {most}"
        yield claim.related(subject, str(_missed(point)), found, "as many", least <= _missed(point) <= most)
    lowest = known.values[min(1, len(known.values) - 1)] if not known.complete else -math.inf
    # One that is not the least, and says so, may be any between: a part of the spectrum does not tell.
    last = len(point.values) - (1 if point.least_missed and not known.complete else 0)
    for value, error in list(zip(point.values, point.errors, strict=True))[:last]:
        nearest = int(np.argmin(np.abs(known.values - value)))
        if math.isnan(value) or (value < lowest and nearest > 0):
            continue
        subject = claim.Subject(level, "a tracked eigenvalue", where)
        yield claim.near(subject, value, float(known.values[nearest]), error + float(known.errors[nearest]) + slack)


def _missed(point: traces.TracePoint) -> int:
    """Returns how many eigenvalues a survey found that a trace point has not."""
    return (point.missed or 0) + bool(point.least_missed)


def _slack(bundle: bundles.Bundle, point: traces.TracePoint) -> float:
    """Returns what rounding in the precision of the trace may move an eigenvalue by."""
    return SHARE[_precision(bundle)] * max(abs(value) for value in point.values if not math.isnan(value))
