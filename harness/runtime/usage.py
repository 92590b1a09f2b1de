# SPDX-License-Identifier: Apache-2.0
"""Usage: what the process of a run takes of its machine, read at each checkpoint; MLflow's "System metrics".

The names are those of MLflow's own monitor, which would sample by the clock from a thread and knows nothing of steps.
Runs that train together share a process, and so these numbers. They are shown, never scored.
"""

from __future__ import annotations

import functools

import jax
import psutil

MEGABYTE = 1e6


@functools.cache
def _process() -> psutil.Process:
    """Returns this process, whose CPU share psutil counts from one call to the next."""
    return psutil.Process()


def reading() -> dict[str, float]:
    """Returns megabytes of memory, percent of one core since the last reading (0 at the first), seconds of CPU.

    With an accelerator, megabytes of its memory in use and at their peak too. Cost: a look at /proc.
    """
    process = _process()
    with process.oneshot():
        times = process.cpu_times()
        found = {
            "cpu_utilization_percentage": process.cpu_percent(),
            "cpu_seconds": times.user + times.system,
            "process_memory_megabytes": process.memory_info().rss / MEGABYTE,
            "system_memory_usage_percentage": psutil.virtual_memory().percent,
        }
    device = jax.local_devices()[0].memory_stats() or {}
    for name, key in (("usage", "bytes_in_use"), ("peak", "peak_bytes_in_use")):
        if key in device:
            found[f"gpu_0_memory_{name}_megabytes"] = device[key] / MEGABYTE
    return found
