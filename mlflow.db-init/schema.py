# SPDX-License-Identifier: Apache-2.0
"""Schemas: which revisions the installed MLflow knows, and what the revision of a database means to it."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import importlib.util
import logging
import pathlib
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple


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
    """The database cannot be made, upgraded or copied; the message says why and what to do."""


EMPTY = State("missing", "the database is empty")


def compare(revision: str | None) -> State:
    """Compares a schema revision with those that the installed MLflow knows."""
    if revision is None:
        return EMPTY
    parents = revisions()
    if revision not in parents:
        return State("newer", f"its schema {revision} is from a later MLflow than the installed one")
    if any(revision in known_parents for known_parents in parents.values()):
        return State("old", f"its schema {revision} is from an earlier MLflow")
    return State("ready", f"schema {revision}")


@functools.cache
def revisions() -> dict[str, tuple[str, ...]]:
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


def installed() -> str:
    """Returns the version of the installed MLflow."""
    return importlib.metadata.version("mlflow")


def make(uri: str, artifacts: str) -> None:
    """Has MLflow make its tables in an empty database."""
    quiet()
    from mlflow.store.tracking import sqlalchemy_store

    sqlalchemy_store.SqlAlchemyStore(uri, artifacts).engine.dispose()


def upgrade(uri: str) -> None:
    """Has MLflow's own migrations bring a database up to date: the very call behind `mlflow db upgrade`."""
    quiet()
    from mlflow.store.db import utils

    engine = utils.create_sqlalchemy_engine_with_retry(uri)
    try:
        utils._upgrade_db(engine)
    finally:
        engine.dispose()


def quiet() -> None:
    """Keeps the progress notes of the migrations off the terminal; errors still come through as exceptions."""
    import mlflow.store.db.utils

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger(mlflow.store.db.utils.__name__).setLevel(logging.CRITICAL)


def _literals(module: ast.Module) -> Iterator[tuple[str, Any]]:
    """Yields name and value of the revisions that a migration file assigns."""
    for node in module.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id in ("revision", "down_revision"):
            assert isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            yield target.id, ast.literal_eval(node.value)
