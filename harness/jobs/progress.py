# SPDX-License-Identifier: Apache-2.0
"""Progress: a bar over things that are done one after the other, and how the runs of a command are shown.

`shown` picks one of three displays: a table that renews itself on a terminal, plain lines elsewhere, and with `--json`
one JSON object a line (docs/scale.md has its fields).
"""

from __future__ import annotations

import contextlib
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
import rich.text

from harness.jobs import pace, status, task
from harness.runs import events

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


@contextlib.contextmanager
def bar(console: rich.console.Console, count: int, what: str = "runs") -> Iterator[Bar]:
    """Shows a bar over `count` runs (or `what` else) while the context lasts; it moves at every part.

    Where there is no terminal nothing is shown, and no thread draws.
    """
    columns = (
        rich.progress.BarColumn(bar_width=24),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn(f"{what} ·"),
        rich.progress.TimeElapsedColumn(),
        rich.progress.TextColumn("· left"),
        rich.progress.TimeRemainingColumn(elapsed_when_finished=False),
        rich.progress.TextColumn("· {task.description}"),
    )
    with rich.progress.Progress(
        *columns, console=console, transient=True, refresh_per_second=4, disable=not console.is_terminal
    ) as progress:
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
    now = status.Underway()
    if not console.is_terminal:
        yield plain(now, console)
        return
    with rich.live.Live(get_renderable=lambda: table(now), console=console, transient=True, refresh_per_second=4):
        yield Display(now.plan, now.tell, _noted(now, console), lambda counts: None, _line(console))


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


def plain(now: status.Underway, console: rich.console.Console) -> Display:
    """Returns the display that prints a line when a run ends, and one every EVERY seconds while none does."""
    last = now.clock()

    def tell(event: events.Event) -> None:
        nonlocal last
        now.tell(event)
        row = now.row(event.run_id)
        if row is not None and event.kind in ("step", "record") and now.clock() - last >= EVERY:
            last = now.clock()
            console.print(summary(now, row), markup=False, highlight=False, soft_wrap=True)

    return Display(now.plan, tell, _noted(now, console), lambda counts: None, _line(console))


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


def table(now: status.Underway) -> rich.console.RenderableType:
    """Returns a row for each task that is being run, and a line about all."""
    headers, rows = ("step", "steps/s", "left", "loss", "η·λ_max"), list(now.rows.values())
    cells = [_cells(now, row) for row in rows]
    drawn = rich.table.Table(box=None, header_style="bold", padding=(0, 2, 0, 0), show_header=bool(rows))
    drawn.add_column("cell", overflow="fold")
    for header, column in zip(headers, zip(headers, *cells, strict=True), strict=True):
        drawn.add_column(header, justify="right", no_wrap=True, min_width=max(map(len, column)))
    for row, words in zip(rows, cells, strict=True):
        drawn.add_row(rich.markup.escape(f"{row.task.cell.suite}/{row.task.name}"), *words)
    share = sum(max(row.pace.step, 0) / row.task.cell.steps * len(row.task.seeds) for row in rows)
    line = rich.table.Table.grid(padding=(0, 1))
    whole = rich.progress_bar.ProgressBar(total=max(now.missing, 1), completed=now.done + share, width=24)
    line.add_row(whole, f"{now.done}/{now.missing} runs · left {duration(now.all_left())}")
    return rich.console.Group(drawn, line)


def _cells(now: status.Underway, row: status.Row) -> tuple[str, ...]:
    """Returns a row of the table, but for its name."""
    step = f"{row.pace.step} of {row.task.cell.steps}" if row.pace.step >= 0 else "compiling"
    return step, _rate(row), duration(now.left(row)), values(row, "loss"), values(row, "eta_sharpness")


def summary(now: status.Underway, row: status.Row) -> str:
    """Returns a line about a task that is being run, and about all."""
    parts = [f"step {row.pace.step} of {row.task.cell.steps}"]
    parts += [f"{_rate(row)} steps/s"] if _rate(row) else []
    parts += [f"{duration(now.left(row))} left", f"loss {values(row, 'loss')}"]
    parts += [f"η·λ_max {found}"] if (found := values(row, "eta_sharpness")) else []
    return (
        f"running  {row.task.name}: {', '.join(parts)}; {now.done} of {now.missing} runs made, "
        f"{duration(now.all_left())} left"
    )


def values(row: status.Row, name: str) -> str:
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


def _rate(row: status.Row) -> str:
    """Returns the steps per second of a task, measuring not counted; empty before that can be told."""
    known = pace.seconds(row.pace)
    return "" if known is None or known[0] <= 0 else f"{1 / known[0]:.3g}"


def _noted(now: status.Underway, console: rich.console.Console) -> Callable[[str, task.Task, str], None]:
    """Returns the function that takes note, and prints what people want to know of it."""

    def note(what: str, one: task.Task, why: str) -> None:
        now.note(what, one, why)
        if what != "begin":
            between = " " if what == "diverged" else ": "
            words = rich.text.Text.assemble((f"{what:<8}", COLOURS[what]), f" {one.name}{between}{why}")
            console.print(words, soft_wrap=True)

    return note


def _line(console: rich.console.Console) -> Callable[[str], None]:
    return lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True)
