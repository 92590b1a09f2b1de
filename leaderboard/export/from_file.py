# SPDX-License-Identifier: Apache-2.0
"""An `export.json` read run by run, as it was written: of 100,000 runs it has 2 GB, and memory holds one of them."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pydantic

from leaderboard.export import document, from_store, parsing, shelf

HEAD = b'{"runs":[\n'
TAIL = b'],"schema":'
MAX_LINE_BYTES = 1 << 26
_TRUST: pydantic.TypeAdapter[tuple[document.Trust, ...]] = pydantic.TypeAdapter(tuple[document.Trust, ...])


def shelved(
    path: pathlib.Path, step: Callable[[], None] = lambda: None, folder: pathlib.Path | None = None
) -> shelf.Shelf:
    """Puts the runs of an `export.json` on a shelf and calls `step` after each.

    A file with one run per line, as ours are, is read line by line; any other is read whole, up to 1 GiB.

    Raises:
        errors.InputError: The file is missing or is not such an export.
    """
    with from_store.explained(path), path.open("rb") as file:
        if file.read(len(HEAD)) != HEAD:
            return shelf.of(from_store.load(path))
        return _of_lines(iter(lambda: file.readline(MAX_LINE_BYTES), b""), step, folder)


def _of_lines(lines: Iterator[bytes], step: Callable[[], None], folder: pathlib.Path | None) -> shelf.Shelf:
    """Returns the shelf of the lines after the first: a run on each, and behind the last what is said of all.

    Raises:
        ValueError: They are no export; says why.
    """
    made, last, end = shelf.Shelf(folder=folder), None, b""
    for line in lines:
        if end:
            raise ValueError("something stands behind its end")
        found, mark, end = (line[:-2], b"", b"") if line.endswith(b",\n") else line.rpartition(TAIL)
        if not mark and not line.endswith(b",\n"):
            raise ValueError("it is cut off, or one of its lines is not a run")
        run = _run(found)
        if last is not None and document.order(run) <= last:
            raise ValueError("the runs are not in order")
        last = document.order(run)
        made.add(run)
        step()
    if not end:
        raise ValueError("it is cut off")
    _finish(made, parsing.parse_json((b'{"schema":' + end).decode("utf-8"), from_store.FILE))
    return made


def _run(line: bytes) -> document.Run:
    source = line.decode("utf-8")
    parsing.parse_json(source, from_store.FILE)
    return document.Run.model_validate_json(source)


def _finish(made: shelf.Shelf, said: Any) -> None:
    """Takes what an export says of all its runs.

    Raises:
        ValueError: It does not agree with them.
    """
    trust = _TRUST.validate_json(shelf.line(said.pop("trust", [])))
    board = document.Export.model_validate_json(shelf.line({**said, "runs": []}))
    made.suites = {suite.name: suite for suite in board.suites}
    made.trust = {(one.suite, one.cell_id): one for one in trust}
    document.agree([suite.name for suite in board.suites], [*made.trust], made.configurations())
