# SPDX-License-Identifier: Apache-2.0
"""The output folder: only what changed is made and written, and what no longer belongs is removed.

A folder is ours when it holds the list of checksums that every build leaves; only files on that list are ever removed.
What a build makes lies in a folder of its own until all of it is there: one that fails leaves the old site as it was.
A second list says what pages were made of, by a hash: where that is the same, they are not made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import pathlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO, NamedTuple, Protocol

from harness import errors

LINE = re.compile(r"[0-9a-f]{64}  (?P<path>[\w.-]+(?:/[\w.-]+)*)")
PARTIAL = ".partial"
"""Folder in which a site lies while it is made."""

MADE_OF = ".made-of"
"""What pages were made of: the SHA-256 of the list of checksums that it belongs to, then a hash for each name."""


class Written(NamedTuple):
    """How many files a build wrote, left alone and removed."""

    written: int
    unchanged: int
    removed: int


class Known(NamedTuple):
    """The SHA-256 of a file, and its size in bytes."""

    digest: bytes
    size: int


class Target(Protocol):
    """Where the files of a site go."""

    @property
    def known(self) -> Mapping[str, Known]:
        """What is there, by path."""

    def put(self, path: str, content: bytes) -> None:
        """Takes a file."""

    def opened(self, path: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """Opens a file that is written bit by bit."""

    def stands(self, name: str, made_of: str, paths: Sequence[str]) -> bool:
        """Says whether some files are there already, as they would be made.

        Args:
            name: What names them together.
            made_of: A hash of all that they are made of.
            paths: They.
        """


class Memory:
    """Files in memory."""

    def __init__(self) -> None:
        """Makes it empty."""
        self.files: dict[str, bytes] = {}
        self.known: dict[str, Known] = {}

    def put(self, path: str, content: bytes) -> None:
        """Takes a file."""
        self.files[path] = content
        self.known[path] = _known(content)

    @contextlib.contextmanager
    def opened(self, path: str) -> Iterator[BinaryIO]:
        """Opens a file that is written bit by bit."""
        buffer = io.BytesIO()
        yield buffer
        self.put(path, buffer.getvalue())

    def stands(self, name: str, made_of: str, paths: Sequence[str]) -> bool:
        """Says that nothing is there already."""
        return False


class Folder:
    """A folder that will hold exactly the files that it is given, beside whatever else a person put there."""

    def __init__(self, folder: pathlib.Path, sums: str) -> None:
        """Looks at what is there, and changes nothing but an unfinished site; `sums` names the list of checksums.

        Raises:
            errors.InputError: The folder holds things but no such list.
        """
        self.known: dict[str, Known] = {}
        self._folder, self._sums = folder, sums
        self._before = _before(folder, sums)
        self._made_before = _made_of(folder, sums)
        self._made: dict[str, str] = {}
        self._changed: set[str] = set()
        self.partial = folder / PARTIAL
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)

    def put(self, path: str, content: bytes) -> None:
        """Takes a file, and writes it aside if another is there."""
        self.known[path] = _known(content)
        if not _same(self._folder / path, content):
            self._aside(path).write_bytes(content)
            self._changed.add(path)

    @contextlib.contextmanager
    def opened(self, path: str) -> Iterator[BinaryIO]:
        """Opens a file that is written bit by bit."""
        aside = self._aside(path)
        with aside.open("w+b") as file:
            yield file
        self.known[path] = _known_of(aside)
        there = self._folder / path
        if there.is_file() and there.stat().st_size == aside.stat().st_size and _known_of(there) == self.known[path]:
            aside.unlink()
        else:
            self._changed.add(path)

    def stands(self, name: str, made_of: str, paths: Sequence[str]) -> bool:
        """Says whether some files are there, unchanged since they were made of the same; keeps them if they are."""
        self._made[name] = made_of
        if self._made_before.get(name) != made_of:
            return False
        found = {path: _known_of(self._folder / path) for path in paths if (self._folder / path).is_file()}
        if any(path not in found or found[path].digest.hex() != self._before.get(path) for path in paths):
            return False
        self.known |= found
        return True

    def finish(self) -> Written:
        """Puts what was written aside in its place, the list of checksums last, and removes what no longer belongs."""
        made_of = self._folder / MADE_OF
        if self._changed:
            made_of.unlink(missing_ok=True)
        for path in sorted(self._changed, key=lambda path: (path == self._sums, path)):
            place = self._folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            (self.partial / path).replace(place)
        gone = [path for path in sorted(set(self._before) - set(self.known)) if (self._folder / path).is_file()]
        for path in gone:
            (self._folder / path).unlink()
            _prune(self._folder / path, self._folder)
        if self._made:
            lines = [f"{made}  {name}\n" for name, made in sorted(self._made.items())]
            content = "".join([f"{self.known[self._sums].digest.hex()}  {self._sums}\n", *lines]).encode()
            if not _same(made_of, content):
                replace(made_of, content)
        return Written(len(self._changed), len(self.known) - len(self._changed), len(gone))

    def close(self) -> None:
        """Removes what was written aside and not put in its place."""
        shutil.rmtree(self.partial, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._folder.rmdir()  # where it was made for this and stayed empty

    def _aside(self, path: str) -> pathlib.Path:
        aside = self.partial / path
        aside.parent.mkdir(parents=True, exist_ok=True)
        return aside


@contextlib.contextmanager
def opened(folder: pathlib.Path, sums: str) -> Iterator[Folder]:
    """Opens the folder of a site for a build; what it did not finish is gone afterwards.

    Raises:
        errors.InputError: The folder holds things but no list of checksums, or it cannot be written.
    """
    made = None
    try:
        made = Folder(folder, sums)
        yield made
    except OSError as error:
        raise errors.InputError(f"{folder}: the site cannot be written: {error.strerror or error}") from error
    finally:
        if made is not None:
            made.close()


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
    with opened(folder, sums) as target:
        for path, content in files.items():
            target.put(path, content)
        return target.finish()


def _before(folder: pathlib.Path, sums: str) -> dict[str, str]:
    """Returns what the last build wrote, path -> SHA-256; refuses a folder that holds anything but no list of ours."""
    if not folder.exists() or not any(path.name != PARTIAL for path in folder.iterdir()):
        return {}
    listing = folder / sums
    if not listing.is_file():
        raise errors.InputError(
            f"{folder}: not empty and not a site of gdzoo (it has no {sums}); name an empty or a new folder with "
            "--output"
        )
    lines = listing.read_text(encoding="utf-8", errors="replace").splitlines()
    found = {match["path"]: line[:64] for line in lines if (match := LINE.fullmatch(line))}
    return {path: digest for path, digest in found.items() if ".." not in path.split("/")}


def _made_of(folder: pathlib.Path, sums: str) -> dict[str, str]:
    """Returns what the pages there were made of, by name; nothing where that list is not of this list of checksums."""
    try:
        first, *lines = (folder / MADE_OF).read_text(encoding="utf-8").splitlines()
        if first != f"{_known_of(folder / sums).digest.hex()}  {sums}":
            return {}
    except (OSError, ValueError):
        return {}
    return {match["path"]: line[:64] for line in lines if (match := LINE.fullmatch(line))}


def _known(content: bytes) -> Known:
    return Known(hashlib.sha256(content).digest(), len(content))


def _known_of(path: pathlib.Path) -> Known:
    with path.open("rb") as file:
        return Known(hashlib.file_digest(file, "sha256").digest(), path.stat().st_size)


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
