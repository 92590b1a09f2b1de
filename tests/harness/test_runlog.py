# SPDX-License-Identifier: Apache-2.0
"""The run folder: what survives a cut at any byte."""

from __future__ import annotations

import math
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from harness import records, runlog

RECORD = records.Record(3, {"loss": 0.1 + 0.2, "log_abs_det_error": math.inf, "sigma_min": math.nan})


def test_a_record_survives_its_line_bit_for_bit() -> None:
    line = records.dump(RECORD)
    assert "Infinity" not in line
    assert "NaN" not in line
    back = records.load(line)
    assert back.step == 3
    assert back.values["loss"] == 0.1 + 0.2
    assert back.values["log_abs_det_error"] == math.inf
    assert math.isnan(back.values["sigma_min"])


def test_a_torn_line_is_ignored_wherever_it_is_cut(tmp_path: pathlib.Path) -> None:
    for step in range(3):
        runlog.append(tmp_path, records.Record(step, {"loss": 1.0 / (step + 1)}))
    whole = (tmp_path / "records.jsonl").read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for cut in range(start, len(whole)):
        (tmp_path / "records.jsonl").write_bytes(whole[:cut])
        assert [record.step for record in runlog.read_records(tmp_path)] == [0, 1]
    kept = runlog.keep_records(tmp_path, 0)
    assert [record.step for record in kept] == [0]
    runlog.append(tmp_path, records.Record(1, {"loss": 0.5}))
    assert [record.step for record in runlog.read_records(tmp_path)] == [0, 1]


def test_a_damaged_state_is_no_state(tmp_path: pathlib.Path) -> None:
    assert runlog.load_state(tmp_path) is None
    runlog.save_state(tmp_path, 7, {"theta": np.arange(3.0)})
    step, arrays = runlog.load_state(tmp_path) or (None, {})
    assert step == 7
    assert arrays["theta"].tolist() == [0.0, 1.0, 2.0]
    whole = (tmp_path / "state.safetensors").read_bytes()
    (tmp_path / "state.safetensors").write_bytes(whole[: len(whole) // 2])
    assert runlog.load_state(tmp_path) is None


def test_status_tells_interrupted_from_running(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "run"
    assert runlog.status(folder) == "missing"
    with runlog.claimed(folder):
        runlog.write(folder, {"status": "running"})
        assert runlog.status(folder) == "running"
        with pytest.raises(runlog.Busy) as busy, runlog.claimed(folder):
            raise AssertionError("two holders")
        assert str(busy.value).startswith(f"process {os.getpid()} on {socket.gethostname()} since 2")
    assert runlog.status(folder) == "interrupted"
    runlog.write(folder, {"status": "diverged"})
    assert runlog.status(folder) == "diverged"


def test_a_killed_process_holds_nothing(tmp_path: pathlib.Path) -> None:
    code = (
        "import pathlib, sys, os, signal\nfrom harness import runlog\n"
        "with runlog.claimed(pathlib.Path(sys.argv[1])):\n"
        "    runlog.write(pathlib.Path(sys.argv[1]), {'status': 'running'})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert runlog.status(tmp_path) == "interrupted"
