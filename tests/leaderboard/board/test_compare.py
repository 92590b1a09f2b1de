# SPDX-License-Identifier: Apache-2.0
"""`gdzoo compare`: names stand for runs and cells, only what differs is told, numbers carry their error bars."""

from __future__ import annotations

import json
import math
import pathlib
import shutil
from types import ModuleType
from typing import Any

import pytest
import typer.testing

from harness import errors
from harness.records import run_folder
from harness.tracking import client, upload
from leaderboard.board import cell as cells
from leaderboard.board import compare
from leaderboard.cli import door

command_line = typer.testing.CliRunner()
GELU = {"model": {"family": "mlp", "hidden": [16, 16], "activation": "gelu"}}


@pytest.fixture
def folders(home: pathlib.Path, sample: ModuleType) -> dict[str, pathlib.Path]:
    """Two cells that differ in their activation, three seeds of one and one of the other."""
    made = {f"relu{seed}": sample.folder(home / "runs", "relu", seed) for seed in range(3)}
    return made | {"gelu": sample.folder(home / "runs", "relu", 0, cell=GELU, label="mlp · activation=gelu")}


def test_a_name_is_a_run_a_cell_or_the_beginning_of_one(folders: dict[str, pathlib.Path]) -> None:
    relu, gelu = folders["relu1"].name, folders["gelu"].name
    columns = compare.columns_of([relu, gelu[:5], relu.split("-")[0]], "sqlite:///nowhere.db")
    assert [[run.run_id for run in column.runs] for column in columns] == [
        [relu],
        [gelu],
        [folders[f"relu{seed}"].name for seed in range(3)],
    ]
    assert compare.title(columns[0]).splitlines() == ["mlp · activation=relu", "seed 1", relu]
    assert compare.title(columns[2]).splitlines()[1:] == ["3 seeds", relu.split("-")[0]]


def test_only_settings_that_differ_are_told(folders: dict[str, pathlib.Path]) -> None:
    one, other = (compare.columns_of([folders[name].name], "x")[0] for name in ("relu0", "gelu"))
    assert compare.settings([one, other]) == {"model.activation": ["relu", "gelu"]}
    seeds = [compare.columns_of([folders[name].name], "x")[0] for name in ("relu0", "relu2")]
    assert compare.settings(seeds) == {"seed": ["0", "2"], "η": ["0.25", "0.3"]}
    assert compare.settings([one, one]) == {}


def test_a_run_shows_error_bars_and_a_cell_the_range_of_its_seeds(
    folders: dict[str, pathlib.Path], sample: ModuleType
) -> None:
    run, cell = (
        compare.columns_of([name], "x")[0] for name in (folders["relu0"].name, folders["relu0"].name.split("-")[0])
    )
    rows = compare.ends([run, cell])
    last = [run_folder.read_records(folders[f"relu{seed}"])[-1].values["sigma_min"] for seed in range(3)]
    low, middle, high = (f"{value:.4g}" for value in sorted(last))
    assert rows["σ_min(I − ηH)"][0].startswith(f"{last[0]:.4g} (±3×10⁻¹⁵)")
    assert rows["σ_min(I − ηH)"][1] == f"{middle} [{low}–{high}]"
    assert rows["status"] == ["finished", "finished"] and rows["ended at"] == ["–", "–"]


def test_a_traced_run_shows_what_its_trace_says_and_others_have_no_such_row(sample: ModuleType) -> None:
    runs = [sample.traced(seed, missed=(100,)) for seed in range(2)]
    one, both, plain = cells.Cell((runs[0],)), cells.Cell(tuple(runs)), cells.Cell((sample.run("mlp"),))
    rows = compare.ends([one, both, plain])
    assert rows["trace points"] == ["301", "301", "–"]
    assert rows["eigenvalues that the trace missed"] == ["1", "1", "–"]
    assert rows["changes of the count above 1/η along the trace"] == ["≈ 2", "2", "–"]
    assert "trace points" not in compare.ends([plain])


