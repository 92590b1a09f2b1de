# SPDX-License-Identifier: Apache-2.0
"""Makes, upgrades, copies and checks the database behind MLflow, each under a lock.

`gdzoo store` loads this file by its path; `python mlflow.db-init/init_db.py init|upgrade|check [URI]` runs it alone.
MLflow itself takes no lock when it meets an empty database, and two programs that open one at the same time break it.
So the one place that makes a schema is here, and a new SQLite file appears under its name only when it is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import pathlib
import re
import sqlite3
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import sqlalchemy

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def _part(name: str) -> ModuleType:
    """Loads a file beside this one, whose folder is no package."""
    known = f"gdzoo_db_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, pathlib.Path(__file__).with_name(f"{name}.py"))
        assert spec is not None and spec.loader is not None
        sys.modules[known] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[known])
    return sys.modules[known]


if TYPE_CHECKING:
    import contents
    import copying
    import disk
    import experiments
    import schema
    import views
else:
    parts = ("contents", "copying", "disk", "schema", "views", "experiments")  # each after those that it uses
    contents, copying, disk, schema, views, experiments = map(_part, parts)

StoreError = schema.StoreError

SQLITE = "sqlite:///"
SERVERS = ("http://", "https://")
DATABASES = ("postgresql+psycopg://", "postgresql://", "mysql+pymysql://", "mssql+pyodbc://")
PROBE_SECONDS = 5.0
LOCK = 0x6764_7A6F_6F
"""Key of the advisory lock in PostgreSQL: `gdzoo` in ASCII."""

Done = Literal["made", "upgraded", "ready"]


def sqlite_file(uri: str) -> pathlib.Path | None:
    """Returns the absolute path of the SQLite file that `uri` names, or None for any other kind of store."""
    if not uri.startswith(SQLITE):
        return None
    name = urllib.parse.unquote(uri.removeprefix(SQLITE).partition("?")[0])  # as SQLAlchemy reads it
    return pathlib.Path(name).absolute() if name and name != ":memory:" else None


def known(uri: str) -> bool:
    """Returns whether `uri` has one of the forms that MLflow can use as a store (file stores are no longer)."""
    return sqlite_file(uri) is not None or uri.startswith(SERVERS + DATABASES)


def check(uri: str) -> schema.State:
    """Returns the state of the store at `uri` and creates nothing, no file and no folder."""
    if not known(uri):
        return schema.State("unreachable", "not the address of a store")
    if uri.startswith(SERVERS):
        return _check_server(uri)
    file = sqlite_file(uri)
    return _check_database(uri) if file is None else _check_sqlite(file)


def init(uri: str, artifacts: str | None, *, experiments_too: bool = True) -> Done:
    """Makes what is missing of the store at `uri`: file or schema, and the experiments of our suites.

    Safe to say twice, and from many processes at once. A schema of another MLflow is left alone.

    Args:
        uri: The store. At a server, which makes its own schema, only the experiments are made.
        artifacts: URI of the folder for artifacts; None where a server decides.
        experiments_too: Whether to make the experiments.

    Raises:
        StoreError: The store cannot be made.
    """
    with _alone(uri):
        state = check(uri)
        if state.word == "missing" and not uri.startswith(SERVERS):
            _make(uri, artifacts)
        elif state.word == "old":
            raise StoreError(f"{state.detail}; bring it up to date with: gdzoo store upgrade")
        elif state.word != "ready":
            raise StoreError(f"cannot use the store: {state.detail}")
        made = experiments.make(uri, artifacts) if experiments_too else 0
    return "made" if state.word == "missing" or made else "ready"


def upgrade(uri: str) -> Done:
    """Brings a store with an older schema up to date by MLflow's own migrations.

    A SQLite file is copied to `<file>.before-<revision>` first; any other database is yours to back up before.

    Raises:
        StoreError: There is no store, it is from a later MLflow, or a migration fails.
    """
    with _alone(uri):
        state = check(uri)
        if state.word == "ready":
            return "ready"
        if state.word == "missing":
            raise StoreError(f"{state.detail}; make it with: gdzoo store init")
        if state.word != "old":
            raise StoreError(f"cannot use the store: {state.detail}")
        file = sqlite_file(uri)
        kept = "" if file is None else f"; the copy from before is {_copied(file)}"
        try:
            schema.upgrade(uri)
        except Exception as error:
            raise StoreError(f"cannot upgrade the store: {_first(error)}{kept}") from error
    return "upgraded"


def copy(source: str, target: str, artifacts: str | None, told: Callable[[str, int], None]) -> dict[str, int]:
    """Copies a store into another, which is made if it is missing and must hold no run.

    Returns:
        Tables and their rows.

    Raises:
        StoreError: One of them cannot be used, or the target holds runs.
    """
    for uri in (source, target):
        if uri.startswith(SERVERS):
            raise StoreError("a server is not copied; name the database behind it")
    if (state := check(source)).word != "ready":
        raise StoreError(f"cannot read the store: {state.detail}")
    init(target, artifacts, experiments_too=False)
    with _alone(target):
        if there := copying.runs(target):
            raise StoreError(f"the target holds {there} runs; name an empty or a new store")
        try:
            copied: dict[str, int] = copying.copy(source, target, told)
        except Exception as error:
            raise StoreError(f"nothing was copied: {_first(error)}") from error
    return copied


def report(uri: str) -> dict[str, str]:
    """Returns what is to be known of a store, for people: name -> value. Creates nothing."""
    state = check(uri)
    found = {"state": state.word, "schema": state.detail, "MLflow installed": schema.installed()}
    file = sqlite_file(uri)
    if file is not None:
        found["file system"] = disk.kind(file.resolve())
    if state.word == "ready" and not uri.startswith(SERVERS):
        found |= contents.found(uri, file)
    return found


def shown(uri: str) -> str:
    """Returns `uri` as messages may print it: a password is replaced by `***`."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", uri)


