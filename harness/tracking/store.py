# SPDX-License-Identifier: Apache-2.0
"""The store: where runs are kept for good, and whether it can be used.

What a store is made of stands in `mlflow.db-init/init_db.py`; this module loads that file and turns what it says into
messages for people.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import pathlib
import sys
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Literal, NamedTuple

from harness import errors, workspace


class State(NamedTuple):
    """In which state a store is; see `State` in mlflow.db-init/schema.py."""

    word: Literal["ready", "missing", "old", "newer", "unreachable"]
    detail: str


Done = Literal["made", "upgraded", "ready"]


def sqlite_file(uri: str) -> pathlib.Path | None:
    """Returns the path of the SQLite file that `uri` names, or None for any other kind of store."""
    file: pathlib.Path | None = _maker().sqlite_file(uri)
    return file


def shown(uri: str) -> str:
    """Returns `uri` as messages may print it: a password is replaced by `***`."""
    return str(_maker().shown(uri))


def artifact_folder(uri: str, suite: str) -> str | None:
    """Returns where the artifacts of a suite go, as a file URI; None where an MLflow server decides.

    They lie in `mlartifacts/<suite>` beside a SQLite file, and in the workspace for any other database.
    """
    root = _maker().artifact_root(uri, workspace.home())
    return None if root is None else f"{root}/{suite}"


def init(uri: str, *, experiments_too: bool = True) -> Done:
    """Makes what is missing of the store at `uri`, under a lock, and says what was done.

    Raises:
        errors.InputError: It cannot be made there, or has the schema of another MLflow.
    """
    with _told():
        root = _maker().artifact_root(uri, workspace.home())
        done: Done = _maker().init(uri, root, experiments_too=experiments_too)
    return done


def upgrade(uri: str) -> Done:
    """Brings a store with an older schema up to date, under a lock, and says what was done.

    Raises:
        errors.InputError: There is no store, or it cannot be upgraded.
    """
    with _told():
        done: Done = _maker().upgrade(uri)
    return done


def copy(source: str, target: str, told: Callable[[str, int], None]) -> dict[str, int]:
    """Copies a store into another, which is made if it is missing, and returns its tables and their rows.

    Artifacts stay where they are, and the runs of the copy name those places.

    Args:
        source: The store to read.
        target: One that holds no run yet.
        told: Called with the name of each table and its number of rows, before it is copied.

    Raises:
        errors.InputError: One of them cannot be used; nothing was copied then.
    """
    with _told():
        root = _maker().artifact_root(target, workspace.home())
        copied: dict[str, int] = _maker().copy(source, target, root, told)
    return copied


def report(uri: str) -> dict[str, str]:
    """Returns what is to be known of a store, for people: name -> value; creates nothing."""
    found: dict[str, str] = _maker().report(uri)
    return found


def experiment_name(suite: str) -> str:
    """Returns the name of the experiment that holds the runs of a suite."""
    return str(_maker().experiments.name(suite))


def tags(suite: str) -> dict[str, str]:
    """Returns the tags that the experiment of a suite carries."""
    found: dict[str, str] = _maker().experiments.tags(suite)
    return found


def view_tag(view: str) -> str:
    """Returns the tag of an experiment that holds a view prepared for MLflow's UI."""
    return f"{_maker().views.PREFIX}{view}"


def check(uri: str) -> State:
    """Returns the state of the store at `uri` and creates nothing."""
    return State(*_maker().check(uri))


def require(uri: str) -> None:
    """Makes sure that runs can be written to the store at `uri`; creates nothing.

    Raises:
        errors.InputError: They cannot; the message says why and which command helps.
    """
    if not _maker().known(uri):
        raise errors.InputError(
            f"'{shown(uri)}' is not the address of a store; allowed: sqlite:///FILE, "
            "postgresql+psycopg://USER@HOST/NAME, http://HOST:PORT"
        )
    state = check(uri)
    if state.word == "ready":
        _require_writable(uri)
        return
    ours = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{workspace.home() / 'mlflow.db'}"
    where = "" if uri == ours else f" --store '{shown(uri)}'"
    remedy = {
        "missing": f"make it with: gdzoo store init{where}",
        "old": f"bring it up to date with: gdzoo store upgrade{where}",
        "newer": "use the MLflow that made it, or name another store with --store",
        "unreachable": "correct that, or name another store with --store",
    }
    raise errors.InputError(f"the store {shown(uri)} cannot be opened: {state.detail}; {remedy[state.word]}")


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turns what the initialiser refuses into a message for people."""
    try:
        yield
    except _maker().StoreError as error:
        raise errors.InputError(str(error)) from error


def _require_writable(uri: str) -> None:
    file = sqlite_file(uri)
    if file is None:
        return
    if found := _maker().disk.of_a_network(file):
        warnings.warn(
            f"{file} lies on a network file system ({found}), where SQLite's locks do not hold: use it with one "
            "program at a time, or move it (`gdzoo store copy`)",
            stacklevel=2,
        )
    for path in (file, file.parent):
        if not os.access(path, os.W_OK):
            raise errors.InputError(
                f"the store {shown(uri)} cannot be written to: {path} is read-only for you; change that, or name "
                "another store with --store"
            )


@functools.cache
def _maker() -> ModuleType:
    """Loads mlflow.db-init/init_db.py, whose folder is no package."""
    path = workspace.CHECKOUT / "mlflow.db-init" / "init_db.py"
    spec = importlib.util.spec_from_file_location("gdzoo_init_db", path)
    if spec is None or spec.loader is None or not path.exists():
        raise errors.InputError(f"{path} is missing; gdzoo runs from its checkout (pip install -e .)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
