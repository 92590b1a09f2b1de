# SPDX-License-Identifier: Apache-2.0
"""Debian's Chromium, headless and quiet, for the tests that read pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

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
