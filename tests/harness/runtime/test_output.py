# SPDX-License-Identifier: Apache-2.0
"""What is printed where it cannot be: other encodings, pipes that close, full disks."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from harness import errors, workspace
from harness.records import run_folder
from tests import builders

GDZOO = [sys.executable, str(workspace.CHECKOUT / "gdzoo.py")]
CELL = builders.cell(**builders.quadratic(4.0, 2.0), steps=30, checkpoints=31)
UNLIMITED = {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def spec(home: pathlib.Path) -> str:
    file = home / "tests" / "t.yaml"
    file.parent.mkdir()
    file.write_text(builders.spec_text(**builders.quadratic(4.0, 2.0), steps=30, checkpoints=31))
    return str(file)


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
)
def test_characters_that_an_encoding_lacks_are_replaced(environment: dict[str, str], home: pathlib.Path) -> None:
    said = subprocess.run(
        [*GDZOO, "list", "metrics"], env={**os.environ, **environment}, capture_output=True, check=False
    )
    assert said.returncode == 0, said.stderr
    assert b"?" in said.stdout and b"sharpness" in said.stdout


def test_a_run_whose_output_is_not_utf_8_is_made(spec: str, home: pathlib.Path) -> None:
    where = {**os.environ, **UNLIMITED, "PYTHONIOENCODING": "ascii"}
    said = subprocess.run([*GDZOO, "run", "--no-store", spec], env=where, capture_output=True, check=False)
    assert said.returncode == 0, said.stderr
    assert b"?" in said.stdout and run_folder.status(run_folder.folder("tests", CELL.run_id(0))) == "finished"


@pytest.mark.parametrize("words", [["list", "metrics"], ["run", "--no-store"]])
@pytest.mark.parametrize("kind", ["full", "closed"])
def test_output_that_ends_is_a_stop_with_a_word(words: list[str], kind: str, spec: str, home: pathlib.Path) -> None:
    command = [*GDZOO, *words, *([spec] if words[0] == "run" else [])]
    if kind == "full":
        if not os.path.exists("/dev/full"):
            pytest.skip("there is no /dev/full")
        out = os.open("/dev/full", os.O_WRONLY)
    else:
        reading, out = os.pipe()
        os.close(reading)
    process = subprocess.Popen(command, env={**os.environ, **UNLIMITED}, stdout=out, stderr=subprocess.PIPE)
    os.close(out)
    said = process.communicate()[1].decode()
    why = "the disk is full where what is printed goes; make room" if kind == "full" else "nobody reads any more"
    assert process.returncode == errors.EXIT_STOPPED, said
    assert why in said and "say the same command again" in said and "Traceback" not in said
    assert run_folder.status(run_folder.folder("tests", CELL.run_id(0))) in ("missing", "interrupted", "finished")


def test_nothing_is_said_where_nobody_hears_it(spec: str, home: pathlib.Path) -> None:
    reading, out = os.pipe()
    os.close(reading)
    done = subprocess.run([*GDZOO, "check", str(home / "none.yaml")], stdout=out, stderr=out, check=False)
    os.close(out)
    assert done.returncode == errors.EXIT_INPUT
