# SPDX-License-Identifier: Apache-2.0
"""Code: a hash of all that pages and checks follow from beside the runs, so that what is remembered is of this code."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import sys

from harness import workspace

FOLDERS = ("harness", "leaderboard", "zoo")
LIBRARIES = ("jinja2", "markupsafe", "numpy", "pydantic", "scipy")
"""What a page is made by, beside its runs: code here, and packages whose version counts."""


@functools.cache
def digest() -> str:
    """Returns a hash of all code that makes and checks pages, ours and what it stands on."""
    ours = [
        file for name in FOLDERS for kind in ("*.py", "*.html") for file in sorted((workspace.CODE / name).rglob(kind))
    ]
    parts = [part for file in ours for part in (file.name, file.read_bytes())]
    return hashed(sys.version, *(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES), *parts)


def hashed(*parts: bytes | str | None) -> str:
    """Returns a SHA-256 of some parts, in hex; where one part ends counts."""
    told = hashlib.sha256()
    for part in parts:
        content = b"" if part is None else part.encode() if isinstance(part, str) else part
        told.update(f"{'-' if part is None else len(content)}:".encode() + content)
    return told.hexdigest()
