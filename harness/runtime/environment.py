# SPDX-License-Identifier: Apache-2.0
"""What the user's environment may change of numbers: pinned, or recorded with every run, or harmless.

| what | what becomes of it |
| --- | --- |
| flags of jax in PINNED | our value, whatever the environment says |
| threads, instruction set, XLA_FLAGS, kernels of LAPACK | the user's win, and are recorded (`device.profile`) |
| HARMLESS | nothing: where to look for devices, what to log, what to keep on disk |
| every other flag of jax, and every variable that begins as PREFIXES | recorded; such runs are not `exact` |
| hash seed of Python, locale, time zone, folder | no number depends on them (a test holds it) |
"""

from __future__ import annotations

from collections.abc import Mapping

PINNED: dict[str, object] = {
    "jax_enable_x64": True,
    "jax_default_matmul_precision": "highest",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
    "jax_default_prng_impl": "threefry2x32",
    "jax_disable_jit": False,
    "jax_debug_nans": False,
    "jax_debug_infs": False,
    "jax_numpy_dtype_promotion": "standard",
}
"""Flags of jax that change numbers, or what an error is, and their values here, which are those of jax but for the
first three."""

PREFIXES = ("JAX_", "XLA_", "NPY_", "OPENBLAS_", "PJRT_", "TF_XLA_FLAGS", "NVIDIA_TF32_OVERRIDE")
"""How the names of variables begin that jax, XLA and numpy read."""

HARMLESS = (
    *("JAX_PLATFORMS", "JAX_PLATFORM_NAME", "JAX_CUDA_VISIBLE_DEVICES", "JAX_ROCM_VISIBLE_DEVICES"),
    *("JAX_NUM_CPU_DEVICES", "JAX_COORDINATOR_", "JAX_ENABLE_COMPILATION_CACHE", "JAX_COMPILATION_CACHE_"),
    *("JAX_PERSISTENT_CACHE_", "JAX_RAISE_PERSISTENT_CACHE_ERRORS", "JAX_EXPLAIN_CACHE_MISSES", "JAX_LOG_"),
    *("JAX_LOGGING_LEVEL", "JAX_DEBUG_LOG_MODULES", "JAX_TRACEBACK_", "JAX_TRACER_ERROR_", "JAX_DUMP_IR_"),
    *("JAX_INCLUDE_", "JAX_PPRINT_USE_COLOR", "JAX_CPU_ENABLE_ASYNC_DISPATCH", "JAX_CPU_GET_", "XLA_PYTHON_CLIENT_"),
    *("XLA_FLAGS", "PJRT_NPROC", "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_VERBOSE"),
)
"""How the names of those begin that change no number, or are in the profile by themselves."""


def pin() -> None:
    """Gives the flags of jax that are pinned their values; to be called before the first array of the process."""
    import jax

    for name, value in PINNED.items():
        jax.config.update(name, value)


def foreign(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables of an environment that may change numbers and are neither pinned nor known otherwise."""
    import jax

    flags = {name.upper() for name in jax.config.values}
    pinned = {name.upper() for name in PINNED}
    read = (name for name in sorted(environment) if name in flags or name.startswith(PREFIXES))
    return {name: environment[name] for name in read if name not in pinned and not name.startswith(HARMLESS)}
