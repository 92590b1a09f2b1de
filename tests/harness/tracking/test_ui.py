# SPDX-License-Identifier: Apache-2.0
"""`gdzoo ui`: MLflow's own UI, for this machine only, and links that open a prepared comparison."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zlib
from base64 import b64decode
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from harness import errors, metrics, workspace
from harness.records import traces
from harness.tracking import client, fields, store, ui, upload
from tests import builders


def test_it_waits_for_the_server_prints_a_link_for_each_suite_with_runs_and_ends_with_ctrl_c(
    store_uri: str, home: pathlib.Path, sample: ModuleType, free_port: Callable[[], int]
) -> None:
    store.init(store_uri)
    folder = sample.folder(home / "runs")
    upload.upload(client.open_store(store_uri), folder)
    upload.upload(client.open_store(store_uri), sample.folder(home / "runs", suite="mine"))
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "gdzoo", "ui", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=workspace.CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as asked:
        assert asked.stdout is not None
        try:
            said = [asked.stdout.readline() for _ in range(4)]
            assert said[0] == f"MLflow on {address}/#/experiments?workflowType=machine_learning\n"
            opened = client.open_store(address)
            ids = {suite: client.experiment_id(opened, suite) for suite in ("mine", "quickstart")}
            for line, (suite, identity) in zip(said[1:], ids.items(), strict=False):
                view = "viewStateShareKey=curves&compareRunsMode=CHART&workflowType=machine_learning"
                assert line == f"  {suite}, 1 runs: {address}/#/experiments/{identity}/runs?{view}\n"
            assert said[3] == "Ctrl-C ends it\n", "and it answers already"
            with urllib.request.urlopen(address) as page:
                assert b"MLflow" in page.read()
            assert upload.upload(opened, folder) and client.count(opened, str(ids["quickstart"])) == 1
            known = [file.read_bytes() for file in pathlib.Path("/proc").glob("[0-9]*/cmdline") if file.exists()]
            assert any(b"127.0.0.1" in words and str(port).encode() in words for words in known)
        finally:
            asked.send_signal(signal.SIGINT)
        assert asked.wait() == errors.EXIT_DONE
    with pytest.raises(errors.InputError, match="no answer from the server"):
        client.open_store(address)
    assert sorted(os.listdir(home)) == ["mlartifacts", "mlflow.db", "mlflow.db.lock", "runs"], "nothing is left behind"


@pytest.mark.parametrize("number", builders.tiers(("SIGTERM", "SIGHUP", "SIGQUIT", "SIGKILL"), quick=("SIGTERM",)))
def test_whatever_signal_ends_it_no_server_and_no_port_stays(
    number: str, store_uri: str, home: pathlib.Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    command = [sys.executable, str(workspace.CHECKOUT / "gdzoo.py"), "ui", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asked:
        assert asked.stdout is not None
        assert any("Ctrl-C ends it" in line for line in iter(asked.stdout.readline, ""))
        asked.send_signal(getattr(signal, number))
        code = asked.wait()
    assert code == (-signal.SIGKILL if number == "SIGKILL" else errors.EXIT_DONE)
    end = time.monotonic() + 60
    while _held(port) and time.monotonic() < end:
        time.sleep(0.1)
    assert not _held(port)


def _held(port: int) -> bool:
    """Says whether somebody listens at a port, or a server for it still runs."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return any(str(port).encode() in line and b"mlflow" in line for line in _processes())


def _processes() -> list[bytes]:
    """Returns the command lines of all processes."""
    found = []
    for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(file.read_bytes())
    return found


def test_a_server_that_ends_at_once_says_why(home: pathlib.Path, free_port: Callable[[], int]) -> None:
    words = [sys.executable, "-c", "print('starting'); raise SystemExit('no such module')"]
    with (
        open(home / "log", "w+b") as log,
        subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT) as server,
        pytest.raises(errors.InputError, match="MLflow's server does not come up: no such module"),
    ):
        ui.answering(f"http://127.0.0.1:{free_port()}", server, log)


