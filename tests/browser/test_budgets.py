# SPDX-License-Identifier: Apache-2.0
"""The site of a large board: pages of 50 rows, sizes and elements within the budgets of `gdzoo board check`."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import importlib.util
import mimetypes
import pathlib
import threading
import time
from collections.abc import Iterator
from types import ModuleType

import pytest
from playwright import sync_api

from leaderboard import folder
from leaderboard.site import check, pages

PATIENCE = 120_000  # milliseconds; a machine that does other things too may be slow


@pytest.fixture(scope="module")
def sample() -> ModuleType:
    """tests/leaderboard/sample.py."""
    path = pathlib.Path(__file__).parents[1] / "leaderboard" / "sample.py"
    spec = importlib.util.spec_from_file_location("leaderboard_sample", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_reader_turns_pages_and_goes_back(
    sample: ModuleType, browser: sync_api.Browser, tmp_path: pathlib.Path
) -> None:
    folder.write(pages.render(sample.many(120)), tmp_path / "site", pages.SUMS)
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto((tmp_path / "site" / "index.html").as_uri())
    rows = page.locator("table.cells tbody tr")
    assert rows.count() == 50
    first = rows.first.get_attribute("data-id")
    page.get_by_role("button", name="Next").click()
    sync_api.expect(page.locator("#page")).to_have_text("page 2 of 3", timeout=PATIENCE)
    assert page.url.endswith("#page=2")
    sync_api.expect(rows).to_have_count(50, timeout=PATIENCE)
    assert rows.first.get_attribute("data-id") != first
    page.get_by_role("button", name="Next").click()
    sync_api.expect(rows).to_have_count(20, timeout=PATIENCE)
    assert page.get_by_role("button", name="Next").is_disabled()
    page.go_back()
    page.go_back()
    sync_api.expect(page.locator("#page")).to_have_text("page 1 of 3", timeout=PATIENCE)
    assert rows.first.get_attribute("data-id") == first
    page.close()


@pytest.mark.slow
def test_ten_thousand_runs_stay_within_the_budgets(
    sample: ModuleType, browser: sync_api.Browser, tmp_path: pathlib.Path
) -> None:
    """Asserts sizes and elements; prints what depends on the machine (`pytest -s`)."""
    board = sample.many(2000, 5)
    began = time.process_time()
    files = pages.render(board)
    print(f"build: {1000 * (time.process_time() - began) / len(board.runs):.1f} ms of CPU for each run page")
    print(f"export.json: {len(files['export.json']) / len(board.runs) / 1000:.1f} kB for each run")
    folder.write(files, tmp_path / "site", pages.SUMS)
    for figure in check.figures(tmp_path / "site"):
        print(f"{figure.name}: {figure.value:.1f} of {figure.budget} {figure.unit}")
        assert figure.holds, figure
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        page.wait_for_timeout(1000)
        found = session.send("Performance.getMetrics")["metrics"]
        return next(1000 * float(one["value"]) for one in found if one["name"] == "TaskDuration")

    page.goto((tmp_path / "site" / "index.html").as_uri())
    load = spent()
    assert page.evaluate("document.querySelectorAll('*').length") <= 2500
    page.locator('th[data-key="eta"] button').click()
    sort = spent()
    page.get_by_label("Search").fill("spec-3")
    print(f"load {load:.0f} ms of CPU, sort {sort - load:.0f}, filter {spent() - sort:.0f}")
    assert page.locator("table.cells tbody tr").count() == 50
    page.close()
    with _served(tmp_path / "site") as address:
        for words, processor, network in (("as it is", 1, None), ("CPU / 4", 4, None), ("1.6 Mbit/s, 150 ms", 1, SLOW)):
            times = sorted(_ready(browser, address, processor, network) for _ in range(5))
            print(f"ready, {words}: {times[2]:.0f} ms (median of 5, {times[0]:.0f} to {times[-1]:.0f})")


SLOW = {"offline": False, "latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 200_000}
"""1.6 Mbit/s, for Chromium's network emulation."""


def _ready(browser: sync_api.Browser, address: str, processor: int, network: dict[str, object] | None) -> float:
    """Milliseconds until the overview's table can be sorted and filtered, in a fresh context."""
    context = browser.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": processor})
    if network:
        session.send("Network.enable")
        session.send("Network.emulateNetworkConditions", network)
    page.goto(f"{address}/index.html")
    page.wait_for_function("performance.getEntriesByName('ready').length > 0")
    found = float(page.evaluate("performance.getEntriesByName('ready')[0].startTime"))
    context.close()
    return found


@contextlib.contextmanager
def _served(root: pathlib.Path) -> Iterator[str]:
    """Serves a folder with gzip, as static hosts do."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = root / self.path.lstrip("/")
            content = gzip.compress(file.read_bytes(), 6) if file.is_file() else b""
            self.send_response(200 if content else 404)
            kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
            for name, value in (("Content-Type", kind), ("Content-Encoding", "gzip"), ("Content-Length", len(content))):
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *_arguments: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
