# SPDX-License-Identifier: Apache-2.0
"""Damaged run folders: the run is named, the rest goes on, nothing is lost, and a run made again has the same bits."""

from __future__ import annotations

import pathlib
import shutil
import warnings
from collections.abc import Callable

import pytest

from harness import errors
from harness.records import run_folder
from harness.runs import run as runs
from harness.tracking import client, queue, upload
from tests import builders

CELL = builders.cell(
    **builders.quadratic(4.0, 2.0, -1.0),
    steps=4,
    seeds=2,
    trace={"top": 1, "every": 1},
    diagnostics=["margin", "critical", "layers"],
)

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[: len(content) // 2] + b"\n",
    "NULs": lambda content: bytes(len(content)) + b"\n",
    "foreign": lambda content: b'{"name": "of another program"}\n' * 3,
    "a garbage line": lambda content: content + b"\xff\xfe{]\n",
    "a list": lambda content: b"[]\n",
}


def made(seed: int = 0) -> pathlib.Path:
    (folder,) = runs.run_seeds(CELL, (seed,), device="cpu", command="gdzoo run t.yaml")
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of a run, made once."""
    home = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GDZOO_HOME", str(home))
        return made()


def content(folder: pathlib.Path) -> dict[str, bytes]:
    names = ("records.jsonl", "spectra.jsonl", "layers.jsonl", "trace.jsonl", "steps.csv", "state-4.safetensors")
    return {name: (folder / name).read_bytes() for name in names}


def interrupted(folder: pathlib.Path) -> None:
    facts = run_folder.read(folder)
    assert facts is not None
    run_folder.write(folder, facts.replace(status="interrupted"))


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["run.json", *run_folder.LINES])
def test_a_run_with_a_damaged_file_is_named_and_made_again_with_the_same_bits(
    name: str, damage: str, home: pathlib.Path, whole: pathlib.Path
) -> None:
    here = run_folder.folder("tests", CELL.run_id(0))
    shutil.copytree(whole, here)
    if name != "run.json":
        interrupted(here)
    broken = DAMAGE[damage]((here / name).read_bytes())
    (here / name).write_bytes(broken)
    before = {file.name: file.read_bytes() for file in here.iterdir()}
    with pytest.warns(UserWarning, match=f"{name} is damaged .*: the run begins anew"):
        made()
    assert (here / f"{name}.damaged").read_bytes() == broken
    states = [kept for kept in before if kept.startswith("state-")]
    assert all((here / f"{kept}.damaged").read_bytes() == before[kept] for kept in states), "nothing is lost"
    assert run_folder.status(here) == "finished"
    assert content(here) == content(whole)


def test_a_run_that_was_stopped_between_a_state_and_its_record_is_not_damaged(
    home: pathlib.Path, whole: pathlib.Path
) -> None:
    here = run_folder.folder("tests", CELL.run_id(0))
    shutil.copytree(whole, here)
    interrupted(here)
    lines = (here / "records.jsonl").read_bytes().splitlines(keepends=True)
    (here / "records.jsonl").write_bytes(b"".join(lines[:-1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made()
    assert list(here.glob("*.damaged")) == []
    assert [record.step for record in run_folder.read_records(here)] == [0, 1, 2, 3, 4]
    assert (here / "records.jsonl").read_bytes() == (whole / "records.jsonl").read_bytes()


@pytest.mark.parametrize("damage", ["empty", "cut off", "NULs", "a list"])
def test_where_run_json_is_damaged_status_and_sync_name_it_and_go_on(
    damage: str, store_uri: str, home: pathlib.Path, whole: pathlib.Path
) -> None:
    bad, good = (run_folder.folder("tests", CELL.run_id(seed)) for seed in (0, 1))
    shutil.copytree(whole, bad)
    made(1)
    (bad / "run.json").write_bytes(DAMAGE[damage]((bad / "run.json").read_bytes()))
    with pytest.warns(UserWarning, match=f"{bad / 'run.json'} is damaged"):
        assert [run_folder.status(folder) for folder in (bad, good)] == ["missing", "finished"]
    with warnings.catch_warnings(action="ignore"):
        synced = queue.sync(client.open_store(store_uri), queue.folders(home / "runs"), lambda folder: None)
    assert synced.sent == [good]
    (left_out,) = synced.damaged
    assert left_out.startswith(f"{bad / 'run.json'} is damaged") and left_out.endswith("say `gdzoo run` again")


def test_a_damaged_file_of_a_run_that_has_ended_is_wrong_input_that_names_it(
    home: pathlib.Path, whole: pathlib.Path
) -> None:
    here = run_folder.folder("tests", CELL.run_id(0))
    shutil.copytree(whole, here)
    for name, reader in (("records.jsonl", run_folder.read_records), ("trace.jsonl", run_folder.read_trace)):
        (here / name).write_bytes(DAMAGE["NULs"]((here / name).read_bytes()))
        with pytest.raises(errors.InputError, match=f"{here / name} is damaged"):
            reader(here)


def test_a_run_that_the_store_does_not_take_is_told_and_others_are_sent(
    store_uri: str, home: pathlib.Path, whole: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import exceptions
    from mlflow.protos import databricks_pb2

    bad, good = (run_folder.folder("tests", CELL.run_id(seed)) for seed in (0, 1))
    shutil.copytree(whole, bad)
    made(1)
    create, why = upload._create, "value too long for type character varying(250)"

    def created(opened: client.Store, experiment: str, source: upload.Source) -> str:
        if source.folder == bad:
            raise exceptions.MlflowException(why, databricks_pb2.BAD_REQUEST)
        return create(opened, experiment, source)

    monkeypatch.setattr(upload, "_create", created)
    synced = queue.sync(client.open_store(store_uri), queue.folders(home / "runs"), lambda folder: None)
    assert synced.sent == [good]
    assert synced.damaged == [f"{bad}: the store does not take this run: {why}"]