def test_curves_share_one_scale_and_keep_their_last_value(folders: dict[str, pathlib.Path]) -> None:
    assert compare.sparkline([0.0, 1.0, None, 3.0], 0.0, 3.0) == "▁▃·█"
    assert compare.sparkline([], 0.0, 1.0) == "–"
    long = compare.sparkline([*[0.0] * 99, 1.0], 0.0, 1.0)
    assert len(long) == compare.WIDTH and long[-1] == "█" and set(long[:-1]) == {"▁"}
    assert set(compare.sparkline([2.0, 2.0], 2.0, 2.0)) == {"▅"}
    rows = compare.curves(compare.columns_of([folders["relu0"].name, folders["gelu"].name], "x"))
    assert list(rows) == ["loss L (log)", "η·λ_max", "σ_min(I − ηH) (log)"]
    losses = [math.log10(record.values["loss"]) for record in run_folder.read_records(folders["relu0"])]
    assert rows["loss L (log)"][0] == compare.sparkline(losses, min(losses), max(losses))
    assert compare._scaled(0.0, logarithmic=True) is None and compare._scaled(0.0, logarithmic=False) == 0.0
    assert rows["loss L (log)"][0] == rows["loss L (log)"][1] and rows["loss L (log)"][0][0] == "█"


def test_what_is_not_here_is_read_from_the_store(
    folders: dict[str, pathlib.Path], home: pathlib.Path, store_uri: str
) -> None:
    opened = client.open_store(store_uri)
    for folder in folders.values():
        upload.upload(opened, folder)
    before = command_line.invoke(door.app, ["compare", "--json", *(folder.name for folder in folders.values())])
    shutil.rmtree(home / "runs")
    after = command_line.invoke(door.app, ["compare", "--json", *(folder.name for folder in folders.values())])
    assert before.exit_code == after.exit_code == 0 and before.stdout == after.stdout
    told = json.loads(after.stdout)
    assert told["differ"]["model.activation"] == ["relu"] * 3 + ["gelu"]
    assert len(told["runs"]) == 4 and len(told["runs"][0]["curves"]["loss"]) == len(told["runs"][0]["steps"])


def test_the_command_prints_three_tables(folders: dict[str, pathlib.Path]) -> None:
    said = command_line.invoke(door.app, ["compare", folders["relu0"].name, folders["gelu"].name])
    assert said.exit_code == 0
    for words in (
        "settings that differ",
        "at the last checkpoint step",
        "over the checkpoint steps",
        "model.activation",
    ):
        assert words in said.stdout


def test_what_it_cannot_compare_it_says(folders: dict[str, pathlib.Path], store_uri: str, home: pathlib.Path) -> None:
    def refused(*names: str) -> str:
        said = command_line.invoke(door.app, ["compare", *names])
        assert isinstance(said.exception, errors.InputError)
        return str(said.exception)

    relu = folders["relu0"].name
    assert f"did you mean '{relu[:-1]}" in refused(relu[:-1] + "9")
    assert "at least 4 characters" in refused(relu[:3])
    assert "at most 8 stand side by side" in refused(*[relu] * 9)
    twin = folders["gelu"].with_name(f"{relu[:4]}{'0' * 8}-s0")
    shutil.copytree(folders["gelu"], twin)
    assert f"'{relu[:4]}' begins 2 configurations: " in refused(relu[:4])
    (folders["relu1"] / "records.jsonl").write_text("{", encoding="utf-8")
    assert f"run {folders['relu1'].name} cannot be read: records.jsonl line 1 is not JSON" in refused(
        folders["relu1"].name
    )
    facts: dict[str, Any] = run_folder.read_plain(folders["relu2"]) or {}
    run_folder.write_plain(folders["relu2"], {**facts, "status": "running", "verdict": None})
    assert compare.columns_of([folders["relu2"].name], "x")[0].first.status == "interrupted"
    with run_folder.claimed(folders["relu2"]):
        assert "is still going on" in refused(folders["relu2"].name)
