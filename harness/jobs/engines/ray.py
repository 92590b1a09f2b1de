# SPDX-License-Identifier: Apache-2.0
"""The Ray engine: each task is a Ray task of its own process, on a cluster or on this machine (`--engine ray`).

Ray places tasks, and begins one whose process or node died again, up to twice; it then goes on from its run folder. So
`GDZOO_HOME` must be on storage that all nodes share, and what happens in a run is read from there too: no actor that
could die carries events. A process serves one task (`max_calls=1`), which frees its GPU memory.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import signal
import socket
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import ray
import ray.exceptions

from harness import errors, workspace
from harness.jobs import engines, task
from harness.records import run_folder
from harness.runs import events
from harness.runtime import lapack, signals

HANDED_ON = ("GDZOO_", "JAX_", "TFDS_", "XLA_")
"""Beginnings of the names of environment variables that tasks get from here."""

POLL = 1.0
"""Seconds between two looks at the run folders."""

KNOCK = 10.0
"""Seconds for which a cluster may not answer."""

PEEK = 64
"""Most waiting tasks that are looked at to see whether they have begun; Ray begins them about in order."""


@contextlib.contextmanager
def opened(options: engines.Options, _expected: Sequence[task.Task]) -> Iterator[engines.Engine]:
    """Connects to the cluster, or starts Ray on this machine, and makes sure that it can give what tasks ask for.

    Raises:
        errors.InputError: If there is no such cluster, or no node of it that is large enough.
        errors.Stopped: If Ray does not start on this machine.
    """
    address = options.address or os.environ.get("RAY_ADDRESS") or "local"
    handlers = {number: signal.getsignal(number) for number in signals.SIGNALS}
    lapack.limit()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    began = time.monotonic()
    try:
        answers(address)
        ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # of many kinds; a node that is late raises a plain one
        first = errors.first_line(error) or type(error).__name__
        if address == "local":
            raise errors.Stopped(
                f"Ray did not start on this machine in {time.monotonic() - began:.0f} s: {first}; where other programs "
                "keep it busy, say the same command again later; without `--engine ray` this machine needs no Ray"
            ) from error
        token = "; one that asks for a token gets it from RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
        hint = "" if os.environ.get("RAY_AUTH_MODE") == "token" else token
        raise errors.InputError(
            f"--ray-address {address}: there is no Ray cluster that answers: {first}{hint}"
        ) from error
    for number, handler in handlers.items():  # Ray puts its own in their place
        signal.signal(number, handler)
    try:
        check([node["Resources"] for node in ray.nodes() if node["Alive"]], options)
        cluster = Cluster(options)
        yield engines.Engine(cluster.perform, cluster.stop)
    finally:
        ray.shutdown()


def answers(address: str) -> None:
    """Makes sure that a server listens at `HOST:PORT`; Ray itself would wait three minutes.

    Raises:
        OSError: If none does within KNOCK seconds.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK).close()


def check(nodes: Sequence[dict[str, float]], options: engines.Options) -> None:
    """Makes sure that a task fits some node, instead of waiting for ever.

    Args:
        nodes: The resources of each node.
        options: What a task takes.

    Raises:
        errors.InputError: If it does not.
    """
    for what, name, asked in (("GPU", "gpus", options.gpus), ("CPU", "cpus", options.cpus)):
        most = max((node.get(what, 0.0) for node in nodes), default=0.0)
        if asked > most:
            there = f"no node of the cluster has more than {most:g}" if most else f"there is no {what} in the cluster"
            raise errors.InputError(f"--{name}-per-task {asked:g}: {there}")


class Cluster:
    """The tasks of one command on a cluster."""

    def __init__(self, options: engines.Options) -> None:
        self.options = options
        needs = {"num_gpus": options.gpus, "num_cpus": options.cpus}
        settings = {"max_retries": engines.RETRIES["ray"], "max_calls": 1, **needs}
        self.remote = ray.remote(**settings)(_perform)
        self.divide = ray.remote(**settings)(_groups)
        kept = {name: value for name, value in os.environ.items() if name.startswith(HANDED_ON)}
        self.environment = {**kept, "GDZOO_HOME": str(workspace.home()), "TFDS_DATA_DIR": str(workspace.data())}
        self.at_hand: dict[Any, Watch] = {}

    def perform(
        self, portions: Sequence[task.Portion], tell: events.Tell, note: engines.Note
    ) -> Generator[task.Result]:
        """Runs the tasks of portions; see engines.Engine."""
        todo = self._tasks(portions)
        again: dict[tuple[str, ...], int] = {}
        while todo or self.at_hand:
            while todo and len(self.at_hand) < (self.options.jobs or len(todo) + len(self.at_hand)):
                one = todo.pop(0)
                reference = self.remote.remote(one.dump(), self.options[:2], self.environment)
                self.at_hand[reference] = Watch(one)
            done, _ = ray.wait(list(self.at_hand), timeout=POLL)
            waiting = 0
            for watch in list(self.at_hand.values()):
                waiting += not watch.begun
                if watch.begun or waiting <= PEEK:
                    watch.look(tell, note)
            for reference in done:
                watch = self.at_hand.pop(reference)
                result = _result(watch.task, reference)
                tried = again.get(watch.task.run_ids, 0)
                if result.said == "stopped" and tried < engines.RETRIES["ray"]:  # its node is going away, not we
                    again[watch.task.run_ids] = tried + 1
                    todo.insert(0, watch.task)
                    continue
                if not watch.begun:
                    note("begin", watch.task, "")
                watch.ended(tell)
                yield result

    def stop(self) -> None:
        """Lets running tasks write what they have, and waits for that; Ctrl-C meanwhile ends them at once."""
        left = list(self.at_hand)
        for reference in left:
            ray.cancel(reference)
        try:
            while left:
                _, left = ray.wait(left, timeout=POLL)
        except KeyboardInterrupt:
            for reference in left:
                ray.cancel(reference, force=True)
            raise

    def _tasks(self, portions: Sequence[task.Portion]) -> list[task.Task]:
        """Returns the tasks of portions; which seeds run together is asked on a node like theirs."""
        wholes = [portion.whole.dump() for portion in portions]
        groups = ray.get(self.divide.remote(wholes, self.options[:2], self.environment)) if wholes else []
        if isinstance(groups, str):
            raise errors.InputError(groups)
        return [one for portion, some in zip(portions, groups, strict=True) for one in portion.tasks(some)]


