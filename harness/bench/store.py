# SPDX-License-Identifier: Apache-2.0
"""`gdzoo bench store`: what it costs to write runs into MLflow, and to take thousands out again.

A SQLite store is filled with RUNS runs of STEPS checkpoints and METRICS numbers each: one is made and uploaded, the
others are its copies under other names, made in SQL. `gdzoo board export` then reads them, in a process of its own,
against the floor: a process that does nothing but SELECT the same points.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from typing import Any

from harness import config, workspace
from harness import records as record_file
from harness.bench import process, row
from harness.bench.curvature import Unit
from harness.records import run_folder
from harness.tracking import client as clients
from harness.tracking import upload

SPEC = "specs/quickstart/mlp-sgd.yaml"
RUNS, STEPS, METRICS = 10_000, 200, 14
FEWER = 50
SEEDS = 1000
UPLOADS = 10
MAX_BYTES = 1.5e9

SELECT = """
import sqlite3, sys
rows = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute(
    "SELECT run_uuid, key, step, value, is_nan FROM metrics")
print(sum(1 for _ in rows))
"""


def units(quick: bool) -> list[Unit]:
    """Returns the parts of the bench; `quick` with a hundredth of the runs."""
    runs = RUNS // 100 if quick else RUNS
    return [Unit("writing", writing), Unit("reading", functools.partial(reading, runs))]


def writing() -> list[row.Row]:
    """Times upload.upload against the same through MLflow's client, and against its points in one SQL statement."""
    with tempfile.TemporaryDirectory() as name:
        home = pathlib.Path(name)
        uri = _made(home, STEPS)
        opened = clients.open_store(uri)
        (first,) = (home / "runs").glob("*/*-s0")
        folders = [copied(first, first.parent, seed) for seed in range(1, 2 * UPLOADS + 1)]
        wall, cpu = _uploaded(opened, folders[:UPLOADS])
        _, client = _uploaded(dataclasses.replace(opened, database=None), folders[UPLOADS:])
        with _connected(uri) as connection:
            connection.execute("CREATE TABLE plain AS SELECT * FROM metrics WHERE 0")
            points = connection.execute("SELECT * FROM metrics").fetchall()
            began = time.process_time()
            connection.executemany("INSERT INTO plain VALUES (?, ?, ?, ?, ?, ?)", points)
            connection.commit()
            floor = (time.process_time() - began) / len(points) * UPLOADS * STEPS * METRICS
    told = f"{cpu / UPLOADS:.3g} CPU s and {wall / UPLOADS:.3g} s for a run; training does not wait for it"
    group = f"writing a run of {STEPS * METRICS:,} points, its tags and artifacts"
    return [
        row.Row(group, "upload / INSERT of its points into a bare table, CPU", cpu / floor, note=told),
        row.Row(group, "upload / with its points through MLflow's client, CPU", cpu / client, target=row.Target(1.0)),
    ]


