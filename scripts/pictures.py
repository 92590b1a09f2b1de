# SPDX-License-Identifier: Apache-2.0
"""The pictures of the README, taken of the workspace after `make demo`: `make pictures`.

Needs what the tests need (Chromium, Playwright). The board's first page and what the link of `gdzoo ui` opens.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import PIL.Image
from playwright import sync_api

from harness import workspace

SIZE = {"width": 1400, "height": 860}
TALL = 1240
COLOURS = 96
PATIENCE = 120_000  # milliseconds
BOARD = workspace.CHECKOUT / "leaderboard" / "picture.png"
COMPARISON = workspace.CHECKOUT / "mlflow.db-init" / "picture.png"


@contextlib.contextmanager
def comparison() -> Iterator[str]:
    """Runs `gdzoo ui` and gives the link that it prints for the quickstart suite."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "gdzoo", "ui", "--port", str(port)]
    with subprocess.Popen(command, cwd=workspace.CHECKOUT, stdout=subprocess.PIPE, text=True) as asked:
        assert asked.stdout is not None
        try:
            for line in asked.stdout:
                if found := re.match(r"  quickstart, .*: (http\S+)", line):
                    yield found[1]
                    return
        finally:
            asked.send_signal(signal.SIGINT)


def taken(page: sync_api.Page, file: pathlib.Path) -> None:
    """Writes what a page shows as a small PNG, whole or not at all."""
    partial = file.with_name(f".{file.name}")
    page.screenshot(path=partial, type="png")
    with PIL.Image.open(partial) as shown:
        shown.convert("RGB").quantize(COLOURS).save(partial, format="PNG", optimize=True)
    partial.replace(file)
    print(f"{file.relative_to(workspace.CHECKOUT)}: {file.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Takes both pictures."""
    first = workspace.site() / "index.html"
    if not first.exists():
        sys.exit("there is no board yet; say: make demo")
    with sync_api.sync_playwright() as playwright:
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, chromium_sandbox=False)
        page = browser.new_page(viewport=SIZE)
        page.set_default_timeout(PATIENCE)
        page.set_viewport_size({**SIZE, "height": TALL})
        page.goto(first.as_uri())
        page.wait_for_timeout(1000)
        taken(page, BOARD)
        page.set_viewport_size(SIZE)
        with comparison() as link:
            page.goto(link)
            cards = page.get_by_test_id("experiment-view-compare-runs-card")
            cards.nth(2).locator("g.trace").first.wait_for(state="attached")
            for name in ("Close", "close"):  # MLflow's assistant, which covers a quarter of the page
                with contextlib.suppress(sync_api.Error):
                    page.get_by_role("button", name=name).last.click(timeout=2000)
            page.wait_for_timeout(3000)
            taken(page, COMPARISON)
        browser.close()


if __name__ == "__main__":
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    main()
