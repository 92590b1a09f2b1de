# SPDX-License-Identifier: Apache-2.0
"""Progress: a bar over things that are done one after the other, and how the runs of a command are shown.

`shown` picks one of three displays: a table that renews itself on a terminal, plain lines elsewhere, and with `--json`
one JSON object a line (harness/README.md has its fields).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TextIO

import rich.console
import rich.live
import rich.markup
import rich.progress
import rich.progress_bar
import rich.table

from harness import events, pace, task
from harness import spec as specs

EVERY = 10.0
"""Seconds between two lines about runs that go on, where there is no terminal."""

SEEDS = 4
"""Most seeds whose values a line shows one by one."""

COLOURS = {"finished": "green", "diverged": "yellow", "failed": "red", "busy": "yellow", "retry": "yellow"}


class Bar(NamedTuple):
    """What a loop calls.

    Attributes:
        begin: `(label, parts)` when a thing begins.
        step: `(step)` at each of its parts.
        end: When it ends, however it ends.
    """

    begin: Callable[[str, int], None]
    step: Callable[[int], None]
    end: Callable[[], None]


class Display(NamedTuple):
    """What the runs of a command are shown by.

    Attributes:
        plan: `(missing, kept)`: how many runs there are to make, and how many are there.
        tell: Called with the events of runs.
        note: `(what, task, why)`: `begin`, `retry`, `busy`, `failed`, `finished`, `diverged`.
        done: `(counts)`: how many runs were made, kept, ..., when all is done.
        line: Prints a line for people.
    """

    plan: Callable[[int, int], None]
    tell: events.Tell
    note: Callable[[str, task.Task, str], None]
    done: Callable[[dict[str, int]], None]
    line: Callable[[str], None]


@dataclasses.dataclass
class Row:
    """A task that is being run.

    Attributes:
        task: Which.
        pace: How fast it goes.
        checkpoints: All checkpoint steps of its runs.
        values: The last record of each run, by run_id.
    """

    task: task.Task
    pace: pace.Pace
    checkpoints: tuple[int, ...]
    values: dict[str, dict[str, float]]


class Board:
    """What is known of the runs of a command while they are made; it prints nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.rows: dict[tuple[str, ...], Row] = {}
        self.missing = self.kept = self.done = 0
        self.spent: list[float] = []
        self.most = 1

    def plan(self, missing: int, kept: int) -> None:
        """Takes note of how much there is to do."""
        self.missing, self.kept = missing, kept

    def tell(self, event: events.Event) -> None:
        """Takes note of an event."""
        row = self.row(event.run_id)
        if row is not None and event.kind in ("step", "record"):
            row.pace = pace.after(row.pace, event.step, event.kind == "record", self.clock())
            if event.values:
                row.values[event.run_id] = event.values

    def note(self, what: str, one: task.Task, _why: str) -> None:
        """Takes note of a task that begins, and of its runs as they end."""
        if what in ("begin", "retry"):
            steps = specs.checkpoint_steps(one.cell.steps, one.cell.checkpoints)
            self.rows[one.run_ids] = Row(one, pace.begun(self.clock()), steps, {})
            self.most = max(self.most, len(self.rows))
            return
        self.done += 1
        for ids, row in list(self.rows.items()):
            if one.run_ids[0] in ids:
                self.spent.append((self.clock() - row.pace.begun) / len(ids))
                del self.rows[ids]

    def row(self, run_id: str) -> Row | None:
        """Returns the task of a run that is being made."""
        return next((row for ids, row in self.rows.items() if run_id in ids), None)

    def left(self, row: Row) -> float | None:
        """Returns the seconds that a task still takes, if that is known."""
        known = pace.left(row.pace, row.checkpoints)
        return None if known is None else max(0.0, known - (self.clock() - row.pace.moment))

    def all_left(self) -> float | None:
        """Returns the seconds that everything still takes, if that is known: tasks to come take what others took."""
        known = {ids: self.left(row) for ids, row in self.rows.items()}
        lefts = [seconds for seconds in known.values() if seconds is not None]
        whole = [
            (self.clock() - row.pace.begun + seconds) / len(ids)
            for (ids, row), seconds in zip(self.rows.items(), known.values(), strict=True)
            if seconds is not None
        ]
        each = [*self.spent, *whole]
        queued = self.missing - self.done - sum(map(len, self.rows))
        if len(lefts) < len(self.rows) or (queued > 0 and not each):
            return None
        to_come = max(queued, 0) * sum(each) / len(each) if each else 0.0
        return max([(sum(lefts) + to_come) / self.most, *lefts], default=0.0)