def test_a_suite_without_prepared_views_gets_them_from_init(
    store_uri: str, home: pathlib.Path, sample: ModuleType
) -> None:
    opened = client.open_store(store_uri)
    upload.upload(opened, sample.folder(home / "runs"))
    identity = client.experiment_id(opened, "quickstart")
    opened.client.delete_experiment_tag(identity, store.view_tag("curves"))
    (suite,) = ui.suites(opened, "http://h")
    assert (suite.name, suite.runs, suite.prepared) == ("quickstart", 1, False)
    assert suite.link == f"http://h/#/experiments/{identity}/runs?workflowType=machine_learning"
    assert "`gdzoo store init` makes them" in ui.lines([suite], "http://h")[-1]
    store.init(store_uri)
    assert ui.suites(opened, "http://h")[0].prepared
    assert len(ui.lines(ui.suites(opened, "http://h"), "http://h")) == 2


def test_a_store_without_runs_says_how_to_make_some(store_uri: str) -> None:
    assert "`gdzoo run specs/quickstart` makes some" in ui.lines(ui.suites(client.open_store(store_uri), "h"), "h")[1]


def test_the_command_keeps_to_this_machine_and_off_telemetry_and_shows_no_password(
    postgres_uri: str, free_port: Callable[[], int]
) -> None:
    words, environment = ui.command(postgres_uri, free_port())
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_BACKEND_STORE_URI"] == postgres_uri and not any("tester" in word for word in words)


def test_a_port_that_is_taken_is_named(store_uri: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(errors.InputError, match=f"port {port} cannot be used .* choose another with --port"):
            ui.command(store_uri, port)


def test_links_open_in_the_mode_for_training_runs() -> None:
    assert ui.link("http://127.0.0.1:5000/") == "http://127.0.0.1:5000/#/experiments?workflowType=machine_learning"
    assert ui.link("http://h", "3") == "http://h/#/experiments/3/runs?workflowType=machine_learning"


def views(suite: str = "quickstart") -> dict[str, dict[str, Any]]:
    """Returns the state of each prepared view of a suite, decoded as MLflow does."""
    found = {}
    for key, value in store.tags(suite).items():
        if key.startswith("mlflow.sharedViewState."):
            kind, _, packed = json.loads(value)["state"].partition(";")
            assert kind == "deflate"
            found[key.rpartition(".")[2]] = json.loads(zlib.decompress(b64decode(packed)))
    return found


def test_prepared_views_draw_metrics_and_show_columns_that_runs_have(
    store_uri: str, home: pathlib.Path, sample: ModuleType
) -> None:
    opened = client.open_store(store_uri)
    run = opened.client.get_run(upload.upload(opened, sample.folder(home / "runs")))
    keys = {metric.key(name) for name, metric in metrics.METRICS.items()} | {
        f"final/{name}" for name in metrics.METRICS
    }
    batches = {"batch_sharpness": 1.0, "batch_sharpness_error": 0.1}
    point = traces.TracePoint(0, 0.1, 1.0, 1.0, (3.0, 2.0, 1.0, -1.0), (0.0,) * 4, 0.0, 0.0, 9, **batches)
    seen = traces.Steps(np.array([0]), np.array([1.0]), np.array([1.0]))
    traced = {one.key for one in (*fields.flow([point], 0), *fields.steps(seen, 0))}
    keys |= traced
    for suite, has in (("literature", True), ("planted", False), ("of-a-stranger", True)):
        charts = views(suite)["curves"]["compareRunCharts"]
        scales = {chart["metricKey"]: chart["xAxisScaleType"] for chart in charts}
        drawn = traced - {"flow/grad_norm"} if has else set()
        assert {key for key, scale in scales.items() if scale == "log"} == drawn, suite
        assert len(views(suite)["curves"]["compareRunSections"]) == (4 if has else 3), "no section is empty"
    assert set(views()) == {"curves", "table"}
    for state in (*views().values(), *views("literature").values()):
        sections = {section["uuid"] for section in state["compareRunSections"]}
        for chart in state["compareRunCharts"]:
            assert chart["metricKey"] in keys and chart["metricSectionId"] in sections
        for column in state["selectedColumns"]:
            kind, name = column[:-1].split(".`")
            assert kind != "metrics" or name in keys
            assert kind != "params" or name in {*run.data.params, "batch_size", "weight_decay"}
            assert kind != "tags" or name in {*run.data.tags, "gdzoo.end"}
        assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "gdzoo.cell"}]
    columns = views()["curves"]["selectedColumns"]
    assert columns[:2] == ["params.`spec`", "params.`family`"] and "params.`dataset`" not in columns, "what differs"
    assert "params.`learning_rate`" in columns and "params.`loss`" not in columns
    assert all(len(value) < 20_000 for value in store.tags("quickstart").values()), "MLflow takes no longer tag"
