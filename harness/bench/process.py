# SPDX-License-Identifier: Apache-2.0
"""A process of its own, and what it took: CPU seconds, seconds, memory at its peak."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from harness import workspace


class Spent(NamedTuple):
    """What a process took, with the children that it waited for.

    Attributes:
        seconds: CPU seconds, user and system.
        wall: Seconds on the clock.
        peak: Most bytes resident at once, in the largest of them.
    """

    seconds: float
    wall: float
    peak: int


def spent(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Spent:
    """Runs a command in the checkout and returns what it took.

    Args:
        command: The words of the command.
        environment: What it sees beside, or instead of, what this process does.

    Raises:
        RuntimeError: If it fails; with the end of what it said.
    """
    began = time.perf_counter()
    where = {**os.environ, **(environment or {})}
    # Into a file: nobody reads a pipe while the process runs, and a full one would stop it.
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=workspace.CHECKOUT, env=where, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(said.read().decode(errors="replace")[-1000:])
    return Spent(usage.ru_utime + usage.ru_stime, time.perf_counter() - began, usage.ru_maxrss * 1024)
