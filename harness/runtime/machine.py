# SPDX-License-Identifier: Apache-2.0
"""What of the machine is this process's to use: cores and memory, by its affinity and control groups; without jax.

A container or a batch system gives a share of a machine by control groups (version 1 or 2). Each group on the way from
that of this process up to the root may have a limit, and the least of them holds.

Example:
    >>> from harness.runtime import machine
    >>> 1 <= machine.cores() and 0 < machine.spare()
    True
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import os
import pathlib
from collections.abc import Iterator

GROUPS = pathlib.Path("/sys/fs/cgroup")
PROC = pathlib.Path("/proc")


def cores() -> int:
    """Returns the cores that this process may use, at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *(math.ceil(quota) for quota in _quotas())]))


def spare() -> int:
    """Returns the bytes of memory that nobody uses and this process may take, about; not that of an accelerator."""
    free = [_available()]
    for folder in _folders("memory"):
        for most, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            limit, taken = _number(folder / most), _number(folder / used)
            if limit is not None and taken is not None:
                free.append(round(limit - taken))
    return max(0, min(free))


def accelerated() -> bool:
    """Says whether jax may find an accelerator: it needs a plug-in for each kind, beside jaxlib."""
    plugins = importlib.metadata.entry_points(group="jax_plugins")
    return bool(plugins) or any(importlib.util.find_spec(name) is not None for name in ("jax_plugins", "libtpu"))


def _quotas() -> Iterator[float]:
    """Yields how many cores' worth of time the control groups of this process may take, where they have a limit."""
    for folder in _folders("cpu"):
        words = _words(folder / "cpu.max")
        if len(words) == 2 and words[0] != "max":
            yield int(words[0]) / int(words[1])
        quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        if quota is not None and period and quota > 0:
            yield quota / period


def _folders(kind: str) -> Iterator[pathlib.Path]:
    """Yields the folders of the control groups of this process, up to the root, that limit a kind of thing."""
    lines = (PROC / "self" / "cgroup").read_text().splitlines() if (PROC / "self" / "cgroup").is_file() else []
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds and kind not in kinds.split(","):
            continue
        root = GROUPS / kind if kinds else GROUPS
        own = root / path.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder == root or root in folder.parents)


def _available() -> int:
    for line in (PROC / "meminfo").read_text().splitlines() if (PROC / "meminfo").is_file() else []:
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _words(file: pathlib.Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _number(file: pathlib.Path) -> int | None:
    """Returns the number in a file; None where there is none, or it says that there is no limit."""
    words = _words(file)
    return int(words[0]) if words and words[0].lstrip("-").isdecimal() else None
