# SPDX-License-Identifier: Apache-2.0
"""`gdzoo board check` and `serve`: a site is whole and small, and each fault is found."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from types import ModuleType

import pytest
from typer import testing

from harness import errors, workspace
from leaderboard import folder
from leaderboard.cli import door
from leaderboard.export import document
from leaderboard.site import check, pages


@pytest.fixture
def built(sample: ModuleType, tmp_path: pathlib.Path) -> pathlib.Path:
    """The sample board as a site on disk."""
    output = tmp_path / "site"
    folder.write(pages.render(sample.export()), output, pages.SUMS)
    return output


def test_a_site_as_it_was_built_is_whole_and_within_its_budgets(built: pathlib.Path) -> None:
    said = testing.CliRunner().invoke(door.app, ["board", "check", str(built)])
    assert said.exit_code == 0, said.output
    assert "0 problems, 0 sizes over their budget" in said.output
    assert len(check.figures(built)) == 9


def test_a_site_without_runs_is_whole_too(tmp_path: pathlib.Path) -> None:
    folder.write(pages.render(document.compose([], [])), tmp_path / "site", pages.SUMS)
    said = testing.CliRunner().invoke(door.app, ["board", "check", str(tmp_path / "site")])
    assert said.exit_code == 0, said.output


def test_a_run_page_with_a_trace_has_a_budget_of_its_own(sample: ModuleType, tmp_path: pathlib.Path) -> None:
    runs = sorted((sample.traced(top=8), sample.run("mlp")), key=document.order)
    export = document.compose([document.Suite(name="quickstart", note="")], runs)
    folder.write(pages.render(export), tmp_path / "site", pages.SUMS)
    sizes = {figure.name: figure for figure in check.figures(tmp_path / "site")}
    plain = sizes["a run page and all it loads, compressed (largest of 1)"]
    traced = sizes["a run page with a trace and all it loads, compressed (largest of 1)"]
    assert plain.holds and traced.holds and plain.budget < traced.value, "only the traced one loads what traces need"
    assert list(check.problems(tmp_path / "site")) == []


def _edit(old: str, new: str) -> Callable[[pathlib.Path], None]:
    def edit(page: pathlib.Path) -> None:
        text = page.read_text(encoding="utf-8")
        assert old in text
        page.write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (pathlib.Path.unlink, "index.html: missing"),
        (_edit("Configurations", "cells"), "index.html: changed since it was built"),
        (_edit('href="method.html"', 'href="methods.html"'), "a link to methods.html, which is not there"),
        (_edit("method.html#columns", "method.html#rows"), "method.html#rows, where no element has this id"),
        (_edit("<h1>", '<h1 onclick="x()">'), "an inline script, style or handler"),
        (_edit("script-src 'self'", "script-src *"), "no strict content security policy"),
        (_edit('href="method.html"', 'href="http://example.org/"'), "a link to http://example.org/"),
    ],
)
def test_each_fault_of_a_site_is_found(built: pathlib.Path, spoil: Callable[[pathlib.Path], None], said: str) -> None:
    spoil(built / "index.html")
    found = list(check.problems(built))
    assert any(said in line for line in found), found
    ended = testing.CliRunner().invoke(door.app, ["board", "check", str(built)])
    assert ended.exit_code == errors.EXIT_FAILED or not (built / "index.html").exists()


def test_a_size_over_its_budget_is_said(built: pathlib.Path) -> None:
    with (built / "a" / "table.js").open("a", encoding="utf-8") as script:
        script.write("".join(f"// {number * 7919 % 1000003:x}\n" for number in range(20_000)))
    large = [figure for figure in check.figures(built) if not figure.holds]
    assert [figure.name for figure in large][:1] == ["own scripts and styles, compressed"]
    assert "OVER 40" in testing.CliRunner().invoke(door.app, ["board", "check", str(built)]).output


def test_the_size_for_each_run_counts_on_a_large_board(built: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = len(list((built / "run").rglob("*.html")))
    assert all("for each run" not in figure.name for figure in check.figures(built))
    monkeypatch.setattr(check, "MANY", runs)
    (figure,) = [figure for figure in check.figures(built) if "for each run" in figure.name]
    files = [file for file in built.rglob("*") if file.is_file() and file.name not in ("export.json", pages.SUMS)]
    whole = sum(file.stat().st_size for file in files)
    assert figure.value == pytest.approx(whole / runs / 1000)


@pytest.mark.parametrize(
    ("address", "wrong"),
    [("http://127.0.0.1:5000/#/x", 0), ("https://example.org/#/x", 0), ("http://127.0.0.1.example.org/", 1)],
)
def test_only_this_machine_may_be_linked_without_tls(built: pathlib.Path, address: str, wrong: int) -> None:
    _edit('href="method.html"', f'href="{address}"')(built / "index.html")
    assert sum(line.startswith("index.html: a link to") for line in check.problems(built)) == wrong


def test_a_folder_that_is_no_site_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match="no site of gdzoo"):
        check.figures(tmp_path)


def test_serve_serves_on_this_machine_alone(built: pathlib.Path) -> None:
    command = [sys.executable, "-m", "gdzoo", "board", "serve", str(built), "--port", "0"]
    with subprocess.Popen(command, cwd=workspace.CHECKOUT, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        try:
            address = re.match(r"(http://127\.0\.0\.1:\d+/)", served.stdout.readline())
            assert address is not None
            with urllib.request.urlopen(address[1] + "index.html") as answer:
                assert answer.read() == (built / "index.html").read_bytes()
        finally:
            served.terminate()
