# SPDX-License-Identifier: Apache-2.0
"""Timing on a shared machine: CPU seconds of this process, in interleaved rounds, and what jax compiles meanwhile.

Wall time says who else is at work; user + system time of the process says what a program costs, to about 15 %. Cases
are timed A, B, C, A, B, C, ... so that a slow minute hits all of them, and only ratios of the same rounds are compared.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

ROUNDS = 5
"""Rounds of a measurement; a ratio that spreads more than SPREAD gets as many again, once."""

SPREAD = 0.15
"""Largest spread of a ratio that is taken as it is."""

SHORTEST = 0.05
"""CPU seconds that one reading lasts at least; a shorter case is called several times."""

LONGEST = 100.0
"""CPU seconds that the rounds of a measurement may take; beyond that there are fewer of them, at least one."""

COMPILATION = "/jax/core/compile/backend_compile_duration"
"""The event by which jax says that it has compiled a program."""


class Timing(NamedTuple):
    """What a case cost.

    Attributes:
        first: CPU seconds of the first call, compilation included.
        rounds: CPU seconds of one call, in each round.
    """

    first: float
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """CPU seconds of one call."""
        return float(np.median(self.rounds))


class Ratio(NamedTuple):
    """A median over rounds, and half the interquartile range over rounds as a share of it."""

    value: float
    spread: float


def keep_to_one_core() -> int | None:
    """Keeps this process to one core, where the system lets it; returns which. To be called before jax starts.

    CPU seconds of several threads hold what they wait for each other; those of one core do not.
    """
    if not hasattr(os, "sched_setaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    core = allowed[os.getpid() % len(allowed)]  # two benches at once should not meet
    os.sched_setaffinity(0, {core})
    os.environ.setdefault("PJRT_NPROC", "1")  # one thread, as the peers have on one core
    return core


@contextlib.contextmanager
def all_cores() -> Iterator[None]:
    """Gives processes that are started meanwhile all cores and their own number of threads, as users have them."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    kept, threads = os.sched_getaffinity(0), os.environ.pop("PJRT_NPROC", None)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, kept)
        if threads is not None:
            os.environ["PJRT_NPROC"] = threads


def interleaved(
    cases: Mapping[str, Callable[[], Any]], *, against: str | None = None, rounds: int = ROUNDS
) -> dict[str, Timing]:
    """Times cases in interleaved rounds.

    Args:
        cases: Name to a function that does the work; arrays of jax that it returns are waited for.
        against: The case that the others are compared with; without it, the first.
        rounds: Number of rounds; doubled once where a ratio to `against` spreads more than SPREAD.
    """
    base = against or next(iter(cases))
    first = {name: cpu_seconds(case) for name, case in cases.items()}
    warm = {name: cpu_seconds(case) for name, case in cases.items()}
    calls = {name: max(1, math.ceil(SHORTEST / max(seconds, 1e-6))) for name, seconds in warm.items()}
    cost = sum(calls[name] * seconds for name, seconds in warm.items())
    rounds = max(1, min(rounds, int(LONGEST / cost)))
    read: dict[str, list[float]] = {name: [] for name in cases}
    for again in range(2):
        for _ in range(rounds):
            for name, case in cases.items():
                read[name].append(cpu_seconds(case, calls[name]))
        spreads = [_ratio(read[name], read[base]).spread for name in cases]
        if max(spreads) <= SPREAD or (again + 2) * rounds * cost > LONGEST:
            break
    return {name: Timing(first[name], tuple(seconds)) for name, seconds in read.items()}


def cpu_seconds(case: Callable[[], Any], calls: int = 1) -> float:
    """Returns user + system seconds of this process, all threads, for one of `calls` calls.

    Wall seconds where jax computes on an accelerator, which the process only waits for.
    """
    import jax

    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    began = clock()
    for _ in range(calls):
        jax.block_until_ready(case())
    return (clock() - began) / calls


def ratio(a: Timing, b: Timing, scale: float = 1.0) -> Ratio:
    """Returns the median over rounds of a / (scale b), each round against itself, and its spread."""
    return _ratio(a.rounds, [scale * seconds for seconds in b.rounds])


def _ratio(a: Sequence[float], b: Sequence[float]) -> Ratio:
    ratios = np.asarray(a) / np.asarray(b)
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    return Ratio(float(middle), float((high - low) / 2 / middle))


@contextlib.contextmanager
def compilations() -> Iterator[list[float]]:
    """Gives a list that grows by the wall seconds of each program that jax compiles while the context lasts."""
    import jax.monitoring

    found: list[float] = []
    listening = True

    def listen(event: str, duration_secs: float, **_facts: str | int) -> None:
        if listening and event == COMPILATION:
            found.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        listening = False
