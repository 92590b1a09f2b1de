# SPDX-License-Identifier: Apache-2.0
"""The run folder: what survives a cut at any byte."""

from __future__ import annotations

import errno
import math
import os
import pathlib
import socket
import subprocess
import sys
import warnings

import numpy as np
import pytest

from harness import records
from harness.records import run_folder

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
        run_folder.append(tmp_path, records.Record(step, {"loss": 1.0 / (step + 1)}))
    whole = (tmp_path / "records.jsonl").read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for cut in range(start, len(whole)):
        (tmp_path / "records.jsonl").write_bytes(whole[:cut])
        assert [record.step for record in run_folder.read_records(tmp_path)] == [0, 1]
    for step in (0, 1):
        run_folder.append_usage(tmp_path, records.Record(step, {"cpu_seconds": 1.0}))
    kept = run_folder.keep_records(tmp_path, 0)
    assert [record.step for record in kept] == [0]
    assert [reading.step for reading in run_folder.read_usage(tmp_path)] == [0]
    run_folder.append(tmp_path, records.Record(1, {"loss": 0.5}))
    assert [record.step for record in run_folder.read_records(tmp_path)] == [0, 1]
    run_folder.clear(tmp_path)
    assert not list(tmp_path.iterdir())


def test_small_states_are_all_kept_and_large_ones_are_two(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (0, 3, 7, 20):
        run_folder.save_state(tmp_path, step, {"theta": np.arange(3.0) + step})
    assert {step: arrays["theta"][0] for step, arrays in run_folder.load_states(tmp_path).items()} == {
        0: 0.0,
        3: 3.0,
        7: 7.0,
        20: 20.0,
    }
    size = (tmp_path / "state-20.safetensors").stat().st_size
    monkeypatch.setattr(run_folder, "KEPT_BYTES", 3 * size)
    run_folder.save_state(tmp_path, 21, {"theta": np.arange(3.0)})
    assert list(run_folder.load_states(tmp_path)) == [7, 20, 21]
    monkeypatch.setattr(run_folder, "KEPT_BYTES", 0)
    run_folder.save_state(tmp_path, 22, {"theta": np.arange(3.0)})
    assert list(run_folder.load_states(tmp_path)) == [21, 22]


def test_a_damaged_state_is_passed_over_for_the_one_before(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_folder.load_state(tmp_path) is None
    monkeypatch.setattr(run_folder, "KEPT_BYTES", 0)
    for step in (3, 7, 20):
        run_folder.save_state(tmp_path, step, {"theta": np.arange(3.0) + step, "optimizer_0": np.asarray(step)})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["state-20.safetensors", "state-7.safetensors"]
    step, arrays = run_folder.load_state(tmp_path) or (None, {})
    assert step == 20
    assert arrays["theta"].tolist() == [20.0, 21.0, 22.0]
    file = tmp_path / "state-20.safetensors"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.warns(UserWarning, match=r"state-20\.safetensors is damaged"):
        step, arrays = run_folder.load_state(tmp_path) or (None, {})
    assert step == 7
    assert arrays["theta"].tolist() == [7.0, 8.0, 9.0]
    run_folder.keep_records(tmp_path, 7)
    assert not file.exists()


def test_any_changed_byte_of_a_state_is_noticed(tmp_path: pathlib.Path) -> None:
    arrays = {"theta": np.arange(5.0), "optimizer_0": np.asarray([[1, 2]])}
    run_folder.save_state(tmp_path, 7, arrays)
    file = tmp_path / "state-7.safetensors"
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            found = run_folder.load_state(tmp_path)
        if found is not None:  # a change in the format's number, or in white space, changes no array
            assert found[0] == 7
            assert found[1].keys() == arrays.keys()
            assert all(np.array_equal(found[1][name], array) for name, array in arrays.items())
    file.write_bytes(whole)
    assert run_folder.load_state(tmp_path) is not None
    file.rename(tmp_path / "state-8.safetensors")
    with pytest.warns(UserWarning, match="damaged"):
        assert run_folder.load_state(tmp_path) is None


def test_a_full_disk_leaves_what_was_there(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_folder.save_state(tmp_path, 1, {"theta": np.arange(3.0)})
    run_folder.write_plain(tmp_path, {"status": "running"})

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        run_folder.save_state(tmp_path, 2, {"theta": np.arange(3.0)})
    with pytest.raises(OSError, match="No space"):
        run_folder.write_plain(tmp_path, {"status": "finished"})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.json", "state-1.safetensors"]
    assert run_folder.read_plain(tmp_path) == {"status": "running"}


def test_status_tells_interrupted_from_running(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "run"
    assert run_folder.status(folder) == "missing"
    with run_folder.claimed(folder):
        run_folder.write_plain(folder, {"status": "running"})
        assert run_folder.status(folder) == "running"
        with pytest.raises(run_folder.Busy) as busy, run_folder.claimed(folder):
            raise AssertionError("two holders")
        assert str(busy.value).startswith(f"process {os.getpid()} on {socket.gethostname()} since 2")
    assert run_folder.status(folder) == "interrupted"
    run_folder.write_plain(folder, {"status": "diverged"})
    assert run_folder.status(folder) == "diverged"


def test_a_killed_process_holds_nothing(tmp_path: pathlib.Path) -> None:
    code = (
        "import pathlib, sys, os, signal\nfrom harness.records import run_folder\n"
        "with run_folder.claimed(pathlib.Path(sys.argv[1])):\n"
        "    run_folder.write_plain(pathlib.Path(sys.argv[1]), {'status': 'running'})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert run_folder.status(tmp_path) == "interrupted"
