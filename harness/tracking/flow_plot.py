# SPDX-License-Identifier: Apache-2.0
"""Picture of a run's trace as PNG: eta times its tracked eigenvalues over the steps, as the page of the run draws it.

The step axis shows log(1 + step). All trace points are drawn, each with the step size of its own step.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.records import traces

if TYPE_CHECKING:
    from matplotlib import axes

WITHIN = (-2.0, 5.0)
"""What the vertical axis shows at most."""

LEVELS = ((1.0, "--", "1: singular"), (2.0, "--", "2: unstable above"))

FIRST, LEAST, BATCH, BAD = "#22588a", "#1b6b50", "#b0541a", "#a3263f"
"""Colours, as those of the page."""


def png(points: Sequence[traces.TracePoint], title: str) -> bytes:
    """Returns the picture of at least one trace point."""
    from matplotlib import figure

    drawn = figure.Figure(figsize=(9, 5.2))  # no pyplot: no state, no window
    into = drawn.subplots()
    drawn.subplots_adjust(left=0.09, right=0.98, bottom=0.1, top=0.93)
    draw(into, points, title)
    held = io.BytesIO()
    drawn.savefig(held, format="png", dpi=110, metadata={"Software": None})
    return held.getvalue()


def draw(into: axes.Axes, points: Sequence[traces.TracePoint], title: str) -> None:
    """Draws at least one trace point, each with its step size, into axes."""
    steps = np.array([point.step for point in points])
    eta = np.array([point.eta for point in points])
    with np.errstate(over="ignore"):  # of a run that diverges
        values = eta[:, None] * np.array([point.values for point in points])
        errors = eta[:, None] * np.array([point.errors for point in points])
    _flow(into, steps, values, errors)
    _batch_sharpness(into, points)
    crossed = crossings(steps, values[:, :-1])
    into.plot(crossed, np.ones(len(crossed)), "o", color=BAD, mfc="white", label="other side of 1", zorder=4)
    missed = [point.step for point in points if point.missed or point.least_missed]
    if missed:
        height = 0.04
        into.vlines(missed, 0, height, BAD, lw=2.5, transform=into.get_xaxis_transform(), label="survey found more")
    for level, style, words in LEVELS:
        into.axhline(level, color=BAD, lw=1, ls=style)
        into.annotate(words, (0.01, level), (0, 3), into.get_yaxis_transform(), "offset points", color=BAD, fontsize=8)
    into.set_xscale("function", functions=(np.log1p, np.expm1))
    into.set_xlim(0, max(int(steps[-1]), 1))
    ticks = [0, *(10**power for power in range(16) if 10**power <= steps[-1])]
    into.set_xticks(ticks, [str(tick) for tick in ticks])
    known = values[np.isfinite(values)]
    low, high = min([0.0, *known]), max([LEVELS[-1][0], *known])
    low, high = max(low, WITHIN[0]), min(high, WITHIN[1])
    into.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    into.set_xlabel("step")
    into.set_ylabel("η λ")
    into.set_title(title, y=1.0)
    into.legend(loc="best")


def crossings(steps: np.ndarray, values: np.ndarray) -> list[float]:
    """Returns where, on the axis of log(1 + step), curves (n, top) of eta * lambda over (n,) steps pass 1."""
    places = np.log1p(steps)
    found = []
    for column in values.T:
        known = np.flatnonzero(np.isfinite(column))
        for before, after in itertools.pairwise(known):
            a, b = column[before], column[after]
            if (a > 1) != (b > 1):
                found.append(float(np.expm1(places[before] + (places[after] - places[before]) * (1 - a) / (b - a))))
    return found


def _flow(into: axes.Axes, steps: np.ndarray, values: np.ndarray, errors: np.ndarray) -> None:
    """Draws the tracked eigenvalues, (n, top + 1), each in the band of its error bars."""
    top = values.shape[1] - 1
    for rank in range(top + 1):
        first, least = rank == 0, rank == top
        colour = LEAST if least else FIRST
        label = "η λ_min" if least else "η λ_1" if first else f"η λ_2 to η λ_{top}" if rank == 1 else None
        style = "--" if least else "-"
        into.plot(steps, values[:, rank], style, color=colour, lw=2.4 if first else 1, label=label)
        lower, upper = values[:, rank] - errors[:, rank], values[:, rank] + errors[:, rank]
        into.fill_between(steps, lower, upper, color=colour, alpha=0.16, lw=0)


def _batch_sharpness(into: axes.Axes, points: Sequence[traces.TracePoint]) -> None:
    """Draws eta times the batch sharpness in the band of its standard error, where a run has it."""
    known = [point for point in points if np.isfinite(point.batch_sharpness)]
    if not known:
        return
    steps = [point.step for point in known]
    values = np.array([point.eta * point.batch_sharpness for point in known])
    errors = np.array([point.eta * point.batch_sharpness_error for point in known])
    into.plot(steps, values, color=BATCH, lw=1.8, label="η batch sharpness")
    into.fill_between(steps, values - errors, values + errors, color=BATCH, alpha=0.16, lw=0)