@contextlib.contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Holds a store against every other process that makes or changes one; ends with the process, however it ends."""
    if not known(uri):
        raise StoreError(
            "this is not the address of a store; write sqlite:///FILE, or postgresql+psycopg:// or http://"
        )
    file = sqlite_file(uri)
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if found := disk.of_a_network(file.parent):
                raise StoreError(
                    f"{file} lies on a network file system ({found}), where SQLite's locks do not hold; name a file on "
                    "a local disk, or a PostgreSQL database"
                )
            with file.with_name(file.name + ".lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise StoreError(f"cannot make the store {file}: {error.strerror or error}") from error
    elif uri.startswith(SERVERS):
        yield
    else:
        with _advisory(uri):
            yield


@contextlib.contextmanager
def _advisory(uri: str) -> Iterator[None]:
    """Holds the advisory lock of a PostgreSQL database, in a session of its own; other databases have none."""
    if not uri.startswith("postgresql"):
        yield
        return
    if (state := check(uri)).word == "unreachable":
        raise StoreError(f"cannot use the store: {state.detail}")
    with _engine(uri) as engine, engine.connect() as session:
        session.exec_driver_sql(f"SELECT pg_advisory_lock({LOCK})")
        try:
            yield
        finally:
            session.exec_driver_sql(f"SELECT pg_advisory_unlock({LOCK})")


def _make(uri: str, artifacts: str | None) -> None:
    """Has MLflow make its tables; a SQLite file under another name, so that nobody ever sees half a schema."""
    file = sqlite_file(uri)
    building = None if file is None else file.with_name(f"{file.name}.building-{os.getpid()}")
    try:
        if file is None or building is None:
            schema.make(uri, artifacts or "mlflow-artifacts:/")
            return
        for stale in file.parent.glob(f"{file.name}.building-*"):
            stale.unlink()
        schema.make(f"{SQLITE}{building}", artifacts or str(file.parent / "mlartifacts"))
        building.replace(file)
    except OSError:
        raise
    except Exception as error:
        raise StoreError(f"cannot make the store: {_first(error)}") from error
    finally:
        if building is not None:
            building.unlink(missing_ok=True)


def _copied(file: pathlib.Path) -> pathlib.Path:
    copy = file.with_name(f"{file.name}.before-{_revision_of(file)}")
    with contextlib.closing(sqlite3.connect(file)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def _check_server(uri: str) -> schema.State:
    try:
        with urllib.request.urlopen(uri.rstrip("/") + "/health", timeout=PROBE_SECONDS):
            return schema.State("ready", "the server answers")
    except urllib.error.HTTPError as error:
        return schema.State("unreachable", f"the server answers /health with {error.code}")
    except (OSError, ValueError) as error:
        return schema.State("unreachable", f"no answer from the server ({getattr(error, 'reason', error)})")


def _check_sqlite(file: pathlib.Path) -> schema.State:
    if file.is_dir():
        return schema.State("unreachable", "it is a folder, not a file")
    try:
        if not file.exists() or file.stat().st_size == 0:
            return schema.State("missing", "there is no database yet")
        with contextlib.closing(_read_only(file)) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "alembic_version" not in tables:
            return schema.State("unreachable", "it is a SQLite file, but not one of MLflow") if tables else schema.EMPTY
        return schema.compare(_revision_of(file))
    except (OSError, sqlite3.Error) as error:
        return schema.State("unreachable", str(error))


def _check_database(uri: str) -> schema.State:
    try:
        import sqlalchemy

        with _engine(uri) as engine, engine.connect() as connection:
            tables = set(sqlalchemy.inspect(connection).get_table_names())
            if "alembic_version" not in tables:
                return (
                    schema.State("unreachable", "it is a database, but not one of MLflow") if tables else schema.EMPTY
                )
            return schema.compare(
                connection.execute(sqlalchemy.text("SELECT version_num FROM alembic_version")).scalar()
            )
    except ImportError as error:
        return schema.State("unreachable", f"{error}; say: pip install -e '.[postgres]'")
    except sqlalchemy.exc.SQLAlchemyError as error:
        return schema.State("unreachable", _first(error))


@contextlib.contextmanager
def _engine(uri: str) -> Iterator[sqlalchemy.Engine]:
    import sqlalchemy

    engine = sqlalchemy.create_engine(uri, poolclass=sqlalchemy.pool.NullPool)
    try:
        yield engine
    finally:
        engine.dispose()


def _read_only(file: pathlib.Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{urllib.parse.quote(str(file))}?mode=ro", uri=True, timeout=20)


def _revision_of(file: pathlib.Path) -> str | None:
    with contextlib.closing(_read_only(file)) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def main() -> int:
    """Runs the words of the command line and returns the exit code: 0, or 2 where the store cannot be used."""
    words = sys.argv[1:] or ["init"]
    home = pathlib.Path(os.environ.get("GDZOO_HOME") or pathlib.Path(__file__).resolve().parent.parent).resolve()
    uri = words[1] if words[1:] else os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{home / 'mlflow.db'}"
    try:
        if words[0] not in ("init", "schema", "upgrade", "check") or words[2:]:
            raise StoreError("say: init_db.py init|schema|upgrade|check [URI]")
        if words[0] == "check":
            sys.stdout.writelines(f"{name:18s}{value}\n" for name, value in report(uri).items())
            return 0 if check(uri).word == "ready" else 2
        whole = words[0] == "init"
        done = upgrade(uri) if words[0] == "upgrade" else init(uri, artifact_root(uri, home), experiments_too=whole)
    except StoreError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(f"store {shown(uri)}: {done}\n")
    return 0


def artifact_root(uri: str, home: pathlib.Path) -> str | None:
    """Returns the URI of the folder for the artifacts of a store; None where an MLflow server decides.

    It is `mlartifacts` beside a SQLite file, and in the workspace `home` for any other database.
    """
    if uri.startswith(SERVERS):
        return None
    file = sqlite_file(uri)
    return ((home if file is None else file.parent) / "mlartifacts").as_uri()


if __name__ == "__main__":
    sys.exit(main())
