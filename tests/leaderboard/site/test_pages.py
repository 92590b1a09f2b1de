# SPDX-License-Identifier: Apache-2.0
"""The pages: safe for any text, the same bytes for the same export, and written only where something changed."""

from __future__ import annotations

import hashlib
import html.parser
import json
import pathlib
import re
import tracemalloc
from types import ModuleType
from typing import Any

import pytest

from harness import errors, metrics, theory
from leaderboard import code, folder
from leaderboard.board import cell as cells
from leaderboard.board import number, table
from leaderboard.export import document, from_file, from_store, parsing, shelf, spool
from leaderboard.site import figure
from leaderboard.site import pages as site_pages
from leaderboard.site import rows as row_tables

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
)
FORBIDDEN_IN_SCRIPTS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|\bFunction\b|createContextualFragment|"
    r"setAttribute\(\s*[\"']on|\.on[a-z]+\s*=|javascript:|\bfetch\b|XMLHttpRequest|\bimport\b|cookie|https?://(?!www\.w3\.org)"
)


class Page(html.parser.HTMLParser):
    """Collects the elements of a page."""

    def __init__(self, source: bytes) -> None:
        """Parses a page."""
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(source.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keeps an element."""
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keeps text, and what stands inside script and style elements."""
        if data.strip() and self.elements and self.elements[-1][0] in ("script", "style"):
            self.text.append(data)


@pytest.fixture(scope="module")
def board(sample: ModuleType) -> document.Export:
    """The sample board."""
    made: document.Export = sample.export()
    return made


@pytest.fixture(scope="module")
def files(board: document.Export) -> dict[str, bytes]:
    """The site of the sample board."""
    return site_pages.render(board)


@pytest.fixture(scope="module")
def pages(files: dict[str, bytes]) -> dict[str, Page]:
    """Its pages, parsed."""
    return {path: Page(content) for path, content in files.items() if path.endswith(".html")}


def test_every_run_and_every_cell_has_a_page(board: document.Export, files: dict[str, bytes]) -> None:
    for run in board.runs:
        assert f"run/{run.suite}/{run.run_id}.html" in files
        assert f"data/run/{run.suite}/{run.run_id}.js" in files
        assert f"cell/{run.suite}/{run.cell_id}.html" in files


def test_steps_are_times_where_the_step_size_does_not_change(sample: ModuleType) -> None:
    falling = {"name": "gd", "learning_rate": 0.1, "schedule": {"name": "cosine", "warmup": 0, "to": 0.01}}
    run, other = sample.run("timed"), sample.run("timed", cell={"optimizer": falling})
    assert figure.curves(run)["eta"] == run.eta and figure.curves(other)["eta"] is None


def test_numbers_stand_in_the_page_of_a_run_with_their_error_bars_and_bounds(
    board: document.Export, files: dict[str, bytes]
) -> None:
    run = next(run for run in board.runs if run.curvature == "lanczos" and run.verdict != "invertible")
    page = files[f"run/{run.suite}/{run.run_id}.html"].decode()
    for at in (0, len(run.steps) - 1):
        value, error = run.curves["sigma_min"][at], run.curves["sigma_min_error"][at]
        assert f"<td>{number.show(value, error, '≤')}</td>" in page
        assert f"<td>{number.show(run.curves['loss'][at])}</td>" in page


def test_the_page_of_a_run_says_what_its_verdict_rests_on(sample: ModuleType) -> None:
    def page(run: document.Run) -> str:
        board = document.compose([document.Suite(name=run.suite, note="")], [run])
        return html.unescape(site_pages.render(board)[f"run/{run.suite}/{run.run_id}.html"].decode())

    open_ = sample.run("mlp", verdict="undecided", doubt={"step": 10, "because": "nothing excluded", "steps": 3})
    assert "At step 10, and 2 more: the lower bound of σ" in page(open_)
    old = sample.run("mlp", verdict="undecided", curvature="lanczos")
    assert "At step 0" in page(old), "worked out from the records where a run does not say it"
    lanczos = sample.run("mlp", curvature="lanczos", verdict="certified")
    assert lanczos.verdict == "invertible", "as older versions called it"
    assert f"That is false with probability {number.show(1e-12 * len(lanczos.steps))} at most" in page(lanczos)
    assert "That is false with probability" not in page(sample.run("mlp"))
    batches = {"name": "sgd", "learning_rate": 0.1, "batch_size": 64}
    for hidden, said in (([], "Of the full-batch map, which SGD does not iterate."), ([16, 16], "every mini-batch.")):
        model = {"family": "mlp", "hidden": hidden, "activation": "relu"}
        assert said in page(sample.run("mlp", eta=0.1, cell={"optimizer": batches, "model": model}))


def test_the_policy_comes_first_and_allows_nothing_inline(pages: dict[str, Page]) -> None:
    for path, page in pages.items():
        head = [(tag, attributes) for tag, attributes in page.elements if tag in ("meta", "script", "link", "style")]
        assert head[0] == ("meta", {"charset": "utf-8"}), path
        assert head[1] == ("meta", {"http-equiv": "Content-Security-Policy", "content": CSP}), path
        assert page.text == [], f"{path} has an inline script or style"
        for tag, attributes in page.elements:
            assert tag not in ("style", "iframe", "object", "embed", "form") or attributes.get("id") == "filter", path
            assert "style" not in attributes, f"{path}: <{tag}> has a style attribute"
            assert not [name for name in attributes if name.startswith("on")], f"{path}: <{tag}> has a handler"


def test_every_link_leads_to_a_file_of_the_site(files: dict[str, bytes], pages: dict[str, Page]) -> None:
    for path, page in pages.items():
        for tag, attributes in page.elements:
            target = attributes.get("src") or attributes.get("href") or ""
            if not target or target.startswith("#"):
                continue
            assert not re.match(r"[a-z]+:|//", target), f"{path}: <{tag}> leaves the site: {target}"
            parts = [*pathlib.PurePosixPath(path).parent.parts]
            for part in target.split("#")[0].split("/"):
                if part == "..":
                    parts.pop()
                else:
                    parts.append(part)
            assert "/".join(parts) in files, f"{path}: {target} leads nowhere"


def test_anchors_exist(files: dict[str, bytes], pages: dict[str, Page]) -> None:
    ids = {attributes["id"] for _, attributes in pages["method.html"].elements if "id" in attributes}
    wanted = set(re.findall(r"method\.html#([\w-]+)", "".join(files[path].decode() for path in pages)))
    assert wanted and wanted <= ids


def test_hostile_text_makes_no_element(board: document.Export, pages: dict[str, Page]) -> None:
    harmless = {"img", "iframe", "object", "embed"}
    for path, page in pages.items():
        assert not [tag for tag, _ in page.elements if tag in harmless], path
        assert all(attributes.get("src") != "x" for _, attributes in page.elements), path
    hostile = next(run for run in board.runs if run.suite == "strangers")
    source = site_pages.render(board)[f"run/strangers/{hostile.run_id}.html"].decode()
    assert "&lt;img src=x onerror=alert(1)&gt;" in source
    assert "{{7*7}}" in source and "\u202e" not in source


def test_templates_never_switch_escaping_off() -> None:
    for template in site_pages.TEMPLATES.iterdir():
        source = template.read_text(encoding="utf-8")
        assert "|safe" not in source.replace(" ", "") and "autoescape" not in source, template.name
    assert site_pages._environment().autoescape is True


def test_scripts_use_nothing_that_makes_code_of_text() -> None:
    scripts = sorted(site_pages.ASSETS.glob("*.js"))
    assert len(scripts) == 7
    for script in scripts:
        found = FORBIDDEN_IN_SCRIPTS.search(script.read_text(encoding="utf-8"))
        assert found is None, f"{script.name}: {found and found[0]}"


@pytest.mark.parametrize(
    "line",
    ["x.innerHTML = y", "eval(x)", "new Function(x)", "a.onclick = f", "a.setAttribute('onload', x)", "fetch(x)"],
)
def test_the_script_lint_can_fail(line: str) -> None:
    assert FORBIDDEN_IN_SCRIPTS.search(line)


def test_the_table_and_the_facts_need_no_script(board: document.Export, files: dict[str, bytes]) -> None:
    index = files["index.html"].decode()
    rows = re.findall(r'<tr data-id="[^"]*">.*?</tr>', index, re.DOTALL)
    assert len(rows) == len(cells.cells(board)) == 8
    run = next(run for run in board.runs if run.label == "vgg · activation=relu")
    page = files[f"run/{run.suite}/{run.run_id}.html"].decode()
    for text in ("Show numbers", run.spec_hash, run.command, run.commit, "lanczos", "≤ 0.0", "CC BY 4.0"):
        assert text in page, text
    numbers = page.partition('class="numbers"')[2].partition("</details>")[0]
    steps = [int(step) for step in re.findall(r'<tr><th scope="row">(\d+)', numbers)]
    margin = cells.margin_of(run)
    assert margin is not None
    assert {run.steps[0], run.steps[-1], margin.step} <= set(steps) <= set(run.steps)
    assert site_pages.LOOKS - 1 <= len(steps) <= site_pages.LOOKS


def test_page_and_terminal_print_the_same_numbers(board: document.Export, files: dict[str, bytes]) -> None:
    shown = "".join(files[path].decode() for path in files if path.startswith("spec/"))
    for row in table.summary(row_tables.of_cell(cell).entries for cell in cells.cells(board)).rows:
        assert all(re.sub(r" [↗‖◔✕]$", "", entry) in shown for entry in row[1:])


def test_a_run_says_what_was_not_measured_and_why(sample: ModuleType) -> None:
    def page(**changes: object) -> str:
        run = sample.run("relu", **changes)
        shown = site_pages.render(document.compose([document.Suite(name=run.suite, note="")], [run]))
        return shown[f"{site_pages.run_path(run)}.html"].decode()

    cheap = "auto takes the cheap ones"
    told = page(left_out={"sweep": cheap, "minibatches": "steps take <all> examples", "inverse": cheap})
    line = re.search(r"<p class=\"caption\">(Not measured:.*?)</p>", told)
    assert line is not None
    assert re.sub(r"</?bdi>", "", line[1]) == (
        "Not measured: sweep, inverse (auto takes the cheap ones); minibatches (steps take &lt;all&gt; examples)."
    )
    assert "Not measured" not in page() and "Not measured" not in page(left_out={})
    for wrong in ({"<b>": "no"}, {"sweep": 1}, ["sweep"], {"sweep": "x" * 5000}):
        with pytest.raises(ValueError, match="left_out"):
            sample.run("relu", left_out=wrong)


def test_a_run_says_that_it_is_mixed_that_it_reached_its_target_and_what_proves_heavy_ball(sample: ModuleType) -> None:
    def page(**changes: object) -> str:
        run = sample.run("relu", **changes)
        shown = site_pages.render(document.compose([document.Suite(name=run.suite, note="")], [run]))
        return shown[f"{site_pages.run_path(run)}.html"].decode()

    one, other = {"from": 0, "device": "cpu"}, {"from": 7, "device": "gpu"}
    assert "it went on with other code or elsewhere" in page(environments=[one, other])
    assert "it went on" not in page(environments=[one]) and "it went on" not in page()
    assert "met its target there, and ended" in page(reached_at=7)
    assert "its target" not in page(reached_at=None)
    saddle = {"point": "strict saddle", "because": {"lambda_min": -0.25}}
    assert "strict saddle" in page(end=saddle) and "−0.25" in page(end=saddle)
    assert "Ended at" not in page(end={"point": None, "because": {}})
    heavy = {"optimizer": {"name": "heavy_ball", "learning_rate": 0.1, "momentum": 0.9}}
    assert theory.FIXED_VOLUME in page(cell=heavy) and theory.FIXED_VOLUME not in page()
    assert "Nothing is claimed" in page() and "Nothing is claimed" not in page(cell=heavy)


def test_every_metric_and_column_is_explained(files: dict[str, bytes]) -> None:
    method = files["method.html"].decode()
    for name in metrics.METRICS:
        assert f'id="metric-{name}"' in method
    for name in table.COLUMNS:
        assert f'id="column-{name}"' in method
    bars = {metric.error for metric in metrics.METRICS.values() if metric.error}
    assert {name for name, metric in metrics.METRICS.items() if metric.bar} == bars
    assert {metric.bar for metric in metrics.METRICS.values()} == {"", *metrics.BARS}
    assert set(metrics.FAILURES) == {metric.group for metric in metrics.METRICS.values()}
    assert method.count("<dt>Failure mode</dt>") == len(metrics.METRICS)


def test_data_scripts_are_one_call_with_plain_json(board: document.Export, files: dict[str, bytes]) -> None:
    run = next(run for run in board.runs if run.label == "mlp · activation=relu")
    script = files[f"data/run/{run.suite}/{run.run_id}.js"].decode()
    call = re.fullmatch(r'GDZ\.put\("([\w./-]+)",(\{.*\})\);\n', script)
    assert call is not None and call[1] == f"{run.suite}/{run.run_id}"
    data = json.loads(re.sub(r"(?<=[\[,-])\.", "0.", call[2]))
    assert data["steps"] == list(run.steps)
    assert data["curves"]["sigma_min"] == pytest.approx(run.curves["sigma_min"], rel=5e-4)
    assert data["curves"]["sigma_min_error"] == pytest.approx(run.curves["sigma_min_error"], rel=5e-2)
    (lanczos, *_) = [run for run in board.runs if run.label == "vgg · activation=relu"]
    sent = figure.curves(lanczos)["curves"]["sigma_min_error"]  # type: ignore[index]
    assert all(short >= error for short, error in zip(sent, lanczos.curves["sigma_min_error"], strict=True))


def test_reference_lines_stand_at_one_and_two_over_eta(board: document.Export, files: dict[str, bytes]) -> None:
    run = next(run for run in board.runs if run.label == "mlp · activation=relu")
    page = Page(files[f"run/{run.suite}/{run.run_id}.html"])
    (shown,) = [json.loads(has["data-shown"] or "") for _, has in page.elements if "data-shown" in has]
    assert shown == {
        "alone": True,
        "curves": [[f"{run.suite}/{run.run_id}", f"seed {run.seed}"]],
        "lines": [[1 / run.eta, "1/η"], [2 / run.eta, "2/η"]],
    }


def test_what_plots_are_is_said_once_for_all_pages(files: dict[str, bytes]) -> None:
    call = re.fullmatch(r'GDZ\.put\("plots",(\[.*\])\);\n', files["data/plots.js"].decode())
    assert call is not None
    plots = json.loads(call[1])
    assert [plot["metric"] for plot in plots if plot["alone"] is not False][:3] == ["loss", "sharpness", "sigma_min"]
    others = [plot["metric"] for plot in plots if plot["alone"] is not True]
    assert others[1:] == ["eta_sharpness", "sigma_min", "log_abs_det", "n_above_inv_eta", "grad_norm", "lambda_min"]
    assert plots[2]["lines"] == [[1, "1"], [2, "2"]]
    assert (plots[0]["scale"], plots[3]["error"], plots[3]["floor"]) == ("log", "sigma_min_error", True)
    assert {plot["metric"] for plot in plots} | {plot["error"] for plot in plots} <= {*figure.CURVES, ""}


def test_where_a_run_stayed_at_a_saddle_is_known_from_its_escape_or_from_its_records(sample: ModuleType) -> None:
    """Left after 45 of 300 steps, after more than the run has, never; and a plateau at the steps 10 to 30."""

    def run(values: list[dict[str, float | str]], start: str = "head_saddle") -> document.Run:
        said = sample.facts("mlp", cell={"start": {"name": start, "perturbation": 1e-7}})
        lines = [json.dumps({"step": 10 * at, "values": one}) for at, one in enumerate(values)]
        return parsing.parse_run(json.dumps(said), "\n".join(lines), sample.cell_yaml(said))

    rest: list[dict[str, float | str]] = [{"loss": 0.1}] * 30
    assert figure.stay(run([{"escape_steps": 45.0, "escape_watched": 45.0}, *rest])) == (0, 45)
    assert figure.stay(run([{"escape_steps": 999.0, "escape_watched": 999.0}, *rest])) == (0, 300)
    assert figure.stay(run([{"escape_steps": "inf", "escape_watched": 500.0}, *rest])) is None
    ratios = [1.0, 1e-3, 1e-3, 1.0, 1.0]
    for least, stayed in ((-1.0, (10, 30)), (0.0, None)):
        records = [{"pl_ratio": ratio, "lambda_min": least, "lambda_min_error": 1e-9} for ratio in ratios]
        assert figure.stay(run(records)) == stayed
    assert figure.stay(run([])) is None


def test_runs_link_to_mlflow_where_it_is_said_and_nowhere_else(board: document.Export) -> None:
    run = board.runs[0]
    link = "https://mlflow.example.org/x/#/experiments/7/runs/" + "ab" * 16
    files = site_pages.render(board, mlflow={figure.name(run): link})
    page = files[f"{site_pages.run_path(run)}.html"].decode()
    assert f'<a href="{link}" rel="noopener noreferrer nofollow">' in page
    assert sum(b"mlflow.example.org" in content for content in files.values()) == 1


def test_checksums_cover_every_other_file(files: dict[str, bytes]) -> None:
    listed = dict(reversed(line.split("  ")) for line in files["SHA256SUMS"].decode().splitlines())
    assert set(listed) == set(files) - {"SHA256SUMS"}
    assert all(hashlib.sha256(files[path]).hexdigest() == digest for path, digest in listed.items())


def test_the_same_export_gives_the_same_bytes(board: document.Export, files: dict[str, bytes]) -> None:
    assert site_pages.render(board) == files


def test_an_empty_board_says_what_to_do() -> None:
    files = site_pages.render(document.compose([], []))
    assert "gdzoo run specs/quickstart" in files["index.html"].decode()


def test_a_second_build_writes_nothing(files: dict[str, bytes], tmp_path: pathlib.Path) -> None:
    assert folder.write(files, tmp_path, site_pages.SUMS) == (len(files), 0, 0)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert folder.write(files, tmp_path, site_pages.SUMS) == (0, len(files), 0)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert {path.relative_to(tmp_path).as_posix() for path in before if path.is_file()} == set(files)


def _built(board: document.Export, output: pathlib.Path) -> folder.Written:
    with folder.opened(output, site_pages.SUMS) as target:
        site_pages.build(shelf.of(board), target, scratch=target.partial)
        return target.finish()


def _times(output: pathlib.Path) -> dict[str, int]:
    return {
        path.relative_to(output).as_posix(): path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()
    }


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages of runs, cells and specs that are made from now on, by the templates they are made of."""
    found: list[str] = []
    real = site_pages._Build._page

    def page(self: site_pages._Build, path: str, template: str, values: Any) -> None:
        if template in ("run.html", "cell.html", "spec.html"):
            found.append(path)
        real(self, path, template, values)

    monkeypatch.setattr(site_pages._Build, "_page", page)
    return found


def test_a_second_build_makes_only_the_pages_of_what_changed(
    board: document.Export, files: dict[str, bytes], made: list[str], tmp_path: pathlib.Path
) -> None:
    assert _built(board, tmp_path) == (len(files), 0, 0)
    assert all((tmp_path / path).read_bytes() == content for path, content in files.items())
    assert set(_times(tmp_path)) == {*files, folder.MADE_OF}
    first = set(made)
    assert first == {path for path in files if path.startswith(("run/", "cell/", "spec/"))}
    made.clear()
    before = _times(tmp_path)
    assert _built(board, tmp_path) == (0, len(files), 0)
    assert made == [] and _times(tmp_path) == before
    one = next(run for run in board.runs if run.label == "mlp-sgd")
    changed = one.model_copy(update={"seconds": one.seconds + 1})
    newer = document.compose(list(board.suites), [changed if run is one else run for run in board.runs])
    written = _built(newer, tmp_path)
    cell = [run for run in board.runs if (run.suite, run.cell_id) == (one.suite, one.cell_id)]
    pages = {f"{site_pages.run_path(run)}.html" for run in cell} | {f"{site_pages.cell_path(one)}.html"}
    assert set(made) == pages | {f"{site_pages.spec_path(one)}.html"} and len(cell) == 3
    after = _times(tmp_path)
    touched = {path for path in files if path.endswith(".html") and after[path] != before[path]}
    assert touched <= set(made) | {"data.html"} and f"{site_pages.run_path(one)}.html" in touched
    assert written.written < 10 and site_pages.render(newer).keys() == files.keys()
    assert all((tmp_path / path).read_bytes() == content for path, content in site_pages.render(newer).items())


def test_pages_are_made_again_where_files_code_or_lists_are_not_what_they_were(
    board: document.Export, made: list[str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _built(board, tmp_path)
    run = next(run for run in board.runs if run.label == "mlp-sgd")
    page = tmp_path / f"{site_pages.run_path(run)}.html"
    content = page.read_bytes()
    made.clear()
    page.write_bytes(content[:-1] + b" ")
    _built(board, tmp_path)
    assert page.read_bytes() == content and len(made) == 4, "its cell, and the runs beside it"
    made.clear()
    (tmp_path / folder.MADE_OF).write_text("", encoding="utf-8")
    _built(board, tmp_path)
    everything = len(made)
    made.clear()
    monkeypatch.setattr(code, "digest", lambda: "another version")
    _built(board, tmp_path)
    assert len(made) == everything > 20
    made.clear()
    sums = tmp_path / site_pages.SUMS
    sums.write_text(sums.read_text(encoding="utf-8") + f"{'0' * 64}  gone.html\n", encoding="utf-8")
    _built(board, tmp_path)
    assert len(made) == everything, "the list is of another build"


def test_memory_grows_by_less_than_12_kilobytes_a_run(
    sample: ModuleType, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So 100,000 runs stay below 1.5 GB: from an export to a site on disk, for a small board and one four times it."""
    monkeypatch.setattr(spool, "IN_MEMORY", 1)
    monkeypatch.setattr(row_tables, "BLOCK", 20)
    runs = [sample.run("x", spec=f"x{number}", cell={"steps": 300 + number}) for number in range(80)]

    def peak(count: int) -> int:
        file, output = tmp_path / f"{count}.json", tmp_path / f"site-{count}"
        file.write_bytes(from_store.dump(sample.board_of(runs[:count])))
        tracemalloc.start()
        with folder.opened(output, site_pages.SUMS) as target:
            site_pages.build(from_file.shelved(file, folder=target.partial), target, scratch=target.partial)
            target.finish()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)  # what is imported and kept once
    grown = (peak(80) - peak(20)) / 60
    assert grown < 12_000, grown


