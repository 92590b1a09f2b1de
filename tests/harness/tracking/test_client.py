# SPDX-License-Identifier: Apache-2.0
"""The client: a conflict is tried again, and a store that is away is no bug."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import mlflow
import pytest
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from harness.tracking import client, upload

RunFolder = Callable[..., pathlib.Path]


def test_a_row_that_another_process_wrote_at_the_same_instant_is_written_again(
    store_uri: str, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    real, asked = opened.client.log_inputs, []

    def conflict(*arguments: Any, **more: Any) -> None:
        asked.append(1)
        if len(asked) <= 2:
            raise mlflow.exceptions.MlflowException("(psycopg.errors.UniqueViolation) duplicate key", BAD_REQUEST)
        real(*arguments, **more)

    monkeypatch.setattr(opened.client, "log_inputs", conflict)
    run_id = upload.upload(opened, run_folder(home / "runs"))
    assert len(asked) == 3 and len(opened.client.get_run(run_id).inputs.dataset_inputs) == 1
    asked.clear()
    monkeypatch.setattr(client, "TRIES", 2)
    with pytest.raises(upload.Refused, match="UniqueViolation"):
        upload.upload(opened, run_folder(home / "runs"))


def test_a_store_that_goes_away_is_told_apart_from_our_bugs(
    store_uri: str, home: pathlib.Path, run_folder: RunFolder
) -> None:
    opened = client.open_store(store_uri)
    folder = run_folder(home / "runs")
    pathlib.Path(store_uri.removeprefix("sqlite:///")).unlink()
    with pytest.raises(client.StoreAway, match="there is no database yet"):
        upload.upload(opened, folder)
    assert not (home / "mlflow.db").exists(), "an upload must not make a database"
