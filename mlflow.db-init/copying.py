# SPDX-License-Identifier: Apache-2.0
"""Copies: all that one store holds, into another of any kind, whole or not at all.

One mechanism for a backup (SQLite file to SQLite file), a restore (back again) and a move (SQLite to PostgreSQL). Both
sides have the schema of the installed MLflow, so a table is copied by its columns' names.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlalchemy

ROWS = 5000
"""Rows in memory at a time."""

KEPT = ("alembic_version",)
"""Tables that the target keeps as they are."""


def runs(uri: str) -> int:
    """Returns how many runs a store holds, deleted ones included."""
    with _opened(uri) as (engine, tables), engine.connect() as connection:
        return _count(connection, tables.tables["runs"])


def copy(source: str, target: str, told: Callable[[str, int], None]) -> dict[str, int]:
    """Replaces what a store holds by what another holds, in one transaction.

    Args:
        source: The store to read; it is read at one instant.
        target: The store to fill, of the same schema. What it holds is dropped.
        told: Called with the name of a table and how many rows it has, before it is copied.

    Returns:
        For each table that holds something, its number of rows.

    Raises:
        ValueError: A table arrived with another number of rows; nothing has changed then.
    """
    import sqlalchemy

    copied: dict[str, int] = {}
    with _opened(source) as (engine, tables), _opened(target) as (other, others):
        order = [table for table in tables.sorted_tables if table.name not in KEPT]
        level = "SERIALIZABLE" if engine.dialect.name == "sqlite" else "REPEATABLE READ"
        with engine.connect().execution_options(isolation_level=level) as reading, other.begin() as writing:
            for table in reversed(order):
                writing.execute(others.tables[table.name].delete())
            for table in order:
                into = others.tables[table.name]
                count = _count(reading, table)
                told(table.name, count)
                rows = reading.execution_options(yield_per=ROWS).execute(_select(table)).mappings()
                for some in _batched(rows):
                    writing.execute(sqlalchemy.insert(into), [dict(row) for row in some])
                if (arrived := _count(writing, into)) != count:
                    raise ValueError(f"of {count} rows of the table {table.name} {arrived} arrived")
                if count:
                    copied[table.name] = count
            if other.dialect.name == "postgresql":
                _advance_sequences(writing, order)
    return copied


def _select(table: sqlalchemy.Table) -> Any:
    """Selects a table in the order of its key, so that copies of equal stores are equal."""
    return table.select().order_by(*table.primary_key.columns)


def _batched(rows: Any) -> Iterator[list[Any]]:
    while some := list(itertools.islice(rows, ROWS)):
        yield some


def _advance_sequences(connection: sqlalchemy.Connection, tables: list[sqlalchemy.Table]) -> None:
    """Sets the sequences behind the keys of a PostgreSQL database beyond the keys that it now holds."""
    import sqlalchemy

    for table in tables:
        for column in table.primary_key.columns:
            sequence = connection.execute(
                sqlalchemy.text("SELECT pg_get_serial_sequence(:table, :column)"),
                {"table": table.name, "column": column.name},
            ).scalar()
            if sequence is not None:
                largest = sqlalchemy.func.max(table.c[column.name])
                most = connection.execute(sqlalchemy.select(largest)).scalar()
                if most is not None:
                    connection.execute(sqlalchemy.text("SELECT setval(:name, :most)"), {"name": sequence, "most": most})


def _count(connection: sqlalchemy.Connection, table: sqlalchemy.Table) -> int:
    import sqlalchemy

    return int(connection.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(table)).scalar_one())


@contextlib.contextmanager
def _opened(uri: str) -> Iterator[tuple[sqlalchemy.Engine, sqlalchemy.MetaData]]:
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri)
    tables = sqlalchemy.MetaData()
    try:
        tables.reflect(engine)
        for table in tables.tables.values():
            for column in table.columns:
                if isinstance(column.type, sqlalchemy.JSON):
                    column.type.none_as_null = True  # else NULL would arrive as JSON's null
        yield engine, tables
    finally:
        engine.dispose()
