# SPDX-License-Identifier: Apache-2.0
"""Some seeds of one cell, run side by side, from their start to their folders; cut off anywhere, they go on."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import pathlib
import time
import zlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness import config, errors, specs
from harness import records as record_file
from harness.config import canonical
from harness.curvature import spectrum as spectra
from harness.diagnostics import plan as plans
from harness.records import histogram, run_folder, statuses
from harness.runs import conclusions, events, facts, measure, outline, ownership
from harness.runtime import device as devices
from harness.runtime import distributed, signals, usage
from harness.training import loop, problem

PIECE = 1.0
"""Seconds that training goes on without a look at signals, about; bits do not depend on where it is cut."""

PACE = 64
"""Steps of the first piece; later ones are as long as PIECE allows."""

SAVED = 60.0
"""Seconds of training after which the state is saved between checkpoint steps too."""


def run(
    cell: config.Cell, seeds: Sequence[int], *, device: str, command: str, tell: events.Tell = events.nobody
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
    folders = {seed: run_folder.folder(cell.suite, cell.run_id(seed)) for seed in seeds}
    with contextlib.ExitStack() as held:
        folders = {seed: held.enter_context(ownership.own(folder)) for seed, folder in folders.items()}
        missing = [seed for seed in seeds if (run_folder.read(folders[seed]) or {}).get("status") not in statuses.ENDED]
        if not missing:
            return list(folders.values())
        ready = problem.problem(cell)
        waiting = [_opened(cell, seed, missing, folders[seed], ready, device, command) for seed in missing]
        for together in dict.fromkeys(tuple(one.facts["together"]) for one in waiting):
            group = [one for one in waiting if tuple(one.facts["together"]) == together]
            _together(cell, group, ready, tell)
    return list(folders.values())


@dataclasses.dataclass
class _Run:
    """One seed that is being run: its folder, what is known of it, and what it has."""

    seed: int
    folder: pathlib.Path
    facts: dict[str, Any]
    keys: dict[str, jax.Array]
    lane: int
    saved: tuple[int, dict[str, np.ndarray]] | None
    previous: np.ndarray | None = None
    above: float | None = None
    recorded: int = -1
    ended: bool = False

    def write(self) -> None:
        """Brings the facts to disk."""
        for name in ("training", "measuring"):
            self.facts[f"seconds_{name}"] = round(self.facts[f"seconds_{name}"], 6)
        self.facts["seconds"] = round(self.facts["seconds_training"] + self.facts["seconds_measuring"], 3)
        run_folder.write(self.folder, self.facts)


def _opened(
    cell: config.Cell,
    seed: int,
    beside: Sequence[int],
    folder: pathlib.Path,
    ready: problem.Problem,
    device: str,
    command: str,
) -> _Run:
    """Returns a run with the facts of its folder, or new ones; nothing is written yet."""
    said = facts.begun(cell, seed, ready, device, command)
    earlier = run_folder.read(folder)
    if earlier and "together" in earlier and earlier["dataset"] == said["dataset"]:
        said = {**earlier, "reason": None}
    else:
        run_folder.clear(folder)
        said["together"] = list(beside)
    place = {"device": device, "profile": devices.profile(), **facts.code()}
    saved = run_folder.load_state(folder)
    step = 0 if saved is None else saved[0]
    before = [one for one in said["environments"] if one["from"] < step]
    if not before or {**before[-1], **place} != before[-1]:
        before.append({"from": step, **place})
    said["environments"] = before
    return _Run(seed, folder, said, keys(seed), said["together"].index(seed), saved)


def keys(seed: int) -> dict[str, jax.Array]:
    """Returns the random keys of a run: of its start, its batches, the eigenvalue of its step size, its probes."""
    return dict(zip(("start", "batches", "top", "probes"), jax.random.split(jax.random.key(seed), 4), strict=True))


def key_at(cell: config.Cell, keys: dict[str, jax.Array], step: int) -> jax.Array:
    """Returns the random key of what is measured at a step.

    By cell too: else what one cell's probes miss those of all others miss at this seed and step. But for what is asked
    of it: no number depends on what is asked beside it.
    """
    asked_of = {name: part for name, part in cell.resolved().items() if name != "diagnostics"}
    return jax.random.fold_in(jax.random.fold_in(keys["probes"], zlib.crc32(canonical.text(asked_of).encode())), step)


def _together(cell: config.Cell, runs: Sequence[_Run], ready: problem.Problem, tell: events.Tell) -> None:
    """Runs some seeds to their ends side by side, and says in each folder what came of it."""
    for one in runs:
        one.facts["status"] = "running"
        run_folder.write_cell(one.folder, specs.dump(cell))
        one.write()
        tell(events.Event("begin", one.facts["run_id"]))
    status = "failed"
    try:
        with problem.explaining(ready), distributed.steady():
            _advance(cell, runs, ready, tell)
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
        for one in runs:
            if one.facts["status"] == "running":
                one.facts["status"] = status
                with contextlib.suppress(OSError):  # a full disk: who reads the folder sees that nobody holds it
                    one.write()
                tell(events.Event("end", one.facts["run_id"], status=status))


def _megabytes(ready: problem.Problem, runs: int) -> float:
    """Returns about what the states of some runs take on disk, in MB."""
    return (
        1
        + runs * run_folder.KEPT_BYTES / 1e6
        + 4 * run_folder.KEPT * runs * ready.objective.size * ready.batch.x.dtype.itemsize / 1e6
    )


def _advance(cell: config.Cell, runs: Sequence[_Run], ready: problem.Problem, tell: events.Tell) -> None:
    """Trains from where the folders stand to the end, and records at every checkpoint step."""
    state, etas, keys = _begun(cell, runs, ready)
    live = {one.lane: one for one in runs}
    asked = outline.plan(cell, ready.objective.size)
    pace = _Pace()
    aim = _aim(cell, ready)
    for stop in specs.checkpoint_steps(cell.steps, cell.checkpoints):
        if stop < min(one.recorded for one in live.values()):
            continue
        state = _to(stop, state, etas, keys, aim, live, ready, pace, tell)
        held = _on_host(state)
        for lane, one in sorted(live.items()):
            began = time.monotonic()
            if one.recorded < stop:
                _recorded(cell, one, _lane(held, lane), ready, asked, tell)
            one.facts["seconds_measuring"] += time.monotonic() - began
            if one.ended or one.recorded == cell.steps:
                del live[lane]
                _closed(cell, one, tell)
        if not live:
            return
        state = state._replace(live=jnp.asarray([lane in live for lane in range(len(held.live))]))


def _aim(cell: config.Cell, ready: problem.Problem) -> jax.Array | None:
    """Returns the loss at which a run has reached its target, in the training precision; None without a target."""
    target = cell.target
    if target is None:
        return None
    loss = target.loss if target.loss_gap is None else ready.infimum + target.loss_gap
    return jnp.asarray(loss, ready.batch.x.dtype)


def _on_host(state: loop.State) -> loop.State:
    """Returns a copy of a state on the host: the next call of the trainer takes over its buffers."""
    return jax.tree.map(np.array, state)


def _lane(held: loop.State, lane: int) -> loop.State:
    """Returns one lane of a state on the host."""
    return jax.tree.map(lambda leaf: leaf[lane], held)


def _begun(cell: config.Cell, runs: Sequence[_Run], ready: problem.Problem) -> tuple[loop.State, jax.Array, jax.Array]:
    """Returns the state of all lanes, their step sizes and the keys of their batches, from the folders."""
    own = {one.lane: Lane(*_from_folder(cell, one, ready), one.facts["eta"], one.keys) for one in runs}
    return lanes(own, len(runs[0].facts["together"]), ready)


class Lane(NamedTuple):
    """Where the run in one lane is: step, parameters (P,), leaves of the optimiser's state or None at its start."""

    step: int
    theta: np.ndarray
    optimizer: list[np.ndarray] | None
    eta: float
    keys: dict[str, jax.Array]


