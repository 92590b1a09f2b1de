# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random instants: nothing is lost, nothing is doubled, and the end has the bits of a run never cut."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import mlflow
import pytest

from harness import metrics
from harness.records import run_folder

ROOT = pathlib.Path(__file__).resolve().parent.parent
KILLS = 50

SPEC = """
schema: 1
title: a run that is killed
data: {name: digits, examples: 40}
model: {family: mlp, hidden: [4], activation: relu}
loss: {name: ce}
optimizer: {name: sgd, learning_rate: 0.05, batch_size: 8, sampling: reshuffling}
steps: 40000
checkpoints: 60
curvature: dense
trace: {top: 2, every: 400}
seeds: 2
"""


def start(home: pathlib.Path) -> subprocess.Popen[str]:
    """Starts `gdzoo run` on the spec in a folder of its own, and of its own process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "gdzoo", "run", str(home / "t.yaml")],
        cwd=ROOT,
        env={**os.environ, "GDZOO_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def made(home: pathlib.Path, store: pathlib.Path) -> pathlib.Path:
    """Makes a home with the spec and a store of its own."""
    home.mkdir()
    (home / "t.yaml").write_text(SPEC, encoding="utf-8")
    (home / "mlflow.db").write_bytes(store.read_bytes())
    return home


def ends(home: pathlib.Path) -> list[tuple[bytes, bytes, str, bytes]]:
    """Returns of each run its records, its last parameters, its trace points, and what its steps saw."""
    found = []
    for folder in sorted((home / "runs").glob("*/*-s*")):
        state = run_folder.load_state(folder)
        assert state is not None
        trace, seen = repr(run_folder.read_trace(folder)), (folder / "steps.csv").read_bytes()
        found.append(((folder / "records.jsonl").read_bytes(), state[1]["theta"].tobytes(), trace, seen))
    return found


@pytest.mark.slow
def test_a_run_killed_at_fifty_random_instants_ends_with_the_same_bits(
    tmp_path: pathlib.Path, home: pathlib.Path, store_uri: str
) -> None:
    store = home / "mlflow.db"
    whole = made(tmp_path / "whole", store)
    began = time.monotonic()
    process = start(whole)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out
    length = time.monotonic() - began
    expected = ends(whole)
    assert len(expected) == 2

    draw, cut, kills, round_ = random.Random(1), made(tmp_path / "cut-0", store), 0, 0
    while True:
        process = start(cut)
        if kills < KILLS:
            time.sleep(draw.uniform(0, 1.1 * length))
        else:
            process.wait(timeout=600)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            for folder, (records, *_) in zip(sorted((cut / "runs").glob("*/*-s*")), expected, strict=False):
                kept = [line for line in _lines(folder / "records.jsonl") if line.endswith(b"\n")]
                assert records.startswith(b"".join(kept)), "what is recorded is what a run never cut records, in order"
            continue
        out, _ = process.communicate()
        assert process.returncode == 0, out
        assert ends(cut) == expected
        _check_store(cut)
        if kills >= KILLS:
            break
        round_ += 1
        cut = made(tmp_path / f"cut-{round_}", store)


def _lines(path: pathlib.Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def _check_store(home: pathlib.Path) -> None:
    """Every point of every record is in the store, once."""
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    (experiment,) = [one for one in client.search_experiments() if one.name.startswith("gdzoo: ")]
    found = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.tags["gdzoo.run_id"][-2:] for run in found) == ["s0", "s1"]
    assert {run.info.status for run in found} == {"FINISHED"}
    for run in found:
        (folder,) = (home / "runs").glob(f"*/{run.data.tags['gdzoo.run_id']}")
        recorded = run_folder.read_records(folder)
        points = client.get_metric_history(run.info.run_id, metrics.METRICS["loss"].key("loss"))
        assert [(point.step, point.value) for point in points] == [(one.step, one.values["loss"]) for one in recorded]
