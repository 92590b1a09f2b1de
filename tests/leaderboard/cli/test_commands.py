# SPDX-License-Identifier: Apache-2.0
"""`gdzoo board build`: a page, a table, and one clear message for what is wrong."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
from types import ModuleType

import pytest
import typer.testing

from harness import errors
from leaderboard.bundles import submit
from leaderboard.cli import bundles, commands
from leaderboard.export import from_store


@pytest.fixture
def source(sample: ModuleType, tmp_path: pathlib.Path) -> pathlib.Path:
    """An export.json with the sample board."""
    path = tmp_path / "export.json"
    path.write_bytes(from_store.dump(sample.export()))
    return path


def test_build_prints_the_table_and_where_the_page_is(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    arguments = ["board", "build", "--from", str(source), "--output", str(tmp_path / "site")]
    result = typer.testing.CliRunner().invoke(commands.app, arguments, env={"COLUMNS": "100"}, catch_exceptions=False)
    assert result.exit_code == 0
    for words in ("Margin min", "vit · activation=gelu", "singular", "≤ 0.0212 ± 0.0027", "20 runs; "):
        assert words in result.output
    assert result.output.endswith(f"page: {tmp_path / 'site' / 'index.html'}\n")
    assert "\x1b[31m" not in result.output
    assert (tmp_path / "site" / "export.json").read_bytes() == source.read_bytes()


def test_the_table_fits_a_small_terminal_without_losing_a_number(source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    arguments = ["board", "build", "--from", str(source), "--output", str(tmp_path / "site")]
    result = typer.testing.CliRunner().invoke(commands.app, arguments, env={"COLUMNS": "80"}, catch_exceptions=False)
    lines = result.output.splitlines()
    assert any(re.search(r" 0\.003115 +3/3$", line.rstrip()) for line in lines)
    assert any(line.rstrip().endswith("3/3 ↗") and "0.04975 (±3×10⁻¹⁵)" in line for line in lines)
    assert any("activation=gelu" in line for line in lines)


def test_cells_that_were_run_here_are_marked_unless_all_were(
    sample: ModuleType, source: pathlib.Path, home: pathlib.Path
) -> None:
    runs = sample.export().runs

    def built() -> tuple[str, str]:
        arguments = ["board", "build", "--from", str(source)]
        said = typer.testing.CliRunner().invoke(commands.app, arguments, catch_exceptions=False).output
        return said, (home / "site" / "index.html").read_text(encoding="utf-8")

    (home / "runs" / runs[0].suite / runs[0].run_id).mkdir(parents=True)
    said, page = built()
    assert "1 of the configurations were run here and are marked: index.html#show=mine" in said
    assert page.count("★ yours") == 1 and "1 configuration of yours" in page
    for run in runs:
        (home / "runs" / run.suite / run.run_id).mkdir(parents=True, exist_ok=True)
    said, page = built()
    assert "#show=mine" not in said and "★ yours" not in page


def test_build_reads_the_default_store(store_uri: str, home: pathlib.Path) -> None:
    result = typer.testing.CliRunner().invoke(commands.app, ["board", "build"], catch_exceptions=False)
    assert "there is no run in the store yet; `gdzoo run specs/quickstart` makes some" in result.output
    assert (home / "site" / "index.html").exists()


def test_build_names_what_it_leaves_out_and_is_strict_if_told(store_uri: str, home: pathlib.Path) -> None:
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=store_uri)
    key = client.create_experiment("gdzoo: t", (home / "artifacts").as_uri(), {"gdzoo.suite": "t"})
    stray = client.create_run(key).info.run_id
    client.set_terminated(stray, "FINISHED")
    for words, code in ((["board", "build"], 0), (["board", "build", "--strict"], errors.EXIT_FAILED)):
        result = typer.testing.CliRunner().invoke(commands.app, words, catch_exceptions=False)
        assert result.exit_code == code
        assert f"left out: MLflow run {stray} in the store is not one of gdzoo's" in result.output
        assert result.output.endswith(f"page: {home / 'site' / 'index.html'}\n")


def test_store_and_from_exclude_each_other(source: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match="--store, --from and --only-submitted exclude each other"):
        typer.testing.CliRunner().invoke(
            commands.app, ["board", "build", "--from", str(source), "--store", "sqlite:///x.db"], catch_exceptions=False
        )


def test_submit_runs_then_builds_then_says_what_was_found(
    home: pathlib.Path, source: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    board = from_store.load(source)
    monkeypatch.setattr(bundles.harness_cli, "check_specs", lambda paths, **_: done.append(f"check {paths[0]}") or [])
    monkeypatch.setattr(submit, "bundles_of", lambda cells, level, **_: done.append(f"bundle {level}") or [])
    monkeypatch.setattr(bundles.harness_cli, "run_specs", lambda paths, *_, **__: done.append(f"run {paths[0]}"))
    held = from_store.Source(list(board.suites), len(board.runs), iter(board.runs))
    monkeypatch.setattr(from_store, "opened", lambda uri, *_: done.append(f"read {uri}") or held)
    monkeypatch.setattr(bundles.harness_cli, "finish", lambda *_: done.append("finish"))
    result = typer.testing.CliRunner().invoke(commands.app, ["submit", "specs/x.yaml"], catch_exceptions=False)
    read = f"read sqlite:///{home / 'mlflow.db'}"
    assert done == ["check specs/x.yaml", "run specs/x.yaml", "finish", "bundle recomputed", read]
    assert f"page: {home / 'site' / 'index.html'}" in result.output


@pytest.mark.parametrize(
    "module", ["leaderboard.cli.commands", "leaderboard.site.pages", "leaderboard.export.from_store"]
)
def test_importing_is_light_and_never_loads_jax(module: str) -> None:
    heavy = "{'jax', 'flax', 'mlflow', 'tensorflow_datasets', 'sklearn'}"
    light = " | {'jinja2', 'rich.table', 'pydantic'}" if module == "leaderboard.cli.commands" else ""
    code = f"import sys, {module}; sys.exit(str(sorted(({heavy}{light}) & set(sys.modules))))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.stderr.strip() == "[]"
