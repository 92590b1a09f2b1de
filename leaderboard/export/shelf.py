# SPDX-License-Identifier: Apache-2.0
"""The shelf: the checked runs of a board on disk, so that memory does not grow with what they recorded.

Runs come in any order, once, and are read again configuration by configuration. Memory holds about 300 bytes of each:
where it lies, what it is sorted by, and a hash of all it says.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from leaderboard.export import document, spool

Key = tuple[str, str]
"""Suite and cell_id: what names a configuration of a board."""


class _Held(NamedTuple):
    """A run on the shelf: its seed, what else sorts it in an export, where its line and it lie, the line's SHA-256."""

    seed: int
    spec: str
    label: str
    line: spool.Place
    run: spool.Place
    digest: bytes


class Shelf:
    """The runs of a board, its suites and its labels of trust.

    Attributes:
        suites: By name.
        trust: Of submitted cells.
        snapshot: When the latest run ended; empty without runs.
    """

    def __init__(self, suites: Iterable[document.Suite] = (), folder: pathlib.Path | None = None) -> None:
        """Makes one without runs; `folder` is where it keeps them, by default that of temporary files."""
        self.suites = {suite.name: suite for suite in suites}
        self.trust: dict[Key, document.Trust] = {}
        self.snapshot = ""
        self._runs: spool.Spool[document.Run] = spool.Spool(folder)
        self._held: dict[Key, list[_Held]] = {}

    def __len__(self) -> int:
        """How many runs there are."""
        return sum(map(len, self._held.values()))

    def __contains__(self, key: Key) -> bool:
        """Whether there is a run of a configuration."""
        return key in self._held

    def add(self, run: document.Run) -> None:
        """Puts a run on the shelf.

        Raises:
            ValueError: It is there already.
        """
        line = dumped(run)
        held = _Held(
            run.seed,
            sys.intern(run.spec),
            sys.intern(run.label),
            self._runs.put_bytes(line),
            self._runs.put(run),
            hashlib.sha256(line).digest(),
        )
        mine = self._held.setdefault((sys.intern(run.suite), run.cell_id), [])
        if any(other.seed == run.seed for other in mine):
            raise ValueError("a run stands twice in a suite")
        mine.append(held)
        self.snapshot = max(self.snapshot, run.ended)

    def configurations(self) -> list[Key]:
        """Returns what names the configurations, sorted."""
        return sorted(self._held)

    def run_ids(self, key: Key) -> list[str]:
        """Returns the run_ids of a configuration, by seed."""
        return [f"{key[1]}-s{held.seed}" for held in self._of(key)]

    def runs(self, key: Key) -> tuple[document.Run, ...]:
        """Reads the runs of a configuration, by seed."""
        return tuple(self._runs.get(held.run) for held in self._of(key))

    def digests(self, key: Key) -> list[bytes]:
        """Returns a hash of each run of a configuration and of all it says, by seed."""
        return [held.digest for held in self._of(key)]

    def lines(self) -> Iterator[bytes]:
        """Yields the line of each run in an export, in the order of an export."""
        places = [
            ((suite, held.spec, held.label, cell_id, held.seed), held.line)
            for (suite, cell_id), mine in self._held.items()
            for held in mine
        ]
        for _, place in sorted(places):
            yield self._runs.get_bytes(place)

    def export(self) -> document.Export:
        """Reads all of it into memory."""
        runs = [run for key in self.configurations() for run in self.runs(key)]
        return document.compose(list(self.suites.values()), runs, self.trust.values())

    def empty(self) -> document.Export:
        """Returns its export without the runs and without what is said of them."""
        plain = document.compose(list(self.suites.values()), [])
        trust = tuple(self.trust[key] for key in sorted(self.trust))
        return plain.model_copy(update={"snapshot": self.snapshot, "trust": trust})

    def _of(self, key: Key) -> list[_Held]:
        return sorted(self._held[key])


def dumped(run: document.Run) -> bytes:
    """Returns a run as its line in an export: JSON with sorted keys."""
    return line(run.model_dump(mode="json")).encode()


def line(value: object) -> str:
    """Returns plain values as the JSON of an export."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def of(board: document.Export) -> Shelf:
    """Returns a shelf with the runs of an export."""
    made = Shelf(board.suites)
    for run in board.runs:
        made.add(run)
    made.trust = {(one.suite, one.cell_id): one for one in board.trust}
    return made
