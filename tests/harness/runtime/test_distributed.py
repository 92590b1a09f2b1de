# SPDX-License-Identifier: Apache-2.0
"""Two processes on one machine train one run: the numbers of one process, one folder, one voice."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from harness import errors
from harness.cli import commands
from harness.jobs import engines
from harness.runtime import distributed
from tests import builders

SPEC = builders.spec_text(
    data=builders.digits(85),
    optimizer=builders.sgd(0.05, 9),
    precision="float64",
    steps=40,
    checkpoints=4,
    diagnostics=["fit", "sharpness"],
)
LOWEST = 65535 - 2**12 + 1
"""The lowest port that jax takes for a job of SLURM."""


def free_port() -> int:
    """Returns a port that nobody uses, one of those that jax takes for jobs."""
    for port in random.sample(range(LOWEST, 65536), 100):
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def gdzoo(home: pathlib.Path, *words: str, **told: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gdzoo", "run", str(home / "mlp.yaml"), "--device", "cpu", *words]
    pipe, environment = subprocess.PIPE, {**os.environ, "GDZOO_HOME": str(home), **told}
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def named(home: pathlib.Path, process: int, port: int) -> subprocess.Popen[str]:
    """Starts one of two processes, told by options."""
    return gdzoo(home, "--coordinator", f"127.0.0.1:{port}", "--processes", "2", "--process", str(process))


def under_slurm(home: pathlib.Path, process: int, port: int) -> subprocess.Popen[str]:
    """Starts one of two processes, told by what `srun` puts into the environment; the port follows from the job."""
    told = {"JOB_ID": str(port - LOWEST), "STEP_NODELIST": "localhost", "NTASKS": "2", "STEP_NUM_NODES": "1"}
    told |= {"PROCID": str(process), "LOCALID": str(process)}
    return gdzoo(home, "--coordinator", "auto", **{f"SLURM_{name}": value for name, value in told.items()})


def together(home: pathlib.Path, start: Callable[[pathlib.Path, int, int], subprocess.Popen[str]]) -> list[str]:
    """Runs the spec in two processes; returns what each printed."""
    port = free_port()
    both = [start(home, process, port) for process in (0, 1)]
    said = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    return [out for out, _ in said]


def records(home: pathlib.Path) -> list[list[dict[str, Any]]]:
    files = sorted(home.glob("runs/*/*/records.jsonl"))
    return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


def test_two_processes_give_the_run_of_one(
    home: pathlib.Path, store_uri: str, ready_store: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (home / "mlp.yaml").write_text(SPEC)
    leader, other = together(home, named)
    assert "1 runs made" in leader
    assert "gdzoo" not in other, "the others are silent"
    found = records(home)

    (home / "runs").rename(tmp_path / "theirs")
    (home / "mlflow.db").write_bytes(ready_store.read_bytes())
    commands.run_specs([home / "mlp.yaml"], commands.Wanted(options=engines.Options(device="cpu")))
    for ours, one in zip(found, records(home), strict=True):
        assert [record["step"] for record in ours] == [record["step"] for record in one] == [0, 1, 6, 40]
        for left, right in zip(ours, one, strict=True):
            for name in ("loss", "grad_norm", "sharpness", "train_accuracy"):
                assert left["values"][name] == pytest.approx(right["values"][name], rel=1e-12, abs=0), name


@pytest.mark.thorough
def test_under_slurm_two_processes_find_each_other_and_train_one_run(home: pathlib.Path, store_uri: str) -> None:
    (home / "mlp.yaml").write_text(SPEC)
    leader, other = together(home, under_slurm)
    assert "1 runs made" in leader and "gdzoo" not in other
    assert [[record["step"] for record in run] for run in records(home)] == [[0, 1, 6, 40]]
    (run,) = (json.loads(file.read_text()) for file in home.glob("runs/*/*/run.json"))
    assert run["profile"]["processes"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((None, 2, None), "--coordinator is missing"),
        (("here:1", None, None), "--processes and --process are missing"),
        (("here", 2, 0), "--coordinator: 'here' is not allowed; allowed: HOST:PORT, or auto"),
        (("here:1", 2, 2), "--process: 2 is not allowed; allowed: 0 to 1"),
    ],
)
def test_half_an_option_is_wrong_input(options: tuple[Any, ...], message: str) -> None:
    with pytest.raises(errors.InputError) as caught:
        distributed.of(*options)
    assert str(caught.value).startswith(message)


def test_a_process_alone_agrees_with_itself() -> None:
    assert distributed.of(None, None, None) is None
    assert distributed.of("auto", None, None) == distributed.Hosts("auto")
    assert distributed.leads()
    assert distributed.agreed(7) == 7
