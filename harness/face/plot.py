# SPDX-License-Identifier: Apache-2.0
"""Plots of runs, traces and surveys into matplotlib axes, drawn by the code that draws them for MLflow."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from harness import errors
from harness.face.runs import Run, one_run
from harness.face.survey import Survey
from harness.face.trace import Trace
from harness.tracking import flow_plot, spectrum_plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def flow(of: Run | Trace | str, *, eta: float | None = None, ax: Axes | None = None) -> Axes:
    """Draws eta times the tracked eigenvalues over the steps, in the bands of their error bars, and where they pass 1.

    Args:
        of: A run, or its name, or a trace.
        eta: The step size, for a trace that was made without.
        ax: Axes to draw into; new ones unless given.

    Returns:
        The axes.

    Raises:
        errors.InputError: If there is no trace, or no step size.
    """
    held = one_run(of) if isinstance(of, str) else of
    points = list(held.trace if isinstance(held, Run) else held.points)
    title = f"{held.facts.label} · {held.run_id}" if isinstance(held, Run) else held.name
    if eta is not None:
        points = [dataclasses.replace(point, eta=float(eta)) for point in points]
    if not points:
        raise errors.InputError(f"{title} has no trace; ask for one in its spec: `trace: {{top: 6, every: 10}}`")
    if any(math.isnan(point.eta) for point in points):
        raise errors.InputError("the trace has no step size; say flow(trace, eta=...)")
    into = _axes(ax)
    flow_plot.draw(into, points, title)
    return into


def spectrum(of: Run | Survey | str, *, ax: Axes | None = None) -> Axes:
    """Draws eta times the eigenvalues that were kept over the checkpoint steps, against 1 and 2.

    Args:
        of: A run, or its name, or a survey.
        ax: Axes to draw into; new ones unless given.

    Returns:
        The axes.

    Raises:
        errors.InputError: If a run kept no spectrum.
    """
    held = one_run(of) if isinstance(of, str) else of
    if isinstance(held, Survey):
        kept, eta, title = [(0, held.spectrum)], held.eta, held.name
    else:
        kept, title = held.spectra, f"{held.facts.label} · {held.run_id}"
        if not kept or held.facts.eta is None:
            raise errors.InputError(f"{title} kept no spectrum: its diagnostics leave out `critical`")
        eta = held.facts.eta
    into = _axes(ax)
    spectrum_plot.draw(into, kept, eta, title)
    return into


def _axes(ax: Axes | None) -> Axes:
    if ax is not None:
        return ax
    from matplotlib import pyplot

    made: Axes = pyplot.subplots(figsize=(9, 5.2))[1]
    return made
