# SPDX-License-Identifier: Apache-2.0
"""Events: what happens in runs, told while it happens, to a progress bar or to another program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

Kind = Literal["begin", "step", "record", "end"]


class Event(NamedTuple):
    """Something that happened in one run.

    Attributes:
        kind: `begin`: its programs are compiled next; `step`: it trained on; `record`: it was measured, and that is on
            disk; `end`: nothing more will come, `status` says why.
        run_id: Which run.
        step: Steps it has taken; -1 at its beginning.
        values: The metrics of a record; empty for other kinds.
        status: Of a run that ended, as in its folder.
    """

    kind: Kind
    run_id: str
    step: int = -1
    values: dict[str, float] = {}  # noqa: RUF012  never changed
    status: str = ""


Tell = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Does nothing with it."""
