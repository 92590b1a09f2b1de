# SPDX-License-Identifier: Apache-2.0
"""The files of a bundle, out of a folder or a zip: names from a fixed list, regular files of bounded size.

Nothing is extracted, no link is followed, and the first file that belongs to no bundle ends it.
"""

from __future__ import annotations

import os
import pathlib
import re
import stat
import zipfile
import zlib

from leaderboard.bundles import bundle as bundles
from leaderboard.export import tracing

SEED = r"seed-(?:0|[1-9][0-9]?)"
NAMES = re.compile(rf"bundle\.json|cell\.yaml|{SEED}/(?:{'|'.join(map(re.escape, bundles.SEED_FILES))})")
"""What a file of a bundle may be called: at most 100 seeds."""

LIMITS = {
    bundles.MANIFEST: 1 << 18,
    "cell.yaml": 1 << 17,
    "run.json": 1 << 18,
    "records.jsonl": 1 << 24,
    "spectra.jsonl": 1 << 23,
    **tracing.FILES,
    "states.safetensors": 1 << 25,
}
"""Bytes of a file, at most."""

TOTAL = 1 << 28
"""Bytes of all files together, at most."""

RATIO = 200
"""How many times its size a file of a zip may become, at most."""


def of_folder(path: pathlib.Path) -> dict[str, bytes]:
    """Returns the files of a folder: regular ones with allowed names, two levels deep; anything else is refused."""
    files: dict[str, bytes] = {}
    budget = TOTAL
    todo = [(path, "")]
    while todo:
        folder, prefix = todo.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                facts = entry.stat(follow_symlinks=False)
                if not prefix and stat.S_ISDIR(facts.st_mode) and re.fullmatch(SEED, entry.name):
                    todo.append((pathlib.Path(entry.path), f"{entry.name}/"))
                    continue
                if not NAMES.fullmatch(name):
                    raise ValueError(f"{name[:80]!r} is not a file of a bundle")
                if not stat.S_ISREG(facts.st_mode):
                    raise ValueError(f"{name} is not a regular file")
                with open(entry.path, "rb") as handle:
                    files[name] = handle.read(min(_limit(name), budget) + 1)
                budget = budget_left(name, len(files[name]), budget)
    return files


def of_zip(path: pathlib.Path) -> dict[str, bytes]:
    """Returns the files of a zip: by name from a fixed list, each read up to its limit; nothing is ever extracted."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError("it is neither a folder nor a regular file")
    if path.stat().st_size > TOTAL:
        raise ValueError(f"it is larger than {TOTAL >> 20} MiB")
    files: dict[str, bytes] = {}
    budget = TOTAL
    try:
        with zipfile.ZipFile(path) as archive:
            _require_plain(archive, path)
            for info in archive.infolist():
                with archive.open(info) as handle:
                    files[info.filename] = handle.read(min(_limit(info.filename), budget) + 1)
                budget = budget_left(info.filename, len(files[info.filename]), budget)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise ValueError(f"it is no zip that can be read: {str(error)[:80]}") from None
    return files


def _require_plain(archive: zipfile.ZipFile, path: pathlib.Path) -> None:
    """Makes sure that a zip holds nothing but files of a bundle, each once, and no byte beside them.

    Raises:
        ValueError: It does.
    """
    names = [info.filename for info in archive.infolist()]
    if len(names) > 2 + 100 * len(bundles.SEED_FILES):
        raise ValueError(f"it holds {len(names)} files, more than any bundle")
    for info in archive.infolist():
        kind = info.external_attr >> 16
        if not NAMES.fullmatch(info.filename) or info.orig_filename != info.filename:
            raise ValueError(f"{info.orig_filename[:80]!r} is not a file of a bundle")
        if kind and not stat.S_ISREG(kind) and stat.S_IFMT(kind):
            raise ValueError(f"{info.filename} is not a regular file")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
            raise ValueError(f"{info.filename} is encrypted, or packed in a way that is not read")
        if info.file_size > RATIO * max(info.compress_size, 1) or info.file_size > _limit(info.filename):
            raise ValueError(f"{info.filename} would become {info.file_size} bytes")
    if len(set(names)) != len(names):
        raise ValueError("it holds a file twice")
    size = path.stat().st_size
    with open(path, "rb") as handle:
        begins = handle.read(4)
        handle.seek(max(0, size - 22))
        ends = handle.read(22)
    if begins != b"PK\x03\x04" or ends[:4] != b"PK\x05\x06" or archive.comment:
        raise ValueError("it has bytes before or behind the zip")


def budget_left(name: str, size: int, budget: int) -> int:
    """Returns the bytes that a file of some size leaves of a budget.

    Raises:
        ValueError: It is larger than a file of its name may be, or than the budget.
    """
    if size > _limit(name) or size > budget:
        raise ValueError(f"{name} is larger than {min(_limit(name), budget) >> 10} KiB")
    return budget - size


def _limit(name: str) -> int:
    """Returns how many bytes a file of a bundle may have."""
    return LIMITS[name.rpartition("/")[2]]
