# SPDX-License-Identifier: Apache-2.0
"""LAPACK in every process that computes spectra: one thread, and the kernels of one instruction set.

Threads of OpenBLAS spin while they wait for each other, which beside other work costs many times what one thread takes
for a whole dense spectrum. And last digits depend on how many there are and on the kernels,
which OpenBLAS chooses by the CPU that it finds, so both are pinned unless the user set others. XLA has threads and an
instruction set of its own (harness/runtime/device.py).
"""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import MutableMapping

KERNELS = "Haswell"
"""OpenBLAS's kernels for AVX2 and FMA: those of every CPU that --xla_cpu_max_isa=AVX2 suits."""

NEEDED = {"avx2", "fma"}
"""What a CPU must say that it has: kernels that are told to OpenBLAS are not looked at again."""


@functools.cache
def settings() -> dict[str, str]:
    """Returns the variables that pin LAPACK on this machine; the number of threads only where the CPU is another."""
    try:
        said = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        said = ""
    return {"OMP_NUM_THREADS": "1"} | ({"OPENBLAS_CORETYPE": KERNELS} if set(said.split()) >= NEEDED else {})


def limit(environment: MutableMapping[str, str] = os.environ) -> None:
    """Puts the settings into an environment, before numpy is loaded in it."""
    for name, value in settings().items():
        environment.setdefault(name, value)
