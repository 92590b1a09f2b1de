# SPDX-License-Identifier: Apache-2.0
"""The runs of cells: those that are missing are made by an engine, and all are sent to the store."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from harness import config, errors
from harness.jobs import engines, progress, task
from harness.records import run_folder, statuses
from harness.tracking import client, queue
from harness.training import lanes


class Outcome(NamedTuple):
    """What came of the runs that should exist, each by its run_id.

    Attributes:
        ran: Runs that were trained now, to their end or to divergence.
        kept: Runs that were there already.
        failed: Runs that failed.
        waiting: Runs whose records wait in their folder because the store was away.
        busy: Runs that another process is at.
        others: Runs of this share that another share makes, to which their group of seeds belongs.
    """

    ran: list[str]
    kept: list[str]
    failed: list[str]
    waiting: list[str]
    busy: list[str]
    others: list[str]


def wanted(
    cells: Sequence[config.Cell], seeds: int | None, part: tuple[int, int], command: Callable[[config.Cell], str]
) -> list[task.Portion]:
    """Returns what is wanted of cells, all of it missing until `work` has asked the store.

    Args:
        cells: The cells.
        seeds: How many seeds of each; None for as many as its spec asks for.
        part: Which share of the runs, (i, n).
        command: Gives the command that repeats a cell.
    """
    wholes = [task.Task(cell, tuple(range(seeds or cell.seeds)), command(cell)) for cell in cells]
    mine = task.share(sum(len(whole.seeds) for whole in wholes), part)
    portions, first = [], 0
    for whole in wholes:
        seeds_here = frozenset(seed for seed in whole.seeds if first + seed in mine)
        portions.append(task.Portion(whole, frozenset(whole.seeds), seeds_here))
        first += len(whole.seeds)
    return [portion for portion in portions if portion.mine]


def first_seeds(portions: Sequence[task.Portion]) -> list[task.Portion]:
    """Returns the portions cut in two: the first seed of each, then the others, which are begun later."""
    first = [portion._replace(mine=frozenset({min(portion.mine)})) for portion in portions]
    rest = [portion._replace(mine=portion.mine - {min(portion.mine)}, later=True) for portion in portions]
    return [*first, *(portion for portion in rest if portion.mine)]


def open_tasks(portions: Sequence[task.Portion]) -> list[task.Task]:
    """Returns about what there will be to do, by the run folders alone and as on a CPU: to start workers early."""
    return [
        one
        for portion in portions
        for one in portion.tasks(lanes.groups(portion.whole.cell, portion.whole.seeds))
        if not all(_is_complete(one.cell, seed) for seed in one.seeds)
    ]


def work(
    portions: Sequence[task.Portion],
    store: client.Store | None,
    engine: engines.Engine,
    display: progress.Display,
    sent: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Runs what is missing of some portions, and has what is not in the store sent there meanwhile.

    Args:
        portions: What should exist.
        store: Where it should exist; None for nowhere but in its folder.
        engine: What runs it.
        display: Where progress is shown.
        sent: `(there, to_come)`: told by the thread that sends, after each run that the store took, how many it took,
            and how many are still to be made or sent.

    Raises:
        errors.InputError: If a data set cannot be had, or there is no such device.
        errors.Stopped: On Ctrl-C or SIGTERM; what was recorded is kept.
    """
    outcome = Outcome([], [], [], [], [], [])
    missing: dict[str, frozenset[int]] = {}
    planned: dict[str, None] = {}  # run_ids, in their order
    at_hand: list[task.Task] = []
    why = ""

    def plan(run_ids: Iterable[str]) -> None:
        planned.update(dict.fromkeys(run_ids))
        display.plan(len(planned), len(outcome.kept))

    def note(what: engines.What, one: task.Task, why: str) -> None:
        if what == "begin":
            at_hand.append(one)
            lacking = [one.cell.run_id(seed) for seed in one.seeds if seed in missing[one.cell.cell_id]]
            if not planned.keys() >= set(lacking):  # seeds of another share, in a group that is ours
                plan(lacking)
        display.note(what, one, why)

    def took(there: int, left: int) -> None:
        if sent is not None:
            sent(there, left + len(planned) - len(outcome.ran) - len(outcome.failed) - len(outcome.busy))

    with queue.beside(store, took) as sending:
        try:
            todo = _missing(portions, store, sending, outcome)
            missing.update({portion.whole.cell.cell_id: portion.missing for portion in todo})
            plan(portion.whole.cell.run_id(seed) for portion in todo for seed in sorted(portion.missing & portion.mine))
            with contextlib.closing(engine.perform(todo, display.tell, note)) as results:
                for result in results:
                    if result.said == "stopped":
                        why = result.reason
                        raise KeyboardInterrupt
                    at_hand.remove(result.task)
                    _settle(result, missing[result.task.cell.cell_id], sending, outcome, display)
            _finish(sending, outcome, display)
            met = {*outcome.ran, *outcome.kept, *outcome.failed, *outcome.busy}
            outcome.others.extend(run_id for run_id in planned if run_id not in met)
        except KeyboardInterrupt:
            display.line("stopping: what is at hand is finished and written; the same signal again ends it at once")
            with contextlib.suppress(KeyboardInterrupt):
                engine.stop()
                for one in at_hand:
                    _send(one.cell, one.seeds, sending)
                _finish(sending, outcome, display)
            whole = len(planned) or sum(len(portion.mine) for portion in portions)
            raise errors.Stopped(why or _stopped(outcome, whole, at_hand)) from None  # `why`: the disk is full
    display.done({name: len(run_ids) for name, run_ids in outcome._asdict().items()})
    return outcome


