# SPDX-License-Identifier: Apache-2.0
"""The site in Debian's Chromium, from file://, as a reader meets it."""

from __future__ import annotations

import csv
import functools
import http.server
import json
import pathlib
import re
import threading
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from axe_playwright_python import sync_playwright as axe_playwright
from playwright import sync_api

from leaderboard import folder
from leaderboard.board import cell as cells
from leaderboard.board import number
from leaderboard.bundles import submissions
from leaderboard.export import document, parsing, shelf
from leaderboard.site import pages
from tests import builders

LOOKS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
"""Widths in pixels, and themes."""

PATIENCE = 120_000  # milliseconds; a machine that does other things too may be slow
Open = Callable[..., sync_api.Page]


@pytest.fixture(scope="module")
def board(sample: ModuleType) -> document.Export:
    """The sample board of tests/leaderboard."""
    made: document.Export = sample.export()
    return made


@pytest.fixture(scope="module")
def root(board: document.Export, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The site on disk, in a folder with a space in its name."""
    output = tmp_path_factory.mktemp("browser") / "the site"
    folder.write(pages.render(board), output, pages.SUMS)
    return output


@pytest.fixture
def visit(browser: sync_api.Browser, root: pathlib.Path) -> Iterator[Open]:
    """Returns a function that opens a page; afterwards nothing may have been complained about or asked for outside."""
    wrong: list[str] = []
    contexts: list[sync_api.BrowserContext] = []

    def opened(
        path: str, *, width: int = 1280, theme: str = "light", script: bool = True, policy: bool = True
    ) -> sync_api.Page:
        context = browser.new_context(
            bypass_csp=not policy,
            viewport={"width": width, "height": 900},
            color_scheme="dark" if theme == "dark" else "light",
            java_script_enabled=script,
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"console {message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: None if _inside(request.url) else wrong.append(f"request: {request.url}"))
        page.goto((root / path.partition("#")[0]).as_uri() + path[len(path.partition("#")[0]) :])
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def _inside(url: str) -> bool:
    return url.startswith(("file://", "blob:", "data:"))


def _run(board: document.Export, label: str, seed: int = 0) -> document.Run:
    return next(run for run in board.runs if run.label == label and run.seed == seed)


def _labels(page: sync_api.Page) -> list[str]:
    _settle(page)
    return [" ".join(text.split()) for text in page.locator("table.cells tbody tr th a").all_inner_texts()]


def _settle(page: sync_api.Page) -> None:
    """Waits until the table shows what was asked for: its data may be on the way."""
    page.locator('table.cells[aria-busy="false"]').wait_for()


def _shown(page: sync_api.Page, words: str) -> None:
    """Waits until the table says how many rows it shows."""
    sync_api.expect(page.locator("#shown")).to_have_text(words, timeout=PATIENCE)


def test_the_table_is_read_in_its_order(visit: Open, board: document.Export) -> None:
    page = visit("index.html")
    assert _labels(page) == [" ".join(cell.first.label.split()) for cell in cells.cells(board)]
    row = page.locator("table.cells tbody tr", has_text="vgg · activation=relu")
    assert "≤ 0.0212 ± 0.0027" in row.inner_text()
    assert "◇ undecided" in row.inner_text()
    assert page.locator(".tallies .count").all_inner_texts()[0].startswith("3")


def _values(page: sync_api.Page, key: str) -> list[str]:
    """Returns what a column of the table prints, from top to bottom, without its second lines."""
    _settle(page)
    at = [th.get_attribute("data-key") for th in page.locator("table.cells thead th").all()].index(key)
    rows = page.locator("table.cells tbody tr")
    found: list[str] = rows.evaluate_all(f"all => all.map(row => row.cells[{at}].firstChild.textContent.trim())")
    return found


def test_sorting_by_click_and_by_key_is_kept_in_the_link(visit: Open) -> None:
    page = visit("index.html#view=stability")
    heading = page.locator('table.cells th[data-key="eta"]')
    heading.wait_for()
    start = _labels(page)
    heading.get_by_role("button").click()
    _settle(page)
    assert heading.get_attribute("aria-sort") == "ascending"
    assert _values(page, "eta") == ["0.1", "0.25", "0.275", "0.275", "0.275", "0.275", "1.25", "–"]
    assert page.evaluate("document.activeElement.textContent") == "Step size η"
    page.keyboard.press("Enter")
    _settle(page)
    assert heading.get_attribute("aria-sort") == "descending"
    assert _values(page, "eta")[0] == "1.25" and _values(page, "eta")[-1] == "–", "what is missing stays last"
    assert page.url.endswith("#view=stability&sort=eta&dir=down")
    page.reload()
    page.wait_for_selector('th[data-key="eta"][aria-sort="descending"]')
    page.go_back()
    page.go_back()
    page.wait_for_url("**/index.html#view=stability")
    assert _labels(page) == start


def test_infinity_is_a_number_and_what_is_missing_sorts_last_both_ways(visit: Open) -> None:
    page = visit("index.html#view=minima&sort=loss_gap")
    page.wait_for_selector('th[data-key="loss_gap"]')
    assert _values(page, "loss_gap")[-2:] == ["↗ ∞", "–"]
    page = visit("index.html#view=minima&sort=loss_gap&dir=down")
    page.wait_for_selector('th[data-key="loss_gap"]')
    values = _values(page, "loss_gap")
    assert (values[0], values[-1]) == ("↗ ∞", "–")


def test_search_facets_bounds_and_counts_narrow_the_table(visit: Open) -> None:
    page = visit("index.html")
    page.get_by_label("Search").fill("vgg relu")
    _shown(page, "1 of 8 configurations")
    assert _labels(page) == ["vgg · activation=relu"]
    assert page.url.endswith("#q=vgg+relu")
    page.get_by_role("button", name="Show all").click()
    assert len(_labels(page)) == 8
    page.locator(".tallies a", has_text="edge of stability").click()
    assert len(_labels(page)) == 7
    page.get_by_label("Optimiser").select_option("sgd")
    assert _labels(page) == ["mlp-sgd"]
    assert page.url.endswith("#show=edge&optimizer=sgd")
    page = visit("index.html#least=1.6")
    _shown(page, "0 of 8 configurations")


def test_columns_are_chosen_kept_in_the_link_and_saved(visit: Open) -> None:
    page = visit("index.html")

    def heads() -> list[str]:
        return page.locator("table.cells thead th").evaluate_all("all => all.map(th => th.dataset.key)")

    usual = heads()
    page.locator(".chooser summary").click()
    page.wait_for_selector('#columns input[value="minimum"]')
    assert page.locator("#columns input:checked").evaluate_all("all => all.map(box => box.value)") == usual[1:]
    page.locator('#columns input[value="minimum"]').check()
    page.wait_for_selector('th[data-key="minimum"]')
    assert heads() == [*usual, "minimum"], "a column of another view, loaded when it is asked for"
    for key in usual[1:]:
        page.locator(f'#columns input[value="{key}"]').uncheck()
    sync_api.expect(page.locator("table.cells thead th")).to_have_count(2, timeout=PATIENCE)
    page.locator('th[data-key="minimum"] button').click()
    assert page.url.endswith("#sort=minimum&cols=minimum")
    page.reload()
    page.wait_for_selector('th[data-key="minimum"][aria-sort="ascending"]')
    assert heads() == ["cell", "minimum"]
    with page.expect_download() as saved:
        page.get_by_role("button", name="This view as CSV").click()
    lines = pathlib.Path(saved.value.path()).read_text(encoding="utf-8").splitlines()
    assert {"cell", "minimum"} <= set(lines[0].split(",")) and "margin" not in lines[0].split(",")
    page.go_back()
    page.get_by_label("Stability").check()
    page.wait_for_selector('th[data-key="edge_time"]')
    assert page.url.endswith("#view=stability"), "a view is its own columns again"


def test_the_table_narrows_to_analytic_risks(visit: Open) -> None:
    page = visit("index.html#regularity=analytic")
    assert _labels(page) == ["mlp · activation=gelu"], "every other one here has kinks, or is not understood"
    assert page.get_by_label("Regularity").input_value() == "analytic"


def test_a_row_made_by_the_script_is_the_row_of_the_page(visit: Open) -> None:
    """Static and drawn rows say the same, cell by cell."""

    def said(page: sync_api.Page) -> list[str]:
        rows = page.locator("table.cells tbody tr")
        found: list[str] = rows.evaluate_all(
            "all => all.map(row => Array.from(row.cells, c => c.textContent.replace(/\\s+/g, '')).join('|'))"
        )
        return found

    for path in ("index.html", "runs.html"):
        still = said(visit(path, script=False))
        page = visit(path + "#q=+")
        _settle(page)
        assert said(page) == still


def test_the_view_can_be_saved_as_csv_and_json(visit: Open, board: document.Export) -> None:
    page = visit("index.html#view=minima&q=strangers")
    _shown(page, "1 of 8 configurations")
    with page.expect_download() as download:
        page.get_by_role("button", name="This view as CSV").click()
    assert download.value.suggested_filename == "gdzoo-cells-minima.csv"
    lines = list(csv.DictReader(pathlib.Path(download.value.path()).read_text(encoding="utf-8").splitlines()))
    run = next(run for run in board.runs if run.suite == "strangers")
    assert [row["id"] for row in lines] == [f"strangers/{run.cell_id}"]
    assert lines[0]["loss_gap"] == "0.003115" and lines[0]["loss_gap_value"] == "0.003115"
    with page.expect_download() as download:
        page.get_by_role("button", name="This view as JSON").click()
    (row,) = json.loads(pathlib.Path(download.value.path()).read_text(encoding="utf-8"))
    assert row["cell"] == run.label and row["eta_value"] == 0.25


def test_chosen_runs_lie_over_each_other(visit: Open, board: document.Export) -> None:
    page = visit("runs.html")
    for label in ("mlp-sgd, seed 0", "vgg · activation=relu, seed 1"):
        page.get_by_label(f"choose {label}").check()
    page.get_by_role("link", name="Compare 2 chosen runs").click()
    page.wait_for_selector("figure.plot .canvas svg path.curve")
    assert page.locator("h1").inner_text() == "Compare runs"
    assert page.locator("figure.plot").nth(1).locator(".canvas svg path.curve").count() == 2
    settings = page.locator("#settings").inner_text()
    assert "optimizer" in settings and "sgd" in settings and "batch_size" in settings
    assert "dataset" not in settings.split("Setting", 1)[-1] or "digits" not in settings, "only what differs"
    link = page.url
    page.goto(link.replace("#runs=", "#runs=../../etc/passwd,javascript:alert(1),"))
    page.reload()
    sync_api.expect(page.locator("#chosen")).to_have_text(re.compile("^2 runs."), timeout=PATIENCE)


@pytest.mark.parametrize(
    "fragment",
    [
        "#sort=__proto__&show=constructor&cols=__proto__,constructor,cell",
        "#%E0%A4%A",
        "#q=<img src=x onerror=alert(1)>&x=y",
    ],
)
def test_a_strange_link_does_no_harm(visit: Open, fragment: str) -> None:
    page = visit("index.html" + fragment)
    _settle(page)
    assert re.fullmatch(r"8 configurations|[01] of 8 configurations", page.locator("#shown").inner_text())
    assert page.locator("img").count() == 0


def test_a_run_page_shows_its_curves(visit: Open, board: document.Export) -> None:
    run = _run(board, "vgg · activation=relu")
    page = visit("index.html")
    page.locator("table.cells tbody tr", has_text=run.label).get_by_label("run of seed 0").click()
    page.wait_for_selector("figure.plot svg path.curve")
    assert page.locator("h1").inner_text() == "vgg · activation=relu seed 0"
    figures = page.locator("figure.plot")
    assert figures.count() == 7
    for at in range(7):
        assert figures.nth(at).locator("svg circle.dot").count() == len(run.steps)
    lines = figures.nth(1).locator("line.reference")
    assert lines.evaluate_all("all => all.map(line => line.dataset.line)") == ["1/η", "2/η"]
    assert figures.nth(1).locator("text.reference").all_text_contents() == ["1/η", "2/η"]
    assert figures.nth(2).locator("path.error").count() > 5
    assert figures.nth(2).locator("path.floor").count() == 1


def test_reference_lines_lie_where_the_axis_says(visit: Open, board: document.Export) -> None:
    """The height of a point and of the lines 1/eta and 2/eta must agree with the numbers they stand for."""
    run = _run(board, "mlp · activation=relu")
    page = visit(f"run/quickstart/{run.run_id}.html")
    figure = page.locator("figure.plot").nth(1)
    low, high = (
        float(y) for y in figure.locator("line.reference").evaluate_all("all => all.map(l => l.getAttribute('y1'))")
    )
    dots = [float(y) for y in figure.locator("circle.dot").evaluate_all("all => all.map(c => c.getAttribute('cy'))")]
    assert run.eta is not None
    for dot, value in zip(dots, run.curves["sharpness"], strict=True):
        assert value is not None
        assert dot == pytest.approx(low + (high - low) * (value * run.eta - 1), abs=0.05)


def test_the_keyboard_walks_along_a_curve(visit: Open, board: document.Export) -> None:
    run = _run(board, "vgg · activation=relu")
    page = visit(f"run/quickstart/{run.run_id}.html")
    figure = page.locator("figure.plot").nth(2)
    figure.locator("svg").focus()
    page.keyboard.press("End")
    assert figure.locator(".status").inner_text().startswith("step 300 · σ_min(I − ηH) = 0.0")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert figure.locator(".status").inner_text().startswith("step 1 · ")
    figure.get_by_role("button", name="Steps: log").click()
    assert figure.get_by_role("button", name="Steps: linear").count() == 1
    assert figure.locator("svg circle.dot").count() == len(run.steps)


def test_steps_are_times_of_gradient_flow_too_and_near_singular_ones_are_marked(
    visit: Open, board: document.Export
) -> None:
    """The sample's Lanczos run is within 8 error bars at each of its steps, its dense run within 100 at none."""
    run, exact = _run(board, "vgg · activation=relu"), _run(board, "mlp · activation=relu")
    page = visit(f"run/quickstart/{run.run_id}.html")
    figure = page.locator("figure.plot").nth(2)
    figure.locator("svg path.floor").wait_for()
    assert figure.locator("path.rug").get_attribute("data-steps") == str(len(run.steps))
    figure.get_by_role("button", name="Steps: log").click()
    figure.get_by_role("button", name="Steps: linear").click()
    assert figure.get_by_role("button", name="Steps: as time η·t").count() == 1
    assert "time η·t of gradient flow" in figure.locator("text.axis").all_text_contents()
    figure.locator(".canvas svg").focus()
    page.keyboard.press("End")
    assert run.eta is not None
    assert figure.locator(".status").inner_text().startswith(f"η·t = {number.show(run.eta * run.steps[-1])} ")
    page = visit(f"run/quickstart/{exact.run_id}.html")
    page.locator("figure.plot").nth(2).locator("svg path.floor").wait_for()
    assert page.locator("path.rug").count() == 0


def test_a_plot_can_be_saved(visit: Open, board: document.Export) -> None:
    run = _run(board, "mlp · activation=relu")
    page = visit(f"run/quickstart/{run.run_id}.html")
    with page.expect_download() as download:
        page.locator("figure.plot").nth(1).get_by_role("button", name="Save SVG").click()
    assert download.value.suggested_filename == f"quickstart_{run.run_id}-sharpness.svg"
    drawing = pathlib.Path(download.value.path()).read_text(encoding="utf-8")
    assert drawing.startswith("<svg") and "2/η" in drawing and "rgb(" in drawing and "class=" not in drawing


def test_a_plot_is_a_table_too_and_a_csv_file(visit: Open, board: document.Export) -> None:
    run = _run(board, "vgg · activation=relu")
    page = visit(f"run/quickstart/{run.run_id}.html")
    figure = page.locator("figure.plot").nth(2)
    figure.get_by_role("button", name="Show as table").click()
    headings = figure.locator("thead th").all_text_contents()
    assert headings == ["step", "σ_min(I − ηH)", "±"]
    lines = [row.locator("th, td").all_text_contents() for row in figure.locator("tbody tr").all()]
    assert [line[0] for line in lines] == [str(step) for step in run.steps]
    assert [line[1] for line in lines] == [number.show(value) for value in run.curves["sigma_min"]]
    figure.get_by_role("button", name="Steps: log").click()
    figure.get_by_role("button", name="Steps: linear").click()
    assert figure.locator("thead th").first.text_content() == "η·t"
    with page.expect_download() as download:
        figure.get_by_role("button", name="Save CSV").click()
    assert download.value.suggested_filename == f"quickstart_{run.run_id}-sigma_min.csv"
    with open(download.value.path(), encoding="utf-8", newline="") as file:
        saved = list(csv.reader(file))
    assert saved[0] == ["η·t", "σ_min(I − ηH)", "±"] and len(saved) == len(run.steps) + 1
    assert run.eta is not None
    assert float(saved[-1][0]) == pytest.approx(run.eta * run.steps[-1])
    assert [float(line[1]) for line in saved[1:]] == [number.rounded(value or 0) for value in run.curves["sigma_min"]]
    figure.get_by_role("button", name="Hide the table").click()
    assert figure.locator("table").count() == 0
    page = visit(f"cell/quickstart/{run.cell_id}.html")
    page.locator("figure.plot").nth(2).get_by_role("button", name="Show as table").click()
    rows = page.locator("figure.plot").nth(2).locator("tr")
    assert rows.first.locator("th").all_text_contents() == ["step", "seed 0", "±", "seed 1", "±", "seed 2", "±"]
    assert rows.nth(1).locator("th, td").count() == 7


def test_the_stay_at_a_saddle_is_shaded(browser: sync_api.Browser, sample: ModuleType, tmp_path: pathlib.Path) -> None:
    """A run that left its saddle after 29 of 300 steps: the shade ends where step 29 lies on the axis."""
    said = sample.facts("mlp", cell={"start": {"name": "head_saddle", "perturbation": 1e-7}})
    lines = [json.loads(line) for line in sample.records(said).splitlines()]
    lines[0]["values"] |= {"escape_steps": 29.0, "escape_watched": 29.0}
    text = "".join(json.dumps(line) + "\n" for line in lines)
    run = parsing.parse_run(json.dumps(said), text, sample.cell_yaml(said))
    folder.write(pages.render(document.compose([document.Suite(name=run.suite, note="")], [run])), tmp_path, pages.SUMS)
    page = browser.new_page()
    page.goto((tmp_path / f"{pages.run_path(run)}.html").as_uri())
    assert page.locator("rect.stay").count() == 2
    for at in (5, 6):
        figure = page.locator("figure.plot").nth(at)
        assert "Shaded: at a saddle, until it left." in figure.locator("figcaption").inner_text()
        shade = figure.locator("rect.stay")
        dots = figure.locator("circle.dot").evaluate_all("all => all.map(c => Number(c.getAttribute('cx')))")
        left, width = (float(shade.get_attribute(name) or "nan") for name in ("x", "width"))
        assert (left, left + width) == pytest.approx((dots[0], dots[run.steps.index(29)]))
    page.close()


def test_a_cell_page_draws_every_seed(visit: Open, board: document.Export) -> None:
    run = _run(board, "mlp · activation=relu")
    page = visit(f"cell/quickstart/{run.cell_id}.html")
    figure = page.locator("figure.plot").nth(1)
    curves = figure.locator(".canvas path.curve")
    assert curves.count() == 3
    assert len(set(curves.evaluate_all("all => all.map(p => p.getAttribute('stroke-dasharray'))"))) == 3
    assert figure.locator(".legend").inner_text().split() == ["seed", "0", "seed", "1", "seed", "2"]
    assert figure.locator("text.reference").all_text_contents() == ["1", "2"]


@pytest.mark.parametrize("policy", [True, False], ids=["policy", "bypassed"])
def test_hostile_text_is_shown_and_does_nothing(visit: Open, board: document.Export, policy: bool) -> None:
    run = next(run for run in board.runs if run.suite == "strangers")
    paths = ["index.html", "index.html#view=minima", "runs.html", "spec/strangers/hostile.html", "data.html"]
    paths += [f"run/strangers/{run.run_id}.html", f"cell/strangers/{run.cell_id}.html"]
    paths += [f"compare.html#runs=strangers/{run.run_id}"]
    for path in paths:
        page = visit(path, policy=policy)
        page.wait_for_timeout(200)
        assert page.locator("img, iframe, object").count() == 0
        assert page.evaluate("'onerror' in Object.prototype || 'polluted' in {}") is False
        if path != "data.html":
            assert "<img src=x onerror=alert(1)>" in page.locator("main").inner_text()


@pytest.mark.parametrize("width", [390, 320])
def test_no_page_scrolls_sideways_on_a_phone(visit: Open, board: document.Export, width: int) -> None:
    run = _run(board, "vgg · activation=relu")
    hostile = next(run for run in board.runs if run.suite == "strangers")
    paths = [
        "index.html",
        "runs.html",
        "compare.html",
        "method.html",
        "data.html",
        "spec/quickstart/mlp.html",
        f"cell/quickstart/{run.cell_id}.html",
    ]
    paths += [f"run/quickstart/{run.run_id}.html", f"run/strangers/{hostile.run_id}.html"]
    for path in paths:
        page = visit(path, width=width)
        page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_light_and_dark_by_system_and_by_choice(visit: Open) -> None:
    page = visit("index.html", theme="dark")
    assert _lightness(page) < 60
    page.get_by_role("button", name="Switch to light colours").click()
    assert _lightness(page) > 200
    page.locator("nav").get_by_role("link", name="Method").click()
    page.wait_for_selector("h1:has-text('Method')")
    assert _lightness(page) > 200


def _lightness(page: sync_api.Page) -> float:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(float(part) for part in re.findall(r"[\d.]+", colour)[:3]) / 3


def test_without_javascript_table_facts_and_numbers_remain(visit: Open, board: document.Export) -> None:
    run = _run(board, "vgg · activation=relu")
    page = visit("index.html", script=False)
    assert page.locator("table.cells tbody tr th a").count() == 8
    assert page.locator("#filter").is_hidden()
    page = visit(f"run/quickstart/{run.run_id}.html", script=False)
    page.locator("summary").click()
    steps = page.locator("details tbody th").all_text_contents()
    assert (steps[0], steps[-1]) == ("0", "300") and pages.LOOKS - 1 <= len(steps) <= pages.LOOKS
    assert "The plots need JavaScript" in page.locator("main").inner_text()


@pytest.mark.parametrize("look", builders.tiers(LOOKS, quick=[(390, "dark")]), ids=str)
def test_axe_finds_no_violation_on_any_kind_of_page(
    browser: sync_api.Browser, root: pathlib.Path, board: document.Export, look: tuple[int, str]
) -> None:
    width, theme = look
    run, other = _run(board, "vgg · activation=relu"), _run(board, "mlp-sgd")
    paths = ["index.html", "index.html#view=minima", "runs.html", "controls.html", "method.html", "data.html"]
    paths += ["optimisers.html", "minima.html", "published.html"]
    paths += [f"spec/quickstart/{run.spec}.html", f"cell/quickstart/{run.cell_id}.html"]
    paths += [f"run/quickstart/{run.run_id}.html"]
    paths += [f"compare.html#runs=quickstart/{run.run_id},quickstart/{other.run_id}"]
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    wrong = []
    for path in paths:
        name, _, fragment = path.partition("#")
        page.goto((root / name).as_uri() + (f"#{fragment}" if fragment else ""))
        page.reload()
        page.wait_for_timeout(200)
        page.get_by_role("button", name="Show as table").evaluate_all("all => all.forEach(one => one.click())")
        found = axe_playwright.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]})
        wrong += [
            f"{path}: {one['id']}: {one['nodes'][0]['html'][:200]} ({len(one['nodes'])})"
            for one in found.response["violations"]
        ]
    context.close()
    assert wrong == []


