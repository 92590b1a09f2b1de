# SPDX-License-Identifier: Apache-2.0
"""Progress on the terminal: one bar over all runs with the time left, and the run at hand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import rich.console
import rich.markup
import rich.progress


class Bar(NamedTuple):
    """What a loop over runs calls.

    Attributes:
        begin: `(label, checkpoints)` when a run begins.
        step: `(step)` at each of its checkpoint steps.
        end: When it ends, however it ends.
    """

    begin: Callable[[str, int], None]
    step: Callable[[int], None]
    end: Callable[[], None]


@contextlib.contextmanager
def bar(console: rich.console.Console, count: int, what: str = "runs") -> Iterator[Bar]:
    """Shows a bar over `count` runs (or `what` else) while the context lasts; it moves at every checkpoint step."""
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
        task = progress.add_task("", total=count)
        state = {"done": 0, "checkpoints": 1, "seen": 0}
        label = ""

        def begin(name: str, checkpoints: int) -> None:
            nonlocal label
            label = rich.markup.escape(name)
            state.update(checkpoints=checkpoints, seen=0)
            progress.update(task, description=f"{label} · compiling")

        def step(at: int) -> None:
            state["seen"] += 1
            share = min(state["seen"] / state["checkpoints"], 1)
            progress.update(task, completed=state["done"] + share, description=f"{label} · step {at}")

        def end() -> None:
            state["done"] += 1
            progress.update(task, completed=state["done"])

        yield Bar(begin, step, end)
