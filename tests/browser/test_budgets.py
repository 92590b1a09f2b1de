# SPDX-License-Identifier: Apache-2.0
"""The site of a large board: pages of 50 rows, sizes and elements within the budgets of `gdzoo board check`."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import importlib.util
import mimetypes
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

import pytest
from playwright import sync_api

from harness import workspace
from leaderboard import folder
from leaderboard.export import document, from_store, shelf
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


MOST_BYTES = 1.5e9
"""Memory that a build may take, of 100,000 runs too."""


@pytest.mark.slow
@pytest.mark.parametrize("cells", [2_000, 20_000])
def test_a_large_board_stays_within_the_budgets(
    sample: ModuleType, browser: sync_api.Browser, tmp_path: pathlib.Path, cells: int
) -> None:
    """10,000 and 100,000 runs: memory, sizes and elements; prints what depends on the machine (`pytest -s`)."""
    export, site = tmp_path / "export.json", tmp_path / "site"
    runs = _write(sample.drawn(cells, 5), export)
    print(f"{runs:,} runs; export.json: {export.stat().st_size / runs / 1000:.1f} kB for each")
    for words in ("first build", "second build, nothing changed", "third build, one run changed"):
        if words.startswith("third"):
            _change_one(export)
        used = _built(export, site)
        print(f"{words}: {1000 * used.seconds / runs:.2f} ms of CPU a run page, {used.peak / 1e9:.2f} GB; {used.said}")
        assert used.peak <= MOST_BYTES
        assert ("; 0 files written" in used.said) == words.startswith("second")
    assert int(used.said.split("; ")[1].split()[0]) < 20, "its configuration, its spec, the files of all"
    for figure in check.figures(site):
        print(f"{figure.name}: {figure.value:.1f} of {figure.budget} {figure.unit}")
        assert figure.holds, figure
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        page.wait_for_timeout(1000)
        page.locator('table.cells[aria-busy="false"]').wait_for()
        found = session.send("Performance.getMetrics")["metrics"]
        return next(1000 * float(one["value"]) for one in found if one["name"] == "TaskDuration")

    def narrow() -> None:
        chooser = page.locator("#facet-spec")
        chooser.focus()
        chooser.select_option("spec-33")

    for name in ("index.html", "runs.html"):
        page.goto((site / name).as_uri())
        before = spent()
        print(f"{name}: load {before:.0f} ms of CPU, {_sent(asked):.0f} kB")
        elements = page.evaluate("document.querySelectorAll('*').length")
        print(f"{name}: {elements} elements, with those that scripts made")
        for words, act in (
            ("filter", narrow),
            ("search", lambda: page.get_by_label("Search").fill("spec-3")),
            ("sort", lambda: page.locator('th[data-key="eta"] button').click()),
        ):
            asked.clear()
            act()
            now = spent()
            print(f"{name}: {words} {now - before:.0f} ms of CPU, {_sent(asked):.0f} kB")
            before = now
        found = len(range(33, cells, 64)) * (5 if name == "runs.html" else 1)  # 64 specs take turns
        assert page.locator("table.cells tbody tr").count() == min(found, 50)
        asked.clear()
    page.close()
    with _served(site) as address:
        for words, processor, network in (("as it is", 1, None), ("CPU / 4", 4, None), ("1.6 Mbit/s, 150 ms", 1, SLOW)):
            times = sorted(_ready(browser, address, processor, network) for _ in range(5))
            print(f"ready, {words}: {times[2]:.0f} ms (median of 5, {times[0]:.0f} to {times[-1]:.0f})")


def _write(runs: Iterator[document.Run], path: pathlib.Path) -> int:
    """Writes an export of runs, one in memory at a time, and returns how many there are."""
    held = shelf.Shelf([document.Suite(name="quickstart", note="Drawn.")], path.parent)
    for run in runs:
        held.add(run)
    with path.open("wb") as file:
        file.writelines(from_store.parts(held.empty(), held.lines()))
    return len(held)


def _change_one(path: pathlib.Path) -> None:
    """Has the first run of an export taken another time."""
    newer = path.with_name("newer.json")
    with path.open("rb") as old, newer.open("wb") as new:
        new.write(old.readline())
        new.write(old.readline().replace(b'"seconds":12.5', b'"seconds":11.5'))
        shutil.copyfileobj(old, new)
    newer.replace(path)


class Used(NamedTuple):
    """What a build took: CPU seconds, peak memory in bytes, and its last words."""

    seconds: float
    peak: float
    said: str


def _built(export: pathlib.Path, site: pathlib.Path) -> Used:
    """Builds a site by the command that a user says, in a process of its own."""
    command = [sys.executable, "-m", "gdzoo", "board", "build", "--from", str(export), "--output", str(site)]
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=workspace.CHECKOUT, stdout=output, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read()
    assert process.returncode == 0, said
    return Used(used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss, said.splitlines()[-2])


def _sent(urls: list[str]) -> float:
    """Returns how many kB the files at some addresses on this disk are, each compressed by itself."""
    files = [pathlib.Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)) for url in dict.fromkeys(urls)]
    return sum(len(gzip.compress(file.read_bytes(), 6)) for file in files if file.is_file()) / 1000


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
