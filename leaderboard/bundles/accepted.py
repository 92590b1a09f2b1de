# SPDX-License-Identifier: Apache-2.0
"""Accepted: what the board takes of a bundle that was read and agrees with itself, remembered between builds.

What is remembered lies beside the compiled programs (harness/runtime/compilation_cache.py), a file for each cell. Its
first line is the hash of all bytes of the bundle and of all code that judges them: another bundle or another version is
judged anew. The others are its runs as lines of an export, which go through the checks of an export again.
"""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

from harness import errors
from harness.runtime import compilation_cache
from leaderboard import code
from leaderboard import folder as files_
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import claim, consistency, reading
from leaderboard.export import document, shelf


class Accepted(NamedTuple):
    """What the board takes of a bundle.

    Attributes:
        suite: Its suite.
        cell_id: Its cell.
        digest: SHA-256 of its `bundle.json`, 64 hex digits.
        runs: Its runs, by seed.
    """

    suite: str
    cell_id: str
    digest: str
    runs: tuple[document.Run, ...]

    @property
    def name(self) -> str:
        """`suite/cell_id`: also the path of its folder among the submissions."""
        return f"{self.suite}/{self.cell_id}"


def accepted(folder: pathlib.Path) -> Accepted:
    """Returns what the board takes of a bundle.

    Raises:
        errors.Rejected: It is no bundle, or its numbers do not agree with each other; says why.
    """
    files = reading.files(folder)
    key = code.hashed(code.digest(), *(part for pair in sorted(files.items()) for part in pair))
    memory = place(folder)
    with contextlib.suppress(OSError, ValueError):
        return _load(memory.read_text(encoding="utf-8"), key, files)
    with reading.explained(folder):
        bundle = reading.parse(files)
    wrong = next((check for check in consistency.checks(bundle) if not check.holds), None)
    if wrong is not None:
        raise errors.Rejected(f"{bundle.name}: rejected: {claim.sentence(wrong)}")
    with contextlib.suppress(OSError):  # it is a convenience
        memory.parent.mkdir(parents=True, exist_ok=True)
        files_.replace(memory, b"\n".join([key.encode(), *map(shelf.dumped, bundle.runs)]))
    return Accepted(bundle.manifest.suite, bundle.manifest.cell_id, bundle.digest, bundle.runs)


def place(folder: pathlib.Path) -> pathlib.Path:
    """Returns the file in which the bundle of a folder is remembered."""
    name = code.hashed(folder.parent.name, folder.name)
    return compilation_cache.folder().parent / "bundles" / name[:32]


def _load(text: str, key: str, files: Mapping[str, bytes]) -> Accepted:
    """Returns what was remembered of some files.

    Raises:
        ValueError: It is of others, or a run is none.
    """
    known, *lines = text.split("\n")
    if known != key or len(lines) != sum(name.endswith("/run.json") for name in files):
        raise ValueError("of another bundle, by another version, or cut off")
    runs = tuple(map(document.Run.model_validate_json, lines))
    return Accepted(runs[0].suite, runs[0].cell_id, hashlib.sha256(files[bundles.MANIFEST]).hexdigest(), runs)
