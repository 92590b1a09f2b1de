# SPDX-License-Identifier: Apache-2.0
"""From run folders to the store, whatever comes between: nothing is lost or doubled, and training never waits."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import typer.testing

from harness import errors
from harness.records import run_folder
from harness.tracking import client, queue, upload
from leaderboard.cli import door
from leaderboard.export import from_store, incoming
from tests import builders

PATIENT = 60.0
"""Most seconds that a test waits for what takes one; never an assertion on speed."""

command_line = typer.testing.CliRunner()


def points(uri: str) -> int:
    """Returns how many points of curves a SQLite store holds, those of `final/*` left out."""
    with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        return int(connection.execute("SELECT count(*) FROM metrics WHERE key NOT LIKE 'final/%'").fetchone()[0])


def recorded(*folders: pathlib.Path) -> int:
    """Returns how many numbers run folders hold."""
    return sum(len(record.values) for folder in folders for record in run_folder.read_records(folder))


def until(true: Any) -> None:
    """Waits until something is so."""
    end = time.monotonic() + PATIENT
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


@pytest.fixture
def opened(store_uri: str) -> client.Store:
    """The store of `home`, open."""
    return client.open_store(store_uri)


def test_a_store_that_is_slow_holds_nobody_up(
    opened: client.Store, home: pathlib.Path, sample: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [sample.folder(home / "runs", seed=seed) for seed in range(3)]
    go, sent = threading.Event(), []

    def slow(_store: client.Store, folder: pathlib.Path) -> str:
        assert go.wait(PATIENT)
        sent.append(folder)
        return ""

    monkeypatch.setattr(upload, "upload", slow)
    with queue.beside(opened) as sending:
        for folder in folders:
            sending.put(folder)
        until(lambda: sending.left() == 2)
        assert sent == [], "all three are put, and none is through"
        go.set()
        assert sending.finish() == []
    assert sent == folders


def test_a_store_that_is_away_is_left_alone_for_a_while_and_asked_once_more_at_the_end(
    opened: client.Store, home: pathlib.Path, sample: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [sample.folder(home / "runs", seed=seed) for seed in range(4)]
    asked: list[pathlib.Path] = []
    back = threading.Event()

    def away(_store: client.Store, folder: pathlib.Path) -> str:
        asked.append(folder)
        if not back.is_set():
            raise client.StoreAway("locked")
        return ""

    monkeypatch.setattr(upload, "upload", away)
    for returns in (False, True):
        asked.clear()
        with queue.beside(opened) as sending:
            for folder in folders:
                sending.put(folder)
            until(lambda sending=sending: sending.left() == 0)
            if returns:
                back.set()
            waiting = sending.finish()
        if returns:
            assert (waiting, asked) == ([], [folders[0], *folders])
        else:
            assert (waiting, asked) == (folders, [folders[0], folders[0]]), "not once for each of many runs"
    back.clear()
    monkeypatch.setattr(queue, "PAUSE", 0.0)
    asked.clear()
    with queue.beside(opened) as sending:
        for folder in folders[:2]:
            sending.put(folder)
        assert sending.finish() == folders[:2]
    assert asked == [*folders[:2], folders[0]], "after the pause it is asked again"


def test_what_is_wrong_with_a_store_is_told_at_the_end(
    opened: client.Store, home: pathlib.Path, sample: ModuleType
) -> None:
    folders = [sample.folder(home / "runs", seed=seed) for seed in range(2)]
    upload.upload(opened, folders[0])
    opened.client.delete_experiment(client.experiment_id(opened, "quickstart"))
    with queue.beside(opened) as sending:
        for folder in folders:
            sending.put(folder)
        with pytest.raises(errors.InputError, match="was deleted in the store"):
            sending.finish()


def test_without_a_store_nothing_is_sent_and_nothing_waits(home: pathlib.Path, sample: ModuleType) -> None:
    with queue.beside(None) as sending:
        sending.put(sample.folder(home / "runs"))
        assert sending.left() == 0
        assert sending.finish() == []


def test_sync_sends_what_is_not_there_as_it_is(
    opened: client.Store, home: pathlib.Path, sample: ModuleType, store_uri: str
) -> None:
    folders = [sample.folder(home / "runs", seed=seed) for seed in range(3)]
    other = sample.folder(home / "runs", suite="practical")
    upload.upload(opened, folders[0])
    assert queue.folders(home / "runs") == sorted([*folders, other])
    done: list[pathlib.Path] = []
    synced = queue.sync(opened, [*folders, other], done.append)
    assert (synced.there, synced.sent, synced.waiting) == (folders[:1], [*folders[1:], other], [])
    assert done == [*folders, other]
    assert points(store_uri) == recorded(*folders, other)
    failed = {**(run_folder.read_plain(folders[1]) or {}), "status": "failed", "reason": "something"}
    run_folder.write_plain(folders[1], failed)
    again = command_line.invoke(door.app, ["store", "sync"])
    assert (again.exit_code, again.stdout) == (0, "1 runs sent, 3 there already\n"), "what changed is sent again"
    assert points(store_uri) == recorded(*folders, other)


def test_sync_stops_at_a_store_that_goes_away_and_says_how_many_wait(
    home: pathlib.Path, sample: ModuleType, store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        sample.folder(home / "runs", seed=seed)
    asked = []

    def away(_store: client.Store, folder: pathlib.Path) -> str:
        asked.append(folder)
        if len(asked) == 2:
            raise client.StoreAway("gone")
        return ""

    monkeypatch.setattr(upload, "upload", away)
    said = command_line.invoke(door.app, ["store", "sync"])
    assert (said.exit_code, len(asked)) == (errors.EXIT_FAILED, 2)
    assert said.stdout == "1 runs sent, 0 there already, 2 wait: the store is away\n"


def test_a_run_that_was_killed_is_told_as_killed_not_as_running_for_ever(
    opened: client.Store, home: pathlib.Path, sample: ModuleType
) -> None:
    folder = sample.folder(home / "runs", status="running", verdict=None)
    with run_folder.claimed(folder):
        assert queue.folders(home / "runs") == [], "somebody is at it"
        assert upload.mark(folder).status == "running"
    assert queue.folders(home / "runs") == [folder]
    upload.upload(opened, folder)
    (run,) = opened.client.search_runs([client.experiment_id(opened, "quickstart")])
    assert (run.info.status, run.data.tags["gdzoo.status"]) == ("KILLED", "interrupted")


@pytest.mark.parametrize("count", builders.tiers([3, 8], quick=[3]))
def test_writers_at_once_lose_nothing_and_double_nothing(
    count: int, store_uri: str, home: pathlib.Path, sample: ModuleType
) -> None:
    sample.write_at_once(store_uri, home / "runs", count)
    assert points(store_uri) == recorded(*queue.folders(home / "runs"))


@pytest.mark.parametrize("calls", [1, 2])
def test_a_writer_killed_between_commit_and_acknowledgement_has_written_once(
    store_uri: str, home: pathlib.Path, sample: ModuleType, calls: int
) -> None:
    folder = sample.folder(home / "runs")
    sample.write_and_be_killed(store_uri, folder, calls)
    opened = client.open_store(store_uri)
    (half,) = opened.client.search_runs([client.experiment_id(opened, "quickstart")])
    assert half.info.status == "RUNNING", "as MLflow leaves it"
    assert from_store.read(store_uri).runs == (), "the board does not show half a run"
    assert command_line.invoke(door.app, ["store", "sync"]).stdout == "1 runs sent, 0 there already\n"
    assert (points(store_uri), len(from_store.read(store_uri).runs)) == (recorded(folder), 1)


@contextlib.contextmanager
def locked(uri: str) -> Iterator[Callable[[], object]]:
    """Holds the write lock of a SQLite store, until what it gives is called."""
    with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield lambda: other.execute("ROLLBACK")


def test_a_database_that_is_locked_is_waited_for_and_takes_everything(
    opened: client.Store, home: pathlib.Path, sample: ModuleType, store_uri: str
) -> None:
    folder = sample.folder(home / "runs")
    with locked(store_uri) as unlock, queue.beside(opened) as sending:
        sending.put(folder)
        until(lambda: sending.left() == 0)
        time.sleep(1)
        assert points(store_uri) == 0
        unlock()
        assert sending.finish() == []
    assert points(store_uri) == recorded(folder)


@pytest.mark.slow
def test_a_database_that_stays_locked_is_away_and_sync_brings_the_rest(
    opened: client.Store, home: pathlib.Path, sample: ModuleType, store_uri: str
) -> None:
    folder = sample.folder(home / "runs")
    with locked(store_uri), queue.beside(opened) as sending:
        sending.put(folder)
        assert sending.finish() == [folder]
    assert command_line.invoke(door.app, ["store", "sync"]).stdout == "1 runs sent, 0 there already\n"
    assert points(store_uri) == recorded(folder)


SPEC = """
schema: 1
title: a run without a store
data: {name: point}
model: {family: quadratic, eigenvalues: [2.0, 1.0]}
loss: {name: output}
optimizer: {name: gd, learning_rate: 0.3}
steps: 1
seeds: 1
"""


def test_a_machine_without_a_store_runs_and_its_folder_is_imported_elsewhere(
    home: pathlib.Path, ready_store: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "t.yaml").write_text(SPEC, encoding="utf-8")
    both = command_line.invoke(door.app, ["run", str(home / "t.yaml"), "--no-store", "--store", "sqlite:///x.db"])
    assert "exclude each other" in str(both.exception)
    said = command_line.invoke(door.app, ["run", str(home / "t.yaml"), "--no-store"])
    assert said.exit_code == 0, said.output
    assert "1 runs made, 0 there already" in said.stdout and "gdzoo store import FOLDER" in said.stdout
    assert sorted(os.listdir(home)) == ["runs", "t.yaml"], "no store is made"
    monkeypatch.setenv("GDZOO_HOME", str(there := home.parent / "there"))
    there.mkdir()
    shutil.copyfile(ready_store, there / "mlflow.db")
    (there / "mlflow.db").chmod(0o644)
    assert command_line.invoke(door.app, ["store", "import", str(home)]).exit_code == 0
    (run,) = from_store.read(f"sqlite:///{there / 'mlflow.db'}").runs
    assert run.status == "finished"


@pytest.fixture
def elsewhere(tmp_path: pathlib.Path, sample: ModuleType) -> Iterator[pathlib.Path]:
    """A folder that came from another machine, with three runs in it."""
    root = tmp_path / "elsewhere"
    for seed in range(3):
        sample.folder(root / "runs", seed=seed)
    yield root


def test_import_takes_runs_from_a_machine_that_has_no_store(
    elsewhere: pathlib.Path, home: pathlib.Path, store_uri: str
) -> None:
    (folder := elsewhere / "runs" / "quickstart").joinpath("notes.txt").write_text("not ours", encoding="utf-8")
    said = command_line.invoke(door.app, ["store", "import", str(elsewhere)])
    assert (said.exit_code, said.stdout.splitlines()) == (
        0,
        ["3 runs taken, 0 there already, 0 not taken", "3 runs sent, 0 there already"],
    )
    assert len(from_store.read(store_uri).runs) == 3
    for source in incoming.run_folders([folder]):
        here = home / "runs" / "quickstart" / source.name
        assert {file.name for file in here.iterdir()} == {"cell.yaml", "records.jsonl", "run.json"}
        assert (here / "records.jsonl").read_bytes() == (source / "records.jsonl").read_bytes()
    again = command_line.invoke(door.app, ["store", "import", str(elsewhere)])
    assert (again.exit_code, again.stdout.splitlines()) == (
        0,
        ["0 runs taken, 3 there already, 0 not taken", "0 runs sent, 3 there already"],
    )


def test_import_keeps_what_is_here_and_says_so(elsewhere: pathlib.Path, home: pathlib.Path, store_uri: str) -> None:
    first, *_ = incoming.run_folders([elsewhere])
    command_line.invoke(door.app, ["store", "import", str(first)])
    run_folder.write_plain(first, {**(run_folder.read_plain(first) or {}), "started": "2026-11-23T10:00:00Z"})
    said = command_line.invoke(door.app, ["store", "import", str(elsewhere)])
    assert said.exit_code == errors.EXIT_FAILED
    assert f"not taken: {first}: one that was begun at 2026-11-22T10:0" in said.stdout
    assert "2 runs taken, 0 there already, 1 not taken" in said.stdout
    assert len(from_store.read(store_uri).runs) == 3


def link(folder: pathlib.Path) -> None:
    (folder / "records.jsonl").unlink()
    (folder / "records.jsonl").symlink_to("/etc/hostname")


def edit(**changes: Any) -> Any:
    def changed(folder: pathlib.Path) -> None:
        run_folder.write_plain(folder, {**(run_folder.read_plain(folder) or {}), **changes})

    return changed


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda folder: (folder / "cell.yaml").unlink(), "it has no cell.yaml"),
        (lambda folder: (folder / "records.jsonl").write_text("{"), "records.jsonl line 1 is not JSON"),
        (lambda folder: (folder / "run.json").write_bytes(b"\xff"), "'utf-8' codec can't decode"),
        (link, "records.jsonl is not a regular file"),
        (lambda folder: os.truncate(folder / "run.json", 1 << 20), "run.json is larger than 256 KiB"),
        (edit(suite="practical"), "it holds the run practical/"),
        (edit(suite="../../outside"), "suite: String should match pattern"),
        (edit(run_id="../../../x"), "run_id: String should match pattern"),
        (edit(status="running"), "status: Input should be 'finished', 'diverged', 'interrupted' or 'failed'"),
        (edit(theory={}), "run.json is not one of gdzoo's (KeyError: 'covered')"),
        (edit(started="2026-99-99T00:00:00Z"), "run.json is not one of gdzoo's (ValueError: month must be in 1..12)"),
        (edit(seconds=1e300), "run.json is not one of gdzoo's (it took 1e+300 seconds)"),
        (
            lambda folder: (folder / "spectra.jsonl").write_text("{}\n"),
            "spectra.jsonl is damaged (",
        ),
        (
            lambda folder: (folder / "spectra.jsonl").write_text(
                '{"step": 0, "parameters": 1, "complete": true, "products": 1, "errors": 0, "values": [[1]]}\n'
            ),
            "spectra.jsonl holds what is no list of eigenvalues",
        ),
        (
            lambda folder: (folder / "layers.jsonl").write_text("{}\n"),
            "layers.jsonl is damaged (",
        ),
        (
            lambda folder: (folder / "usage.jsonl").write_text('{"step": 0, "values": {"a/../b": 1}}\n'),
            "usage.jsonl holds a name that is not one of gdzoo's",
        ),
        (
            lambda folder: (folder / "usage.jsonl").write_text('{"step": 1e300, "values": {"cpu_seconds": 1}}\n'),
            "usage.jsonl tells of a step that records.jsonl does not, or twice of one",
        ),
        (
            lambda folder: (folder / "usage.jsonl").write_text("[]\n"),
            "usage.jsonl is damaged (",
        ),
        (edit(spec_hash="0" * 64), "is not the head of spec_hash"),
        (lambda folder: folder.rename(folder.with_name("renamed")), "and its folder says otherwise"),
    ],
)
def test_import_refuses_what_is_not_a_whole_run_and_takes_the_others(
    elsewhere: pathlib.Path, home: pathlib.Path, store_uri: str, spoil: Any, why: str
) -> None:
    outside = sorted(home.parent.iterdir())
    spoil(incoming.run_folders([elsewhere])[0])
    said = command_line.invoke(door.app, ["store", "import", str(elsewhere)])
    assert said.exit_code == errors.EXIT_FAILED and why in said.stdout, said.stdout
    assert "2 runs taken, 0 there already, 1 not taken" in said.stdout
    assert len(list((home / "runs").glob("*/*"))) == 2 and sorted(home.parent.iterdir()) == outside


def test_import_of_a_folder_without_runs_says_what_a_run_is(home: pathlib.Path, store_uri: str) -> None:
    said = command_line.invoke(door.app, ["store", "import", str(home)])
    assert isinstance(said.exception, errors.InputError)
    assert "no run folder here or below" in str(said.exception)


def test_a_half_copied_run_leaves_nothing(
    elsewhere: pathlib.Path, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: pathlib.Path, target: pathlib.Path, **_: object) -> None:
        target.write_text("half", encoding="utf-8")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        incoming.take(incoming.run_folders([elsewhere])[0])
    assert list((home / "runs").rglob("*")) == [home / "runs" / "quickstart"]


def test_infinity_and_nan_come_out_of_the_store_as_they_were_recorded(
    opened: client.Store, home: pathlib.Path, sample: ModuleType
) -> None:
    folder = sample.folder(home / "runs", status="diverged", diverged_at=3)
    values = {"loss": "inf", "grad_norm": "nan", "sharpness": "-inf", "sigma_min": 0.1}
    lines = [json.dumps({"step": step, "values": values}) + "\n" for step in (0, 3)]
    (folder / "records.jsonl").write_text("".join(lines), encoding="utf-8")
    run_id = upload.upload(opened, folder)
    here = pathlib.Path(opened.client.download_artifacts(run_id, "records.jsonl"))
    assert here.read_bytes() == (folder / "records.jsonl").read_bytes()
