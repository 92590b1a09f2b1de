# SPDX-License-Identifier: Apache-2.0
"""A spool: values on disk instead of in memory, read again as often as they are needed."""

from __future__ import annotations

import pathlib
import pickle
import tempfile
import weakref
from typing import Generic, NamedTuple, TypeVar

Value = TypeVar("Value")

IN_MEMORY = 1 << 24
"""Bytes up to which nothing is written to disk."""


class Place(NamedTuple):
    """Where bytes lie in a spool."""

    start: int
    size: int


class Spool(Generic[Value]):
    """Values in a file without a name, which is gone with this process; memory holds none of them.

    What is read back was written by this very process, so pickle is safe here.
    """

    def __init__(self, folder: pathlib.Path | None = None) -> None:
        """Makes an empty one; `folder` is where its file lies, by default that of temporary files."""
        where = None if folder is None else str(folder)
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=where, prefix=".gdzoo-")  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._end = 0

    def put(self, value: Value) -> Place:
        """Writes a value and returns its place."""
        return self.put_bytes(pickle.dumps(value, pickle.HIGHEST_PROTOCOL))

    def put_bytes(self, content: bytes) -> Place:
        """Writes bytes as they are and returns their place."""
        self._file.seek(self._end)
        self._file.write(content)
        self._end += len(content)
        return Place(self._end - len(content), len(content))

    def get(self, place: Place) -> Value:
        """Reads the value at a place."""
        value: Value = pickle.loads(self.get_bytes(place))
        return value

    def get_bytes(self, place: Place) -> bytes:
        """Reads the bytes at a place."""
        self._file.seek(place.start)
        return self._file.read(place.size)
