# SPDX-License-Identifier: Apache-2.0
"""Makes and upgrades the database behind MLflow, and says in which state it is.

`gdzoo store init` loads this file by its path; `python mlflow.db-init/init_db.py [URI]` runs it alone. MLflow itself
takes no lock when it meets an empty database, and two programs that open one at the same time break it. So the one
place that makes a schema is here, under a lock, and a new SQLite file appears under its name only when it is whole.
"""

from __future__ import annotations

import ast
import contextlib
import fcntl
import functools
import importlib.util
import logging
import os
import pathlib
import sqlite3
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import sqlalchemy

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

EXPERIMENTS = pathlib.Path(__file__).with_name("experiments.yaml")
SQLITE = "sqlite:///"
SERVERS = ("http://", "https://")
DATABASES = ("postgresql+psycopg://", "postgresql://", "mysql+pymysql://", "mssql+pyodbc://")
PROBE_SECONDS = 5.0


class State(NamedTuple):
    """In which state a store is.

    Attributes:
        word: `ready` (this MLflow can use it), `missing` (no database, or an empty one), `old` and `newer` (a schema
            from an earlier or a later MLflow), `unreachable` (anything else that keeps us from using it).
        detail: One phrase that says why, for messages.
    """

    word: Literal["ready", "missing", "old", "newer", "unreachable"]
    detail: str


class StoreError(Exception):
    """The database cannot be made or upgraded; the message says why and what to do."""


def sqlite_file(uri: str) -> pathlib.Path | None:
    """Returns the absolute path of the SQLite file that `uri` names, or None for any other kind of store."""
    if not uri.startswith(SQLITE):
        return None
    name = uri.removeprefix(SQLITE).partition("?")[0]
    return pathlib.Path(name).absolute() if name and name != ":memory:" else None


def known(uri: str) -> bool:
    """Returns whether `uri` has one of the forms that MLflow can use as a store (file stores are no longer)."""
    return sqlite_file(uri) is not None or uri.startswith(SERVERS + DATABASES)


def check(uri: str) -> State:
    """Returns the state of the store at `uri` and creates nothing, no file and no folder."""
    if not known(uri):
        return State("unreachable", "not the address of a store")
    if uri.startswith(SERVERS):
        return _check_server(uri)
    file = sqlite_file(uri)
    return _check_database(uri) if file is None else _check_sqlite(file)


def init(uri: str) -> Literal["made", "upgraded", "ready"]:
    """Makes the store at `uri` ready and says what was done; where nothing is to do, nothing is done.

    An older SQLite file is copied to `<file>.before-<revision>` before it is upgraded in place.

    Raises:
        StoreError: The store cannot be made or upgraded.
    """
    if not known(uri):
        raise StoreError(
            "this is not the address of a store; write sqlite:///FILE, or postgresql+psycopg:// or http://"
        )
    file = sqlite_file(uri)
    if file is None:
        return _init_database(uri)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _locked(file.with_name(file.name + ".lock")):
            return _init_sqlite(file)
    except OSError as error:
        raise StoreError(f"cannot make the store {file}: {error.strerror or error}") from error


