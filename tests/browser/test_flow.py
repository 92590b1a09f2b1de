# SPDX-License-Identifier: Apache-2.0
"""The figures of a run's trace in Chromium: drawn again from its numbers, and in the page itself without a script."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from types import ModuleType
from typing import Literal

import pytest
from axe_playwright_python import sync_playwright as axe_playwright
from playwright import sync_api

from leaderboard import folder
from leaderboard.export import document
from leaderboard.site import pages

MISSED = (100, 250)


@pytest.fixture(scope="module")
def run(sample: ModuleType) -> document.Run:
    """A run by SGD whose first two eigenvalues rise past 1/eta at steps 39 and 184 of 300."""
    sgd = {"optimizer": {"name": "sgd", "learning_rate": 0.25, "batch_size": 64}}
    made: document.Run = sample.traced(missed=MISSED, cell=sgd)
    return made


@pytest.fixture(scope="module")
def address(run: document.Run, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where its page is."""
    site = tmp_path_factory.mktemp("flow")
    folder.write(pages.render(document.compose([document.Suite(name=run.suite, note="")], [run])), site, pages.SUMS)
    return (site / f"{pages.run_path(run)}.html").as_uri()


@pytest.fixture(params=[(1400, "light"), (390, "dark")], ids=str)
def page(request: pytest.FixtureRequest, browser: sync_api.Browser, address: str) -> Iterator[sync_api.Page]:
    """The page, about which nothing may have been complained."""
    width, theme = request.param
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    wrong: list[str] = []
    opened.on("console", lambda message: wrong.append(message.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.goto(address)
    opened.locator("figure.plot .canvas svg path.curve").first.wait_for()
    yield opened
    opened.close()
    assert wrong == []


def test_the_flow_comes_first_with_its_lines_circles_and_marks(page: sync_api.Page, run: document.Run) -> None:
    figures = page.locator("figure.plot")
    titles = figures.locator("h2").all_inner_texts()
    assert titles[:3] == ["Flow of the eigenvalues", "Loss, step by step", "Sharpness"] and len(titles) == 8
    flow = figures.nth(0)
    for look, count in (("first", 1), ("rest", 2), ("least", 1), ("batch", 1)):
        assert flow.locator(f".canvas path.curve.{look}").count() == count
        assert flow.locator(f".key path.{look}").count() == 1
    assert flow.locator(".canvas text.level").all_text_contents() == ["1: singular", "2: unstable above"]
    heights = flow.locator("line.reference").evaluate_all("all => all.map(l => Number(l.getAttribute('y1')))")
    circles = flow.locator(".canvas circle.crossing")
    assert circles.evaluate_all("all => all.map(c => Number(c.getAttribute('cy')))") == [heights[0]] * 2
    ticks = flow.locator(".canvas line.grid[y1='12']").evaluate_all("all => all.map(l => Number(l.getAttribute('x1')))")
    start, end = ticks[0], ticks[-1]
    places = circles.evaluate_all("all => all.map(c => Number(c.getAttribute('cx')))")
    assert run.trace is not None

    def at(step: float) -> float:
        return start + (end - start) * math.log1p(step) / math.log1p(300)

    for place, step in zip(places, (39, 184), strict=True):
        assert at(step - 3) <= place <= at(step + 3)
    assert flow.locator("path.rug").get_attribute("data-steps") == str(len(MISSED))
    assert "2 eigenvalues (bold at the foot: steps 100, 250)" in flow.locator("figcaption").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]  # type: ignore[index]


def test_it_is_read_by_keys_as_a_table_and_as_a_file(page: sync_api.Page, run: document.Run) -> None:
    flow = page.locator("figure.plot").nth(0)
    flow.locator(".canvas svg").focus()
    page.keyboard.press("End")
    assert flow.locator(".status").inner_text().startswith("step 300 · η·λ₁: 1.9 ± 0.05 · η·λ₂: 1.4 ± 0.05 · ")
    flow.get_by_role("button", name="Steps: log").click()
    flow.get_by_role("button", name="Steps: linear").click()
    assert flow.locator("path.rug").count() == 1
    flow.locator(".canvas svg").focus()
    page.keyboard.press("End")
    assert flow.locator(".status").inner_text().startswith("η·t = 75 · ")
    flow.get_by_role("button", name="Show as table").click()
    names = ["η·λ₁", "±", "η·λ₂", "±", "η·λ₃", "±", "η·λ_min", "±", "η·batch sharpness", "±"]
    assert flow.locator("thead th").all_text_contents() == ["η·t", *names]
    with page.expect_download() as download:
        flow.get_by_role("button", name="Save CSV").click()
    with open(download.value.path(), encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert run.trace is not None and head[1:] == names and len(rows) == len(run.trace.steps)
    assert [float(number) for number in rows[-1][1:3]] == [1.9, 0.05]


def test_the_loss_of_every_step_takes_the_place_of_that_at_checkpoints(page: sync_api.Page, run: document.Run) -> None:
    losses = page.locator("figure.plot").nth(1)
    assert "of its mini-batch of 64 examples" in losses.locator("figcaption").inner_text()
    path = losses.locator(".canvas path.curve").get_attribute("d") or ""
    assert run.trace is not None and path.count("L") + 1 == len(run.trace.loss_steps) > len(run.steps)
    assert page.locator("h2", has_text="Loss").count() == 1


def test_without_a_script_the_figures_stand_in_the_page(browser: sync_api.Browser, address: str) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(address)
    flow, losses = (page.locator("figure.plot .canvas svg.drawing").nth(at) for at in (0, 1))
    assert flow.locator("path.line").count() == 5 and flow.locator("circle.hollow").count() == 2
    assert flow.locator("path.bar").count() == len(MISSED)
    assert losses.locator("path.line.seen").count() == 1
    page.close()


@pytest.mark.parametrize(("width", "theme"), [(1400, "light"), (390, "dark")])
def test_axe_finds_no_violation(
    browser: sync_api.Browser, address: str, width: int, theme: Literal["light", "dark"]
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    page.goto(address)
    page.locator("figure.plot .canvas svg path.curve").first.wait_for()
    found = axe_playwright.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]})
    assert found.violations_count == 0, found.generate_report()
    page.close()