def test_what_no_longer_belongs_is_removed_and_what_is_not_ours_stays(
    board: document.Export, files: dict[str, bytes], tmp_path: pathlib.Path
) -> None:
    folder.write(files, tmp_path, site_pages.SUMS)
    (tmp_path / "CNAME").write_text("mine", encoding="utf-8")
    kept = [run for run in board.runs if run.suite != "strangers"]
    fewer = site_pages.render(document.compose([suite for suite in board.suites if suite.name != "strangers"], kept))
    written = folder.write(fewer, tmp_path, site_pages.SUMS)
    assert written.removed == 4  # the pages of the spec, the cell and the run, and the data of the run
    assert not (tmp_path / "run" / "strangers").exists()
    assert (tmp_path / "CNAME").read_text(encoding="utf-8") == "mine"
    assert {"index.html", "data.html", "export.json", "SHA256SUMS"} <= set(fewer)


def test_a_folder_of_somebody_else_is_left_alone(files: dict[str, bytes], tmp_path: pathlib.Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(errors.InputError, match=r"not empty and not a site of gdzoo \(it has no SHA256SUMS\)"):
        folder.write(files, tmp_path, site_pages.SUMS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_forged_list_removes_nothing_outside(files: dict[str, bytes], tmp_path: pathlib.Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.touch()
    target = tmp_path / "site"
    target.mkdir()
    lines = [f"{'0' * 64}  {path}\n" for path in ("../outside.txt", str(outside), "a/../../outside.txt")]
    (target / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    folder.write(files, target, site_pages.SUMS)
    assert outside.exists()


def test_the_old_site_stays_when_a_page_cannot_be_made(
    board: document.Export, files: dict[str, bytes], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leaderboard.cli import board as board_commands

    output = tmp_path / "site"
    folder.write(files, output, site_pages.SUMS)
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    monkeypatch.setattr(site_pages, "_data", lambda *_: {})
    with pytest.raises(Exception, match="'files' is undefined"):
        content = board_commands.Content(lambda folder: shelf.Shelf(folder=folder))
        board_commands.build_board("", output, board_commands.console(), content)
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before
