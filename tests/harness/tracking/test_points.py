# SPDX-License-Identifier: Apache-2.0
"""Points: that MLflow finds the same rows, whichever way they were written."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from mlflow.store.tracking.dbmodels import models

from harness.tracking import client, points

WRITINGS = [
    [points.Point("a", 0.5, 1000, 0), points.Point("a", 0.25, 1010, 10), points.Point("b", math.nan, 1000, 0)],
    [points.Point("a", 0.5, 1000, 0), points.Point("a", 0.1 + 0.2, 1005, 5), points.Point("c", -1e300, 1000, 0)],
    [points.Point("b", 5e-324, 1000, 0), points.Point("a", 0.125, 1010, 10), points.Point("a", 0.5, 1010, 10)],
    [points.Point("c", 1.0, 1000, 0), points.Point("c", 1.0, 1000, 0), points.Point("b", math.nan, 1000, 0)],
    [points.Point("a", 7.0, 2000, 3), points.Point("c", 2.0, 999, 0), points.Point("d\u03b7", 1.0, 2**40, 2**40)],
]
"""In turn: new, there already, older and newer than the latest, of the same step and time, and twice in one call."""


@pytest.fixture(params=["store_uri", "postgres_uri"])
def opened(request: pytest.FixtureRequest) -> client.Store:
    """Each kind of database, ready and empty."""
    return client.open_store(request.getfixturevalue(request.param))


def begun(opened: client.Store) -> str:
    """Begins a run and returns its id."""
    found: str = opened.client.create_run("0").info.run_id
    return found


def rows(opened: client.Store, run_id: str) -> dict[str, list[tuple[Any, ...]]]:
    """Returns what MLflow's two tables hold of a run."""
    assert opened.database is not None
    found = {}
    with opened.database.connect() as connection:
        for table in ("metrics", "latest_metrics"):
            asked = f"SELECT key, step, timestamp, value, is_nan FROM {table} WHERE run_uuid = '{run_id}'"
            found[table] = sorted(tuple(row) for row in connection.execute(sqlalchemy.text(asked)))
    return found


def test_rows_are_those_that_the_client_leaves(opened: client.Store) -> None:
    ours, theirs = begun(opened), begun(opened)
    for writing in WRITINGS:
        points.write(opened.client, opened.database, ours, writing)
        points.write(opened.client, None, theirs, writing)
        assert rows(opened, ours) == rows(opened, theirs)
    assert {key: (step, value) for key, step, _, value, _ in rows(opened, ours)["latest_metrics"]} == {
        "a": (10, 0.5), "b": (0, 5e-324), "c": (0, 1.0), "d\u03b7": (2**40, 1.0)
    }  # fmt: skip
    assert opened.client.get_run(ours).data.metrics == opened.client.get_run(theirs).data.metrics
    assert sorted(point.step for point in opened.client.get_metric_history(ours, "a")) == [0, 3, 5, 10, 10, 10]


@pytest.mark.parametrize("straight", [True, False])
def test_more_points_than_are_taken_at_once_all_arrive(
    opened: client.Store, monkeypatch: pytest.MonkeyPatch, straight: bool
) -> None:
    monkeypatch.setattr(points, "ROWS", 700)
    run_id = begun(opened)
    many = [points.Point(f"m{k % 7}", k / 3, 1000 + k, k) for k in range(points.CALL + 500)]
    points.write(opened.client, opened.database if straight else None, run_id, many)
    found = rows(opened, run_id)
    assert len(found["metrics"]) == len(many)
    assert [step for _, step, *_ in found["latest_metrics"]] == [
        max(k for k in range(len(many)) if k % 7 == m) for m in range(7)
    ]


def test_no_points_are_no_call(opened: client.Store) -> None:
    run_id = begun(opened)
    points.write(opened.client, opened.database, run_id, [])
    assert rows(opened, run_id)["metrics"] == []


def test_what_is_written_is_whole_or_not_there(opened: client.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id, real = begun(opened), points._tables

    def without_the_second() -> tuple[Any, Any]:
        other = sqlalchemy.Table("nowhere", sqlalchemy.MetaData(), *(column._copy() for column in real()[1].columns))
        return real()[0], other

    monkeypatch.setattr(points, "_tables", without_the_second)
    with pytest.raises((OSError, sqlalchemy.exc.ProgrammingError)):
        points.write(opened.client, opened.database, run_id, WRITINGS[0])
    assert rows(opened, run_id)["metrics"] == []


@contextlib.contextmanager
def held(uri: str) -> Iterator[None]:
    """Holds the write lock of a SQLite file."""
    with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_file_that_stays_locked_is_an_error_that_passes_by_itself(
    store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(points, "PATIENCE", 0.1)
    opened = client.open_store(store_uri)
    run_id = begun(opened)
    with held(store_uri), pytest.raises(OSError, match="database is locked"):
        points.write(opened.client, opened.database, run_id, WRITINGS[0])
    points.write(opened.client, opened.database, run_id, WRITINGS[0])
    assert len(rows(opened, run_id)["metrics"]) == len(WRITINGS[0])


def test_a_server_gets_its_points_through_the_client() -> None:
    assert points.database("http://localhost:5000") is None
    assert points.database("mysql+pymysql://user@host/name") is None


def test_another_mlflow_gets_its_points_through_the_client(store_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert points.database(store_uri) is not None
    monkeypatch.setattr(points, "COLUMNS", points.COLUMNS | {"unit"})
    assert points.database(store_uri) is None
    monkeypatch.undo()
    monkeypatch.delattr(models, "SqlLatestMetric")
    assert points.database(store_uri) is None