@contextlib.contextmanager
def bar(console: rich.console.Console, count: int, what: str = "runs") -> Iterator[Bar]:
    """Shows a bar over `count` runs (or `what` else) while the context lasts; it moves at every part."""
    columns = (
        rich.progress.BarColumn(bar_width=24),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn(f"{what} ·"),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TextColumn("· left"),
        rich.progress.TimeRemainingColumn(elapsed_when_finished=False),
        rich.progress.TextColumn("· {task.description}"),
    )
    with rich.progress.Progress(*columns, console=console, transient=True, refresh_per_second=4) as progress:
        task_id = progress.add_task("", total=count)
        state = {"done": 0, "parts": 1, "seen": 0}
        label = ""

        def begin(name: str, parts: int) -> None:
            nonlocal label
            label = rich.markup.escape(name)
            state.update(parts=parts, seen=0)
            progress.update(task_id, description=f"{label} · compiling")

        def step(at: int) -> None:
            state["seen"] += 1
            share = min(state["seen"] / state["parts"], 1)
            progress.update(task_id, completed=state["done"] + share, description=f"{label} · step {at}")

        def end() -> None:
            state["done"] += 1
            progress.update(task_id, completed=state["done"])

        yield Bar(begin, step, end)


@contextlib.contextmanager
def shown(console: rich.console.Console, *, as_json: bool = False) -> Iterator[Display]:
    """Shows the runs of a command while the context lasts: a table, lines, or JSON on stdout."""
    if as_json:
        with _alone_on_stdout() as stream:
            yield machine(lambda line: print(line, file=stream, flush=True), console)
        return
    board = Board()
    if not console.is_terminal:
        yield plain(board, console)
        return
    with rich.live.Live(get_renderable=lambda: table(board), console=console, transient=True, refresh_per_second=4):
        yield Display(board.plan, board.tell, _noted(board, console), lambda counts: None, _line(console))


@contextlib.contextmanager
def _alone_on_stdout() -> Iterator[TextIO]:
    """Gives stdout; what any library prints there meanwhile goes to stderr."""
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as stream:
        os.dup2(2, 1)
        try:
            yield stream
        finally:
            sys.stdout.flush()
            os.dup2(stream.fileno(), 1)


def plain(board: Board, console: rich.console.Console) -> Display:
    """Returns the display that prints a line when a run ends, and one every EVERY seconds while none does."""
    last = board.clock()

    def tell(event: events.Event) -> None:
        nonlocal last
        board.tell(event)
        row = board.row(event.run_id)
        if row is not None and event.kind in ("step", "record") and board.clock() - last >= EVERY:
            last = board.clock()
            console.print(summary(board, row), markup=False, highlight=False, soft_wrap=True)

    return Display(board.plan, tell, _noted(board, console), lambda counts: None, _line(console))


