# SPDX-License-Identifier: Apache-2.0
"""ENGINES: where tasks are run; one file each, with `opened`. They train in other processes than that which orders."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Generator, Sequence
from typing import Literal, NamedTuple

from harness import errors
from harness.jobs import task
from harness.runs import events
from harness.runtime import distributed

ENGINES = {
    "local": "worker processes on this machine",
    "ray": "a Ray cluster, or Ray on this machine",
}

TOGETHER = "together"
"""The engine of processes that train one run together; `--coordinator` asks for it."""

RETRIES = {"local": 1, "ray": 2}
"""How often a task whose process died is begun again (where it was), before its runs have failed."""


class Options(NamedTuple):
    """What a person may say about where tasks are run.

    Attributes:
        device: auto, cpu, gpu or tpu.
        devices: Devices that share the examples of a batch, in each worker.
        jobs: Tasks at once; None: locally one for each core, as memory has room; as many as fit on a cluster.
        gpus: GPUs that a task takes (ray).
        cpus: Cores that a task takes (ray).
        address: Of the cluster (ray); None: RAY_ADDRESS, else a cluster of this machine alone.
        together: The processes that train one run together (together).
    """

    device: str = "auto"
    devices: int = 1
    jobs: int | None = None
    gpus: float = 0
    cpus: float = 1
    address: str | None = None
    together: distributed.Hosts | None = None


What = Literal["begin", "retry"]
Note = Callable[[What, task.Task, str], None]
"""`(what, task, why)`: told that a worker begins a task, or that its worker died and it is begun again."""


class Engine(NamedTuple):
    """An open engine.

    Attributes:
        perform: `(portions, tell, note)`: runs the tasks of portions and yields the result of each as it ends.
        stop: Lets running tasks finish and write their current unit, and returns when they have.
    """

    perform: Callable[[Sequence[task.Portion], events.Tell, Note], Generator[task.Result]]
    stop: Callable[[], None]


def opened(name: str, options: Options, expected: Sequence[task.Task]) -> contextlib.AbstractContextManager[Engine]:
    """Opens an engine; leaving the context ends whatever it still does.

    Args:
        name: A name in ENGINES.
        options: What the user said.
        expected: About what tasks there will be, in their order; workers for them start, and make ready, at once.

    Raises:
        errors.InputError: If there is no such engine, it is not installed, or it cannot give what is asked for.
    """
    if name not in (*ENGINES, TOGETHER):
        raise errors.InputError(
            f"--engine: '{name}' is not known; allowed: {', '.join(ENGINES)}{errors.nearest(name, ENGINES)}"
        )
    try:
        module = importlib.import_module(f"harness.jobs.engines.{name}")
    except ModuleNotFoundError as error:
        raise errors.InputError(f"--engine {name} needs {error.name}: pip install -e '.[{name}]'") from error
    context: contextlib.AbstractContextManager[Engine] = module.opened(options, expected)
    return context