class Watch:
    """A task, watched through its run folders.

    Attributes:
        task: The task.
        begun: Whether a process has begun it.
    """

    def __init__(self, one: task.Task) -> None:
        self.task = one
        self.begun = False
        self.folders = [run_folder.folder(one.cell.suite, run_id) for run_id in one.run_ids]
        self.holder = self._holder()
        self.sizes: dict[pathlib.Path, int] = {}
        self.steps = {
            folder: max((record.step for record in run_folder.read_records(folder)), default=-1)
            for folder in self.folders
        }

    def look(self, tell: events.Tell, note: engines.Note) -> None:
        """Tells what happened since it was last looked at."""
        holder = self._holder()
        if holder != self.holder:
            note(*(("retry", self.task, f"it is {holder} now") if self.begun else ("begin", self.task, "")))
            self.holder, self.begun = holder, True
            for run_id in self.task.run_ids:
                tell(events.Event("begin", run_id))
        if self.begun:
            for folder in self.folders:
                self._records(folder, tell)

    def ended(self, tell: events.Tell) -> None:
        """Tells what has not been told yet, and that its runs have ended."""
        for folder in self.folders:
            self._records(folder, tell)
            tell(events.Event("end", folder.name, status=run_folder.status(folder)))

    def _holder(self) -> str:
        """Returns who began the first run last, in words."""
        try:
            return (self.folders[0] / "lock").read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    def _records(self, folder: pathlib.Path, tell: events.Tell) -> None:
        with contextlib.suppress(OSError):
            size = (folder / "records.jsonl").stat().st_size
            if size != self.sizes.get(folder):
                self.sizes[folder] = size
                for record in run_folder.read_records(folder):
                    if record.step > self.steps[folder]:
                        self.steps[folder] = record.step
                        tell(events.Event("record", folder.name, record.step, record.values))


def _result(one: task.Task, reference: Any) -> task.Result:
    """Returns the result of a task that Ray has done with.

    Raises:
        errors.InputError: If the task found that the user's input is wrong.
    """
    try:
        said, reason = ray.get(reference)
    except ray.exceptions.RayError as error:
        first = errors.first_line(error)[:300]
        return task.Result(one, "failed", f"{type(error).__name__}: {first}")
    if said == "input":
        raise errors.InputError(reason)
    folder = run_folder.folder(one.cell.suite, one.run_ids[0])
    if said == "done" and not _appears(folder / "run.json"):
        return task.Result(one, "failed", f"{folder} is not here; GDZOO_HOME must be on storage that all nodes share")
    return task.Result(one, said, reason)


def _appears(path: pathlib.Path) -> bool:
    """Says whether a file is there, or comes soon: network file systems show it seconds later."""
    for _ in range(10):
        if path.exists():
            return True
        time.sleep(0.5)
    return False


def _perform(plain: dict[str, Any], choice: tuple[str, int], environment: dict[str, str]) -> tuple[str, str]:
    """Runs a task in the process that Ray made for it."""
    os.environ.update(environment)
    from harness.runtime import device as devices

    try:
        device = devices.configure(*choice)
    except errors.InputError as error:
        return "input", str(error)

    def tell(event: events.Event) -> None:
        if event.kind != "end":
            signals.check()

    with signals.handled():
        return task.perform(task.load(plain), device, tell)


def _groups(
    wholes: list[dict[str, Any]], choice: tuple[str, int], environment: dict[str, str]
) -> list[list[tuple[int, ...]]] | str:
    """Returns which seeds run together, for each cell; a message where there is no such device."""
    os.environ.update(environment)
    from harness.runtime import device as devices

    try:
        devices.configure(*choice)
    except errors.InputError as error:
        return str(error)
    return [task.groups(task.load(plain)) for plain in wholes]
