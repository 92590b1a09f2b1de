# SPDX-License-Identifier: Apache-2.0
"""Contents: what a store that is ready is made of and how much it holds, for `gdzoo store check`."""

from __future__ import annotations

import pathlib

COUNTED = {"experiments": "experiments", "runs": "runs", "points of curves": "metrics"}


def found(uri: str, file: pathlib.Path | None) -> dict[str, str]:
    """Returns what is to be known of a database, for people: name -> value.

    Args:
        uri: The database.
        file: Its file, for SQLite.
    """
    import sqlalchemy

    said = {} if file is None else {"size": f"{file.stat().st_size / 1e6:,.1f} MB"}
    engine = sqlalchemy.create_engine(uri)
    try:
        with engine.connect() as connection:
            if file is None:
                said["server"] = ".".join(map(str, connection.dialect.server_version_info or ()))
            else:
                pragmas = ", ".join(
                    f"{name}={connection.exec_driver_sql(f'PRAGMA {name}').scalar()}"
                    for name in ("journal_mode", "synchronous")
                )
                said["pragmas"] = f"{pragmas}; MLflow waits 20 s for a lock"
            for name, table in COUNTED.items():
                said[name] = f"{connection.exec_driver_sql(f'SELECT count(*) FROM {table}').scalar():,}"
    finally:
        engine.dispose()
    return said
