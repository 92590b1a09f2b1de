# SPDX-License-Identifier: Apache-2.0
"""A run folder made by formula, with every metric."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from harness.metrics import METRICS

CELL_ID = "0123456789ab"


def _run_json(**changes: Any) -> dict[str, Any]:
    """Returns a run.json as harness/records/run_folder.py writes it, with some keys changed."""
    run = {
        "schema": 1,
        "run_id": f"{CELL_ID}-s0",
        "cell_id": CELL_ID,
        "spec_hash": CELL_ID.ljust(64, "0"),
        "suite": "quickstart",
        "spec": "mlp",
        "label": "mlp · activation=relu",
        "title": "MLP on digits",
        "source": None,
        "seed": 0,
        "seeds": 3,
        "status": "finished",
        "diverged_at": None,
        "verdict": "invertible",
        "eta": 0.1234,
        "parameters": 1234,
        "examples": 512,
        "curvature": "dense",
        "device": "cpu",
        "precision": "float32",
        "command": "gdzoo run specs/quickstart/mlp.yaml",
        "started": "2026-11-22T10:00:00Z",
        "seconds": 12.5,
        "versions": {"python": "3.11.7", "jax": "0.10.2"},
        "commit": "a" * 40,
        "dirty": False,
        "dataset": {
            "name": "digits",
            "version": "1.0.0",
            "split": "train",
            "examples": 512,
            "shape": [8, 8, 1],
            "classes": 10,
            "sha256": "b" * 64,
            "licence": "CC BY 4.0",
            "citation": "a paper",
        },
        "left_out": {"sweep": "auto takes the cheap ones"},
        "theory": {
            "covered": "theorem 1",
            "one_piece": False,
            "bad_steps": [{"eta": 1.0, "least": 1.0, "count": 1, "where": "somewhere", "source": "F6, ours"}],
        },
        "cell": {
            "data": {"name": "digits", "examples": 512},
            "model": {"family": "mlp", "hidden": [16, 16], "activation": "relu"},
            "loss": {"name": "half_mse", "weight_decay": 0.0},
            "optimizer": {"name": "gd", "learning_rate": {"eta_lambda": 1.0}},
            "steps": 300,
        },
    }
    return run | changes


def _run_folder(tmp_path: pathlib.Path, steps: tuple[int, ...] = (0, 10, 300), **changes: Any) -> pathlib.Path:
    """Writes a run folder with every metric at the given steps; the loss is 1/(step + 1), the others count up."""
    run = _run_json(**changes)
    folder = tmp_path / run["suite"] / run["run_id"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    (folder / "cell.yaml").write_text("schema: 1\n", encoding="utf-8")
    (folder / "state.safetensors").write_bytes(b"resume state")
    recorded = [name for name, metric in METRICS.items() if metric.group != "run"]
    lines = []
    for step in steps:
        values = {name: float(i) for i, name in enumerate(recorded)} | {"loss": 1 / (step + 1)}
        lines.append(json.dumps({"step": step, "values": values}) + "\n")
    (folder / "records.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def run_json() -> Callable[..., dict[str, Any]]:
    """A function from some keys to a run.json as harness/records/run_folder.py writes it, with those changed."""
    return _run_json


@pytest.fixture
def run_folder() -> Callable[..., pathlib.Path]:
    """A function from a folder for runs, steps and changes of run.json to a run folder in it."""
    return _run_folder
