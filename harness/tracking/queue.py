# SPDX-License-Identifier: Apache-2.0
"""Uploads: what run folders hold is sent to the store by a thread of its own, so that no store holds up training.

A store that is slow is waited for here alone. One that is away is left alone for PAUSE seconds and asked once more at
the end; what it has not taken by then waits in the run folders, for `gdzoo store sync` or the next `gdzoo run`.
"""

from __future__ import annotations

import contextlib
import math
import pathlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from harness.records import run_folder
from harness.tracking import client, upload

PAUSE = 30.0
"""Seconds for which a store that did not answer is not asked again."""


class Uploads(NamedTuple):
    """What `beside` gives.

    Attributes:
        put: Has a run folder sent, soon; folders that hold no run are passed over.
        left: Says how many are still to be sent.
        finish: Waits until all that can be sent is sent, and returns the folders that wait; raises what an upload
            raised.
    """

    put: Callable[[pathlib.Path], None]
    left: Callable[[], int]
    finish: Callable[[], list[pathlib.Path]]


class Synced(NamedTuple):
    """What came of bringing run folders to a store.

    Attributes:
        sent: Folders that the store did not hold as they are, and now does.
        there: Folders that it held already.
        waiting: Folders that it did not take, because it is away.
        damaged: What is wrong with those of which a file is damaged, or that the store does not take.
    """

    sent: list[pathlib.Path]
    there: list[pathlib.Path]
    waiting: list[pathlib.Path]
    damaged: list[str]


@contextlib.contextmanager
def beside(
    store: client.Store | None, sent: Callable[[int, int], None] = lambda there, left: None
) -> Iterator[Uploads]:
    """Starts the thread that sends, and leaves it to the end of the process when the block is left.

    A process that ends while it sends is like one that is killed there: `upload.upload` completes what it finds.

    Args:
        store: Where to; None to send nothing.
        sent: `(there, left)`: told by the thread, after each that was sent, how many were, and how many wait.
    """
    todo: queue.SimpleQueue[pathlib.Path | None] = queue.SimpleQueue()
    waiting: list[pathlib.Path] = []
    failed: list[Exception] = []
    asked: list[pathlib.Path] = []
    taken: list[pathlib.Path] = []

    def send(folder: pathlib.Path) -> bool:
        assert store is not None
        try:
            upload.upload(store, folder)
            taken.append(folder)
            sent(len(taken), len(asked) - len(taken))
            return True
        except client.StoreAway:
            return False
        except Exception as error:
            failed.append(error)
            return True

    def work() -> None:
        asked_again = -math.inf
        while (folder := todo.get()) is not None:
            if time.monotonic() < asked_again:
                waiting.append(folder)
            elif not send(folder):
                waiting.append(folder)
                asked_again = time.monotonic() + PAUSE
        while waiting and send(waiting[0]):
            del waiting[0]

    def put(folder: pathlib.Path) -> None:
        if store is not None and (folder / "run.json").exists():
            asked.append(folder)
            todo.put(folder)

    def finish() -> list[pathlib.Path]:
        todo.put(None)
        thread.join()
        if failed:
            raise failed[0]
        return waiting

    thread = threading.Thread(target=work, name="uploads", daemon=True)
    thread.start()
    yield Uploads(put, todo.qsize, finish)


def sync(store: client.Store, folders: Sequence[pathlib.Path], step: Callable[[pathlib.Path], None]) -> Synced:
    """Sends to a store what it does not hold of some run folders, and stops at the first that it does not take.

    Args:
        store: Where to.
        folders: Run folders whose runs have ended, in any suite.
        step: Called with each folder once it is done.

    Raises:
        errors.InputError: The experiment of a suite was deleted by hand.
        client.StoreAway: The store does not say what it holds.
    """
    held = {suite: client.held(store, suite) for suite in {folder.parent.name for folder in folders}}
    synced = Synced([], [], [], [])
    for folder in folders:
        try:
            if upload.mark(folder) in held[folder.parent.name]:
                synced.there.append(folder)
            elif synced.waiting:
                synced.waiting.append(folder)
            else:
                upload.upload(store, folder)
                synced.sent.append(folder)
        except client.StoreAway:
            synced.waiting.append(folder)
        except (run_folder.Damaged, upload.Refused) as error:
            synced.damaged.append(str(error))
        step(folder)
    return synced


def folders(root: pathlib.Path) -> list[pathlib.Path]:
    """Returns the folders below `root`, one level for suites and one for runs, of runs that no process holds."""
    found = sorted(file.parent for file in root.glob("*/*/run.json"))
    return [folder for folder in found if run_folder.status(folder) != "running"]
