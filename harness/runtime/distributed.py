# SPDX-License-Identifier: Apache-2.0
"""Several processes, on one machine or many, that train one run together: each the same program, on its own examples.

The first leads: it alone reads the store, writes run folders and speaks. Whatever a process decides by anything but
its numbers (what is missing, time, signals) it must ask the leader for (`agreed`), or they wait for each other for
ever. The others work on copies of the leader's folders, which they throw away; so folders lie where all can read them.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from harness import errors
from harness.runtime import signals

AUTO = "auto"
"""The coordinator where jax finds out by itself: SLURM, Open MPI, Cloud TPU."""

PATIENCE = 10
"""Seconds that a process which ends waits for the others; they end with it, if need be by force."""

STOP = -1
"""What the leader says when there is nothing more to do."""


class Hosts(NamedTuple):
    """Who trains together.

    Attributes:
        coordinator: `HOST:PORT` of the leader, or AUTO.
        processes: How many; None where jax finds out.
        process: Which this is, from 0, the leader; None where jax finds out.
    """

    coordinator: str
    processes: int | None = None
    process: int | None = None

    @property
    def leads(self) -> bool:
        """Whether this process leads; under AUTO SLURM or Open MPI say which it is."""
        if self.coordinator != AUTO:
            return self.process == 0
        ranks = (os.environ.get(name) for name in ("SLURM_PROCID", "OMPI_COMM_WORLD_RANK"))
        return next((rank for rank in ranks if rank), "0") == "0"


def of(coordinator: str | None, processes: int | None, process: int | None) -> Hosts | None:
    """Returns the hosts that options name, or None for a process alone.

    Raises:
        errors.InputError: If options are missing, or there is no such process.
    """
    if coordinator is None:
        if processes is None and process is None:
            return None
        raise errors.InputError("--coordinator is missing: HOST:PORT of process 0, or auto under SLURM")
    if coordinator == AUTO:
        return Hosts(AUTO)
    if processes is None or process is None:
        raise errors.InputError("--processes and --process are missing: how many there are, and which this is, from 0")
    if not coordinator.rpartition(":")[2].isdecimal() or not coordinator.rpartition(":")[0]:
        raise errors.InputError(f"--coordinator: '{coordinator}' is not allowed; allowed: HOST:PORT, or auto")
    if process >= processes:
        raise errors.InputError(f"--process: {process} is not allowed; allowed: 0 to {processes - 1}")
    return Hosts(coordinator, processes, process)


def join(hosts: Hosts) -> None:
    """Waits for the others; to be called before the first device is asked for.

    Raises:
        errors.InputError: If they do not meet within 5 minutes.
    """
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        if hosts.coordinator == AUTO:
            jax.distributed.initialize(shutdown_timeout_seconds=PATIENCE)
        else:
            named = hosts.coordinator, hosts.processes, hosts.process
            jax.distributed.initialize(*named, shutdown_timeout_seconds=PATIENCE)
    except (RuntimeError, ValueError) as error:
        first = errors.first_line(error)[:200]
        raise errors.InputError(f"--coordinator: '{hosts.coordinator}': the processes did not meet: {first}") from error


def leads() -> bool:
    """Says whether this process leads; one that is alone does."""
    import jax

    return jax.process_index() == 0


def agreed(value: int) -> int:
    """Returns the leader's value, in all processes; they wait for each other.

    Every process gives a row for each of its devices, and the first row is the leader's.
    """
    import jax
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    from harness.runtime import sharding

    if jax.process_count() == 1:
        return value
    shares = NamedSharding(jax.sharding.get_mesh(), PartitionSpec(sharding.EXAMPLES))
    rows = jax.make_array_from_callback((sharding.count(),), shares, lambda index: np.asarray([value]))
    return int(_first()(rows))


@functools.cache
def _first() -> Callable[[Any], Any]:
    """Returns the compiled function that all processes ask for the first row."""
    import jax

    return jax.jit(lambda rows: rows[0])


@contextlib.contextmanager
def steady() -> Iterator[None]:
    """Holds signals back while processes work together, for `heed`; one that is alone takes them as they come."""
    import jax

    with signals.shielded() if jax.process_count() > 1 else contextlib.nullcontext():
        yield


def heed() -> None:
    """Ends the work of all processes at the same place, if the leader was signalled.

    Raises:
        KeyboardInterrupt: In all of them.
    """
    import jax

    if jax.process_count() > 1 and agreed(signals.taken()):
        raise KeyboardInterrupt


def follow(do: Callable[[int], object]) -> None:
    """Does what the leader announces by number, until it says STOP; signals are left to the leader.

    Raises:
        errors.Stopped: If the leader was stopped, or is gone.
    """
    import jax

    for number in signals.SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    try:
        while (order := agreed(STOP)) != STOP:
            do(order)
    except jax.errors.JaxRuntimeError as error:
        raise errors.Stopped("process 0 is gone; say the same command again on all hosts") from error
    except KeyboardInterrupt:
        raise errors.Stopped("stopped with process 0; say the same command again on all hosts") from None
