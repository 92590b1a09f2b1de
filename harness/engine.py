# SPDX-License-Identifier: Apache-2.0
"""The local engine: makes the missing runs of some cells exist, one after the other, and brings them to the store."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import rich.console
import rich.markup

from harness import errors, events, experiment, hosts, progress, runlog, tracking
from harness import spec as specs


class Job(NamedTuple):
    """One run that should exist."""

    cell: specs.Cell
    seed: int

    @property
    def name(self) -> str:
        """What the terminal calls it."""
        return f"{self.cell.label} · seed {self.seed}"


class Outcome(NamedTuple):
    """What came of a list of jobs.

    Attributes:
        ran: Runs that were trained now, to their end or to divergence.
        kept: Runs that were there already.
        failed: Runs that failed, each with its reason.
        waiting: Runs whose records wait in their folder because the store was away.
        busy: Runs that another process is at.
    """

    ran: list[Job]
    kept: list[Job]
    failed: list[tuple[Job, str]]
    waiting: list[Job]
    busy: list[Job]


def jobs(cells: Sequence[specs.Cell], seeds: int | None) -> list[Job]:
    """Returns the runs of cells, for the number of seeds that their specs ask for, or another."""
    return [Job(cell, seed) for cell in cells for seed in range(cell.seeds if seeds is None else seeds)]


def work(
    todo: Sequence[Job],
    store: tracking.Store,
    console: rich.console.Console,
    *,
    device: str,
    command: Callable[[specs.Cell], str],
) -> Outcome:
    """Runs what is missing of a list of jobs and uploads what is not in the store.

    Args:
        todo: The runs that should exist.
        store: Where they should exist.
        console: Where progress is shown.
        device: The device in words, recorded.
        command: Gives the command that repeats a cell, recorded.

    Raises:
        errors.InputError: If a data set cannot be had.
        errors.Stopped: On Ctrl-C or SIGTERM; what was recorded is kept.
    """
    outcome = Outcome([], [], [], [], [])
    try:
        stored = {suite: tracking.finished_run_ids(store, suite) for suite in {job.cell.suite for job in todo}}
    except tracking.StoreAway as error:
        raise errors.InputError(f"the store does not answer: {error}") from error
    missing: list[Job] = []
    for job in todo:
        (outcome.kept if job.cell.run_id(job.seed) in stored[job.cell.suite] else missing).append(job)
    with progress.bar(console, len(missing)) as bar:
        for job in missing:
            bar.begin(job.name, job.cell.checkpoints)
            hosts.agreed(todo.index(job))
            try:
                _one(job, store, outcome, console, bar, device, command(job.cell))
            except KeyboardInterrupt:
                _upload(job, store, outcome)
                raise errors.Stopped(
                    f"stopped: {len(outcome.ran)} of {len(missing)} missing runs are made, and what '{job.name}' "
                    "recorded is kept; say the same command again to go on"
                ) from None
            bar.end()
    hosts.agreed(hosts.STOP)
    return outcome


def follow(todo: Sequence[Job], *, device: str, command: Callable[[specs.Cell], str]) -> Outcome:
    """Runs those of the same list of jobs that the leading process announces, together with it."""

    def do(index: int) -> None:
        job = todo[index]
        with contextlib.suppress(runlog.Busy):
            experiment.run(job.cell, (job.seed,), device=device, command=command(job.cell))

    hosts.follow(do)
    return Outcome([], [], [], [], [])


def _one(
    job: Job,
    store: tracking.Store,
    outcome: Outcome,
    console: rich.console.Console,
    bar: progress.Bar,
    device: str,
    command: str,
) -> None:
    """Runs one job unless its folder is complete, uploads it, and says what came of it."""
    folder = runlog.folder(job.cell.suite, job.cell.run_id(job.seed))
    try:
        if runlog.status(folder) in ("finished", "diverged"):
            outcome.kept.append(job)
        else:

            def tell(event: events.Event) -> None:
                if event.kind == "record":
                    bar.step(event.step)

            experiment.run(job.cell, (job.seed,), device=device, command=command, tell=tell)
            outcome.ran.append(job)
            console.print(_line(job, folder), highlight=False, soft_wrap=True)
    except runlog.Busy:
        outcome.busy.append(job)
        return
    except errors.InputError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0][:300]
        reason = first if isinstance(error, errors.OutOfMemory) else f"{type(error).__name__}: {first}"
        outcome.failed.append((job, reason))
        console.print(f"[red]failed[/]   {job.name}: ", end="")
        console.print(reason, markup=False, highlight=False, soft_wrap=True)
    _upload(job, store, outcome)


def _upload(job: Job, store: tracking.Store, outcome: Outcome) -> None:
    """Brings what a job's folder holds to the store."""
    folder = runlog.folder(job.cell.suite, job.cell.run_id(job.seed))
    if runlog.read(folder) is None:
        return
    try:
        tracking.upload(store, folder)
    except tracking.StoreAway:
        outcome.waiting.append(job)


def _line(job: Job, folder: pathlib.Path) -> str:
    """Returns what came of a run that was trained to its end, in a line."""
    facts = runlog.read(folder) or {}
    name = rich.markup.escape(job.name)  # a label may hold a list: diagnostics=[fit, kinks]
    if facts["status"] == "diverged":
        return f"[yellow]diverged[/] {name} at step {facts['diverged_at']} ({facts['seconds']:.0f} s)"
    values = runlog.read_records(folder)[-1].values
    sharpness = f", η·λ_max {values['eta_sharpness']:.3g}" if "eta_sharpness" in values else ""
    end = f"{facts['verdict']} ({facts['seconds']:.0f} s)"
    return f"[green]finished[/] {name}: loss {values['loss']:.3g}{sharpness}, {end}"
