# SPDX-License-Identifier: Apache-2.0
"""Interrupts: Ctrl-C and SIGTERM end a run between two things that belong together, never within.

A signal raises KeyboardInterrupt, at once or, where code is shielded, as soon as the shield ends. A second one while
the first waits ends the process at once, as if killed: what is on disk is whole at any instant.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from harness import errors

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_shields = 0
_waiting = False
_came = False


def waiting() -> bool:
    """Says whether a signal came while code was shielded, and waits for the shield to end."""
    return _waiting


def check() -> None:
    """Raises KeyboardInterrupt if a signal came since they are handled and yet the work went on.

    That happens: an exception that is raised within a callback of the garbage collector or a destructor (jax has such)
    is printed and dropped. A loop that must not outlive its stop calls this once a round.
    """
    if _came and not _shields:
        raise KeyboardInterrupt


def taken() -> bool:
    """Says whether a signal waits, and takes it: the caller must act on it, for it raises nothing any more."""
    global _waiting
    found, _waiting = _waiting, False
    return found


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """While it lasts, both signals raise KeyboardInterrupt; afterwards they do what they did before.

    Outside the main thread, where Python takes no signals, it does nothing.
    """
    global _came, _waiting
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, _arrived) for number in SIGNALS}
    try:
        yield
    finally:
        _came = _waiting = False
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """Holds a signal back until the block is done, then raises it as KeyboardInterrupt."""
    global _shields
    _shields += 1
    try:
        yield
    finally:
        _shields -= 1
    _raise_if_waiting()


def _arrived(_number: int, _frame: FrameType | None) -> None:
    global _came, _waiting
    _came = True
    if _waiting:
        os._exit(errors.EXIT_STOPPED)
    if not _shields:
        raise KeyboardInterrupt
    _waiting = True


def _raise_if_waiting() -> None:
    global _waiting
    if _waiting and not _shields:
        _waiting = False
        raise KeyboardInterrupt
