# SPDX-License-Identifier: Apache-2.0
"""The trace of a run: the largest eigenvalues and the least one at many of its steps, and what a step saw at each.

`trace.jsonl` in a run folder holds a line of JSON for each trace point and, where a survey of the Hessian was made at
the same step, one more that says how many eigenvalues of the survey the trace did not have. `steps.csv` holds loss and
gradient norm of what each step saw. Numbers are written with the digits of their precision, error bars rounded up.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from harness.curvature import spectrum as spectra

NUMBERS = (
    *("eta", "loss", "grad_norm", "from_start", "from_last", "relative_progress"),
    *("batch_sharpness", "batch_sharpness_error"),
    *("gradient_noise_interaction", "gradient_noise_interaction_error"),
)
"""The fields of a trace point that are one number each."""

HEADER = "step,loss,grad_norm"
"""First line of `steps.csv`."""

BYTES = 250_000
"""Bytes that the trace points of a run take in a bundle and in a store, at most."""

SEEN = 1_000
"""Steps whose loss and gradient norm stand there."""


@dataclasses.dataclass(frozen=True)
class TracePoint:
    """What is known at one trace point of one run.

    Attributes:
        step: Steps taken before.
        eta: The step size of the step from here.
        loss: Risk of the whole training set, in the precision of the trace.
        grad_norm: Norm of its gradient.
        values: The tracked eigenvalues of its Hessian H: the largest, descending, then the least; NaN where there are
            fewer.
        errors: Residual norm |H y - value y| of each: an eigenvalue lies within it.
        from_start: Distance of the parameters from where the run began.
        from_last: Distance from the trace point before; 0 at the first.
        batch_sharpness: E[g_B' H_B g_B] / E|g_B|^2 over drawn mini-batches B; NaN for full-batch rules.
        batch_sharpness_error: Its standard error over the batches.
        gradient_noise_interaction: E[g_B' H g_B] / |g|^2; NaN for full-batch rules.
        gradient_noise_interaction_error: Its standard error.
        products: Hessian-vector products that the eigenvalues took.
        relative_progress: Of the step that led here, (L - L before) / (eta |gradient before|^2): -1 without curvature;
            times 2, plus 2: eta times the directional smoothness along it. NaN where it is not a full-batch step.
        missed: Eigenvalues of the survey at this step that lie above the least tracked one and that the trace did not
            have; None where no survey was made.
        least_missed: Whether the least eigenvalue of the survey lies below the tracked one, beyond both error bars.
    """

    step: int
    eta: float
    loss: float
    grad_norm: float
    values: tuple[float, ...]
    errors: tuple[float, ...]
    from_start: float
    from_last: float
    products: int
    relative_progress: float = math.nan
    batch_sharpness: float = math.nan
    batch_sharpness_error: float = math.nan
    gradient_noise_interaction: float = math.nan
    gradient_noise_interaction_error: float = math.nan
    missed: int | None = None
    least_missed: bool | None = None

    def above(self, times: float = 1.0) -> Count:
        """Returns how many tracked eigenvalues lie above times / eta."""
        level = times / self.eta
        top = [value for value in self.values[:-1] if not math.isnan(value)]
        number = sum(value > level for value in top)
        return Count(number, whole=number < len(top) or len(top) < len(self.values) - 1)


class Count(NamedTuple):
    """A number of eigenvalues above a level.

    Attributes:
        number: How many tracked ones there are.
        whole: Whether that is all: False where every tracked one lies above, so that more may.
    """

    number: int
    whole: bool


def dump(point: TracePoint, dtype: str) -> str:
    """Returns a trace point as one line of JSON, with the digits of a precision."""
    numbers = {name: _number(getattr(point, name), dtype) for name in NUMBERS if not _absent(point, name)}
    numbers["eta"] = point.eta  # the very number that records have
    plain: dict[str, Any] = {
        "step": point.step,
        **numbers,
        "values": [_number(value, dtype) for value in point.values],
        "errors": [_bar(value) for value in point.errors],
        "products": point.products,
    }
    if point.missed is not None:
        plain |= {"missed": point.missed, "least_missed": point.least_missed}
    return json.dumps(plain, allow_nan=False)


def dump_comparison(point: TracePoint) -> str:
    """Returns what a survey says of a trace point, as one line of JSON."""
    return json.dumps({"step": point.step, "missed": point.missed, "least_missed": point.least_missed})


def load(lines: Iterable[str]) -> list[TracePoint]:
    """Returns the trace points of some lines, in the order of their steps, each with what a survey says of it."""
    points: dict[int, dict[str, Any]] = {}
    for line in lines:
        plain = json.loads(line)
        points.setdefault(int(plain["step"]), {}).update(plain)
    return [_point(plain) for _, plain in sorted(points.items()) if "values" in plain]


def _point(plain: dict[str, Any]) -> TracePoint:
    numbers = {name: float(plain[name]) for name in NUMBERS if name in plain}
    values, errors = (tuple(float(value) for value in plain[name]) for name in ("values", "errors"))
    missed, least = plain.get("missed"), plain.get("least_missed")
    return TracePoint(
        step=int(plain["step"]),
        values=values,
        errors=errors,
        products=int(plain["products"]),
        missed=missed,
        least_missed=least,
        **numbers,
    )


def _absent(point: TracePoint, name: str) -> bool:
    """Says whether a number is not asked of this run."""
    return name.startswith(("batch", "gradient", "relative")) and math.isnan(getattr(point, name))


def _number(value: float, dtype: str) -> float | str:
    """Returns a number with the digits of a precision; one that is not finite as a text."""
    with np.errstate(over="ignore", under="ignore"):
        short = str(np.dtype(dtype).type(value))
    return float(short) if math.isfinite(value) else short


def _bar(value: float) -> float | str:
    """Returns an error bar with three digits, rounded up."""
    if not math.isfinite(value) or value <= 0:
        return _number(value, "float64")
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.ceil(value / unit) * unit:.3g}")


def compared(point: TracePoint, known: spectra.Spectrum) -> TracePoint:
    """Returns a trace point with what a survey at the same step says of it.

    Both lists are walked from their largest value: a pair that agrees within both error bars is one eigenvalue; one of
    the survey that lies above what the trace has next was missed; one of the trace that lies above is passed over (the
    survey may know a part of the spectrum only).
    """
    theirs = list(zip(known.values[::-1].tolist(), known.errors[::-1].tolist(), strict=True))
    pairs = zip(point.values[:-1], point.errors[:-1], strict=True)
    missed = place = 0
    for value, error in (pair for pair in pairs if not math.isnan(pair[0])):
        while place < len(theirs) and theirs[place][0] > value + error + theirs[place][1]:
            missed, place = missed + 1, place + 1
        if place < len(theirs) and abs(theirs[place][0] - value) <= error + theirs[place][1]:
            place += 1
    lowest, bar = theirs[-1]
    least, error = point.values[-1], point.errors[-1]
    return dataclasses.replace(point, missed=missed, least_missed=bool(lowest + bar < least - error))


def shortened(points: Sequence[TracePoint], most: int) -> list[TracePoint]:
    """Returns so many trace points at most.

    In this order of need: the first and the last, those that were compared with a survey, those on either side of a
    change of the count above 1/eta or 2/eta, and others, each kind evenly chosen where not all of it has room.
    """
    if len(points) <= most:
        return list(points)
    counts = [(point.above().number, point.above(2.0).number) for point in points]
    ends = [0, len(points) - 1]
    compared = [place for place, point in enumerate(points) if point.missed is not None]
    changed = [place for place in range(1, len(points)) if counts[place] != counts[place - 1]]
    needed = dict.fromkeys([*ends, *_evenly(compared, most - 2)])
    for place in _evenly(changed, (most - len(needed)) // 2):
        needed |= dict.fromkeys((place - 1, place))
    others = [place for place in range(len(points)) if place not in needed]
    return [points[place] for place in sorted([*needed, *_evenly(others, most - len(needed))])]


def _evenly(places: Sequence[int], most: int) -> list[int]:
    """Returns so many of some places at most, evenly chosen."""
    if len(places) <= most:
        return list(places)
    return [places[i * len(places) // most] for i in range(max(most, 0))]


def fitting(points: Sequence[TracePoint]) -> str:
    """Returns the lines of as many trace points as fit into BYTES, chosen as `shortened` says.

    The same lines come out where these are read again.
    """
    lines = {point.step: dump(point, "float64") + "\n" for point in points}
    most = BYTES // max(map(len, lines.values()), default=1)
    return "".join(lines[point.step] for point in shortened(points, most))


def fitting_steps(seen: Steps) -> str:
    """Returns a `steps.csv` of at most SEEN steps, half of them evenly chosen, half log-spaced; empty without any."""
    count = len(seen.step)
    if not count:
        return ""
    even, spaced = np.linspace(0, count - 1, SEEN // 2), np.geomspace(1, count, SEEN // 2) - 1
    chosen = np.arange(count) if count <= SEEN else np.unique(np.concatenate([even, spaced]).round().astype(int))
    return f"{HEADER}\n{dump_steps(Steps(*(column[chosen] for column in seen)))}"


class Steps(NamedTuple):
    """What each step of a run saw: the whole training set, or its mini-batch.

    Attributes:
        step: (k,) int, increasing.
        loss: (k,) risk of it, before the step.
        grad_norm: (k,) norm of its gradient.
    """

    step: np.ndarray
    loss: np.ndarray
    grad_norm: np.ndarray

    def until(self, step: int) -> Steps:
        """Returns those before a step."""
        chosen = self.step < step
        return Steps(*(column[chosen] for column in self))


def seen(first: int, saw: np.ndarray) -> Steps:
    """Returns what the steps of a run saw from the rows (k, 2) that the trainer gives, NaN beyond the last.

    A loss that is not finite, at which a run diverges, is left out: it stands for no step that was made.
    """
    rows = saw[np.isfinite(saw).all(axis=1)]
    return Steps(first + np.flatnonzero(np.isfinite(saw).all(axis=1)), rows[:, 0], rows[:, 1])


def dump_steps(seen: Steps) -> str:
    """Returns the lines of `steps.csv` for some steps, without its header."""
    rows = zip(map(int, seen.step), map(str, seen.loss), map(str, seen.grad_norm), strict=True)
    return "".join(f"{step},{loss},{norm}\n" for step, loss, norm in rows)


def load_steps(lines: Sequence[str]) -> Steps:
    """Returns what the lines of a `steps.csv` say; a step that stands there twice counts once."""
    rows = dict(line.rstrip("\n").split(",", 1) for line in lines[1:])
    table = np.array([[float(cell) for cell in rest.split(",")] for rest in rows.values()]).reshape(-1, 2)
    return Steps(np.array(list(map(int, rows)), np.int64), table[:, 0], table[:, 1])