def lanes(own: dict[int, Lane], count: int, ready: problem.Problem) -> tuple[loop.State, jax.Array, jax.Array]:
    """Returns the state of so many lanes, their step sizes and the keys of their batches.

    A lane that nobody has is a copy of the first that somebody has, and stands still: bits may depend on their number.
    """
    filled = [own.get(lane, next(iter(own.values()))) for lane in range(count)]
    etas = jnp.asarray([one.eta for one in filled], ready.batch.x.dtype)
    thetas = jnp.array(np.stack([one.theta for one in filled]))
    state = ready.trainer.begin(thetas, etas, jnp.asarray([one.step for one in filled]))
    flat, tree = jax.tree.flatten(state.optimizer)
    held = [np.array(leaf) for leaf in flat]
    for lane, one in enumerate(filled):
        for leaf, value in zip(held, one.optimizer or (), strict=one.optimizer is not None):
            leaf[lane] = value
    moved = jax.tree.unflatten(tree, [jnp.array(leaf) for leaf in held])
    state = state._replace(optimizer=moved, live=jnp.asarray([lane in own for lane in range(count)]))
    return state, etas, jnp.stack([one.keys["batches"] for one in filled])


def _from_folder(
    cell: config.Cell, one: _Run, ready: problem.Problem
) -> tuple[int, np.ndarray, list[np.ndarray] | None]:
    """Returns step, parameters and optimiser state of a run, from its folder or its start, and drops later records."""
    saved, one.saved = one.saved, None
    step, arrays = (0, None) if saved is None else saved
    kept = run_folder.keep_records(one.folder, -1 if saved is None else step)
    if kept:
        _note(cell, one, kept[-1])
    if arrays is None:
        theta = np.asarray(problem.start(cell, ready, one.keys["start"]), ready.batch.x.dtype)
    else:
        theta = arrays["theta"]
        one.previous = arrays.get("previous", theta) if kept else None
    if one.facts["eta"] is None:
        one.facts["eta"] = problem.step_size(cell, ready, jnp.asarray(theta), one.keys["top"])
        one.write()
    if arrays is None:
        return step, theta, None
    return step, theta, leaves(arrays)