def description(suite: str) -> str:
    """Returns the text (Markdown) that the experiment of a suite carries, from `experiments.yaml`, else a plain one."""
    import yaml

    known_suites: dict[str, str] = yaml.safe_load(EXPERIMENTS.read_text(encoding="utf-8"))
    plain = f"# gdzoo: {suite}\nRuns of the specs in the suite `{suite}`. {known_suites['how_to_read']}"
    return f"{known_suites[suite]}\n\n{known_suites['how_to_read']}" if suite in known_suites else plain


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[None]:
    """Holds an exclusive lock on `path`; the system releases it when the process ends, however it ends."""
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _init_sqlite(file: pathlib.Path) -> Literal["made", "upgraded", "ready"]:
    state = _check_sqlite(file)
    if state.word == "ready":
        return "ready"
    if state.word == "missing":
        return _make_sqlite(file)
    if state.word != "old":
        raise StoreError(f"cannot use the store {file}: {state.detail}")
    _quiet()
    copy = file.with_name(f"{file.name}.before-{_revision_of(file)}")
    with contextlib.closing(sqlite3.connect(file)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    try:
        _upgrade(f"{SQLITE}{file}")
    except Exception as error:
        raise StoreError(f"cannot upgrade the store {file}: {error}; the copy from before is {copy}") from error
    return "upgraded"


def _make_sqlite(file: pathlib.Path) -> Literal["made"]:
    """Builds the database under another name and renames it, so that nobody ever sees half a schema."""
    _quiet()
    from mlflow.store.tracking import sqlalchemy_store

    building = file.with_name(f"{file.name}.building-{os.getpid()}")
    for stale in file.parent.glob(f"{file.name}.building-*"):
        stale.unlink()
    try:
        store = sqlalchemy_store.SqlAlchemyStore(f"{SQLITE}{building}", str(file.parent / "mlartifacts"))
        store.engine.dispose()
        building.replace(file)
    except OSError:
        raise
    except Exception as error:
        raise StoreError(f"cannot make the store {file}: {error}") from error
    finally:
        building.unlink(missing_ok=True)
    return "made"


def _init_database(uri: str) -> Literal["ready"]:
    state = check(uri)
    if state.word == "ready":
        return "ready"
    if state.word in ("missing", "old"):
        raise StoreError(
            f"{state.detail}; gdzoo leaves this database alone: back it up, then say: mlflow db upgrade URI"
        )
    raise StoreError(f"cannot use the store: {state.detail}")


def _upgrade(uri: str) -> None:
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine_with_retry(uri)
    try:
        utils._upgrade_db(engine)  # the very call behind `mlflow db upgrade`
    finally:
        engine.dispose()


def _check_server(uri: str) -> State:
    try:
        with urllib.request.urlopen(uri.rstrip("/") + "/health", timeout=PROBE_SECONDS):
            return State("ready", "the server answers")
    except urllib.error.HTTPError as error:
        return State("unreachable", f"the server answers /health with {error.code}")
    except (OSError, ValueError) as error:
        return State("unreachable", f"no answer from the server ({getattr(error, 'reason', error)})")


def _check_sqlite(file: pathlib.Path) -> State:
    if file.is_dir():
        return State("unreachable", "it is a folder, not a file")
    try:
        if not file.exists() or file.stat().st_size == 0:
            return State("missing", "there is no database yet")
        with contextlib.closing(_read_only(file)) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "alembic_version" not in tables:
            return State("unreachable", "it is a SQLite file, but not one of MLflow") if tables else _EMPTY
        return _compare(_revision_of(file))
    except (OSError, sqlite3.Error) as error:
        return State("unreachable", str(error))


def _check_database(uri: str) -> State:
    _quiet()
    import sqlalchemy
    from mlflow.store.db import utils

    engine: sqlalchemy.Engine | None = None
    try:
        engine = sqlalchemy.create_engine(uri)
        return _compare(utils._get_schema_version(engine))
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        return State("unreachable", str(error).splitlines()[0])
    finally:
        if engine is not None:
            engine.dispose()


_EMPTY = State("missing", "the database is empty")


def _compare(revision: str | None) -> State:
    """Compares a schema revision with those that the installed MLflow knows."""
    if revision is None:
        return _EMPTY
    parents = _revisions()
    if revision not in parents:
        return State("newer", f"its schema {revision} is from a later MLflow than the installed one")
    if any(revision in known_parents for known_parents in parents.values()):
        return State("old", f"its schema {revision} is from an earlier MLflow")
    return State("ready", f"schema {revision}")


@functools.cache
def _revisions() -> dict[str, tuple[str, ...]]:
    """Returns the schema revisions of the installed MLflow, each with those it builds on.

    They are read out of its migration files: to import MLflow for this would take seconds.
    """
    package = importlib.util.find_spec("mlflow")
    if package is None or package.origin is None:
        raise StoreError("MLflow is not installed; say: make install")
    parents: dict[str, tuple[str, ...]] = {}
    for file in pathlib.Path(package.origin).parent.glob("store/db_migrations/versions/[!_]*.py"):
        values = dict(_literals(ast.parse(file.read_text(encoding="utf-8"))))
        below = values["down_revision"] or ()
        parents[values["revision"]] = (below,) if isinstance(below, str) else tuple(below)
    return parents


def _literals(module: ast.Module) -> Iterator[tuple[str, Any]]:
    """Yields name and value of the revisions that a migration file assigns."""
    for node in module.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id in ("revision", "down_revision"):
            assert isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            yield target.id, ast.literal_eval(node.value)


def _read_only(file: pathlib.Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{urllib.parse.quote(str(file))}?mode=ro", uri=True, timeout=20)


def _revision_of(file: pathlib.Path) -> str | None:
    with contextlib.closing(_read_only(file)) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def _quiet() -> None:
    """Keeps the progress notes of the migrations off the terminal; errors still come through as exceptions."""
    import mlflow.store.db.utils

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger(mlflow.store.db.utils.__name__).setLevel(logging.CRITICAL)


def main() -> int:
    """Runs `init` on the URI from the command line, else on the default store, and returns the exit code."""
    home = pathlib.Path(os.environ.get("GDZOO_HOME") or pathlib.Path(__file__).resolve().parent.parent)
    uri = sys.argv[1] if sys.argv[1:] else os.environ.get("MLFLOW_TRACKING_URI") or f"{SQLITE}{home / 'mlflow.db'}"
    try:
        sys.stdout.write(f"store {uri}: {init(uri)}\n")
    except StoreError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