def _stopped(outcome: Outcome, planned: int, at_hand: Sequence[task.Task]) -> str:
    names = ", ".join(f"'{one.name}'" for one in at_hand)
    return (
        f"stopped: {len(outcome.ran)} of {planned} missing runs are made"
        f"{f', and what {names} recorded is kept' if names else ''}; say the same command again to go on"
    )


def _missing(
    portions: Sequence[task.Portion], store: client.Store | None, sending: queue.Uploads, outcome: Outcome
) -> list[task.Portion]:
    """Returns the portions of which something is missing; what is complete in its folder alone is sent, if it is ours.

    Raises:
        errors.InputError: If the store does not answer.
    """
    try:
        suites = {portion.whole.cell.suite for portion in portions}
        stored = {suite: _stored(store, suite) for suite in suites}
    except client.StoreAway as error:
        raise errors.InputError(f"the store does not answer: {error}") from error
    todo = []
    for portion in portions:
        cell = portion.whole.cell
        absent = [seed for seed in portion.whole.seeds if cell.run_id(seed) not in stored[cell.suite]]
        there = [seed for seed in absent if _is_complete(cell, seed)]
        _send(cell, [seed for seed in there if seed in portion.mine], sending)
        missing = frozenset(absent) - frozenset(there)
        outcome.kept.extend(cell.run_id(seed) for seed in sorted(portion.mine - missing))
        if missing:
            todo.append(portion._replace(missing=missing))
    return todo


def _settle(
    result: task.Result, missing: frozenset[int], sending: queue.Uploads, outcome: Outcome, display: progress.Display
) -> None:
    """Reports the result of a task and has its runs sent to the store."""
    cell = result.task.cell
    seeds = [seed for seed in result.task.seeds if seed in missing]
    for seed in seeds:
        one, run_id = result.task._replace(seeds=(seed,)), cell.run_id(seed)
        folder = run_folder.folder(cell.suite, run_id)
        if result.said == "busy":
            outcome.busy.append(run_id)
            display.note("busy", one, result.reason)
        elif _is_complete(cell, seed):
            (outcome.kept if result.said == "kept" else outcome.ran).append(run_id)
            display.note(run_folder.status(folder), one, _line(folder))
        else:
            reason = result.reason or "it ended without a result"
            _fail(folder, reason)
            outcome.failed.append(run_id)
            display.note("failed", one, reason)
    if result.said != "busy":
        _send(cell, seeds, sending)


def _fail(folder: pathlib.Path, reason: str) -> None:
    """Writes into a run folder, where there is one, that its run has failed and why."""
    with contextlib.suppress(run_folder.Busy, run_folder.Damaged):
        if run_folder.read(folder) is not None:
            with run_folder.claimed(folder):
                if facts := run_folder.read(folder):
                    run_folder.write(folder, facts.replace(status="failed", reason=reason))


def _is_complete(cell: config.Cell, seed: int) -> bool:
    """Says whether the folder of a run is complete."""
    return run_folder.status(run_folder.folder(cell.suite, cell.run_id(seed))) in statuses.ENDED


def _stored(store: client.Store | None, suite: str) -> set[str]:
    """Returns the run_ids of the runs of a suite that the store holds whole."""
    return {run.run_id for run in client.held(store, suite) if run.status in statuses.ENDED} if store else set()


def _send(cell: config.Cell, seeds: Iterable[int], sending: queue.Uploads) -> None:
    """Has what the folders of some seeds hold sent to the store."""
    for seed in seeds:
        sending.put(run_folder.folder(cell.suite, cell.run_id(seed)))


def _finish(sending: queue.Uploads, outcome: Outcome, display: progress.Display) -> None:
    """Waits until everything is sent, or waits for a store that is away."""
    if (left := sending.left()) > 1:
        display.line(f"sending {left} runs to the store")
    outcome.waiting.extend(folder.name for folder in sending.finish())


def _line(folder: pathlib.Path) -> str:
    """Returns the outcome of a run that was trained to its end, in a line."""
    facts = run_folder.read(folder)
    assert facts is not None, "a run that was trained to its end has a folder"
    if facts.status == "diverged":
        return f"at step {facts.diverged_at} ({facts.seconds:.0f} s)"
    values = run_folder.read_records(folder)[-1].values
    sharpness = f", η·λ_max {values['eta_sharpness']:.3g}" if "eta_sharpness" in values else ""
    return f"loss {values['loss']:.3g}{sharpness}, {facts.verdict_in_words} ({facts.seconds:.0f} s)"
