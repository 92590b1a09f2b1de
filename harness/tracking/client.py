# SPDX-License-Identifier: Apache-2.0
"""From a run folder to MLflow: one experiment per suite, one flat run per seed.

The run folder is the truth and MLflow is filled from it, after the fact. A second upload of the same folder adds
nothing: a run is found again by its tag `gdzoo.run_id`, and a point of a curve carries the timestamp "start of the
run + step" in milliseconds, so MLflow drops it when it comes twice. MLflow is imported here, when a function needs
it, with its telemetry off.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import gc
import json
import logging
import math
import os
import pathlib
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from harness import diagnostics, errors, metrics, records
from harness.records import run_folder, statuses, verdict
from harness.specs import grid
from harness.tracking import points as point_rows
from harness.tracking import store

if TYPE_CHECKING:
    import mlflow
    import mlflow.entities
    import sqlalchemy

ARTIFACTS = ("cell.yaml", "run.json", "records.jsonl")
OPTIONAL = ("spectra.jsonl", "usage.jsonl")
PAGE = 1000
STATUS = {
    "running": "RUNNING",
    "finished": "FINISHED",
    "diverged": "FINISHED",
    "interrupted": "KILLED",
    "failed": "FAILED",
}
AWAY_CODES = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "RESOURCE_EXHAUSTED", "REQUEST_LIMIT_EXCEEDED")
MODEL_METRICS = ("loss", "train_accuracy", "grad_norm", "eta_sharpness", "sigma_min")
"""What a logged model says of itself, at the last record."""

MODEL_NAME = 200
"""Characters of a label that its name takes."""

PARAMETER_BYTES = 10_000_000
"""Most bytes of a final state that goes into the store; larger ones stay in their run folder."""

MAX_SECONDS = 1e9
"""Longest that a run can have taken, in seconds; for run folders from elsewhere."""

CONFLICT = ("UniqueViolation", "UNIQUE constraint failed")
TRIES = 8
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "1",  # connections kept open; a PostgreSQL as it comes has 100 for all
}

Json = Mapping[str, Any]  # run.json, whose keys harness/records/run_folder.py writes


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
        raise errors.InputError(f"the store {store.shown(uri)} cannot be opened: {_first_line(error)}") from error
    return Store(uri, client, point_rows.database(uri))


def held(opened: Store, suite: str) -> set[Mark]:
    """Returns what a store holds whole of a suite: a mark for each run, failed and interrupted ones included.

    Cost: one search of the store for every PAGE runs.

    Raises:
        StoreAway: The store does not answer.
    """
    with _away():
        experiment = opened.client.get_experiment_by_name(experiment_name(suite))
        if experiment is None:
            return set()
        runs = _runs(opened, experiment.experiment_id, "attributes.status != 'RUNNING'")
        return {
            Mark(run.data.tags["gdzoo.run_id"], run.info.start_time or 0, run.data.tags.get("gdzoo.status", ""))
            for run in runs
            if "gdzoo.run_id" in run.data.tags
        }


def mark(folder: pathlib.Path) -> Mark:
    """Returns the mark of the run in a folder, by which `held` tells whether a store has it as it is.

    Raises:
        FileNotFoundError: The folder holds no run.
    """
    run = _run(folder)
    return Mark(run["run_id"], _milliseconds(run["started"]), run["status"])


def upload(opened: Store, folder: pathlib.Path) -> str:
    """Copies a run folder into the store and returns MLflow's id of the run; what is there already stays one.

    An earlier upload of the same start of the run is completed. Runs of the same `run_id` that were started at
    another time are deleted (MLflow keeps them in its bin), so that the store shows each run once.

    Raises:
        StoreAway: The store does not take it now.
        errors.InputError: The experiment of the suite was deleted by hand.
    """
    run = _run(folder)
    recorded = run_folder.read_records(folder)
    started = _milliseconds(run["started"])
    with _locked(folder), _away(), _uncollected():
        state = store.check(opened.uri)
        if state.word != "ready":
            raise StoreAway(state.detail)
        experiment_id = _experiment(opened, run["suite"])
        same = _runs(opened, experiment_id, f"tags.`gdzoo.run_id` = '{run['run_id']}'")
        mine = [found for found in same if found.info.start_time == started]
        run_id = mine[0].info.run_id if mine else _create(opened, experiment_id, run, started)
        _fill(opened, run_id, run, [*_points(recorded, started, run["theory"]["one_piece"]), *_usage(folder, started)])
        if run["status"] in statuses.ENDED:
            _log_parameters(opened, experiment_id, run_id, run, folder, recorded)
        _log_pictures(opened, run_id, run, folder)
        for name in ARTIFACTS:
            if (folder / name).exists():
                opened.client.log_artifact(run_id, str(folder / name))
            else:  # a run that failed before its first record
                opened.client.log_text(run_id, "", name)
        for name in OPTIONAL:
            if (folder / name).exists():
                opened.client.log_artifact(run_id, str(folder / name))
        _close(opened, run_id, STATUS[run["status"]], started + round(1000 * run["seconds"]))
        for other in same:
            if other.info.run_id != run_id:
                opened.client.delete_run(other.info.run_id)
                for model in _models(opened, experiment_id, other.info.run_id):
                    opened.client.delete_logged_model(model.model_id)
    return str(run_id)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keeps the collector of cycles away: it walks MLflow's objects for a quarter of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def count(opened: Store, experiment_id: str) -> int:
    """Returns how many runs an experiment has, at most PAGE, those in MLflow's bin left out."""
    return len(opened.client.search_runs([experiment_id], max_results=PAGE))


