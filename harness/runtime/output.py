# SPDX-License-Identifier: Apache-2.0
"""What is printed: characters that a terminal or pipe cannot show are replaced, and one that ends is told as a stop.

rich and click leave with exit code 1 where a pipe is closed, as if something had failed.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

from harness import errors

REASONS = {
    errno.EPIPE: "nobody reads any more what is printed",
    errno.ENOSPC: "the disk is full where what is printed goes; make room",
    errno.EDQUOT: "the disk is full where what is printed goes; make room",
}


class Printed(io.TextIOWrapper):
    """A stream to print to, which raises errors.Stopped where it can take no more."""

    def write(self, text: str, /) -> int:
        """Writes text."""
        return int(self._kept(super().write, text))

    def flush(self) -> None:
        """Hands on what was written."""
        self._kept(super().flush)

    def _kept(self, do: Any, *arguments: Any) -> Any:
        try:
            return do(*arguments)
        except OSError as error:
            if error.errno not in REASONS:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())  # for what is still in the buffer
            raise errors.Stopped(f"stopped: {REASONS[error.errno]}; say the same command again to go on") from error


def guard() -> None:
    """Puts such streams in the places of stdout and stderr; what somebody else put there stays."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if type(stream) is io.TextIOWrapper:
            encoding, lines = stream.encoding, stream.line_buffering
            guarded = Printed(stream.detach(), encoding=encoding, errors="replace", line_buffering=lines)
            setattr(sys, name, guarded)
            setattr(sys, f"__{name}__", guarded)
