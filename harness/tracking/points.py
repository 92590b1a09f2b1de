# SPDX-License-Identifier: Apache-2.0
"""Points: the curves of a run, written to MLflow many at a time.

MLflow's client takes 1,000 points a call and makes an object of its ORM of each, which is nearly all that they cost. So
where the store is a SQLite file or a PostgreSQL whose tables hold what this module knows, rows go into MLflow's own
tables in one statement for thousands, with the rules of `log_batch`: a point that is there already is passed over, and
`latest_metrics` holds the point of each key with the largest (step, timestamp, value). Anywhere else the client writes
them. `gdzoo bench store` compares the two; a test holds that they leave the same rows.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import mlflow
    import sqlalchemy

COLUMNS = {"key", "value", "timestamp", "step", "is_nan", "run_uuid"}
"""The columns of both tables, as they are known here."""

CALL = 1000
"""Points that MLflow's client takes at once, at most."""

ROWS = 10_000
"""Rows of one transaction: others who write into the same SQLite file wait for a tenth of a second, not longer."""

PATIENCE = 20
"""Seconds to wait for others who write into the same SQLite file; what MLflow waits too."""


class Point(NamedTuple):
    """A point of a curve.

    Attributes:
        key: Name of the curve.
        value: A number, or NaN.
        timestamp: In milliseconds since 1970.
        step: The step, or 0.
    """

    key: str
    value: float
    timestamp: int
    step: int


def database(uri: str) -> sqlalchemy.Engine | None:
    """Returns the database of a store if points can go straight into it, else None; it keeps no connection."""
    kind = uri.partition(":")[0].partition("+")[0]
    try:
        known = all(set(table.columns.keys()) == COLUMNS for table in _tables())
    except (ImportError, AttributeError):  # another MLflow
        known = False
    if kind not in ("sqlite", "postgresql") or not known:
        return None
    import sqlalchemy

    patience = {"timeout": PATIENCE} if kind == "sqlite" else {}
    return sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool, connect_args=patience)


def write(client: mlflow.MlflowClient, engine: sqlalchemy.Engine | None, run_id: str, points: Sequence[Point]) -> None:
    """Writes points of one run, those that are there already once.

    Args:
        client: MLflow's client for the store.
        engine: What `database` returned for it.
        run_id: MLflow's id of a run that is there.
        points: In any order; a key, timestamp and step that come twice with one value are one point.

    Raises:
        OSError: The database does not take them now.
    """
    size = CALL if engine is None else ROWS
    for start in range(0, len(points), size):
        some = points[start : start + size]
        if engine is None:
            _log(client, run_id, some)
        else:
            with _told():
                _insert(engine, run_id, some)


def _log(client: mlflow.MlflowClient, run_id: str, points: Sequence[Point]) -> None:
    """Writes points through MLflow's client."""
    from mlflow import entities

    client.log_batch(run_id, metrics=[entities.Metric(*point) for point in points])


def _insert(engine: sqlalchemy.Engine, run_id: str, points: Sequence[Point]) -> None:
    """Writes points in one transaction; NaN is stored as 0, marked, as MLflow does."""
    import sqlalchemy
    from sqlalchemy.dialects import postgresql, sqlite

    insert: Any = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
    every, latest = _tables()
    rows: list[dict[str, Any]] = [
        {
            **point._asdict(),
            "value": 0.0 if math.isnan(point.value) else point.value,
            "is_nan": math.isnan(point.value),
            "run_uuid": run_id,
        }
        for point in points
    ]
    last: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["key"] not in last or _age(row) > _age(last[row["key"]]):
            last[row["key"]] = row
    adding = insert(latest)
    new = adding.excluded
    later = sqlalchemy.tuple_(new.step, new.timestamp, new.value) > sqlalchemy.tuple_(
        latest.c.step, latest.c.timestamp, latest.c.value
    )
    renewing = adding.on_conflict_do_update(
        index_elements=[latest.c.key, latest.c.run_uuid],
        set_={name: new[name] for name in ("value", "timestamp", "step", "is_nan")},
        where=later,
    )
    with engine.begin() as connection:
        connection.execute(insert(every).on_conflict_do_nothing(), rows)
        connection.execute(renewing, [last[key] for key in sorted(last)])


def _tables() -> tuple[Any, Any]:
    """Returns MLflow's tables of all points and of the latest of each key."""
    from mlflow.store.tracking.dbmodels import models

    return models.SqlMetric.__table__, models.SqlLatestMetric.__table__


def _age(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["step"], row["timestamp"], row["value"]


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turns what passes by itself (locked, full, gone) into an OSError, in one line."""
    from sqlalchemy import exc

    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.InternalError) as error:
        raise OSError(str(error.orig)) from error
