# SPDX-License-Identifier: Apache-2.0
"""`gdzoo bench store`: the store that it measures holds the runs and points that its rows speak of."""

from __future__ import annotations

import contextlib
import pathlib
import sqlite3
import subprocess
import sys

import pytest

from harness.bench import process, store
from leaderboard.export import from_store


@pytest.mark.thorough
def test_the_store_that_is_read_holds_what_the_row_says(home: pathlib.Path) -> None:
    uri = store._made(home, 6)
    store._multiplied(home, uri, 5)
    runs = from_store.read(uri).runs
    assert len({run.run_id for run in runs}) == 5
    assert all(len(run.steps) == 6 and len(run.curves) == store.METRICS for run in runs)
    file = uri.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(file)) as connection:
        asked = "SELECT count(*) FROM metrics WHERE key NOT LIKE 'final/%' AND key NOT LIKE 'run/%'"
        (points,) = connection.execute(asked).fetchone()
        (every,) = connection.execute("SELECT count(*) FROM metrics").fetchone()
    assert points == 5 * 6 * store.METRICS
    said = subprocess.run([sys.executable, "-c", store.SELECT, file], capture_output=True, text=True, check=True)
    assert int(said.stdout) == every, "the floor reads every point"
    spent = process.spent([sys.executable, "-c", "x = bytearray(200_000_000); x[::4096] = b'1' * len(x[::4096])"])
    assert spent.peak > 2e8 and spent.seconds > 0
