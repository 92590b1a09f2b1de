# SPDX-License-Identifier: Apache-2.0
"""The output folder: only what changed is written, and what no longer belongs is removed.

A folder is ours when it holds the list of checksums that every build leaves; only files on that list are ever removed.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping
from typing import NamedTuple

from harness import errors

LINE = re.compile(r"[0-9a-f]{64}  (?P<path>[\w.-]+(?:/[\w.-]+)*)")


class Written(NamedTuple):
    """How many files a build wrote, left alone and removed."""

    written: int
    unchanged: int
    removed: int


def write(files: Mapping[str, bytes], folder: pathlib.Path, sums: str) -> Written:
    """Makes the folder hold exactly these files, beside whatever else a person put there.

    Args:
        files: Relative path -> bytes; one of them is `sums`.
        folder: Where to; made if missing.
        sums: Name of the file that lists the checksums of all the others. It is written last.

    Returns:
        What was done.

    Raises:
        errors.InputError: The folder holds things but no such list, or it cannot be written.
    """
    try:
        before = _before(folder, sums)
        changed = [
            path for path in sorted(files, key=lambda path: path == sums) if not _same(folder / path, files[path])
        ]
        for path in changed:
            replace(folder / path, files[path])
        gone = [path for path in sorted(before - set(files)) if (folder / path).is_file()]
        for path in gone:
            (folder / path).unlink()
            _prune(folder / path, folder)
    except OSError as error:
        raise errors.InputError(f"{folder}: the site cannot be written: {error.strerror or error}") from error
    return Written(len(changed), len(files) - len(changed), len(gone))


def _before(folder: pathlib.Path, sums: str) -> set[str]:
    """Returns the paths that the last build wrote; refuses a folder that holds anything but no list of ours."""
    if not folder.exists() or not any(folder.iterdir()):
        return set()
    listing = folder / sums
    if not listing.is_file():
        raise errors.InputError(
            f"{folder}: not empty and not a site of gdzoo (it has no {sums}); name an empty or a new folder with "
            "--output"
        )
    lines = listing.read_text(encoding="utf-8", errors="replace").splitlines()
    paths = [match["path"] for line in lines if (match := LINE.fullmatch(line))]
    return {path for path in paths if ".." not in path.split("/")}


def _same(path: pathlib.Path, content: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


def replace(path: pathlib.Path, content: bytes) -> None:
    """Writes a file whole or not at all; its folder is made if missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def _prune(path: pathlib.Path, folder: pathlib.Path) -> None:
    """Removes the folders that became empty, up to the site itself."""
    for parent in path.parents:
        if parent == folder or any(parent.iterdir()):
            return
        parent.rmdir()
