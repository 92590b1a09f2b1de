# SPDX-License-Identifier: Apache-2.0
"""From a run folder to MLflow: one experiment per suite, one flat run per seed.

The run folder is the truth and MLflow is filled from it, after the fact. A second upload of the same folder adds
nothing: a run is found again by its tag `gdzoo.run_id`, and a point of a curve carries the timestamp "start of the
run + step" in milliseconds, so MLflow drops it when it comes twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness import errors, records
from harness.records import run_folder, statuses, traces
from harness.tracking import client, fields, points, store

if TYPE_CHECKING:
    import mlflow
    import mlflow.entities

ARTIFACTS = ("cell.yaml", "run.json", "records.jsonl")
"""Files of a run folder that every run in a store has."""

OPTIONAL = ("spectra.jsonl", "layers.jsonl", "usage.jsonl")
"""Files of a run folder that a run in a store has if the folder has them."""

PARAMETER_BYTES = 10_000_000
"""Most bytes of a final state that goes into the store; larger ones stay in their run folder."""


class Source(NamedTuple):
    """A run folder, as it was read.

    Attributes:
        folder: Its path.
        run: Its facts, with the status that it has by now.
        records: Its records, in order.
    """

    folder: pathlib.Path
    run: fields.Json
    records: Sequence[records.Record]

    @property
    def started(self) -> int:
        """When the run was begun, in milliseconds since 1970."""
        return fields.milliseconds(self.run["started"])


class Destination(NamedTuple):
    """The run in a store that a run folder is copied to.

    Attributes:
        opened: The store.
        experiment_id: MLflow's id of the experiment of its suite.
        run_id: MLflow's id of the run.
    """

    opened: client.Store
    experiment_id: str
    run_id: str


class Refused(errors.InputError):
    """The store does not take a run, now or later; the message names the run and says why."""


def mark(folder: pathlib.Path) -> client.Mark:
    """Returns the mark of the run in a folder, by which `client.held` tells whether a store has it as it is.

    Raises:
        FileNotFoundError: The folder holds no run.
        run_folder.Damaged: Its `run.json` is none.
    """
    run = _run(folder)
    return client.Mark(run["run_id"], fields.milliseconds(run["started"]), run["status"])


def upload(opened: client.Store, folder: pathlib.Path) -> str:
    """Copies a run folder into the store and returns MLflow's id of the run; what is there already stays one.

    An earlier upload of the same start of the run is completed. Runs of the same `run_id` that were started at
    another time are deleted (MLflow keeps them in its bin), so that the store shows each run once.

    Raises:
        client.StoreAway: The store does not take it now.
        errors.InputError: The experiment of the suite was deleted by hand.
        run_folder.Damaged: A file of the folder is.
        Refused: The store takes others, and not this one.
    """
    source = Source(folder, _run(folder), run_folder.read_records(folder))
    run, started = source.run, source.started
    with _locked(folder), _refusals(folder), client.away(), _without_collection():
        state = store.check(opened.uri)
        if state.word != "ready":
            raise client.StoreAway(state.detail)
        experiment_id = _experiment(opened, run["suite"])
        same = client.runs(opened, experiment_id, f"tags.`gdzoo.run_id` = '{run['run_id']}'")
        mine = [found for found in same if found.info.start_time == started]
        run_id = str(mine[0].info.run_id) if mine else _create(opened, experiment_id, source)
        destination = Destination(opened, experiment_id, run_id)
        _log_fields(destination, source)
        if run["status"] in statuses.ENDED:
            _log_parameters(destination, source)
        _log_pictures(destination, source)
        _log_files(destination, source)
        _close(destination, source)
        for other in same:
            if other.info.run_id != run_id:
                _delete(destination._replace(run_id=other.info.run_id))
    return run_id


@contextlib.contextmanager
def _refusals(folder: pathlib.Path) -> Iterator[None]:
    """Says which run it is that a store does not take."""
    from mlflow import exceptions

    try:
        yield
    except exceptions.MlflowException as error:
        raise Refused(f"{folder}: the store does not take this run: {errors.first_line(error)[:300]}") from error


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
def _without_collection() -> Iterator[None]:
    """Turns Python's collection of cycles off meanwhile: it walks MLflow's objects for a quarter of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _run(folder: pathlib.Path) -> fields.Json:
    """Returns the facts of the run in a folder; a run that says `running` and is held by no process was interrupted."""
    run = run_folder.read_plain(folder)
    if run is None or run_folder.read(folder) is None:
        raise FileNotFoundError(f"{folder} holds no run")
    return {**run, "status": run_folder.status(folder)}


def _experiment(opened: client.Store, suite: str) -> str:
    """Returns the id of the experiment of a suite, which is made if it is not there."""
    from mlflow import exceptions

    name = store.experiment_name(suite)
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


def _create(opened: client.Store, experiment_id: str, source: Source) -> str:
    """Makes a run in the store and returns MLflow's id of it."""
    tags, name = fields.tags(source.run), fields.run_name(source.run)
    created = opened.client.create_run(experiment_id, start_time=source.started, tags=tags, run_name=name)
    return str(created.info.run_id)


