# SPDX-License-Identifier: Apache-2.0
"""The errors a person can cause, and the exit codes that tell them apart."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_INPUT = 2
EXIT_REJECTED = 3
EXIT_BUG = 70
EXIT_STOPPED = 75


class InputError(Exception):
    """What the user gave is wrong: one message that says where, what, what is allowed and what to do. Exit code 2."""


class Rejected(Exception):
    """A bundle is none of ours, or a claim in it was not confirmed: one message. Exit code 3."""


class OutOfMemory(Exception):
    """Memory ran out: one message that says what was asked for and what would fit. Exit code 1: other runs go on."""


class Stopped(Exception):
    """The user or the system asked for a stop; what was recorded is kept. Exit code 75."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns `; did you mean 'x'?` for the most similar of `names`, or the empty string."""
    match = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"; did you mean '{match[0]}'?" if match else ""


def first_line(error: Exception) -> str:
    """Returns the first line of what an error says; empty if it says nothing."""
    return (str(error).strip().splitlines() or [""])[0]
