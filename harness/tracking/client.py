# SPDX-License-Identifier: Apache-2.0
"""The client of a store: opening it, asking what it holds, and telling failures that pass from errors.

MLflow is imported here, when a function needs it, with its telemetry off.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from harness import errors
from harness.tracking import points, store

if TYPE_CHECKING:
    import mlflow
    import mlflow.entities
    import sqlalchemy

PAGE = 1000
"""Runs that one search of a store returns, at most."""

AWAY_CODES = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "RESOURCE_EXHAUSTED", "REQUEST_LIMIT_EXCEEDED")
"""MLflow's codes of failures that pass by themselves."""

CONFLICT = ("UniqueViolation", "UNIQUE constraint failed")
"""What databases say where another process has just written the same row."""

TRIES = 8
"""How often a row is written that meets such a conflict."""

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "1",  # connections kept open; a PostgreSQL as it comes has 100 for all
}
"""MLflow's settings, where the environment does not have its own."""


class StoreAway(Exception):
    """The store, open a moment ago, takes no more for now. The run folder keeps everything; upload it again later."""


@dataclasses.dataclass(frozen=True)
class Store:
    """An open store.

    Attributes:
        uri: Its address.
        client: MLflow's client for it.
        database: Where the points of curves go; None where the client writes them too (harness/tracking/points.py).
    """

    uri: str
    client: mlflow.MlflowClient
    database: sqlalchemy.Engine | None


class Mark(NamedTuple):
    """What tells a run in a store from an earlier or a later state of it.

    Attributes:
        run_id: Ours.
        started: When it was begun, in milliseconds since 1970.
        status: How far it has come (statuses.ALL).
    """

    run_id: str
    started: int
    status: str


def open_store(uri: str) -> Store:
    """Opens the store at `uri` for writing, and never makes or changes its schema.

    Raises:
        errors.InputError: It cannot be used; the message says why and which command helps.
    """
    quieten()
    store.require(uri)
    import mlflow
    from mlflow import exceptions

    try:
        client = mlflow.MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except (exceptions.MlflowException, OSError) as error:
        why = errors.first_line(error) or type(error).__name__
        raise errors.InputError(f"the store {store.shown(uri)} cannot be opened: {why}") from error
    return Store(uri, client, points.database(uri))


def quieten() -> None:
    """Turns MLflow's telemetry and progress notes off; call it before anything imports mlflow."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    # MLflow prints a traceback for each database error that it then raises; we report the exception instead.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it notes each statement that failed, once more


def held(opened: Store, suite: str) -> set[Mark]:
    """Returns what a store holds whole of a suite: a mark for each run, failed and interrupted ones included.

    Cost: one search of the store for every PAGE runs.

    Raises:
        StoreAway: The store does not answer.
    """
    with away():
        experiment = opened.client.get_experiment_by_name(store.experiment_name(suite))
        if experiment is None:
            return set()
        return {
            Mark(run.data.tags["gdzoo.run_id"], run.info.start_time or 0, run.data.tags.get("gdzoo.status", ""))
            for run in runs(opened, experiment.experiment_id, "attributes.status != 'RUNNING'")
            if "gdzoo.run_id" in run.data.tags
        }


def experiment_id(opened: Store, suite: str) -> str | None:
    """Returns MLflow's id of the experiment of a suite, for links; None before its first run."""
    experiment = opened.client.get_experiment_by_name(store.experiment_name(suite))
    return None if experiment is None else str(experiment.experiment_id)


def count(opened: Store, experiment_id: str) -> int:
    """Returns how many runs an experiment has, at most PAGE, those in MLflow's bin left out."""
    return len(opened.client.search_runs([experiment_id], max_results=PAGE))


def runs(opened: Store, experiment_id: str, condition: str) -> list[mlflow.entities.Run]:
    """Returns all active runs of an experiment that meet a condition, page by page."""
    found: list[mlflow.entities.Run] = []
    token: str | None = None
    while True:
        page = opened.client.search_runs([experiment_id], condition, max_results=PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


@contextlib.contextmanager
def away() -> Iterator[None]:
    """Turns the failures that pass by themselves (locked, full, gone, no answer) into StoreAway."""
    from mlflow import exceptions

    try:
        yield
    except exceptions.MlflowException as error:
        if error.error_code not in AWAY_CODES:
            raise
        raise StoreAway(errors.first_line(error) or type(error).__name__) from error
    except OSError as error:
        raise StoreAway(errors.first_line(error) or type(error).__name__) from error


def retried(write: Callable[[], None]) -> None:
    """Writes, and again where another process wrote the same row at the same instant: MLflow looks, then inserts."""
    from mlflow import exceptions

    for attempt in range(TRIES):
        try:
            return write()
        except exceptions.MlflowException as error:
            if attempt == TRIES - 1 or not any(words in str(error) for words in CONFLICT):
                raise
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
