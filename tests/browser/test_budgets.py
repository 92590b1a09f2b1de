# SPDX-License-Identifier: Apache-2.0
"""The site of a large board: pages of 50 rows, sizes and elements within the budgets of `gdzoo board check`."""

from __future__ import annotations

import importlib.util
import pathlib
import time
from types import ModuleType

import pytest
from playwright import sync_api

from leaderboard import checking, folder, site

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
    folder.write(site.render(sample.many(120)), tmp_path / "site", site.SUMS)
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto((tmp_path / "site" / "index.html").as_uri())
    rows = page.locator("table.cells tbody tr")
    assert rows.count() == 50
    first = rows.first.get_attribute("data-id")
    page.get_by_role("button", name="Next").click()
    page.wait_for_function("document.getElementById('page').textContent === 'page 2 of 3'")
    assert page.url.endswith("#page=2") and rows.count() == 50
    assert rows.first.get_attribute("data-id") != first
    page.get_by_role("button", name="Next").click()
    assert rows.count() == 20
    assert page.get_by_role("button", name="Next").is_disabled()
    page.go_back()
    page.go_back()
    page.wait_for_function("document.getElementById('page').textContent === 'page 1 of 3'")
    assert rows.first.get_attribute("data-id") == first
    page.close()


@pytest.mark.slow
def test_ten_thousand_runs_stay_within_the_budgets(
    sample: ModuleType, browser: sync_api.Browser, tmp_path: pathlib.Path
) -> None:
    """Asserts sizes and elements; prints what depends on the machine (`pytest -s`)."""
    board = sample.many(2000, 5)
    began = time.process_time()
    files = site.render(board)
    print(f"build: {1000 * (time.process_time() - began) / len(board.runs):.1f} ms of CPU for each run page")
    size = sum(map(len, files.values())) / len(board.runs) / 1000
    export = len(files["export.json"]) / len(board.runs) / 1000
    print(f"the whole site: {size:.0f} kB for each run, {export:.0f} of them export.json")
    folder.write(files, tmp_path / "site", site.SUMS)
    for figure in checking.figures(tmp_path / "site"):
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
