# SPDX-License-Identifier: Apache-2.0
"""Tasks: what a worker is given and what it gives back; both travel between processes as JSON.

A portion is what is wanted of one cell. A worker, which knows its device, says which seeds run together; each such
group is a task. A group is always formed of all wanted seeds, never of those that happen to be missing: what a seed is
run with must not depend on what was cut off when.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from harness import config, errors
from harness.records import run_folder, statuses
from harness.runs import events
from harness.specs import expected
from harness.training import lanes

Said = Literal["done", "kept", "busy", "failed", "input", "stopped"]


class Task(NamedTuple):
    """Seeds of a cell that run together.

    Attributes:
        cell: The cell.
        seeds: Which seeds.
        command: The command that repeats the cell, recorded.
    """

    cell: config.Cell
    seeds: tuple[int, ...]
    command: str

    @property
    def name(self) -> str:
        """What the terminal calls it."""
        first, last = self.seeds[0], self.seeds[-1]
        return f"{self.cell.label} · " + (f"seed {first}" if first == last else f"seeds {first} to {last}")

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The names of its runs."""
        return tuple(self.cell.run_id(seed) for seed in self.seeds)

    def dump(self) -> dict[str, Any]:
        """Returns it as plain values."""
        cell = self.cell.model_dump(mode="json", exclude={"expected"})
        hopes = [(one.name, expected.plain(one.value)) for one in self.cell.expected]
        return {"cell": cell, "expected": hopes, "seeds": self.seeds, "command": self.command}


class Portion(NamedTuple):
    """What is wanted of a cell.

    Attributes:
        whole: The cell with all wanted seeds.
        missing: Those that are not there yet, of this share or another.
        mine: Those that are this process's share (`--shard`).
        later: Whether it is begun only when no other is left to begin.
    """

    whole: Task
    missing: frozenset[int]
    mine: frozenset[int]
    later: bool = False

    def tasks(self, groups: Iterable[Sequence[int]]) -> list[Task]:
        """Returns the groups of seeds left to do here: those whose first seed is of this share."""
        return [
            self.whole._replace(seeds=tuple(group))
            for group in groups
            if group[0] in self.mine and self.missing.intersection(group)
        ]


class Result(NamedTuple):
    """What came of a task.

    Attributes:
        task: Which.
        said: `done`; `kept`: it was there already; `busy`: another process is at it; `failed`; `input`: what the user
            gave is wrong, for all tasks; `stopped`: by a signal.
        reason: Why, for people; empty where there is nothing to say.
    """

    task: Task
    said: Said
    reason: str = ""


def load(plain: dict[str, Any]) -> Task:
    """Returns the task of plain values; its cell is the one that was sent, with the same name."""
    cell = config.Cell.model_validate_json(json.dumps(plain["cell"]))
    hopes = tuple(config.Expected(name, expected.of_plain(value)) for name, value in plain["expected"])
    return Task(cell.model_copy(update={"expected": hopes}), tuple(plain["seeds"]), plain["command"])


def shard(text: str) -> tuple[int, int]:
    """Returns the share `i/n`, i from 1 to n.

    Raises:
        errors.InputError: If it is none.
    """
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise errors.InputError(f"--shard: {text!r} is not allowed; allowed: i/n with i from 1 to n, as 1/4")
    return int(number), int(count)


def share(count: int, part: tuple[int, int]) -> range:
    """Returns which of `count` runs in their order are those of share (i, n): consecutive, equally many or one more.

    Neighbours are mostly of one cell, whose programs are then compiled once.
    """
    number, of = part
    return range((number - 1) * count // of, number * count // of)


def groups(whole: Task) -> list[tuple[int, ...]]:
    """Returns which seeds run together on the device of this process."""
    import jax

    return lanes.groups(whole.cell, whole.seeds, accelerator=jax.default_backend() != "cpu")


def needs(whole: Task) -> int:
    """Returns about how many bytes of memory a process takes that runs a group of its seeds, from shapes alone."""
    from harness.runs import estimate, outline

    try:
        return estimate.needed(whole.cell, outline.outline(whole.cell).parameters)
    except errors.InputError:  # it is said when the task is begun
        return 0


def make_ready(task: Task) -> None:
    """Imports, reads and builds what a task needs that may come; what is wrong with it is said when it comes."""
    from harness.runs import keys
    from harness.training import problem as problems

    with contextlib.suppress(Exception):
        ready = problems.problem(task.cell)
        problems.start(task.cell, ready, keys.of_run(task.seeds[0]).start)


def perform(task: Task, device: str, tell: events.Tell) -> tuple[Said, str]:
    """Runs a task in this process; returns its outcome and the reason.

    Args:
        task: What to run.
        device: The device in words, recorded.
        tell: Called with what happens.
    """
    from harness.runs import run

    folders = [run_folder.folder(task.cell.suite, run_id) for run_id in task.run_ids]
    if all(run_folder.status(folder) in statuses.ENDED for folder in folders):
        return "kept", ""
    try:
        run.run_seeds(task.cell, task.seeds, device=device, command=task.command, tell=tell)
    except run_folder.Busy as error:
        return "busy", str(error)
    except errors.InputError as error:
        return "input", str(error)
    except KeyboardInterrupt:
        return "stopped", ""
    except errors.Stopped as error:
        return "stopped", str(error)
    except Exception as error:
        first = errors.first_line(error)[:300]
        if os.strerror(errno.ENOSPC) in first:  # as libraries say it that write data sets
            return "stopped", f"the disk is full: {first}; make room and say the same command again"
        return "failed", first if isinstance(error, errors.OutOfMemory) else f"{type(error).__name__}: {first}"
    return "done", ""
