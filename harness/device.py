# SPDX-License-Identifier: Apache-2.0
"""The device and its numerics: set once, at the front door, before an array exists, and recorded with every run."""

from __future__ import annotations

import ctypes
import os
import platform

from harness import errors

CHOICES = ("auto", "cpu", "gpu", "tpu")

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of mallopt's settings, from glibc's malloc.h."""

KEPT = 2**28
"""Bytes of free memory that the process keeps for its next arrays before it gives any back."""


def configure(choice: str = "auto") -> str:
    """Chooses the device, allows float64, and fixes full-precision products; returns the device in words.

    Diagnostics are computed in float64; matrix products are never rounded to TF32 or bfloat16.

    Raises:
        errors.InputError: If there is no such device.
    """
    if choice not in CHOICES:
        allowed = ", ".join(CHOICES)
        raise errors.InputError(
            f"--device: '{choice}' is not known; allowed: {allowed}{errors.nearest(choice, CHOICES)}"
        )
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_default_matmul_precision", "highest")
    if choice == "cpu":
        jax.config.update("jax_platforms", "cpu")
    try:
        device = jax.devices(None if choice == "auto" else choice)[0]
    except RuntimeError as error:
        raise errors.InputError(f"--device: this machine shows jax no {choice}; say --device auto or cpu") from error
    jax.config.update("jax_default_device", device)
    if device.platform == "cpu":
        keep_memory()
        return f"cpu {platform.machine()}, {os.cpu_count()} cores"
    return f"{device.platform} {device.device_kind}"


def keep_memory(kept: int = KEPT) -> bool:
    """Lets the C library keep so many bytes of freed memory; says whether it does so. Harmless where it cannot.

    By default glibc takes large arrays from the system and gives them back each time, and a program with large
    temporaries spends its time in page faults: a product of a ViT took 1.2 times as long (measured).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc: macOS, musl, Windows
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return all([mallopt(what, kept) == 1 for what in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)])
