# SPDX-License-Identifier: Apache-2.0
"""The local engine: worker processes of this machine, and a parent that outlives them.

Not loky and not concurrent.futures: where one worker is killed, these fail the tasks of all (measured; loky
TerminatedWorkerError, BrokenProcessPool). Here a task whose worker died goes on in a fresh one from its run folder,
once.

Where nobody says how many tasks at once, there is one for each core, as long as what they need together fits into
memory: a worker says what a task needs before it is begun, and one that does not fit beside others waits for them. Each
worker may use all cores: XLA has one pool of threads in each, and the system shares the cores among them (LAPACK
has one thread: lapack.py). Workers are in process groups of their own, so that Ctrl-C reaches the parent
alone, which passes it on as SIGTERM.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from typing import IO, Any, NamedTuple

from harness import errors, workspace
from harness.jobs import engines, task, worker
from harness.runs import events
from harness.runtime import lapack, machine
from harness.training import shared

IDLE = 2**30
"""Bytes of a worker that has loaded its libraries and runs nothing, at most."""

GRACE = 10.0
"""Seconds that a worker has to leave when the parent has no more use for it."""


class Item(NamedTuple):
    """Something to do.

    Attributes:
        what: A task, or a portion to be divided into tasks.
        problem: Its problem (harness.training.shared), by number.
        later: Whether it is begun only when no other is left to begin.
        bytes: Memory that it needs; 0 while it is not known.
    """

    what: task.Portion | task.Task
    problem: int
    later: bool
    bytes: int = 0

    @property
    def task(self) -> task.Task:
        """The task, or all of the portion as one."""
        return self.what if isinstance(self.what, task.Task) else self.what.whole


@dataclasses.dataclass(eq=False)
class Worker:
    """A worker process, as its parent sees it.

    Attributes:
        process: The process.
        item: What it is at: a task, or a portion that it divides into groups.
        problem: The number of the problem whose programs it has compiled; -1 before the first.
        step: The last step it told of its task; -1 before the first.
        stderr: Its last lines on stderr.
        running: Whether it has not closed its output.
        listener: Reads what it says.
    """

    process: subprocess.Popen[str]
    item: Item | None = None
    problem: int = -1
    step: int = -1
    stderr: collections.deque[str] = dataclasses.field(default_factory=lambda: collections.deque(maxlen=20))
    running: bool = True
    listener: threading.Thread = dataclasses.field(default_factory=threading.Thread)


def tasks_at_once(options: engines.Options) -> int:
    """Returns how many tasks are run at once: as many as somebody says, else one for each core of this process.

    Fewer where memory has no room for so many workers that do nothing yet; one where jax may find an accelerator, or
    where a run is shared among devices.
    """
    if options.jobs is not None:
        return options.jobs
    cpu = options.device == "cpu" or os.environ.get("JAX_PLATFORMS") == "cpu"
    if options.devices > 1 or not (cpu or (options.device == "auto" and not machine.accelerated())):
        return 1
    return max(1, min(machine.cores(), machine.spare() // IDLE))


@contextlib.contextmanager
def opened(options: engines.Options, expected: Sequence[task.Task]) -> Iterator[engines.Engine]:
    """Opens the engine and starts workers for the `expected` tasks, which make ready for them."""
    crew = Crew(options, tasks_at_once(options))
    try:
        for one in expected[: crew.jobs]:
            _send(crew.start(), {"expect": one.dump()})
        yield engines.Engine(crew.perform, crew.stop)
    finally:
        crew.dismiss()


class Crew:
    """The workers of one command."""

    def __init__(self, options: engines.Options, jobs: int) -> None:
        self.device = (options.device, str(options.devices))
        self.jobs = jobs
        self.room: float = math.inf if options.jobs is not None else machine.spare()
        self.workers: list[Worker] = []
        self.inbox: queue.SimpleQueue[tuple[Worker, dict[str, Any] | None]] = queue.SimpleQueue()
        self.tell: events.Tell = events.ignore
        self.note: engines.Note = lambda what, one, why: None

    def start(self) -> Worker:
        """Starts one more worker."""
        path = os.pathsep.join(filter(None, (str(workspace.CODE), os.environ.get("PYTHONPATH"))))
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.jobs.worker", *self.device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            process_group=0,
            env={
                **lapack.settings(),
                **os.environ,
                "PYTHONPATH": path,
                "PYTHONSAFEPATH": "1",
            },  # nothing from where we are
        )
        one = Worker(process)
        self.workers.append(one)
        collector = threading.Thread(target=_collect, args=(process.stderr, one.stderr), daemon=True)
        collector.start()
        one.listener = threading.Thread(target=self._listen, args=(one, collector), daemon=True)
        one.listener.start()
        return one

    def perform(
        self, portions: Sequence[task.Portion], tell: events.Tell, note: engines.Note
    ) -> Generator[task.Result]:
        """Runs the tasks of portions; see engines.Engine."""
        self.tell, self.note = tell, note
        numbers: dict[tuple[Any, ...], int] = {}
        keys = [shared.of(portion.whole.cell) for portion in portions]
        items = [
            Item(what, numbers.setdefault(key, len(numbers)), what.later)
            for what, key in zip(portions, keys, strict=True)
        ]
        died: collections.Counter[tuple[str, ...]] = collections.Counter()
        while items or any(one.item for one in self.workers):
            self._assign(items)
            one, message = self.inbox.get()
            item = one.item
            if message is None:
                self._gone(one)
                if item is None:
                    continue
                died[item.task.run_ids] += 1
                if died[item.task.run_ids] > engines.RETRIES["local"]:
                    if isinstance(item.what, task.Portion):  # it did not come to a task
                        note("begin", item.task, "")
                    yield task.Result(item.task, "failed", obituary(one))
                else:
                    items.insert(0, item)
                    note("retry", item.task, obituary(one))
            elif "input" in message:
                raise errors.InputError(message["input"])
            elif "groups" in message and item is not None and isinstance(item.what, task.Portion):
                one.item = None
                needs = int(message["bytes"])
                tasks = item.what.tasks(message["groups"])
                items[:0] = [Item(found, item.problem, item.later, needs) for found in tasks]
            elif "result" in message and item is not None:
                one.item = None
                result = task.Result(item.task, *message["result"])
                if result.said == "input":
                    raise errors.InputError(result.reason)
                self._assign(items)  # before the result is dealt with, which takes its time
                yield result
            else:
                self._heard(one, message)

    def stop(self) -> None:
        """Sends SIGTERM to all workers and waits for them; Ctrl-C meanwhile ends them at once."""
        for one in self.workers:
            one.process.send_signal(signal.SIGTERM)
        try:
            while self.workers:
                one, message = self.inbox.get()
                if message is None:
                    self._gone(one)
                else:
                    self._heard(one, message)
        except KeyboardInterrupt:
            for one in self.workers:
                one.process.kill()
            raise

    def dismiss(self) -> None:
        """Ends all workers: those that are at something by SIGTERM, and by SIGKILL after GRACE seconds."""
        for one in self.workers:
            one.process.send_signal(signal.SIGKILL if one.item is None else signal.SIGTERM)
        for one in list(self.workers):
            try:
                one.process.wait(GRACE)
            except subprocess.TimeoutExpired:
                one.process.kill()
            self._gone(one)

    def _assign(self, items: list[Item]) -> None:
        """Gives each idle worker what suits it best, after more workers were started if they are of use."""
        busy = sum(one.item is not None for one in self.workers)
        while len(self.workers) < min(self.jobs, busy + len(self._fitting(items))):
            self.start()
        for one in self.workers:
            fitting = self._fitting(items)
            if one.item is None and one.running and fitting:
                others = {other.problem for other in self.workers if other is not one and other.item is not None}
                best = min(fitting, key=lambda i: (items[i].later, suits(items[i].problem, one.problem, others)))
                item = items.pop(best)
                one.item, one.problem, one.step = item, item.problem, -1
                if isinstance(item.what, task.Task):
                    self.note("begin", item.what, "")
                    _send(one, {"task": item.what.dump()})
                else:
                    _send(one, {"groups": item.what.whole.dump()})

    def _fitting(self, items: Sequence[Item]) -> list[int]:
        """Returns which items fit into memory beside those that are at hand; all of them where none is."""
        at_hand = [one.item.bytes for one in self.workers if one.item is not None]
        return [i for i, item in enumerate(items) if not at_hand or sum(at_hand) + item.bytes <= self.room]

    def _heard(self, one: Worker, message: dict[str, Any]) -> None:
        if "event" in message:
            event = worker.tell_of(message)
            one.step = max(one.step, event.step)
            self.tell(event)

    def _gone(self, one: Worker) -> None:
        assert one.process.stdin is not None
        one.process.wait()
        one.listener.join()
        with contextlib.suppress(BrokenPipeError):
            one.process.stdin.close()
        self.workers.remove(one)

    def _listen(self, one: Worker, stderr: threading.Thread) -> None:
        """Hands on what a worker says, and last that it is gone."""
        assert one.process.stdout is not None
        with one.process.stdout as stream:
            for line in stream:
                with contextlib.suppress(json.JSONDecodeError):  # a last line, torn by its end
                    self.inbox.put((one, json.loads(line)))
        stderr.join()
        one.running = False
        self.inbox.put((one, None))


def suits(problem: int, known: int, others: set[int]) -> int:
    """Returns how well a problem suits a worker, the less the better.

    Args:
        problem: Of an item.
        known: The one that the worker has compiled.
        others: Those that other workers are at.
    """
    if problem == known:
        return 0
    return 2 if problem in others else 1


def obituary(one: Worker) -> str:
    """Returns how a worker ended: its signal or exit code, after which step, and its last words."""
    code = one.process.returncode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"left with exit code {code}"
    when = f"after step {one.step}" if one.step >= 0 else "before its first record"
    hint = " (the system does that where memory runs out)" if code == -signal.SIGKILL else ""
    words = next((line.strip() for line in reversed(one.stderr) if line.strip()), "")
    return f"its process {how}{hint} {when}" + (f"; it said last: {words[:200]}" if words else "")


def _collect(stream: IO[str], lines: collections.deque[str]) -> None:
    """Passes on what a worker says on stderr, and keeps the last lines."""
    with stream:
        for line in stream:
            lines.append(line)
            with contextlib.suppress(errors.Stopped):  # the front door hears of it by itself
                sys.stderr.write(line)


def _send(one: Worker, order: dict[str, Any]) -> None:
    """Tells a worker something; one that is gone is seen to be so when its output ends."""
    assert one.process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        one.process.stdin.write(json.dumps(order) + "\n")
        one.process.stdin.flush()
