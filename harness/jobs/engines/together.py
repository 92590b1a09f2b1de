# SPDX-License-Identifier: Apache-2.0
"""The engine of several processes that train one run together: no workers, this process is one.

The leader announces each task by its cell's name, as a number, and its place among the cell's groups; the others, which
were given the same specs, do the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING

from harness import config
from harness.jobs import engines, task
from harness.runs import events

if TYPE_CHECKING:
    pass


@contextlib.contextmanager
def opened(options: engines.Options, _expected: Sequence[task.Task]) -> Iterator[engines.Engine]:
    """Waits for the other processes."""
    from harness.runtime import device as devices
    from harness.runtime import distributed

    words = devices.configure(options.device, options.devices, options.together)

    def perform(portions: Sequence[task.Portion], tell: events.Tell, note: engines.Note) -> Generator[task.Result]:
        for portion in portions:
            groups = task.groups(portion.whole)
            for one in portion.tasks(groups):
                note("begin", one, "")
                distributed.agreed(_number(one.cell))
                distributed.agreed(groups.index(one.seeds))
                yield task.Result(one, *task.perform(one, words, tell))
        distributed.agreed(distributed.STOP)

    yield engines.Engine(perform, lambda: None)


def follow(portions: Sequence[task.Portion], options: engines.Options) -> None:
    """Does, in a process that does not lead, what the leader announces.

    Raises:
        errors.Stopped: If the leader was stopped, or is gone.
    """
    from harness.runtime import device as devices
    from harness.runtime import distributed

    words = devices.configure(options.device, options.devices, options.together)
    wholes = {_number(portion.whole.cell): portion.whole for portion in portions}

    def do(number: int) -> None:
        whole = wholes[number]
        seeds = task.groups(whole)[distributed.agreed(0)]
        if task.perform(whole._replace(seeds=seeds), words, events.ignore)[0] == "stopped":
            raise KeyboardInterrupt

    distributed.follow(do)


def _number(cell: config.Cell) -> int:
    """Returns a cell's name as a number: 12 hex digits fit into 64 bits."""
    return int(cell.cell_id, 16)
