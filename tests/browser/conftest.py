# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium, headless and quiet, for the tests that read pages; and the sample board that they read."""

from __future__ import annotations

import importlib.util
import pathlib
import shutil
from collections.abc import Iterator
from types import ModuleType

import pytest
from playwright import sync_api

QUIET = [
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 120_000  # milliseconds; a machine that does other things too may be slow


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    """Debian's Chromium."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("chromium is missing; run make test, which installs it")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=program, chromium_sandbox=False, args=QUIET, timeout=PATIENCE
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def sample() -> ModuleType:
    """tests/leaderboard/sample.py."""
    path = pathlib.Path(__file__).parents[1] / "leaderboard" / "sample.py"
    spec = importlib.util.spec_from_file_location("leaderboard_sample", path)
    assert spec is not None and spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
