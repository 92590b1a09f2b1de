# SPDX-License-Identifier: Apache-2.0
"""Underway: the tasks of a command that are being run, what they told last, and how long they will still take."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from harness.jobs import pace, task
from harness.runs import events


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


class Underway:
    """What is known of the runs of a command while they are made."""

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
            steps = one.cell.checkpoint_steps
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
