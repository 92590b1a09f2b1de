# SPDX-License-Identifier: Apache-2.0
"""Uploads: what a run folder becomes in MLflow, and that it becomes it once."""

from __future__ import annotations

import gc
import json
import math
import pathlib
import sqlite3
from collections.abc import Callable
from typing import Any

import mlflow
import numpy as np
import pytest

from harness import diagnostics, errors, records
from harness.curvature import spectrum
from harness.metrics import METRICS
from harness.records import run_folder as run_folders
from harness.records import statuses, traces
from harness.runtime import usage
from harness.tracking import client, fields, upload

RECORDED = [name for name, metric in METRICS.items() if metric.group != "run"]
WHOLE = len(METRICS) - len(RECORDED)
"""Metrics of whole runs, a point each."""
POINTS = 4 * len(RECORDED) + WHOLE
CELL_ID = "0123456789ab"
STARTED_MS = 1795341600000
RunJson = Callable[..., dict[str, Any]]
RunFolder = Callable[..., pathlib.Path]


def runs(opened: client.Store) -> list[mlflow.entities.Run]:
    """Returns all runs of the quickstart experiment."""
    experiment = client.experiment_id(opened, "quickstart")
    return list(opened.client.search_runs([experiment])) if experiment else []


def whole(opened: client.Store) -> set[str]:
    """Returns the run_ids that the store holds to their end."""
    return {run.run_id for run in client.held(opened, "quickstart") if run.status in statuses.ENDED}


