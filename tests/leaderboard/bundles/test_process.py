# SPDX-License-Identifier: Apache-2.0
"""The process that computes a bundle again is alone."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

from harness import workspace


def test_the_process_reaches_nothing(tmp_path: pathlib.Path) -> None:
    """What `_alone` refuses, tried: a connection, a program, a file elsewhere; its own folder stays open."""
    code = f"""
import socket, subprocess, pathlib
from harness.jobs import recompute
recompute.alone(pathlib.Path({str(tmp_path / "in")!r}))
def refused(what):
    try:
        what()
    except PermissionError:
        return True
    return False
pathlib.Path({str(tmp_path / "in" / "a")!r}).write_text("x")
print(refused(lambda: socket.create_connection(("127.0.0.1", 9))), refused(lambda: subprocess.run(["true"])),
      refused(lambda: pathlib.Path({str(tmp_path / "out")!r}).write_text("x")))
"""
    (tmp_path / "in").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workspace.CHECKOUT, capture_output=True, text=True, env={**os.environ}
    )
    assert done.stdout.split() == ["True"] * 3, done.stderr
    assert not (tmp_path / "out").exists()