def _submitted() -> shelf.Shelf:
    """The shipped rows but those of the largest suite, of which one spec stands for all."""
    board = shelf.Shelf()
    rows = (row for row in submissions.rows() if row.bundle.suite != "minima" or row.bundle.runs[0].spec == "mlp")
    submissions.merge(board, rows)
    return board


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The site of the shipped submissions."""
    output = tmp_path_factory.mktemp("shipped")
    folder.write(pages.render(_submitted()), output, pages.SUMS)
    return output


@pytest.mark.parametrize("look", builders.tiers([(320, "light"), (1280, "dark")], quick=[(320, "light")]), ids=str)
def test_optimisers_scatter_and_trust_are_readable_by_all(
    browser: sync_api.Browser, shipped: pathlib.Path, look: tuple[int, str]
) -> None:
    """The pages that shipped rows fill: drawn, without violation, and without sideways scroll at 320 px."""
    width, theme = look
    specs = sorted((shipped / "spec" / "optimisers").glob("*.html"))
    cell = next(iter(sorted((shipped / "cell" / "quickstart").glob("*.html"))))
    runs = sorted((shipped / "run" / "practical").glob("*.html"))
    kept = next(page for page in runs if 'id="spectra"' in page.read_text(encoding="utf-8"))
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    for file, drawn in (
        (shipped / "optimisers.html", "polyline.profile"),
        (shipped / "optimisers.html", "#pareto ~ .drawing circle"),
        (specs[0], "#scatter ~ .drawing circle"),
        (specs[0], "#fan ~ .drawing path.line"),
        (shipped / "minima.html", "table.sweep td.square"),
        (shipped / "index.html", ".nearness circle"),
        (kept, "#spectra ~ .drawing path.line"),
        (cell, "#trust"),
    ):
        page.goto(file.as_uri())
        assert page.locator(drawn).count() >= {"#trust": 1, "#spectra ~ .drawing path.line": 2}.get(drawn, 5)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, file.name
        found = axe_playwright.Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]})
        assert [one["id"] for one in found.response["violations"]] == [], file.name
    assert "replayed:" in page.locator("#trust").inner_text()
    context.close()


def test_the_site_works_over_http_below_a_path_with_a_space(browser: sync_api.Browser, root: pathlib.Path) -> None:
    handler = functools.partial(Quiet, directory=str(root.parent))
    wrong: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}/the%20site/"
        page = browser.new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("request", lambda request: None if request.url.startswith(base) else wrong.append(request.url))
        page.goto(base + "index.html#view=saddles")
        page.wait_for_selector('th[data-key="escaped"]')
        page.get_by_label("run of seed 0").first.click()
        page.wait_for_selector("figure.plot svg path.curve")
        page.close()
        server.shutdown()
    assert wrong == []


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


def test_the_keyboard_alone_finds_a_run(visit: Open) -> None:
    """From the top of the page: choose a view, sort, and open a run, with no pointer."""
    page = visit("index.html")

    def tab_to(what: str) -> None:
        for _ in range(200):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches('{what}')"):
                return
        raise AssertionError(f"{what} cannot be reached")

    tab_to("input[name=view]")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector('th[data-key="loss_gap"]')
    tab_to('th[data-key="loss_gap"] button')
    page.keyboard.press("Enter")
    page.wait_for_selector('th[data-key="loss_gap"][aria-sort="ascending"]')
    tab_to("small.links a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/run/**")
    tab_to("figure svg")
    page.keyboard.press("End")
    assert page.locator("figure.plot").first.locator(".status").inner_text().startswith("step ")


def test_every_control_has_a_name_and_every_region_can_be_reached(visit: Open, board: document.Export) -> None:
    run = _run(board, "mlp · activation=relu")
    for path in ("index.html", f"run/quickstart/{run.run_id}.html", f"cell/quickstart/{run.cell_id}.html"):
        page = visit(path)
        names = page.locator("button, a, input, select").evaluate_all(
            "all => all.map(e => (e.ariaLabel || (e.labels && e.labels[0] && e.labels[0].textContent) "
            "|| e.textContent).trim())"
        )
        assert all(names), path
        assert page.locator("h1").count() == 1
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"


def test_the_page_of_controls_stands_without_a_script_and_fits_a_telephone(visit: Open) -> None:
    for width, script in ((1280, True), (420, False)):
        page = visit("controls.html", width=width, script=script)
        assert page.locator("nav a[aria-current]").inner_text() == "Controls"
        assert page.locator(".tallies .count").all_inner_texts() == ["0 / 1", "1 / 1", "3 / 4"]
        rows = page.locator("table.controls tbody tr")
        assert rows.count() == 4
        assert page.locator("table.controls .disagrees").all_inner_texts() == ["✕ disagrees", "did not fire"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        rows.first.locator("a").click()
        assert page.locator("h1").inner_text().startswith("mlp · activation=relu")
