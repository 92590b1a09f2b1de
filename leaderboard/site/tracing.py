# SPDX-License-Identifier: Apache-2.0
"""The trace of a run on its page: the curves of its flow, and what is said of them.

The figures stand in the page as drawings; `assets/flow.js` draws them again from the script of the run's trace.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from leaderboard.board import number
from leaderboard.export import document

LEVELS = {1: "1: singular", 2: "2: unstable above"}
"""Lines of reference of the flow."""

WITHIN = (-2.0, 5.0)
"""What the axis of the flow shows at most; what lies beyond is drawn at its rim."""

NAMED = 4
"""Steps that a caption names, at most."""

ROOM = 0.05
"""Room above and below the curves, as a share."""

SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


class Curve(NamedTuple):
    """One line of the flow.

    Attributes:
        label: What it is of.
        look: Its class in the style sheet.
        values: eta times it, at each drawn step; None where it is not known.
        errors: eta times its error bars.
        crosses: Whether its changes of side of 1 are marked.
    """

    label: str
    look: str
    values: tuple[float | None, ...]
    errors: tuple[float | None, ...]
    crosses: bool = False


class Traced(NamedTuple):
    """The flow of a run.

    Attributes:
        steps: The drawn steps, increasing.
        curves: The largest eigenvalues, the least one, and for SGD the batch sharpness.
        missed: At each step how many eigenvalues a survey found that the trace did not have.
    """

    steps: tuple[int, ...]
    curves: tuple[Curve, ...]
    missed: tuple[int, ...]


def traced(trace: document.Trace) -> Traced:
    """Returns the flow of a run."""
    *top, least = [
        (_times(trace.eta, values), _times(trace.eta, errors))
        for values, errors in zip(trace.values, trace.errors, strict=True)
    ]
    curves = [
        Curve(f"η·λ{str(rank).translate(SUBSCRIPTS)}", "first" if rank == 1 else "rest", values, errors, True)
        for rank, (values, errors) in enumerate(top, start=1)
    ]
    curves.append(Curve("η·λ_min", "least", *least))
    noise, error = (_times(trace.eta, one) for one in (trace.batch_sharpness, trace.batch_sharpness_error))
    batch = Curve("η·batch sharpness", "batch", noise, error)
    curves += [batch] if any(value is not None for value in batch.values) else []
    return Traced(trace.steps, tuple(curves), trace.missed)


def _times(eta: Sequence[float], values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Returns step sizes times values; None for what is not known or too large for a number."""
    products = (None if value is None else size * value for size, value in zip(eta, values, strict=True))
    return tuple(one if one is not None and math.isfinite(one) else None for one in products)


def span(values: Sequence[float]) -> tuple[float, float]:
    """Returns the least and the largest number on the axis of a flow of these values."""
    low, high = max(min([0.0, *values]), WITHIN[0]), min(max([*LEVELS, *values]), WITHIN[1])
    room = ROOM * (high - low)
    return low - room if low < 0 else low, high + room


def said(run: document.Run, flow: Traced) -> list[str]:
    """Returns what the caption of a flow says, a sentence each: what is drawn, and what a trace cannot see."""
    assert run.trace is not None, "the flow is its"
    summary = run.trace.summary
    points, compared = (int(summary.get(f"trace_{name}", 0)) for name in ("points", "compared"))
    missed, narrow = (int(summary.get(f"trace_{name}", 0)) for name in ("missed", "narrow"))
    values = [value for curve in flow.curves for value in curve.values if value is not None]
    drawn = f"{len(flow.steps)} of {points}" if len(flow.steps) < points else f"all {points}"
    jumps = "" if run.one_piece else ", by crossing it or by a jump of H at a kink"
    sentences = [
        f"η times the eigenvalues of H that were followed, at {drawn} trace points, with error bars as bands where "
        f"they can be seen. A circle is where one comes to the other side of 1 between two trace points{jumps}.",
        "One that rises from the bulk may go unseen: nothing is excluded between surveys. "
        + (f"Of {compared} surveys at trace points " if compared else "No survey was made at a trace point.")
        + (f"{_missed(missed, flow)}." if compared else ""),
    ]
    if any(curve.look == "batch" for curve in flow.curves):
        sentences.append("The band of the batch sharpness is one standard error over drawn mini-batches.")
    if narrow:
        sentences.append(
            f"At {narrow} points all that were followed lie above 1, so that more may; "
            "changes of side up there are not counted."
        )
    if any(not WITHIN[0] <= value <= WITHIN[1] for value in values):
        sentences.append(f"What lies beyond {number.show(WITHIN[0])} and {number.show(WITHIN[1])} is at the rim.")
    return sentences


def _missed(missed: int, flow: Traced) -> str:
    """Returns what surveys found that the trace had not."""
    if not missed:
        return "none found an eigenvalue that the trace had missed"
    steps = [f"{step:,}" for step, some in zip(flow.steps, flow.missed, strict=True) if some]
    shown = ", ".join(steps[:NAMED]) + (", …" if len(steps) > NAMED else "")
    which = f" (bold at the foot: step{'' if len(steps) == 1 else 's'} {shown})" if steps else ""
    return f"some found what the trace had missed, {missed} eigenvalue{'' if missed == 1 else 's'}{which}"


def said_of_losses(run: document.Run) -> str:
    """Returns what the caption of the losses says."""
    batch = run.part("optimizer").get("batch_size")
    of = f"its mini-batch of {batch} examples" if batch else "the whole training set"
    caption = f"The loss that each step saw, of {of}; steps and loss both on logarithmic axes."
    assert run.trace is not None, "they are its"
    drawn, steps = len(run.trace.loss_steps), max(run.steps, default=0)
    if drawn < steps:
        caption += f" Of {steps:,} steps {drawn} are drawn: of each stretch that of the least loss and of the largest."
    return caption


def key(flow: Traced, *, one_piece: bool) -> list[tuple[str, str]]:
    """Returns look and words of each kind of line and mark of a flow; of a risk that is analytic everywhere or not."""
    labels: dict[str, list[str]] = {}
    for curve in flow.curves:
        labels.setdefault(curve.look, []).append(curve.label)
    found = [(look, " to ".join(dict.fromkeys((some[0], some[-1])))) for look, some in labels.items()]
    found.append(("crossing", "crossing of 1" if one_piece else "crossing of 1, or jump over it"))
    return found + ([("missed", "a survey found more than the trace had")] if any(flow.missed) else [])


def script(trace: document.Trace, flow: Traced) -> dict[str, object]:
    """Returns what `assets/flow.js` draws: of each curve label, look, values and error bars, in the page's digits."""
    return {
        "within": span([value for curve in flow.curves for value in curve.values if value is not None]),
        "levels": list(LEVELS.items()),
        "steps": flow.steps,
        "curves": [
            (curve.label, curve.look, _each(curve.values, number.rounded), _each(curve.errors, number.rounded_error))
            for curve in flow.curves
        ],
        "missed": [step for step, missed in zip(flow.steps, flow.missed, strict=True) if missed],
        "loss_steps": trace.loss_steps,
        "losses": _each(trace.losses, number.rounded),
    }


def _each(values: Sequence[float | None], rounded: Callable[[float], float]) -> list[float | None]:
    return [None if value is None else rounded(value) for value in values]
