# SPDX-License-Identifier: Apache-2.0
"""The device and its numerics: set once, at the front door, before an array exists, and recorded with every run.

On a CPU the bits of a run depend on the number of threads that share a product, on the instruction set, and on the make
of the CPU: on one machine a pinned number gives the same bits on one core and on many, at whatever load. So threads and
instruction set are pinned, for every run, and a canary tells machines of other bits apart (harness/runtime/canary.py):
XLA's libraries for products of matrices choose by the CPU whatever the pin says. What else the environment may change
is in harness/runtime/environment.py. `PJRT_NPROC`, `NPROC` and `XLA_FLAGS`
that a user sets win, and are recorded. On a GPU the kernels that sum in an order of their own are forbidden (not
measured).
"""

from __future__ import annotations

import ctypes
import os
import platform
from typing import TYPE_CHECKING, Any

from harness import errors
from harness.runtime import compilation_cache, distributed, environment, lapack, sharding

if TYPE_CHECKING:
    import jax

CHOICES = ("auto", "cpu", "gpu", "tpu")

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Names of mallopt's settings, from glibc's malloc.h."""

KEPT = 2**28
"""Bytes of free memory that the process keeps for its next arrays before it gives any back."""

THREADS = 2
"""Threads that share a product on a CPU."""

MEETING = 4
"""Devices for which threads are pinned where processes train together: their number is not known yet."""

ISA = "AVX2"
"""Largest instruction set of x86 that is used: most machines have it."""

X86 = ("x86_64", "AMD64")


def configure(choice: str = "auto", count: int = 1, together: distributed.Hosts | None = None) -> str:
    """Chooses the device, pins what bits depend on, opens the store of compiled programs; returns the device in words.

    Diagnostics are computed in float64; matrix products are never rounded to TF32 or bfloat16. To be called before
    the first array of the process: what comes later finds threads and instruction set settled.

    Args:
        choice: One of CHOICES.
        count: Devices that share the examples of a batch. With `cpu` they are made of this machine's cores, which
            gains no time: it is how a run for several GPUs is tried out.
        together: The processes that train together, with all the devices that they have; waits for them.

    Raises:
        errors.InputError: If there is no such device, or not so many, or the processes do not meet.
    """
    if choice not in CHOICES:
        allowed = ", ".join(CHOICES)
        raise errors.InputError(
            f"--device: '{choice}' is not known; allowed: {allowed}{errors.nearest(choice, CHOICES)}"
        )
    _pin(count if together is None else MEETING)
    import jax

    environment.pin()
    if choice == "cpu":
        jax.config.update("jax_platforms", "cpu")
        if count > 1:
            _split(count)
    if together:
        distributed.join(together)
    compilation_cache.keep(f"{platform.machine()}-{_threads() or 'all'}-threads")
    try:
        shown = jax.devices(None if choice == "auto" else choice)
    except (RuntimeError, AssertionError) as error:  # the latter for a platform of a plug-in that is not installed
        asked = os.environ.get("JAX_PLATFORMS")
        if choice == "auto" and asked:
            text = f"JAX_PLATFORMS={asked}: this machine shows jax no such device; unset it, or say JAX_PLATFORMS=cpu"
            raise errors.InputError(text) from error
        raise errors.InputError(f"--device: this machine shows jax no {choice}; say --device auto or cpu") from error
    count = len(shown) if jax.process_count() > 1 else count
    if count > len(shown):
        kind = shown[0].platform
        hint = "; --device cpu makes them of its cores, to try out" if kind == "cpu" else ""
        allowed = f"1 to {len(shown)}, the {kind}s that jax shows"
        raise errors.InputError(f"--devices: {count} is not allowed; allowed: {allowed}{hint}")
    jax.config.update("jax_default_device", next(one for one in shown if one.process_index == jax.process_index()))
    sharding.over(shown[:count])
    return _words(shown[0], count)


def profile() -> dict[str, Any]:
    """Returns what the bits of a run depend on beside its cell, as it is in this process; after `configure`.

    Runs whose profiles are equal and `exact` have equal bits, states and records; jax and jaxlib are in the versions of
    a run. LAPACK, which numpy and scipy call for spectra, must have one thread and known kernels: that is settled where
    numpy is first imported (harness/runtime/lapack.py), not here.
    """
    import jax

    device = _default()
    flags = " ".join(sorted(os.environ.get("XLA_FLAGS", "").split()))
    isa = _flag("--xla_cpu_max_isa") if platform.machine() in X86 else platform.machine()
    deterministic = {"cpu": True, "gpu": _flag("--xla_gpu_deterministic_ops") == "true"}.get(device.platform)
    found = {
        "platform": device.platform,
        "kind": device.device_kind,
        "devices": sharding.count(),
        "processes": jax.process_count(),
        "threads": _threads(),
        "lapack_threads": _number("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"),
        "lapack_kernels": os.environ.get("OPENBLAS_CORETYPE"),
        "isa": isa,
        "xla_flags": flags,
        "deterministic": deterministic,
        "x64": bool(_setting("jax_enable_x64")),
        "matmul_precision": _setting("jax_default_matmul_precision"),
        "threefry_partitionable": bool(_setting("jax_threefry_partitionable")),
    }
    if foreign := environment.foreign(os.environ):  # only then, so that profiles of other versions stay comparable
        found["environment"] = foreign
    known = (isa == ISA and found["lapack_kernels"] == lapack.KERNELS) or isa in ("aarch64", "arm64")
    pinned = found["threads"] == THREADS and found["lapack_threads"] == 1 and known
    return {**found, "exact": device.platform == "cpu" and sharding.count() == 1 and pinned and not foreign}


def check(precision: str) -> None:
    """Refuses to train in a precision that the device only imitates.

    A TPU has no float64; XLA makes one of pairs of float32, of less precision and range. So it trains in float32 only,
    and what is measured in float64 is measured on its host's CPU (`sharding.exact`). Not measured on a TPU.

    Raises:
        errors.InputError: If it is float64 and the device is a TPU.
    """
    import jax

    if precision == "float64" and jax.default_backend() == "tpu":
        raise errors.InputError("precision: 'float64' is not allowed on a TPU; allowed: float32, or --device cpu")


def _default() -> jax.Device:
    import jax

    return _setting("jax_default_device") or jax.devices()[0]


def _setting(name: str) -> Any:
    import jax

    return getattr(jax.config, name)


def _pin(count: int) -> None:
    """Settles threads and flags in the environment, where XLA reads them when the first device is asked for."""
    if _threads() is None:
        os.environ["PJRT_NPROC"] = str(THREADS if count == 1 else max(THREADS, 2 * count))
    wanted = {"--xla_gpu_deterministic_ops": "true"}
    if platform.machine() in X86:
        wanted["--xla_cpu_max_isa"] = ISA
    for name, value in wanted.items():
        if _flag(name) is None:
            os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {name}={value}".strip()


def _split(count: int) -> None:
    """Makes several devices of the CPU. They meet in every sum, so each needs threads, and one program at a time."""
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)
    if _setting("jax_num_cpu_devices") < count and _flag("--xla_force_host_platform_device_count") is None:
        jax.config.update("jax_num_cpu_devices", count)


def _threads() -> int | None:
    """Returns the number of threads that XLA is told to use on a CPU, or None where it takes all cores."""
    return _number("PJRT_NPROC", "NPROC")


def _number(*names: str) -> int | None:
    """Returns the first of some variables of the environment that is a number, or None."""
    for name in names:
        value = os.environ.get(name, "")
        if value.isdecimal():
            return int(value)
    return None


def _flag(name: str) -> str | None:
    """Returns the value of a flag in XLA_FLAGS, the last if it is given twice; None where it is not given."""
    values = [flag.partition("=")[2] for flag in os.environ.get("XLA_FLAGS", "").split() if flag.split("=")[0] == name]
    return values[-1] if values else None


def _words(device: jax.Device, count: int) -> str:
    many = f", {count} devices" if count > 1 else ""
    if device.platform == "cpu":
        keep_memory()
        return f"cpu {platform.machine()}, {os.cpu_count()} cores{many}"
    return f"{device.platform} {device.device_kind}{many}"


def keep_memory(kept: int = KEPT) -> bool:
    """Lets the C library keep so many bytes of freed memory; says whether it does so. Harmless where it cannot.

    By default glibc takes large arrays from the system and gives them back each time, and a program with large
    temporaries spends its time in page faults: it does not keep the pages between products. And all threads
    take them from one place: each thread's own would hold up to 64 MiB, and gives back what is larger.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc: macOS, musl, Windows
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    settings = {M_MMAP_THRESHOLD: kept, M_TRIM_THRESHOLD: kept, M_ARENA_MAX: 1}
    return all([mallopt(what, value) == 1 for what, value in settings.items()])
