# SPDX-License-Identifier: Apache-2.0
"""Provenance: with which code and which versions a run was made."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import subprocess

from harness import workspace

PACKAGES = ("gdzoo", "jax", "jaxlib", "flax", "optax", "numpy", "scipy", "tensorflow-datasets", "mlflow")


@functools.cache
def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that decide numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


@functools.cache
def commit() -> tuple[str | None, bool]:
    """Returns the checkout's git commit (40 hex digits) and whether tracked files differ from it.

    None and False where git does not say both: without git, outside a checkout, in one that git calls unsafe.
    """
    head, changed = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--untracked-files=no")
    return (head, bool(changed)) if head and changed is not None else (None, False)


def _git(*words: str) -> str | None:
    if workspace.INSTALLED:  # what git would find there is another repository
        return None
    try:
        done = subprocess.run(
            ["git", *words], cwd=workspace.CHECKOUT, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