def _uploaded(opened: clients.Store, folders: list[pathlib.Path]) -> tuple[float, float]:
    """Uploads run folders; returns the seconds on the clock and of the CPU that it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    for folder in folders:
        upload.upload(opened, folder)
    return time.perf_counter() - wall, time.process_time() - cpu


def reading(runs: int) -> list[row.Row]:
    """Times and weighs the export of runs against a plain SELECT of their points, and against fewer points."""
    full, select, size = _export(runs, STEPS)
    fewer, _, _ = _export(runs, FEWER)
    group = f"reading {runs:,} runs of {STEPS} checkpoints and {METRICS} numbers"
    told = f"{full.seconds:.3g} against {select.seconds:.3g} CPU s, {full.wall:.3g} against {select.wall:.3g} s"
    weight = f"{full.peak / 1e6:,.0f} MB, {size / 1e6:,.0f} MB written"
    grown = f"{full.peak / 1e6:,.0f} against {fewer.peak / 1e6:,.0f} MB with {FEWER} checkpoints"
    return [
        row.Row(group, "export / SELECT of the same points, CPU", full.seconds / select.seconds, note=told),
        row.Row(
            group, "peak memory of the export, GB", full.peak / 1e9, target=row.Target(MAX_BYTES / 1e9), note=weight
        ),
        row.Row(
            group,
            f"memory / memory with {FEWER} checkpoints",
            full.peak / fewer.peak,
            target=row.Target(1.1),
            note=grown,
        ),
    ]


def _export(runs: int, steps: int) -> tuple[process.Spent, process.Spent, int]:
    """Returns what the export and the SELECT took of a store that is made for it, and the bytes of the export."""
    with tempfile.TemporaryDirectory() as name:
        home = pathlib.Path(name)
        uri = _made(home, steps)
        _multiplied(home, uri, runs)
        file = home / "export.json"
        exported = process.spent([sys.executable, "-m", "gdzoo", "board", "export", str(file), "--store", uri])
        selected = process.spent([sys.executable, "-c", SELECT, uri.removeprefix("sqlite:///")])
        return exported, selected, file.stat().st_size


def _made(home: pathlib.Path, steps: int) -> str:
    """Makes a store in `home` with one run of so many checkpoints, and returns its URI."""
    environment = {**os.environ, "GDZOO_HOME": str(home)}
    uri = f"sqlite:///{home / 'mlflow.db'}"
    command = [sys.executable, "-m", "gdzoo"]
    for words in (["store", "init", "--store", uri], ["run", SPEC, "--seeds", "1", "--no-store"]):
        subprocess.run([*command, *words], env=environment, cwd=workspace.CHECKOUT, check=True, capture_output=True)
    (folder,) = (home / "runs").glob("*/*-s0")
    last = run_folder.read_records(folder)[-1]
    values = dict(list(last.values.items())[:METRICS])
    lines = [record_file.dump(record_file.Record(step, values)) + "\n" for step in range(steps)]
    (folder / "records.jsonl").write_text("".join(lines), encoding="utf-8")
    for name in ("usage.jsonl", "trace.jsonl", "steps.csv"):  # of the machine, and of steps that are no longer recorded
        (folder / name).unlink()
    facts = {
        **(run_folder.read_plain(folder) or {}),
        "seeds": SEEDS,
        "histograms": [],
    }  # of steps that are no longer recorded
    run_folder.write_plain(folder, facts)
    upload.upload(clients.open_store(uri), folder)
    return uri


def copied(like: pathlib.Path, suite: pathlib.Path, seed: int) -> pathlib.Path:
    """Copies a run folder into the folder of a suite, as that of another seed, and returns the copy."""
    facts = run_folder.read_plain(like) or {}
    copy = suite / f"{facts['cell_id']}-s{seed}"
    shutil.copytree(like, copy)
    run_folder.write_plain(copy, {**facts, "run_id": copy.name, "seed": seed, "seeds": SEEDS})
    return copy


def _multiplied(home: pathlib.Path, uri: str, runs: int) -> None:
    """Copies the one run of a store, in its tables and its artifacts, until there are `runs` of them."""
    (first,) = (home / "runs").glob("*/*-s0")
    facts = run_folder.read_plain(first) or {}
    with _connected(uri) as connection:
        ((one, where),) = connection.execute("SELECT run_uuid, artifact_uri FROM runs").fetchall()
        artifacts = pathlib.Path(where.removeprefix("file://"))
        connection.execute("CREATE TEMP TABLE copies (run_uuid TEXT, run_id TEXT, cell_id TEXT, artifact_uri TEXT)")
        for number in range(1, runs):
            named, cell = _named(facts, number)
            key = uuid.uuid4().hex
            target = artifacts.parent.parent / key / "artifacts"
            shutil.copytree(artifacts, target)
            (target / "run.json").write_text(json.dumps(named), encoding="utf-8")
            (target / "cell.yaml").write_text(cell, encoding="utf-8")
            values = (key, named["run_id"], named["cell_id"], target.as_uri())
            connection.execute("INSERT INTO copies VALUES (?, ?, ?, ?)", values)
        for table in ("runs", "metrics", "latest_metrics", "tags", "params"):
            names = [column[1] for column in connection.execute(f"PRAGMA table_info({table})")]
            new = {"run_uuid": "n.run_uuid", "artifact_uri": "n.artifact_uri"}
            if table == "tags":
                new["value"] = (
                    "CASE t.key WHEN 'gdzoo.run_id' THEN n.run_id WHEN 'gdzoo.cell_id' THEN n.cell_id ELSE t.value END"
                )
            chosen = ", ".join(new.get(column, f't."{column}"') for column in names)
            order = "t.key, t.timestamp, t.step, n.run_uuid" if table == "metrics" else "n.run_uuid"
            connection.execute(
                f"INSERT INTO {table} SELECT {chosen} FROM {table} t, copies n WHERE t.run_uuid = ? ORDER BY {order}",
                (one,),
            )
        connection.commit()


def _named(facts: dict[str, Any], number: int) -> tuple[dict[str, Any], str]:
    """Returns run.json and cell.yaml of copy `number`: SEEDS of them are seeds of one cell."""
    cell = {**facts["cell"], "steps": facts["cell"]["steps"] + number // SEEDS}
    spec_hash = config.hash_of(cell)
    run_id = f"{spec_hash[:12]}-s{number % SEEDS}"
    named = {**facts, "cell": cell, "spec_hash": spec_hash, "cell_id": spec_hash[:12], "run_id": run_id}
    text = json.dumps({"schema": 1, "title": facts["title"], **cell, "seeds": SEEDS})
    return {**named, "seed": number % SEEDS}, text


@contextlib.contextmanager
def _connected(uri: str) -> Any:
    with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        yield connection
