# SPDX-License-Identifier: Apache-2.0
"""Provenance: a commit is said where git says it and what differs from it, and nowhere else."""

from __future__ import annotations

import os
import pathlib

import pytest

from harness.runtime import provenance

HEAD = "0123456789abcdef0123456789abcdef01234567"
UNSAFE = "echo 'fatal: detected dubious ownership' >&2; exit 128"
CASES = {
    "clean": (f"case $1 in rev-parse) echo {HEAD};; esac", (HEAD, False)),
    "changed": (f"case $1 in rev-parse) echo {HEAD};; *) echo ' M gdzoo.py';; esac", (HEAD, True)),
    "unsafe": (UNSAFE, (None, False)),
    "unsafe for its status": (f"case $1 in rev-parse) echo {HEAD};; *) {UNSAFE};; esac", (None, False)),
    "without a commit": ("exit 128", (None, False)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_commit_is_known_where_git_says_all_of_it(
    case: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, known = CASES[case]
    git = tmp_path / "git"
    git.write_text(f"#!/bin/sh\n{script}\n")
    git.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert provenance.commit.__wrapped__() == known