def leaves(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Returns the leaves of the optimiser's state in a saved state, in their order."""
    return [arrays[name] for name in sorted(arrays, key=_place_of) if name.startswith("optimizer_")]


def _place_of(name: str) -> int:
    """Returns the place of `optimizer_I` among the leaves of the optimiser's state."""
    return int(name.rpartition("_")[2]) if name.startswith("optimizer_") else -1


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


def _to(
    stop: int,
    state: loop.State,
    etas: jax.Array,
    keys: jax.Array,
    aim: jax.Array | None,
    live: dict[int, _Run],
    ready: problem.Problem,
    pace: _Pace,
    tell: events.Tell,
) -> loop.State:
    """Trains all lanes to a step, piece by piece; a signal between two pieces finds the state on disk."""
    at = min(int(np.asarray(state.step)[lane]) for lane in live)
    while at < stop:
        until = distributed.agreed(min(stop, at + pace.steps))
        with signals.shielded():
            began = time.monotonic()
            # see curvature/dense.py for why nothing is read before everything is ready
            state = jax.block_until_ready(ready.trainer.advance(state, etas, keys, ready.batch, until, aim))
            seconds = time.monotonic() - began
            for one in live.values():
                one.facts["seconds_training"] += seconds / len(live)
            pace.took(until - at, seconds)
            if signals.waiting() or (pace.spent > SAVED and until < stop):
                pace.spent, held = 0.0, _on_host(state)
                for lane, one in live.items():
                    if held.live[lane]:
                        _save(one, _lane(held, lane))
        at = until
        distributed.heed()
        for one in live.values():
            tell(events.Event("step", one.facts["run_id"], at))
        if not np.asarray(state.live).any():
            break
    return state


def _save(one: _Run, now: loop.State) -> None:
    """Saves the state of a lane, and the parameters at its last record where that was before."""
    arrays = {f"optimizer_{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(now.optimizer))}
    step = int(now.step)
    if one.previous is not None and one.recorded < step:
        arrays["previous"] = one.previous
    run_folder.save_state(one.folder, step, {"theta": np.asarray(now.theta), **arrays})


def _recorded(
    cell: config.Cell, one: _Run, now: loop.State, ready: problem.Problem, asked: plans.Plan, tell: events.Tell
) -> None:
    """Measures a run at a checkpoint step and records it, or finds that it has diverged."""
    step = int(now.step)
    known: list[spectra.Spectrum] = []
    values = None
    if now.reached and one.recorded == step:  # it was cut off between its record and its end
        one.facts["reached_at"], one.ended = step, True
        return
    if now.live or now.reached:
        at = At(step, np.asarray(now.theta), one.previous, one.facts["eta"], bool(now.reached), one.above)
        values = measured(cell, ready, asked, one.keys, at, known.append)
    if values is None:
        one.facts["diverged_at"], one.ended = step, True
        return
    record = record_file.Record(step, values)
    with signals.shielded():
        if "critical" in asked.at(step, cell.steps):
            run_folder.append_spectrum(one.folder, step, known[0])
        run_folder.append(one.folder, record)
        run_folder.append_usage(one.folder, record_file.Record(step, usage.reading()))
        _note(cell, one, record)
        if now.reached:  # in the training precision, whatever the last digits of float64 say
            one.facts["reached_at"], one.ended = step, True
        one.previous = np.asarray(now.theta)
        _save(one, now)
        one.write()
    tell(events.Event("record", one.facts["run_id"], step, values))
    distributed.heed()


class At(NamedTuple):
    """Where a run is measured.

    Attributes:
        step: The checkpoint step.
        theta: (P,) in the training precision.
        previous: theta at the checkpoint step before; None at the first.
        eta: The step size of the run, as recorded; a schedule changes it.
        reached: Whether the trainer found the loss at its target.
        above: How many eigenvalues were counted above 1/eta at the checkpoint step before; None if not known.
    """

    step: int
    theta: np.ndarray
    previous: np.ndarray | None
    eta: float
    reached: bool = False
    above: float | None = None


def measured(
    cell: config.Cell,
    ready: problem.Problem,
    asked: plans.Plan,
    keys: dict[str, jax.Array],
    at: At,
    surveyed: Callable[[spectra.Spectrum], None] = lambda spectrum: None,
) -> dict[str, float] | None:
    """Returns the record of a run at a checkpoint step, None where something is not finite: of these arguments alone.

    Args:
        cell: Its cell.
        ready: The problem.
        asked: What is measured when.
        keys: Its random keys.
        at: Where.
        surveyed: Called with the spectrum of the Hessian there, if it was looked at.
    """
    key, names = key_at(cell, keys, at.step), asked.at(at.step, cell.steps)
    theta = jnp.asarray(at.theta)
    eta = rate(ready, at.eta, at.step)
    previous = None if at.previous is None else jnp.asarray(at.previous)
    earlier = [step for step in specs.checkpoint_steps(cell.steps, cell.checkpoints) if step < at.step]
    previous_eta = rate(ready, at.eta, earlier[-1]) if earlier else None
    planted = problem.planted_at(cell, ready)
    values = measure.measure(
        ready, theta, eta, key, previous, names, surveyed, planted, previous_eta=previous_eta, above=at.above
    )
    late = [name for name in asked.at(at.step, at.step) if name not in names]
    if values is not None and late and (at.reached or _there(cell, values)):  # the record turns out to be the last
        values |= measure.measure(ready, theta, eta, key, previous, late, planted=planted) or {}
    return values


def rate(ready: problem.Problem, eta: float, step: int) -> float:
    """Returns the step size at a step of a run whose recorded step size is `eta`, in the training precision."""
    return float(ready.trainer.rate(jnp.asarray(eta, ready.batch.x.dtype), step))


def _note(cell: config.Cell, one: _Run, last: record_file.Record) -> None:
    """Takes note of a run's last record: its step, its count, and whether the run has reached its target there."""
    one.recorded, one.above = last.step, last.values.get("n_above_inv_eta")
    if _there(cell, last.values):
        one.facts["reached_at"], one.ended = last.step, True


def _there(cell: config.Cell, values: dict[str, float]) -> bool:
    """Says whether a record is at a cell's target."""
    aim = cell.target
    name = "loss" if aim is None or aim.loss_gap is None else "loss_gap"
    return aim is not None and values[name] <= getattr(aim, name)


def _closed(cell: config.Cell, one: _Run, tell: events.Tell) -> None:
    """Says in a run's folder how it ended, and what that entitles to claim."""
    diverged_at = one.facts["diverged_at"]
    one.facts["status"] = "finished" if diverged_at is None else "diverged"
    recorded = run_folder.read_records(one.folder)
    curvature = one.facts["curvature"]
    one.facts |= conclusions.said(cell, one.facts["eta"], recorded, diverged_at=diverged_at, curvature=curvature)
    one.facts["histograms"] = histogram.chosen(dict(run_folder.read_spectra(one.folder)), recorded)
    one.write()
    tell(events.Event("end", one.facts["run_id"], status=one.facts["status"]))
