# SPDX-License-Identifier: Apache-2.0
"""The store: where runs are kept for good, and whether it can be used.

What a store is made of stands in `mlflow.db-init/init_db.py`; this module loads that file and turns what it says into
messages for people.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import pathlib
import re
import sys
from types import ModuleType
from typing import Literal, NamedTuple

from harness import errors, workspace


class State(NamedTuple):
    """In which state a store is; see `State` in mlflow.db-init/init_db.py."""

    word: Literal["ready", "missing", "old", "newer", "unreachable"]
    detail: str


def sqlite_file(uri: str) -> pathlib.Path | None:
    """Returns the path of the SQLite file that `uri` names, or None for any other kind of store."""
    file: pathlib.Path | None = _maker().sqlite_file(uri)
    return file


def shown(uri: str) -> str:
    """Returns `uri` as messages may print it: a password is replaced by `***`."""
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", uri)


def artifact_folder(uri: str, suite: str) -> str | None:
    """Returns where the artifacts of a suite go, as a file URI; None where an MLflow server decides.

    They lie in `mlartifacts/<suite>` beside a SQLite file, and in the workspace for any other database.
    """
    if uri.startswith(("http://", "https://")):
        return None
    file = sqlite_file(uri)
    folder = workspace.artifacts() if file is None else file.parent / "mlartifacts"
    return (folder / suite).as_uri()


def init(uri: str) -> Literal["made", "upgraded", "ready"]:
    """Makes the store at `uri` ready, under a lock, and says what was done.

    Raises:
        errors.InputError: It cannot be made there.
    """
    maker = _maker()
    try:
        done: Literal["made", "upgraded", "ready"] = maker.init(uri)
    except maker.StoreError as error:
        raise errors.InputError(str(error)) from error
    return done


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
    command = "gdzoo store init" if uri == workspace.store() else f"gdzoo store init --store '{shown(uri)}'"
    remedy = {
        "missing": f"make it with: {command}",
        "old": f"upgrade it with: {command} (a copy of the old one is kept)",
        "newer": "use the MLflow that made it, or name another store with --store",
        "unreachable": "correct that, or name another store with --store",
    }
    raise errors.InputError(f"the store {shown(uri)} cannot be opened: {state.detail}; {remedy[state.word]}")


def description(suite: str) -> str:
    """Returns the text (Markdown) that the experiment of a suite carries."""
    return str(_maker().description(suite))


def _require_writable(uri: str) -> None:
    file = sqlite_file(uri)
    if file is None:
        return
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
