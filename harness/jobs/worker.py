# SPDX-License-Identifier: Apache-2.0
"""The worker: the process in which runs are trained, `python -m harness.jobs.worker DEVICE COUNT`.

Started by engines/local.py. It reads one JSON object a line and answers in kind, on private copies of stdin and stdout:
whatever libraries print goes to stderr.

    {"expect": TASK}   ->  nothing; it makes ready for what may come
    {"groups": TASK}   ->  {"groups": [[0, 1], [2]], "bytes": what one of them needs}
    {"task": TASK}     ->  {"event": [kind, run_id, step, values, status]} ..., {"result": [said, reason]}
    on its own         ->  {"input": MESSAGE} where there is no such device

SIGTERM ends the current run after its current unit. So does the end of stdin: the parent is gone.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, TextIO

from harness import errors
from harness.jobs import task
from harness.runs import events
from harness.runtime import signals


def main() -> int:
    """Does what it is told until it is stopped; returns the exit code."""
    orders, replies = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"  # for people: not where in the code
    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders, inbox), daemon=True).start()
    with signals.handled():
        try:
            return _work(sys.argv[1], int(sys.argv[2]), inbox, lambda message: _say(replies, message))
        except KeyboardInterrupt:
            return errors.EXIT_STOPPED


def _work(
    choice: str, count: int, inbox: queue.SimpleQueue[dict[str, Any]], say: Callable[[dict[str, Any]], None]
) -> int:
    from harness.runtime import device as devices

    try:
        device = devices.configure(choice, count)
    except errors.InputError as error:
        say({"input": str(error)})
        return errors.EXIT_INPUT

    def tell(event: events.Event) -> None:
        say({"event": event})
        if event.kind != "end":  # it may be one of several that end
            signals.check()

    while True:
        signals.check()
        order = inbox.get()
        if "expect" in order:
            task.make_ready(task.load(order["expect"]))
            continue
        if "groups" in order:
            whole = task.load(order["groups"])
            say({"groups": task.groups(whole), "bytes": task.needs(whole)})
            continue
        said, reason = task.perform(task.load(order["task"]), device, tell)
        say({"result": [said, reason]})
        if said == "stopped":
            return errors.EXIT_STOPPED


def _listen(orders: TextIO, inbox: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Hands on what is read; where the parent ends without a word, this process is stopped as by SIGTERM."""
    for line in orders:
        inbox.put(json.loads(line))
    os.kill(os.getpid(), signal.SIGTERM)


def _say(replies: TextIO, message: dict[str, Any]) -> None:
    """Writes a whole line; a closed pipe means that the parent is gone, which is a reason to stop."""
    with signals.shielded():
        try:
            replies.write(json.dumps(message) + "\n")
            replies.flush()
        except BrokenPipeError:
            raise KeyboardInterrupt from None


def tell_of(message: dict[str, Any]) -> events.Event:
    """Returns the event of a message."""
    kind, run_id, step, values, status = message["event"]
    return events.Event(kind, run_id, step, values, status)


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # nothing is left to do, and the libraries' own farewells take a second
