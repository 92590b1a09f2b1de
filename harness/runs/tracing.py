# SPDX-License-Identifier: Apache-2.0
"""Tracing: what one run of a cell with a `trace` remembers between trace points, and writes into its folder.

A trace point is on disk before the state of its step, and that state holds the basis from which the next one starts;
so a run that was cut off goes on with the same bits.
"""

from __future__ import annotations

import math
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness import config
from harness.curvature import spectrum as spectra
from harness.diagnostics import trace_plan
from harness.records import run_folder, square, traces
from harness.runs import keys, measure
from harness.training import problem, tracer

NAMES = BASIS, LAST = "trace_basis", "trace_theta"
"""Names of the arrays of a state from which a trace goes on."""

TRACE = 0x74726163
"""What keys of trace points are folded with."""

ROWS = 256
"""Steps that are made in one call, at most, where what each saw is kept."""


class Traced(NamedTuple):
    """What the trace of a run follows from, besides where it is.

    Attributes:
        cell: Its cell.
        ready: The problem.
        keys: Its random keys.
        eta: Its step size, before a schedule changes it.
    """

    cell: config.Cell
    ready: problem.Problem
    keys: keys.Keys
    eta: float


class Tracing:
    """The trace of one run.

    Attributes:
        last: Step of its last trace point, -1 before the first.
    """

    def __init__(self, traced: Traced, folder: pathlib.Path, start: np.ndarray, saved: dict[str, np.ndarray]) -> None:
        """Goes on from what the folder and the saved state hold.

        Args:
            traced: What it follows from.
            folder: The folder of the run.
            start: theta (P,) where the run began.
            saved: Arrays of the state from which the run goes on; empty at its start.
        """
        trace = traced.cell.trace
        assert trace is not None, "the cell has a trace"
        self.traced, self.folder = traced, folder
        self.batch = traced.ready.batch if trace.precision == "training" else traced.ready.exact
        self.dtype = self.batch.x.dtype
        self.programs = traced.ready.tracer(trace.top)
        count = trace_plan.batches(traced.cell, traced.ready.examples)
        self.noise = traced.ready.noise(count) if count else None
        self.start = jnp.asarray(start, self.dtype)
        self.basis, self.before = saved.get(BASIS), saved.get(LAST)
        known = run_folder.read_trace(folder)
        self.point = known[-1] if known else None
        self.last = known[-1].step if known else -1
        self._points: list[str] = []
        self._seen: list[traces.Steps] = []
        self._made: traces.Steps | None = None

    def look(self, step: int, theta: np.ndarray) -> None:
        """Makes the trace point of a step.

        From the basis that the one before left; anew at the first, and where a survey said that something was missed.
        """
        here = jnp.asarray(theta, self.dtype)
        before = here if self.before is None else jnp.asarray(self.before, self.dtype)
        place = tracer.Place(here, self.start, before)
        key = jax.random.fold_in(jax.random.fold_in(self.traced.keys.probes, TRACE), step)
        if self.basis is None or (self.point is not None and (self.point.missed or self.point.least_missed)):
            found = self.programs.begin(place, self.batch, key)
        else:
            found = self.programs.follow(place, self.batch, jnp.asarray(self.basis), key)
        drawn = [math.nan] * 4 if self.noise is None else self.noise(here, self.batch, key)
        sharpness, sharpness_error, interaction, interaction_error = map(float, drawn)
        found = tracer.on_host(found)
        self.basis, self.before, self.last = np.asarray(found.tracked.basis), theta, step
        point = traces.TracePoint(
            step=step,
            eta=measure.step_size_at(self.traced.ready, self.traced.eta, step),
            loss=float(found.loss),
            grad_norm=float(found.grad_norm),
            values=tuple(found.tracked.values.tolist()),
            errors=tuple(found.tracked.errors.tolist()),
            from_start=float(found.from_start),
            from_last=float(found.from_last),
            relative_progress=self._progress(step, float(found.loss)),
            products=int(found.tracked.products),
            batch_sharpness=sharpness,
            batch_sharpness_error=sharpness_error,
            gradient_noise_interaction=interaction,
            gradient_noise_interaction_error=interaction_error,
        )
        line = traces.dump(point, str(self.dtype))
        (self.point,) = traces.load([line])  # what a survey is compared with is what is recorded
        self._points.append(line)

    def compare(self, step: int, known: spectra.Spectrum) -> None:
        """Says of the trace point of a step, if there is one, what a survey there says of it."""
        if self.point is not None and self.point.step == step:
            self.point = traces.compared(self.point, known)
            self._points.append(traces.dump_comparison(self.point))

    def saw(self, seen: traces.Steps) -> None:
        """Takes what some steps saw."""
        self._seen.append(seen)
        self._made = seen if len(seen.step) else self._made

    def _progress(self, step: int, loss: float) -> float:
        """Returns (loss - loss before) / (eta |gradient before|^2) of the step that led here; NaN unless it is plain.

        Plain is a step of full-batch descent without momentum, of which loss and gradient norm were seen.
        """
        rule, made = self.traced.ready.rule, self._made
        if rule.name != "gd" or made is None or made.step[-1] != step - 1:
            return math.nan
        eta = measure.step_size_at(self.traced.ready, self.traced.eta, step - 1)
        promised = eta * square.square(float(made.grad_norm[-1]))
        return (loss - float(made.loss[-1])) / promised if promised > 0 else math.nan

    def flush(self) -> None:
        """Brings to disk what is not there yet."""
        lines, self._points = self._points, []
        seen, self._seen = self._seen, []
        run_folder.append_trace(self.folder, lines)
        if seen:
            run_folder.append_steps(self.folder, traces.Steps(*map(np.concatenate, zip(*seen, strict=True))))

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays of a state from which the trace goes on."""
        if self.basis is None or self.before is None:
            return {}
        return {BASIS: np.asarray(self.basis), LAST: np.asarray(self.before)}