def _log_fields(destination: Destination, source: Source) -> None:
    """Writes parameters, tags, data set and curves of one run."""
    from mlflow import entities

    opened, _, run_id = destination
    run, started = source.run, source.started
    trace = run_folder.read_trace(source.folder)
    curves = fields.points(source.records, started, run["theory"]["one_piece"], trace)
    curves += fields.flow(trace, started) + fields.steps(run_folder.read_steps(source.folder), started)
    curves += fields.usage(run_folder.read_usage(source.folder), started)
    params = [entities.Param(key, value) for key, value in fields.params(run).items()]
    tags = [entities.RunTag(key, value) for key, value in fields.tags(run).items()]
    context = [entities.InputTag("mlflow.data.context", "train")]
    dataset = entities.DatasetInput(entities.Dataset(**fields.dataset(run)), tags=context)
    opened.client.update_run(run_id, status="RUNNING")
    opened.client.log_batch(run_id, params=params, tags=tags)
    client.retried(lambda: opened.client.log_inputs(run_id, datasets=[dataset]))
    points.write(opened.client, opened.database, run_id, curves)


def _log_parameters(destination: Destination, source: Source) -> None:
    """Uploads the last state of a run, its parameters among it, unless it is large; a tag says what was done.

    The network is one of MLflow's logged models, with its end values: the pages "Models" of the run and of its
    experiment show it. Its parameters are the run's artifact, its cell.yaml builds it.
    """
    state = run_folder.last_state(source.folder)
    if state is None:
        return
    opened, _, run_id = destination
    size = state.stat().st_size
    if size <= PARAMETER_BYTES:
        opened.client.log_artifact(run_id, str(state))
        opened.client.set_tag(run_id, "gdzoo.parameters", state.name)
    else:
        words = f"left out: {size / 1e6:,.0f} MB, and at most {PARAMETER_BYTES / 1e6:,.0f} MB are kept"
        opened.client.set_tag(run_id, "gdzoo.parameters", words)
    _log_model(destination, source)


def _log_model(destination: Destination, source: Source) -> None:
    """Makes the network that a run ended with a logged model, with its last values; goes on if cut off."""
    from mlflow import entities

    opened, experiment_id, run_id = destination
    run = source.run
    found = _models(destination)
    if found and str(found[0].status) == "READY":
        return
    made = (
        found[0]
        if found
        else opened.client.create_logged_model(
            experiment_id,
            name=fields.model_name(run),
            source_run_id=run_id,
            params=fields.params(run),
            tags=fields.model_tags(run),
            model_type=run["cell"]["model"]["family"],
        )
    )
    for last in source.records[-1:]:
        final = fields.model_points(last, source.started)
        its_own = [entities.Metric(*point, model_id=made.model_id, run_id=run_id) for point in final]
        opened.client.log_batch(run_id, metrics=its_own)  # points of the run itself too, which has them already
        outputs = opened.client.get_run(run_id).outputs
        if made.model_id not in {output.model_id for output in (outputs.model_outputs if outputs else ())}:
            opened.client.log_outputs(run_id, [entities.LoggedModelOutput(made.model_id, step=last.step)])
    opened.client.finalize_logged_model(made.model_id, "READY")


def _models(destination: Destination) -> list[mlflow.entities.LoggedModel]:
    """Returns the logged models of a run, one or none."""
    opened, experiment_id, run_id = destination
    return list(opened.client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'", max_results=1))


def _log_pictures(destination: Destination, source: Source) -> None:
    """Uploads pictures of the spectra of a run that kept them, and of its trace, if it has one."""
    run = source.run
    kept = run_folder.read_spectra(source.folder) if run["eta"] is not None else []
    trace = run_folder.read_trace(source.folder)
    if not kept and not trace:
        return
    from harness.tracking import flow_plot, spectrum_plot

    title = f"{run['label']}, seed {run['seed']}"
    with tempfile.TemporaryDirectory(prefix="gdzoo-plot-") as name:
        drawn = pathlib.Path(name)
        if kept:
            (drawn / "spectrum.png").write_bytes(spectrum_plot.png(kept, run["eta"], title))
            (drawn / "spectrum.html").write_text(spectrum_plot.page(kept, run["eta"], title), encoding="utf-8")
        if trace:
            (drawn / "flow.png").write_bytes(flow_plot.png(trace, title))
        destination.opened.client.log_artifacts(destination.run_id, str(drawn), "plots")


def _log_files(destination: Destination, source: Source) -> None:
    """Uploads files of the run folder, a trace as far as a page needs it.

    A run that failed before its first record has an empty file of records.
    """
    opened, _, run_id = destination
    for name in (*ARTIFACTS, *OPTIONAL):
        if (source.folder / name).exists():
            opened.client.log_artifact(run_id, str(source.folder / name))
        elif name in ARTIFACTS:
            opened.client.log_text(run_id, "", name)
    fitting = {
        "trace.jsonl": traces.fitting(run_folder.read_trace(source.folder)),
        "steps.csv": traces.fitting_steps(run_folder.read_steps(source.folder)),
    }
    for name, content in fitting.items():
        if content:
            opened.client.log_text(run_id, content, name)


def _close(destination: Destination, source: Source) -> None:
    """Gives the run in the store its status and its end, unless a process still holds it."""
    status, ended = fields.STATUS[source.run["status"]], source.started + round(1000 * source.run["seconds"])
    if status != "RUNNING":
        destination.opened.client.set_terminated(destination.run_id, status=status, end_time=ended)


def _delete(destination: Destination) -> None:
    """Puts a run and its logged model into MLflow's bin."""
    destination.opened.client.delete_run(destination.run_id)
    for model in _models(destination):
        destination.opened.client.delete_logged_model(model.model_id)