def machine(write: Callable[[str], None], console: rich.console.Console) -> Display:
    """Returns the display that writes one JSON object a line; lines for people go to the console."""
    began = time.monotonic()
    known: dict[str, dict[str, Any]] = {}

    def say(what: str, **fields: Any) -> None:
        write(json.dumps({"event": what, "seconds": round(time.monotonic() - began, 3), **fields}, ensure_ascii=False))

    def tell(event: events.Event) -> None:
        extra: dict[str, Any] = {"step": event.step} if event.step >= 0 else {}
        if event.values:
            extra["values"] = {name: v if math.isfinite(v) else str(float(v)) for name, v in event.values.items()}
        if event.status:
            extra["status"] = event.status
        say(event.kind, **known.get(event.run_id, {"run_id": event.run_id}), **extra)

    def note(what: str, one: task.Task, why: str) -> None:
        for seed in one.seeds:
            run_id = one.cell.run_id(seed)
            place = {"suite": one.cell.suite, "spec": one.cell.spec, "cell": one.cell.label}
            known[run_id] = {"run_id": run_id, **place, "seed": seed, "of": one.cell.steps}
            if what != "begin":  # the run itself says that it begins
                say(what, **known[run_id], why=why)

    def plan(missing: int, kept: int) -> None:
        say("plan", missing=missing, kept=kept)

    return Display(plan, tell, note, lambda counts: say("done", **counts), _line(console))


def table(board: Board) -> rich.console.RenderableType:
    """Returns a row for each task that is being run, and a line about all."""
    drawn = rich.table.Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    drawn.add_column("cell", overflow="ellipsis", no_wrap=True, ratio=1)
    for header in ("step", "steps/s", "left", "loss", "η·λ_max"):
        drawn.add_column(header, justify="right", no_wrap=True)
    for row in list(board.rows.values()):
        name = rich.markup.escape(f"{row.task.cell.suite}/{row.task.name}")
        rate, left = _rate(row), board.left(row)
        step = f"{row.pace.step} of {row.task.cell.steps}" if row.pace.step >= 0 else "compiling"
        words = (rate, duration(left), values(row, "loss"), values(row, "eta_sharpness"))
        drawn.add_row(name, step, *words)
    share = sum(max(row.pace.step, 0) / row.task.cell.steps * len(row.task.seeds) for row in board.rows.values())
    line = rich.table.Table.grid(padding=(0, 1))
    whole = rich.progress_bar.ProgressBar(total=max(board.missing, 1), completed=board.done + share, width=24)
    line.add_row(whole, f"{board.done}/{board.missing} runs · left {duration(board.all_left())}")
    return rich.console.Group(drawn, line)


def summary(board: Board, row: Row) -> str:
    """Returns a line about a task that is being run, and about all."""
    parts = [f"step {row.pace.step} of {row.task.cell.steps}"]
    parts += [f"{_rate(row)} steps/s"] if _rate(row) else []
    parts += [f"{duration(board.left(row))} left", f"loss {values(row, 'loss')}"]
    parts += [f"η·λ_max {found}"] if (found := values(row, "eta_sharpness")) else []
    return (
        f"running  {row.task.name}: {', '.join(parts)}; {board.done} of {board.missing} runs made, "
        f"{duration(board.all_left())} left"
    )


def values(row: Row, name: str) -> str:
    """Returns the last values of a metric, seed by seed; least and largest where there are many seeds."""
    found = [last[name] for last in row.values.values() if name in last]
    if len(found) > SEEDS:
        return f"{min(found):.3g} to {max(found):.3g}"
    return " ".join(f"{value:.3g}" for value in found)


def duration(seconds: float | None) -> str:
    """Returns a time as people say it: `8 s`, `3 min`, `2.5 h`, `4 days`; `?` where it is not known."""
    if seconds is None:
        return "?"
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def _rate(row: Row) -> str:
    """Returns the steps per second of a task, measuring not counted; empty before that can be told."""
    known = pace.seconds(row.pace)
    return "" if known is None or known[0] <= 0 else f"{1 / known[0]:.3g}"


def _noted(board: Board, console: rich.console.Console) -> Callable[[str, task.Task, str], None]:
    """Returns the function that takes note, and prints what people want to know of it."""

    def note(what: str, one: task.Task, why: str) -> None:
        board.note(what, one, why)
        if what != "begin":
            colon = "" if what == "diverged" else ":"
            console.print(f"[{COLOURS[what]}]{what:<8}[/] {rich.markup.escape(one.name)}{colon} ", end="")
            console.print(why, markup=False, highlight=False, soft_wrap=True)

    return note


def _line(console: rich.console.Console) -> Callable[[str], None]:
    return lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True)