def unsaid(run: Json) -> str:
    """Returns what the facts of a run lack, or hold in another form, that a store is told; empty if nothing.

    For runs that were not made here; costs nothing.
    """
    try:
        _params(run), _tags(run), _dataset(run), _milliseconds(run["started"])
        return "" if 0 <= run["seconds"] < MAX_SECONDS else f"it took {run['seconds']} seconds"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"{type(error).__name__}: {_first_line(error)}"


def experiment_name(suite: str) -> str:
    """Returns the name of the experiment that holds the runs of a suite."""
    return store.experiment_name(suite)


def experiment_id(opened: Store, suite: str) -> str | None:
    """Returns MLflow's id of the experiment of a suite, for links; None before its first run."""
    experiment = opened.client.get_experiment_by_name(experiment_name(suite))
    return None if experiment is None else str(experiment.experiment_id)


def quieten() -> None:
    """Turns MLflow's telemetry and progress notes off; call it before anything imports mlflow."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    # MLflow prints a traceback for each database error that it then raises; we report the exception instead.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it notes each statement that failed, once more


def _run(folder: pathlib.Path) -> Json:
    """Returns the facts of the run in a folder; one that says it is running while nobody is at it was interrupted."""
    run = run_folder.read(folder)
    if run is None:
        raise FileNotFoundError(f"{folder} holds no run")
    return {**run, "status": run_folder.status(folder)}


def _experiment(opened: Store, suite: str) -> str:
    """Returns the id of the experiment of a suite, which is made if it is not there."""
    from mlflow import exceptions

    name = experiment_name(suite)
    found = opened.client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(
                opened.client.create_experiment(name, store.artifact_folder(opened.uri, suite), store.tags(suite))
            )
        except exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = opened.client.get_experiment_by_name(name)  # another process was quicker
    if found is None or found.lifecycle_stage != "active":
        identity = "" if found is None else f" --experiment-id {found.experiment_id}"
        raise errors.InputError(
            f"the experiment '{name}' was deleted in the store {store.shown(opened.uri)}; bring it back with: "
            f"MLFLOW_TRACKING_URI='{store.shown(opened.uri)}' mlflow experiments restore{identity}"
        )
    return str(found.experiment_id)


def _create(opened: Store, experiment_id: str, run: Json, started: int) -> str:
    name = f"{run['label']} · seed {run['seed']}"
    created = opened.client.create_run(experiment_id, start_time=started, tags=_tags(run), run_name=name)
    return str(created.info.run_id)


def _fill(opened: Store, run_id: str, run: Json, points: Sequence[point_rows.Point]) -> None:
    """Writes parameters, tags, data set and curves of one run."""
    from mlflow import entities

    params = [entities.Param(key, value) for key, value in _params(run).items()]
    tags = [entities.RunTag(key, value) for key, value in _tags(run).items()]
    opened.client.update_run(run_id, status="RUNNING")
    opened.client.log_batch(run_id, params=params, tags=tags)
    _tried(lambda: opened.client.log_inputs(run_id, datasets=[_dataset(run)]))
    point_rows.write(opened.client, opened.database, run_id, points)


def _log_parameters(
    opened: Store, experiment_id: str, run_id: str, run: Json, folder: pathlib.Path, recorded: Sequence[records.Record]
) -> None:
    """Uploads the last state of a run, its parameters among it, unless it is large; a tag says what was done.

    The network is one of MLflow's logged models, with its end values: the pages "Models" of the run and of its
    experiment show it. Its parameters are the run's artifact, its cell.yaml builds it.
    """
    state = run_folder.last_state(folder)
    if state is None:
        return
    size = state.stat().st_size
    if size <= PARAMETER_BYTES:
        opened.client.log_artifact(run_id, str(state))
        opened.client.set_tag(run_id, "gdzoo.parameters", state.name)
    else:
        words = f"left out: {size / 1e6:,.0f} MB, and at most {PARAMETER_BYTES / 1e6:,.0f} MB are kept"
        opened.client.set_tag(run_id, "gdzoo.parameters", words)
    _log_model(opened, experiment_id, run_id, run, recorded)


def _log_model(opened: Store, experiment_id: str, run_id: str, run: Json, recorded: Sequence[records.Record]) -> None:
    """Makes the network that a run ended with a logged model, with its last values; goes on if cut off."""
    from mlflow import entities

    found = _models(opened, experiment_id, run_id)
    if found and str(found[0].status) == "READY":
        return
    made = (
        found[0]
        if found
        else opened.client.create_logged_model(
            experiment_id,
            name=re.sub(r"[/:.%\"']", "-", f"{run['label'][:MODEL_NAME]}-seed-{run['seed']}"),
            source_run_id=run_id,
            params=_params(run),
            tags={"gdzoo.run_id": run["run_id"], "gdzoo.cell_id": run["cell_id"], "gdzoo.suite": run["suite"]},
            model_type=run["cell"]["model"]["family"],
        )
    )
    for step, values in recorded[-1:]:
        moment = _milliseconds(run["started"]) + step
        points = [
            entities.Metric(f"final/{name}", _finite(values[name]), moment, 0, model_id=made.model_id, run_id=run_id)
            for name in MODEL_METRICS
            if name in values
        ]
        opened.client.log_batch(run_id, metrics=points)  # points of the run itself too, which has them already
        outputs = opened.client.get_run(run_id).outputs
        if made.model_id not in {output.model_id for output in (outputs.model_outputs if outputs else ())}:
            opened.client.log_outputs(run_id, [entities.LoggedModelOutput(made.model_id, step=step)])
    opened.client.finalize_logged_model(made.model_id, "READY")


def _models(opened: Store, experiment_id: str, run_id: str) -> list[mlflow.entities.LoggedModel]:
    """Returns the logged models of a run, one or none."""
    found = opened.client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'", max_results=1)
    return list(found)


def _log_pictures(opened: Store, run_id: str, run: Json, folder: pathlib.Path) -> None:
    """Uploads pictures of the spectra of a run that kept them."""
    kept = run_folder.read_spectra(folder)
    if not kept or run["eta"] is None:
        return
    from harness.tracking import spectrum_plot

    title = f"{run['label']}, seed {run['seed']}"
    with tempfile.TemporaryDirectory(prefix="gdzoo-plot-") as name:
        drawn = pathlib.Path(name)
        (drawn / "spectrum.png").write_bytes(spectrum_plot.png(kept, run["eta"], title))
        (drawn / "spectrum.html").write_text(spectrum_plot.page(kept, run["eta"], title), encoding="utf-8")
        opened.client.log_artifacts(run_id, str(drawn), "plots")


def _tried(write: Callable[[], None]) -> None:
    """Writes, and again where another process wrote the same row at the same instant: MLflow looks, then inserts."""
    from mlflow import exceptions

    for attempt in range(TRIES):
        try:
            return write()
        except exceptions.MlflowException as error:
            if attempt == TRIES - 1 or not any(words in str(error) for words in CONFLICT):
                raise
            time.sleep(random.uniform(0, 0.05 * 2**attempt))


def _close(opened: Store, run_id: str, status: str, ended: int) -> None:
    if status != "RUNNING":
        opened.client.set_terminated(run_id, status=status, end_time=ended)


def _tags(run: Json) -> dict[str, str]:
    """Returns what a run is grouped and found by."""
    tags = {
        "gdzoo.cell": f"{run['label']} [{run['cell_id']}]",
        "gdzoo.cell_id": run["cell_id"],
        "gdzoo.run_id": run["run_id"],
        "gdzoo.spec_hash": run["spec_hash"],
        "gdzoo.suite": run["suite"],
        "gdzoo.spec": run["spec"],
        "gdzoo.status": run["status"],
        "gdzoo.verdict": run["verdict"],
        "gdzoo.end": (run.get("end") or {}).get("point"),
        "gdzoo.theorem": run["theory"]["covered"],
        "gdzoo.one_piece": run["theory"]["one_piece"],
        "gdzoo.bad_steps": json.dumps([bad["eta"] for bad in run["theory"]["bad_steps"]]),
        "gdzoo.curvature": run["curvature"],
        "gdzoo.left_out": json.dumps(run["left_out"], ensure_ascii=False) if "left_out" in run else None,
        "gdzoo.device": run["device"],
        "gdzoo.precision": run["precision"],
        "gdzoo.versions": json.dumps(run["versions"], sort_keys=True),
        "gdzoo.diverged_at": run["diverged_at"],
        "gdzoo.reached_at": run.get("reached_at"),
        "gdzoo.target": _target(run),
        "gdzoo.reason": run.get("reason"),
        "mlflow.source.name": "gdzoo",
        "mlflow.source.git.commit": run["commit"],
        "mlflow.note.content": _sentence(run),
    }
    return {key: str(value) for key, value in tags.items() if value is not None}


def _target(run: Json) -> str | None:
    """Returns whether a run met the target of its spec; None without one, or before it ended. It is no minimum."""
    if not run["cell"].get("target") or run["status"] not in statuses.ENDED:
        return None
    return "missed" if run.get("reached_at") is None else "met"


def _sentence(run: Json) -> str:
    """Returns the one line that MLflow shows as the description of the run."""
    end = f"{run['status']} at step {run['diverged_at']}" if run["diverged_at"] is not None else run["status"]
    batch = " (with the full batch)" if run["cell"]["optimizer"].get("batch_size") else ""
    said = "" if run["verdict"] is None else f"; {verdict.SAID[verdict.current(run['verdict'])]}{batch}"
    met, point = _target(run), (run.get("end") or {}).get("point")
    end += f"; target {met}" if met else ""
    end += f"; ended at: {point}" if point and run["diverged_at"] is None else ""
    data = f"{run['examples']:,} examples of {run['dataset']['name']}"
    step_size = "" if run["eta"] is None else f", η = {run['eta']:.4g}"
    page = f"run/{run['suite']}/{run['run_id']}.html"  # as leaderboard/site/pages.py names it
    what = f"{run['label']}, seed {run['seed']}: {run['parameters']:,} parameters, {data}{step_size}; {end}{said}."
    return f"{what} On the board: {page}"


def _params(run: Json) -> dict[str, str]:
    """Returns the few settings that a reader filters and compares by."""
    cell = run["cell"]
    rate, activation = cell["optimizer"]["learning_rate"], cell["model"].get("activation")
    params = {
        "spec": run["spec"],
        "family": cell["model"]["family"],
        "activation": None if activation is None else grid.flow(activation),
        "dataset": cell["data"]["name"],
        "loss": cell["loss"]["name"],
        "weight_decay": cell["loss"].get("weight_decay") or None,
        "optimizer": cell["optimizer"]["name"],
        "learning_rate": f"{rate['eta_lambda']:g} / λ_max(0)" if isinstance(rate, Mapping) else repr(rate),
        "eta": None if run["eta"] is None else repr(run["eta"]),
        "batch_size": cell["optimizer"].get("batch_size") or "full",
        "parameters": run["parameters"],
        "seed": run["seed"],
        "steps": cell["steps"],
    }
    return {key: str(value) for key, value in params.items() if value is not None}


def _dataset(run: Json) -> mlflow.entities.DatasetInput:
    """Returns the data set as an input of the run, which fills the column "Dataset" and can be grouped by."""
    from mlflow import entities

    data = run["dataset"]
    source = {key: data[key] for key in ("name", "sha256", "licence", "citation")}
    profile = {"num_rows": data["examples"], "shape": data["shape"], "classes": data["classes"]}
    dataset = entities.Dataset(
        name=f"{data['name']}:{data['version']}[{data['split']}]",
        digest=data["sha256"][:8],
        source_type="gdzoo",
        source=json.dumps(source),
        profile=json.dumps(profile),
    )
    return entities.DatasetInput(dataset, tags=[entities.InputTag("mlflow.data.context", "train")])


def _points(recorded: Sequence[records.Record], started: int, one_piece: bool) -> list[point_rows.Point]:
    """Returns every point of every curve, what they say together (`run/*`), and `final/*` once.

    The latter is of step 0 (for bar charts), with the timestamp of the last record.
    """
    points = [
        point_rows.Point(metrics.METRICS[name].key(name), _finite(value), started + step, step)
        for step, values in recorded
        for name, value in values.items()
    ]
    for step, values in recorded[-1:]:
        points += [
            point_rows.Point(f"final/{name}", _finite(value), started + step, 0) for name, value in values.items()
        ]
        points += [
            point_rows.Point(metrics.METRICS[name].key(name), _finite(value), started + step, step)
            for name, value in diagnostics.summary(recorded, one_piece=one_piece).items()
        ]
    return points


def _usage(folder: pathlib.Path, started: int) -> list[point_rows.Point]:
    """Returns what the process took of its machine, under the names that MLflow's page "System metrics" shows."""
    return [
        point_rows.Point(f"system/{name}", _finite(value), started + step, step)
        for step, values in run_folder.read_usage(folder)
        for name, value in values.items()
    ]


def _finite(value: float) -> float:
    """Returns NaN for what is not finite: MLflow would store an infinite value as another number."""
    return value if math.isfinite(value) else math.nan


def _milliseconds(moment: str) -> int:
    return round(1000 * datetime.datetime.fromisoformat(moment).timestamp())


def _runs(opened: Store, experiment_id: str, condition: str) -> list[mlflow.entities.Run]:
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
def _locked(folder: pathlib.Path) -> Iterator[None]:
    """Lets one process at a time upload a run folder."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _away() -> Iterator[None]:
    """Turns the failures that pass by themselves (locked, full, gone, no answer) into StoreAway."""
    from mlflow import exceptions

    try:
        yield
    except exceptions.MlflowException as error:
        if error.error_code not in AWAY_CODES:
            raise
        raise StoreAway(_first_line(error)) from error
    except OSError as error:
        raise StoreAway(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
