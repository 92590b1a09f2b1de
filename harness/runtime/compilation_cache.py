# SPDX-License-Identifier: Apache-2.0
"""Compiled programs on disk: what XLA has compiled once, the next start reads (jax's persistent compilation cache).

They lie in `JAX_COMPILATION_CACHE_DIR`, else in `gdzoo/xla` of `XDG_CACHE_HOME` or `~/.cache`: outside the workspace,
for all of them. jax names an entry by the program, the flags, jaxlib and the features of the CPU, not by the number of
threads, so that each number has a folder. `JAX_ENABLE_COMPILATION_CACHE=false` turns it off.

Write access to that folder is as good as running code here, as jax says: share it with people you trust alone.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import warnings
import zlib

LIMIT = 2**29
"""Bytes of all entries together; the longest unused go first. A quickstart leaves about 15 million."""

CHECKED = "checked"
"""The file whose time says which entries were found whole."""

ZLIB = b"\x78"
"""The first byte of what jax compresses where no zstandard is installed."""


def folder() -> pathlib.Path:
    """Returns where compiled programs are kept (it need not exist)."""
    named = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    shared = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "gdzoo" / "xla"
    return pathlib.Path(named or shared).expanduser().absolute()


def keep(part: str) -> None:
    """Keeps what this process compiles in a part of the folder, and takes from there what others have compiled.

    A folder that cannot be written to, or is full, makes starts slow and nothing else: jax then compiles, and its
    warnings are not shown.
    """
    import jax

    place = folder() / part
    try:
        place.mkdir(parents=True, exist_ok=True)
        tidy(place)
    except OSError:
        return
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache")
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def tidy(place: pathlib.Path, limit: int = LIMIT) -> None:
    """Deletes entries that are not whole, and the longest unused where there are too many.

    A process that is killed while it writes leaves half an entry under the whole one's name, which jax would refuse at
    every start and never replace. jax's own bound (`jax_compilation_cache_max_size`) is not used: it takes a lock for
    each program, reads every entry's time before each write, and stops writing once a process was killed between two
    files (jax#39880). An entry that another process writes meanwhile may be deleted; it is then compiled once more.
    """
    checked = place / CHECKED
    since = checked.stat().st_mtime_ns if checked.exists() else 0
    checked.touch()
    kept: list[tuple[int, int, pathlib.Path]] = []
    for entry in place.glob("*-cache"):
        with contextlib.suppress(FileNotFoundError):
            facts = entry.stat()
            if facts.st_mtime_ns >= since and not _whole(entry):
                entry.unlink()
            else:
                kept.append((max(facts.st_atime_ns, facts.st_mtime_ns), facts.st_size, entry))
    total = sum(size for _, size, _ in kept)
    for _, size, entry in sorted(kept):
        if total <= limit:
            break
        entry.unlink(missing_ok=True)
        total -= size


def _whole(entry: pathlib.Path) -> bool:
    """Says whether an entry can be unpacked; what is not packed by zlib is believed."""
    packed = entry.read_bytes()
    if packed and not packed.startswith(ZLIB):
        return True
    try:
        zlib.decompress(packed)
    except zlib.error:
        return False
    return True
