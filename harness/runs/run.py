# SPDX-License-Identifier: Apache-2.0
"""Some seeds of one cell, run side by side, from their start to their folders; cut off anywhere, they go on."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harness import config, errors, specs
from harness import records as record_file
from harness.curvature import survey as surveys
from harness.diagnostics import layers
from harness.records import histogram, run_facts, run_folder, statuses, traces
from harness.records.run_facts import RunFacts
from harness.runs import conclusions, events, facts, keys, lanes, measure, outline, ownership, tracing
from harness.runtime import device as devices
from harness.runtime import distributed, signals, usage
from harness.training import loop, problem

PIECE = 1.0
"""Seconds that training goes on without a look at signals, about; bits do not depend on where it is cut."""

PACE = 64
"""Steps of the first piece; later ones are as long as PIECE allows."""

SAVED = 60.0
"""Seconds of training after which the state is saved between checkpoint steps too."""


@dataclasses.dataclass(frozen=True)
class Orders:
    """What is the same for all seeds that one call runs.

    Attributes:
        cell: What to run.
        device: The device in words, recorded.
        command: The command that repeats the runs, recorded.
        tell: Called with what happens.
    """

    cell: config.Cell
    device: str
    command: str
    tell: events.Tell = events.ignore


def run_seeds(
    cell: config.Cell, seeds: Sequence[int], *, device: str, command: str, tell: events.Tell = events.ignore
) -> list[pathlib.Path]:
    """Runs some seeds of a cell, or what is missing of them, and returns their folders.

    A run that was cut off goes on from its last saved state, with the same bits as if it had not been (CPU, and the
    same environment: what was made in another is recorded), or begins anew where the data have changed since. A run
    whose loss stops being finite is a result: status `diverged`.

    Args:
        cell: What to run.
        seeds: Which seeds; one of `lanes.groups`.
        device: The device in words, recorded.
        command: The command that repeats the run, recorded.
        tell: Called with what happens.

    Raises:
        run_folder.Busy: If another process is at one of them.
        errors.InputError: If the data set cannot be had, or the step size is none in the training precision.
        errors.OutOfMemory: If it does not fit; the status `failed` is on disk, and what was recorded is kept.
        errors.Stopped: If the disk is full; what was recorded is kept.
        KeyboardInterrupt: On Ctrl-C, after the status `interrupted` is on disk.
    """
    orders = Orders(cell, device, command, tell)
    folders = {seed: run_folder.folder(cell.suite, cell.run_id(seed)) for seed in seeds}
    with contextlib.ExitStack() as stack:
        folders = {seed: stack.enter_context(ownership.own(folder)) for seed, folder in folders.items()}
        missing = [seed for seed in seeds if not _ended(folders[seed])]
        if not missing:
            return list(folders.values())
        ready = problem.problem(cell)
        runs = [open_run(orders, seed, missing, folders[seed], ready) for seed in missing]
        for group in dict.fromkeys(run.facts.group for run in runs):
            run_together(orders, [run for run in runs if run.facts.group == group], ready)
    return list(folders.values())


def _ended(folder: pathlib.Path) -> bool:
    """Says whether the run in a folder has ended."""
    try:
        found = run_folder.read(folder)
    except run_folder.Damaged:  # which is said when it is opened
        return False
    return found is not None and found.status in statuses.ENDED


@dataclasses.dataclass
class Run:
    """One seed that is being run.

    Attributes:
        seed: The seed.
        folder: Its folder.
        facts: What its `run.json` says.
        keys: Its random keys.
        lane: Its place among the seeds that are trained side by side.
        saved: The last saved state, a step and its arrays, until training begins.
        previous: theta (P,) at its last record.
        above: How many eigenvalues were counted above 1/eta there.
        recorded: The step of its last record; -1 before the first.
        ended: Whether it has reached its target or diverged.
        trace: Its trace, where the cell asks for one.
    """

    seed: int
    folder: pathlib.Path
    facts: RunFacts
    keys: keys.Keys
    lane: int
    saved: tuple[int, dict[str, np.ndarray]] | None
    previous: np.ndarray | None = None
    above: float | None = None
    recorded: int = -1
    ended: bool = False
    trace: tracing.Tracing | None = None

    def note(self, **changes: Any) -> None:
        """Changes some of its facts, in memory."""
        self.facts = self.facts.replace(**changes)

    def write(self) -> None:
        """Writes the facts to disk."""
        training, measuring = round(self.facts.seconds_training, 6), round(self.facts.seconds_measuring, 6)
        self.note(seconds_training=training, seconds_measuring=measuring, seconds=round(training + measuring, 3))
        run_folder.write(self.folder, self.facts)


def open_run(orders: Orders, seed: int, beside: Sequence[int], folder: pathlib.Path, ready: problem.Problem) -> Run:
    """Returns a run with the facts of its folder, or new ones; nothing is written yet.

    Args:
        orders: What is run.
        seed: The seed.
        beside: The seeds that are missing, itself among them: a new run is trained beside these.
        folder: Its folder.
        ready: The problem.
    """
    known = facts.initial(orders.cell, seed, ready, orders.device, orders.command)
    earlier = run_folder.read_plain(folder) if run_folder.sound(folder, orders.cell.checkpoint_steps) else None
    if earlier and earlier.get("together") and earlier.get("dataset") == known.dataset:
        known = run_facts.of({**known.plain(), **earlier, "reason": None})  # what an older version left out is today's
    else:
        run_folder.clear(folder)
        known = known.replace(together=list(beside))
    environment = {"device": orders.device, "profile": devices.profile(), **facts.code()}
    saved = run_folder.load_state(folder)
    step = 0 if saved is None else saved[0]
    environments = [one for one in known.environments if one["from"] < step]
    if not environments or {**environments[-1], **environment} != environments[-1]:
        environments.append({"from": step, **environment})
    known = known.replace(environments=environments)
    return Run(seed, folder, known, keys.of_run(seed), known.group.index(seed), saved)


def run_together(orders: Orders, runs: Sequence[Run], ready: problem.Problem) -> None:
    """Runs some seeds to their ends side by side, and writes into each folder how they ended."""
    for run in runs:
        run.note(status="running")
        run_folder.write_cell(run.folder, specs.dump(orders.cell))
        run.write()
        orders.tell(events.Event("begin", run.facts.run_id))
    status = "failed"
    try:
        with problem.explaining(ready), distributed.steady():
            _Training(orders, runs, ready).run()
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            status = "interrupted"
            raise errors.Stopped(
                f"the disk is full at {runs[0].folder}; what was recorded is kept: make room for some "
                f"{_megabytes(ready, len(runs)):.0f} MB and say the same command again"
            ) from error
        raise
    finally:
        for run in runs:
            if run.facts.status == "running":
                run.note(status=status)
                # On a full disk this fails too; then the lock is released, so readers report `interrupted`.
                with contextlib.suppress(OSError):
                    run.write()
                orders.tell(events.Event("end", run.facts.run_id, status=status))


def _megabytes(ready: problem.Problem, runs: int) -> float:
    """Returns about what the states of some runs take on disk, in MB."""
    state = ready.objective.size * ready.batch.x.dtype.itemsize / 1e6
    return 1 + runs * run_folder.KEPT_BYTES / 1e6 + 4 * run_folder.KEPT * runs * state


@dataclasses.dataclass
class _Pace:
    """How many steps are made between two looks at the clock, so that they take about PIECE."""

    steps: int = dataclasses.field(default_factory=lambda: PACE)
    spent: float = 0.0

    def took(self, steps: int, seconds: float) -> None:
        """Learns from a piece of so many steps."""
        self.spent += seconds
        if steps == self.steps and seconds < PIECE / 4:
            self.steps *= 2
        elif seconds > PIECE:
            self.steps = max(1, int(steps * PIECE / seconds))


class _Training:
    """Trains some seeds side by side from where their folders stand, and records them at every checkpoint step."""

    def __init__(self, orders: Orders, runs: Sequence[Run], ready: problem.Problem) -> None:
        self.orders, self.ready = orders, ready
        self.plan = outline.plan(orders.cell, ready.objective.size)
        self.target = self._target_loss()
        self.pace = _Pace()
        self.traced = frozenset(self.plan.trace.steps if self.plan.trace else ())
        self.live = {run.lane: run for run in runs}
        started = {run.lane: self._initial_lane(run) for run in runs}
        self.state, self.etas, self.keys = lanes.stack(started, len(runs[0].facts.group), ready)

    def run(self) -> None:
        """Goes from checkpoint step to checkpoint step until all seeds have ended."""
        for stop in self.orders.cell.checkpoint_steps:
            if stop < min(run.recorded for run in self.live.values()):
                continue
            self._train_until(stop)
            here = lanes.on_host(self.state)
            for lane, run in sorted(self.live.items()):
                began = time.monotonic()
                if run.recorded < stop:
                    self._record(run, lanes.lane_of(here, lane))
                run.note(seconds_measuring=run.facts.seconds_measuring + time.monotonic() - began)
                if run.ended or run.recorded == self.orders.cell.steps:
                    del self.live[lane]
                    self._finish(run)
            if not self.live:
                return
            live = jnp.asarray([lane in self.live for lane in range(len(here.live))])
            self.state = self.state._replace(live=live)

    def _target_loss(self) -> jax.Array | None:
        """Returns the loss at which a run has reached its target, in the training precision; None without a target."""
        target = self.orders.cell.target
        if target is None:
            return None
        loss = target.loss if target.loss_gap is None else self.ready.infimum + target.loss_gap
        return jnp.asarray(loss, self.ready.batch.x.dtype)

    def _initial_lane(self, run: Run) -> lanes.Lane:
        """Returns where a run goes on: its saved state or its start. Later records are dropped; eta is found once."""
        cell, ready = self.orders.cell, self.ready
        saved, run.saved = run.saved, None
        step, arrays = (0, None) if saved is None else saved
        kept = run_folder.keep_records(run.folder, -1 if saved is None else step)
        if kept:
            self._remember(run, kept[-1])
        if arrays is None:
            theta = np.asarray(problem.start(cell, ready, run.keys.start), ready.batch.x.dtype)
        else:
            theta = arrays["theta"]
            run.previous = arrays.get("previous", theta) if kept else None
        eta = run.facts.eta
        if eta is None:
            eta = problem.step_size(cell, ready, jnp.asarray(theta), run.keys.top)
            run.note(eta=eta)
            run.write()
        if self.plan.trace is not None:
            start = theta if arrays is None else problem.start(cell, ready, run.keys.start)
            traced = tracing.Traced(cell, ready, run.keys, eta)
            run.trace = tracing.Tracing(traced, run.folder, np.asarray(start), arrays or {})
        optimizer = None if arrays is None else lanes.optimizer_leaves(arrays)
        return lanes.Lane(step, theta, optimizer, eta, run.keys)

    def _train_until(self, stop: int) -> None:
        """Trains all lanes to a step, piece by piece; a signal between two pieces finds the state on disk."""
        step = min(int(np.asarray(self.state.step)[lane]) for lane in self.live)
        with signals.shielded():
            self._look()
        while step < stop:
            until = distributed.agreed(min(stop, step + self.pace.steps))
            with signals.shielded():
                began = time.monotonic()
                for place in [*(k for k in range(step + 1, until) if k in self.traced), until]:
                    self._advance(place)
                    self._look()
                for trace in filter(None, (run.trace for run in self.live.values())):
                    trace.flush()
                self.pace.took(until - step, time.monotonic() - began)
                if signals.waiting() or (self.pace.spent > SAVED and until < stop):
                    self._save_all()
            step = until
            distributed.heed()
            for run in self.live.values():
                self.orders.tell(events.Event("step", run.facts.run_id, step))
            if not np.asarray(self.state.live).any():
                break

    def _advance(self, until: int) -> None:
        """Makes the steps of all lanes up to a step; where there is a trace, what each saw is kept."""
        began = time.monotonic()
        arguments = self.etas, self.keys, self.ready.batch
        if self.plan.trace is None:
            # see curvature/dense.py for why nothing is read before everything is ready
            self.state = jax.block_until_ready(self.ready.trainer.advance(self.state, *arguments, until, self.target))
        else:
            while (first := self._first(until)) < until:
                stop = min(first + tracing.ROWS, until)
                witnessed = self.ready.trainer.witness(self.state, *arguments, stop, self.target, tracing.ROWS)
                self.state, seen = jax.block_until_ready(witnessed)
                for lane, run in self.live.items():
                    if run.trace is not None:
                        run.trace.saw(traces.seen(first, np.asarray(seen)[:, lane]))
        seconds = time.monotonic() - began
        for run in self.live.values():
            run.note(seconds_training=run.facts.seconds_training + seconds / len(self.live))

    def _first(self, stop: int) -> int:
        """Returns the next step that a lane makes; `stop` where none makes any before."""
        step, live = np.asarray(self.state.step), np.asarray(self.state.live)
        return int(np.min(np.where(live, step, stop)))

    def _look(self) -> None:
        """Makes the trace points that are due where the lanes are."""
        if self.plan.trace is None:
            return
        here = lanes.on_host(self.state)
        for lane, run in self.live.items():
            step = int(here.step[lane])
            if run.trace is None or step <= run.trace.last or not (here.live[lane] or here.reached[lane]):
                continue
            if step in self.traced or here.reached[lane]:
                began = time.monotonic()
                run.trace.look(step, np.asarray(here.theta[lane]))
                run.note(seconds_measuring=run.facts.seconds_measuring + time.monotonic() - began)

    def _save_all(self) -> None:
        """Saves the states of all lanes that still move."""
        self.pace.spent, here = 0.0, lanes.on_host(self.state)
        for lane, run in self.live.items():
            if here.live[lane]:
                save_state(run, lanes.lane_of(here, lane))

    def _record(self, run: Run, now: loop.State) -> None:
        """Measures a run at a checkpoint step and records it, or finds that it has diverged."""
        step = int(now.step)
        if now.reached and run.recorded == step:  # it was cut off between its record and its end
            run.note(reached_at=step)
            run.ended = True
            return
        surveyed: list[surveys.Survey] = []
        values = None
        if now.live or now.reached:
            eta = run.facts.eta
            assert eta is not None, "the step size is found before the first step"
            at = measure.Checkpoint(step, np.asarray(now.theta), run.previous, eta, bool(now.reached), run.above)
            values = measure.record_at(self._measured(run), at, surveyed.append)
        if values is None:
            run.note(diverged_at=step)
            run.ended = True
            return
        record = record_file.Record(step, values)
        with signals.shielded():
            if run.trace is not None:
                if surveyed:
                    run.trace.compare(step, surveyed[0].spectrum)
                run.trace.flush()
            asked = self.plan.at(step, self.orders.cell.steps)
            if "critical" in asked:
                run_folder.append_spectrum(run.folder, step, surveyed[0].spectrum)
            if "layers" in asked and surveyed[0].vectors is not None:
                known = layers.of(surveyed[0].vectors, self.ready.objective.layout)
                run_folder.append_layers(run.folder, step, known)
            run_folder.append(run.folder, record)
            run_folder.append_usage(run.folder, record_file.Record(step, usage.reading()))
            self._remember(run, record)
            if now.reached:  # in the training precision, whatever the last digits of float64 say
                run.note(reached_at=step)
                run.ended = True
            run.previous = np.asarray(now.theta)
            save_state(run, now)
            run.write()
        self.orders.tell(events.Event("record", run.facts.run_id, step, values))
        distributed.heed()

    def _measured(self, run: Run) -> measure.Measured:
        """Returns what the records of a run follow from."""
        return measure.Measured(self.orders.cell, self.ready, self.plan, run.keys)

    def _remember(self, run: Run, last: record_file.Record) -> None:
        """Keeps of a run's last record its step and its count, and whether the run has reached its target there."""
        run.recorded, run.above = last.step, last.values.get("n_above_inv_eta")
        if measure.at_target(self.orders.cell, last.values):
            run.note(reached_at=last.step)
            run.ended = True

    def _finish(self, run: Run) -> None:
        """Writes into a run's folder how it ended, and what its records entitle to claim."""
        run.note(status="finished" if run.facts.diverged_at is None else "diverged")
        recorded = run_folder.read_records(run.folder)
        run.note(**conclusions.of_run(self.orders.cell, run.facts, recorded))
        run.note(histograms=histogram.chosen(dict(run_folder.read_spectra(run.folder)), recorded))
        run.write()
        self.orders.tell(events.Event("end", run.facts.run_id, status=run.facts.status))


def save_state(run: Run, now: loop.State) -> None:
    """Saves the state of a lane, and the parameters at its last record where that was before."""
    arrays = {f"optimizer_{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(now.optimizer))}
    step = int(now.step)
    if run.previous is not None and run.recorded < step:
        arrays["previous"] = run.previous
    if run.trace is not None:
        arrays |= run.trace.arrays()
    run_folder.save_state(run.folder, step, {"theta": np.asarray(now.theta), **arrays})