def points(uri: str) -> int:
    """Returns how many points the database holds."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as connection:
        return int(connection.execute("SELECT count(*) FROM metrics").fetchone()[0])


def test_upload_puts_the_whole_run_folder_into_one_flat_run(
    store_uri: str, home: pathlib.Path, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    run_id = upload.upload(opened, run_folder(home / "runs"))
    run = opened.client.get_run(run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "mlp · activation=relu · seed 0")
    assert (run.info.start_time, run.info.end_time) == (STARTED_MS, STARTED_MS + 12500)
    assert run.data.params == {
        "spec": "mlp",
        "family": "mlp",
        "activation": "relu",
        "dataset": "digits",
        "loss": "half_mse",
        "optimizer": "gd",
        "learning_rate": "1 / λ_max(0)",
        "eta": "0.1234",
        "batch_size": "full",
        "parameters": "1234",
        "seed": "0",
        "steps": "300",
    }
    tags = run.data.tags
    assert tags["gdzoo.cell"] == f"mlp · activation=relu [{CELL_ID}]"
    assert tags["mlflow.note.content"] == (
        "mlp · activation=relu, seed 0: 1,234 parameters, 512 examples of digits, η = 0.1234; finished; "
        "the derivative of the map is invertible at every point that was looked at. "
        "On the board: run/quickstart/0123456789ab-s0.html"
    )
    assert json.loads(tags["gdzoo.versions"]) == {"python": "3.11.7", "jax": "0.10.2"}
    assert (tags["gdzoo.theorem"], tags["gdzoo.one_piece"], tags["gdzoo.bad_steps"]) == ("theorem 1", "False", "[1.0]")
    assert "gdzoo.diverged_at" not in tags
    names = (
        "bad_steps cell cell_id curvature device left_out one_piece precision run_id spec spec_hash status suite "
        "theorem verdict versions"
    )
    assert sorted(key for key in tags if key.startswith("gdzoo.")) == [f"gdzoo.{name}" for name in names.split()]
    history = opened.client.get_metric_history(run_id, "train/loss")
    assert [(p.step, p.value, p.timestamp - STARTED_MS) for p in history] == [
        (0, 1, 0),
        (10, 1 / 11, 10),
        (300, 1 / 301, 300),
    ]
    (final,) = opened.client.get_metric_history(run_id, "final/loss")
    assert (final.step, final.value) == (0, 1 / 301)
    assert points(store_uri) == POINTS
    assert tags["gdzoo.left_out"] == '{"sweep": "auto takes the cheap ones"}'
    assert {file.path for file in opened.client.list_artifacts(run_id)} == set(upload.ARTIFACTS)
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("digits:1.0.0[train]", "bbbbbbbb")


def test_the_spectra_of_a_run_are_uploaded_where_it_kept_them(
    store_uri: str, home: pathlib.Path, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    folder = run_folder(home / "runs")
    known = spectrum.Spectrum(np.array([1.0, 2.0]), np.array([0.0, 0.0]), True, 2, 2)
    run_folders.append_spectrum(folder, 0, known)
    run_id = upload.upload(opened, folder)
    files = {file.path for file in opened.client.list_artifacts(run_id)}
    assert files == {*upload.ARTIFACTS, "spectra.jsonl", "plots"}
    assert {file.path for file in opened.client.list_artifacts(run_id, "plots")} == {
        "plots/spectrum.html",
        "plots/spectrum.png",
    }


def test_the_picture_of_a_trace_is_uploaded_where_a_run_has_one(
    store_uri: str, home: pathlib.Path, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    folder = run_folder(home / "runs")
    point = traces.TracePoint(0, 0.1, 1.0, 1.0, (12.0, -1.0), (0.0, 0.0), 0.0, 0.0, 9)
    run_folders.append_trace(folder, [traces.dump(point, "float32")])
    run_id = upload.upload(opened, folder)
    assert {file.path for file in opened.client.list_artifacts(run_id, "plots")} == {"plots/flow.png"}


def test_experiment_says_what_it_is_and_keeps_artifacts_beside_the_database(
    store_uri: str, home: pathlib.Path, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    upload.upload(opened, run_folder(home / "runs"))
    experiment = opened.client.get_experiment_by_name("gdzoo: quickstart")
    assert experiment.tags["gdzoo.suite"] == "quickstart"
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert "8x8 digits" in experiment.tags["mlflow.note.content"]
    assert experiment.artifact_location == (home / "mlartifacts" / "quickstart").as_uri()
    assert len(list((home / "mlartifacts" / "quickstart").rglob("records.jsonl"))) == 1


def test_a_second_upload_adds_nothing(store_uri: str, home: pathlib.Path, run_folder: RunFolder) -> None:
    opened = client.open_store(store_uri)
    folder = run_folder(home / "runs")
    first = upload.upload(opened, folder)
    before = points(store_uri)
    assert upload.upload(opened, folder) == first
    assert (len(runs(opened)), points(store_uri)) == (1, before)
    assert gc.isenabled(), "it was kept away meanwhile, no longer"


def test_an_interrupted_run_is_completed_in_place(store_uri: str, home: pathlib.Path, run_folder: RunFolder) -> None:
    opened = client.open_store(store_uri)
    first = upload.upload(opened, run_folder(home / "runs", (0, 10), status="interrupted"))
    assert opened.client.get_run(first).info.status == "KILLED"
    assert whole(opened) == set()
    assert upload.upload(opened, run_folder(home / "runs", (0, 10, 300))) == first
    run = opened.client.get_run(first)
    assert (run.info.status, run.data.tags["gdzoo.status"]) == ("FINISHED", "finished")
    assert [p.step for p in opened.client.get_metric_history(first, "train/loss")] == [0, 10, 300]
    assert run.data.metrics["final/loss"] == 1 / 301
    assert whole(opened) == {f"{CELL_ID}-s0"}


def test_a_run_started_anew_replaces_the_one_from_before(
    store_uri: str, home: pathlib.Path, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    first = upload.upload(opened, run_folder(home / "runs", (0, 10), status="interrupted", eta=0.5))
    second = upload.upload(opened, run_folder(home / "runs", started="2026-11-23T10:00:00Z"))
    assert second != first
    assert [run.info.run_id for run in runs(opened)] == [second]


def test_a_diverged_run_is_a_result_and_infinity_becomes_nan(
    store_uri: str, home: pathlib.Path, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    folder = run_folder(home / "runs", (0,), status="diverged", diverged_at=7, verdict=None)
    values = {"loss": "inf", "grad_norm": "-inf", "sharpness": "nan", "loss_gap": 2.0}
    with (folder / "records.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({"step": 7, "values": values}) + '\n{"step": 8, "val')  # the last line was cut off
    run = opened.client.get_run(upload.upload(opened, folder))
    assert run.info.status == "FINISHED"
    assert (run.data.tags["gdzoo.status"], run.data.tags["gdzoo.diverged_at"]) == ("diverged", "7")
    assert "gdzoo.verdict" not in run.data.tags
    assert "diverged at step 7" in run.data.tags["mlflow.note.content"]
    assert all(math.isnan(run.data.metrics[f"final/{name}"]) for name in ("loss", "grad_norm", "sharpness"))
    assert run.data.metrics["final/loss_gap"] == 2
    assert whole(opened) == {f"{CELL_ID}-s0"}


@pytest.mark.parametrize(("ours", "theirs"), [("failed", "FAILED"), ("running", "KILLED")])
def test_status_of_a_run_that_gave_no_result(
    store_uri: str, home: pathlib.Path, ours: str, theirs: str, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    run_id = upload.upload(opened, run_folder(home / "runs", (), status=ours, eta=None, verdict=None))
    assert opened.client.get_run(run_id).info.status == theirs
    assert whole(opened) == set()


def test_a_run_that_failed_before_its_first_record_has_all_artifacts(
    store_uri: str, home: pathlib.Path, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    folder = run_folder(home / "runs", (), status="failed")
    (folder / "records.jsonl").unlink()
    run_id = upload.upload(opened, folder)
    assert {file.path for file in opened.client.list_artifacts(run_id)} == set(upload.ARTIFACTS)


def test_final_parameters_are_kept_up_to_a_size_and_what_was_done_is_said(
    store_uri: str, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    folder = run_folder(home / "runs")
    for step in (10, 300):
        (folder / f"state-{step}.safetensors").write_bytes(b"x" * 2_000_000)
    run_id = upload.upload(opened, folder)
    assert opened.client.get_run(run_id).data.tags["gdzoo.parameters"] == "state-300.safetensors"
    run_folder(home / "runs", (0, 10), status="interrupted", started="2026-11-24T10:00:00Z")
    cut = upload.upload(opened, folder)
    assert not [file for file in opened.client.list_artifacts(cut) if "state" in file.path], "it goes on from there"
    assert [file.path for file in opened.client.list_artifacts(run_id) if "state" in file.path] == [
        "state-300.safetensors"
    ]
    monkeypatch.setattr(upload, "PARAMETER_BYTES", 1_000_000)
    second = upload.upload(opened, run_folder(home / "runs", started="2026-11-23T10:00:00Z"))
    assert opened.client.get_run(second).data.tags["gdzoo.parameters"] == "left out: 2 MB, and at most 1 MB are kept"
    assert not [file for file in opened.client.list_artifacts(second) if "state" in file.path]


def test_the_network_that_a_run_ends_with_is_one_logged_model(
    store_uri: str, home: pathlib.Path, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    folder = run_folder(home / "runs")
    (folder / "state-300.safetensors").write_bytes(b"x")
    run_id = upload.upload(opened, folder)
    before = points(store_uri)
    assert upload.upload(opened, folder) == run_id
    assert points(store_uri) == before == POINTS, "its values are those of the run"
    experiment = client.experiment_id(opened, "quickstart")
    assert experiment is not None
    (model,) = opened.client.search_logged_models([experiment])
    assert (model.source_run_id, model.model_type, str(model.status)) == (run_id, "mlp", "READY")
    assert model.params["activation"] == "relu"
    assert {metric.key: metric.value for metric in model.metrics}["final/loss"] == 1 / 301
    assert [output.model_id for output in opened.client.get_run(run_id).outputs.model_outputs] == [model.model_id]
    again = upload.upload(opened, run_folder(home / "runs", started="2026-11-23T10:00:00Z"))
    (model,) = opened.client.search_logged_models([experiment])
    assert model.source_run_id == again != run_id, "that of the earlier start is gone with it"


@pytest.mark.parametrize("call", ["log_batch", "log_outputs", "finalize_logged_model"])
def test_a_logged_model_that_was_cut_off_is_gone_on_with(
    store_uri: str, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, call: str, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    folder = run_folder(home / "runs", label="mlp " + "x" * 1000)
    (folder / "state-300.safetensors").write_bytes(b"x")
    real, made = getattr(opened.client, call), opened.client.create_logged_model

    def cut(*arguments: Any, **more: Any) -> None:
        raise OSError("the connection is gone")

    def create(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(opened.client, call, cut)
        return made(*arguments, **more)

    monkeypatch.setattr(opened.client, "create_logged_model", create)
    with pytest.raises(client.StoreAway):
        upload.upload(opened, folder)
    monkeypatch.setattr(opened.client, call, real)
    upload.upload(opened, folder)
    upload.upload(opened, folder)
    experiment = client.experiment_id(opened, "quickstart")
    assert experiment is not None
    (model,) = opened.client.search_logged_models([experiment])
    assert str(model.status) == "READY" and len(model.metrics) == len(fields.MODEL_METRICS)
    assert len(opened.client.get_run(model.source_run_id).outputs.model_outputs) == 1


def test_what_a_run_took_of_its_machine_stands_among_the_system_metrics(
    store_uri: str, home: pathlib.Path, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    folder = run_folder(home / "runs")
    for step in (0, 300):
        run_folders.append_usage(folder, records.Record(step, usage.reading()))
    run_id = upload.upload(opened, folder)
    history = opened.client.get_metric_history(run_id, "system/process_memory_megabytes")
    assert [point.step for point in history] == [0, 300]
    assert all(10 < point.value < 1e6 for point in history)
    assert opened.client.get_metric_history(run_id, "system/cpu_seconds")[1].value > 0


@pytest.mark.parametrize(
    ("optimizer", "rate", "batch"),
    [
        ({"name": "sgd", "learning_rate": 0.1, "batch_size": 64}, "0.1", "64"),
        ({"name": "gd", "learning_rate": {"eta_lambda": 0.5}}, "0.5 / λ_max(0)", "full"),
    ],
)
def test_learning_rate_reads_as_in_the_spec(
    store_uri: str,
    home: pathlib.Path,
    optimizer: dict[str, Any],
    rate: str,
    batch: str,
    run_json: RunJson,
    run_folder: RunFolder,
) -> None:
    opened = client.open_store(store_uri)
    cell = run_json()["cell"] | {"optimizer": optimizer}
    params = opened.client.get_run(upload.upload(opened, run_folder(home / "runs", cell=cell))).data.params
    assert (params["learning_rate"], params["batch_size"]) == (rate, batch)


def test_what_records_say_together_stands_beside_the_curves(
    store_uri: str, home: pathlib.Path, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    folder = run_folder(home / "runs")
    run_id = upload.upload(opened, folder)
    said = diagnostics.summary(run_folders.read_records(folder))
    assert set(said) == {name for row in diagnostics.RUN.values() if not row.of_trace for name in row.metrics}
    for name, value in said.items():
        (found,) = opened.client.get_metric_history(run_id, f"run/{name}")
        assert found.step == 300 and (found.value == value or math.isnan(found.value)), name


def test_a_full_disk_under_the_artifacts_is_a_store_that_is_away(
    store_uri: str, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(opened.client, "log_artifact", full)
    with pytest.raises(client.StoreAway, match="No space left on device"):
        upload.upload(opened, run_folder(home / "runs"))
    assert whole(opened) == set()
    monkeypatch.undo()
    upload.upload(opened, home / "runs" / "quickstart" / f"{CELL_ID}-s0")
    assert whole(opened) == {f"{CELL_ID}-s0"}
    assert (len(runs(opened)), points(store_uri)) == (1, POINTS)


def test_an_experiment_deleted_by_hand_is_named_with_the_cure(
    store_uri: str, home: pathlib.Path, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    upload.upload(opened, run_folder(home / "runs"))
    experiment = client.experiment_id(opened, "quickstart")
    opened.client.delete_experiment(experiment)
    with pytest.raises(errors.InputError, match=f"mlflow experiments restore --experiment-id {experiment}"):
        upload.upload(opened, home / "runs" / "quickstart" / f"{CELL_ID}-s0")
