# SPDX-License-Identifier: Apache-2.0
"""The page while runs are made: `gdzoo board build` in a process of its own, as soon as the store holds a run.

It is built again when GROWTH times as many runs are there, so that all of it costs no more than a few builds however
many runs there are.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

from harness import workspace

GROWTH = 4
"""Times as many runs as on the last page, at which it is built again."""


class Page:
    """The page of a store, built by another process while this one makes runs.

    Attributes:
        runs: How many runs of this command the store held when the page was last begun.
    """

    def __init__(self, store: str, line: Callable[[str], None]) -> None:
        """Knows the store's URI, and by what a line is printed."""
        self.store, self.line = store, line
        self.runs = 0
        self._building: subprocess.Popen[str] | None = None
        self._waiting = threading.Thread()
        self._given_up = False

    def sent(self, runs: int, to_come: int) -> None:
        """Begins to build the page if the store holds GROWTH times the runs of the last page, and more will come.

        Args:
            runs: How many runs of this command the store holds.
            to_come: How many it does not hold yet.
        """
        if self._given_up or self._waiting.is_alive() or not to_come or runs < GROWTH * self.runs:
            return
        first, self.runs = not self.runs, runs
        self._building = subprocess.Popen(
            [*_command(self.store), "--to-come", str(to_come)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            process_group=0,
        )
        self._waiting = threading.Thread(target=self._wait, args=(self._building, first), daemon=True)
        self._waiting.start()

    def leave(self) -> None:
        """Ends what is still being built: a page that is not finished leaves the last one as it was."""
        self._given_up = True
        if self._building is not None:
            self._building.terminate()
            self._waiting.join()

    def _wait(self, building: subprocess.Popen[str], first: bool) -> None:
        """Says where the page is, once, or why there is none."""
        said = building.communicate()[1].strip().splitlines()
        if self._given_up:
            return
        if building.returncode:
            self._given_up = True
            self.line(f"the page is not built while runs are made: {said[-1] if said else building.returncode}")
        elif first:
            page = (workspace.site() / "index.html").resolve()
            self.line(f"page: {page} (with what is there already; it is built again as more runs are made)")


@contextlib.contextmanager
def kept(store: str, line: Callable[[str], None]) -> Iterator[Page]:
    """Gives the page of a store; no process builds it any more when the context is left."""
    page = Page(store, line)
    try:
        yield page
    finally:
        page.leave()


def build(store: str) -> int:
    """Builds the page of a store, prints what `gdzoo board build` prints, and returns its exit code."""
    sys.stdout.flush()
    return subprocess.run(_command(store), check=False).returncode


def _command(store: str) -> Sequence[str]:
    """Returns the command: that of another room, which is on top of this one and not imported here."""
    return [sys.executable, str(workspace.CODE / "gdzoo.py"), "board", "build", "--store", store]
