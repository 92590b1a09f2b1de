# SPDX-License-Identifier: Apache-2.0
"""Numerics of the face: float64 and whole matrix products for as long as we compute, then as the caller had them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """Lets jax compute as `gdzoo run` measures (harness/runtime/device.py), in a process whose settings are not ours.

    What bits depend on beside them, threads and instruction sets, stays as it is: numbers agree with those of a run
    within their error bars, and on a machine that is set up as a run's is, to the bit.
    """
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield
