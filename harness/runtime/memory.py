# SPDX-License-Identifier: Apache-2.0
"""Memory: how a computation that did not fit is recognised, and what would fit.

XLA says RESOURCE_EXHAUSTED and how many bytes it asked for, numpy raises MemoryError. What would fit is an estimate: a
dense spectrum holds about COPIES matrices at once, a Lanczos run its basis, and all else grows with the examples that
are taken at a time.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import resource
from collections.abc import Iterator

from harness import errors

COPIES = 4
"""Matrices (P, P) that a dense spectrum holds at once: the columns, their symmetric part, and the solver's two."""

SAID = ("RESOURCE_EXHAUSTED", "Out of memory allocating")
"""What XLA says when memory runs out: the first, or, where a computation is only dispatched, the second alone."""

ASKED = re.compile(r"allocat\w*\s+([\d.]+)\s*(bytes|[KMGT]iB)")
UNITS = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def exhausted(error: BaseException) -> bool:
    """Says whether an error means that memory ran out."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in SAID)


def available() -> int:
    """Returns the bytes that this process may take: of the accelerator, else of the machine or of its limit."""
    import jax

    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return machine if soft == resource.RLIM_INFINITY else min(machine, soft)


def spare() -> int:
    """Returns the unused bytes of the machine's memory, about, without asking a device."""
    with contextlib.suppress(OSError, ValueError, StopIteration), open("/proc/meminfo", encoding="ascii") as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@contextlib.contextmanager
def explaining(*, parameters: int, examples: int, chunk: int, rows: int) -> Iterator[None]:
    """Turns the error of a block that did not fit into one that says what would; arguments as of `explained`.

    Raises:
        errors.OutOfMemory: If memory ran out.
    """
    try:
        yield
    except Exception as error:
        if not exhausted(error):
            raise
        raise explained(
            error, parameters=parameters, examples=examples, chunk=chunk, rows=rows, limit=available()
        ) from error


def explained(
    error: BaseException, *, parameters: int, examples: int, chunk: int, rows: int, limit: int
) -> errors.OutOfMemory:
    """Returns the error that says what was asked for, and what would fit.

    Args:
        error: What was raised; `exhausted` holds of it.
        parameters: P.
        examples: N.
        chunk: Examples that are taken at a time.
        rows: Vectors (P,) that a Lanczos run holds; 0 for a dense spectrum.
        limit: Bytes that there are.
    """
    match = ASKED.search(str(error))
    asked = 0 if match is None else float(match[1]) * UNITS[match[2]]
    head = f"out of memory ({shown(asked)} asked for at once, {shown(limit)} there)" if asked else "out of memory"
    held = 8 * parameters * (rows or COPIES * parameters)
    if held > limit / 2 and not rows:
        fits = math.isqrt(limit // (16 * COPIES))
        return errors.OutOfMemory(
            f"{head}: a dense spectrum of {parameters:,} parameters takes {shown(held)}; up to about {fits:,} "
            "parameters fit, or write `curvature: lanczos`"
        )
    if held > limit / 2:
        fits = limit // (16 * rows)
        return errors.OutOfMemory(
            f"{head}: the {rows} vectors of a Lanczos run take {shown(held)} for {parameters:,} parameters; up to "
            f"about {fits:,} parameters fit"
        )
    taken = min(chunk, examples)
    share = min(0.5, (limit - held) / (2 * asked)) if asked else 0.5
    fits = 2 ** int(math.log2(max(1, taken * share)))
    remedy = f"`data.examples: {fits}`" if examples <= chunk else "ACTIVITY in harness/risk/objective.py sets how many"
    return errors.OutOfMemory(f"{head} with {taken:,} examples at a time; about {fits:,} fit: {remedy}")


def shown(size: float) -> str:
    """Returns bytes as people say them."""
    return f"{size / 1e9:.3g} GB" if size >= 1e9 else f"{size / 1e6:.3g} MB"
