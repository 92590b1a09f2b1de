# SPDX-License-Identifier: Apache-2.0
"""`gdzoo status --shards`: which shares of the list of runs are done; what `gdzoo run` says of traces and layers."""

from __future__ import annotations

import dataclasses
import io
import pathlib
import types

import numpy as np
import pytest
import rich.console

from harness.cli import overview
from harness.records import layers, run_folder, traces
from tests import builders


def test_a_share_is_done_when_all_runs_at_its_places_have_ended(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = builders.parse(builders.spec_text(seeds=3, grid={"optimizer.learning_rate": [0.1, 0.2]}))
    names = [cell.run_id(seed) for cell in spec.cells for seed in range(3)]
    ends = dict(zip(names, ("finished", "diverged", "finished", "running", "failed", "finished"), strict=True))
    monkeypatch.setattr(run_folder, "status", lambda folder: ends[folder.name])
    overview.show([spec], rich.console.Console(width=200), 4)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    shares = {line[0]: line[1:] for line in lines if line[0].endswith("/4")}
    assert shares == {
        "1/4": ["1", "1", "·", "·", "·"],
        "2/4": ["2", "1", "1", "·", "·"],
        "3/4": ["1", "·", "·", "1", "·"],
        "4/4": ["2", "1", "·", "·", "1"],
    }
    assert lines[-1] == ["2", "of", "4", "shares", "are", "done;", "left:", "3,", "4"]


def test_what_traces_found_and_cost_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of 10 points, a step each: 60 products, of 2 gradients each, and 2 more a point: 14 a point."""
    plain = builders.parse(builders.spec_text(seeds=2, steps=9)).cells
    assert overview.traced(plain, None) == ""
    cells = builders.parse(builders.spec_text(seeds=2, steps=9, trace={"top": 2, "every": 1})).cells
    points = [
        traces.TracePoint(step, 1.0, 0.5, 0.1, (1.5, 0.5 + 0.1 * step, -1.0), (0.0,) * 3, 0.0, 0.0, 6)
        for step in range(10)
    ]
    points[9] = dataclasses.replace(points[9], missed=2, least_missed=True)
    facts = types.SimpleNamespace(examples=100)
    monkeypatch.setattr(run_folder, "read_trace", lambda folder: points[:9] if folder.name.endswith("s1") else points)
    monkeypatch.setattr(run_folder, "read", lambda folder: facts)
    assert overview.traced(cells, 1) == (
        "trace: 10 points in 1 run, 1 change of the count above 1/η, 3 eigenvalues missed in 1 comparison with "
        "surveys; it cost about 14 gradients a point, 1,556 % of training"
    )
    said = overview.traced(cells, None)
    assert said.startswith("trace: 19 points in 2 runs, ") and said.endswith(f"{100 * 19 * 14 / 17:,.0f} % of training")
    sgd = {"name": "sgd", "learning_rate": 0.1, "batch_size": 5}
    cells = builders.parse(
        builders.spec_text(seeds=1, steps=9, optimizer=sgd, trace={"top": 2, "every": 1, "batches": 0})
    ).cells
    assert overview.traced(cells, None).endswith("14 gradients a point, 31,111 % of training"), "a step is 5 of 100"


def test_where_eigenvectors_live_is_said_for_each_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = builders.parse(builders.spec_text(seeds=2)).cells
    assert overview.lived(cells, None) == ""

    def shares(folder: pathlib.Path) -> list[tuple[int, layers.Layers]]:
        one = 0.7 if folder.name.endswith("s0") else 0.9
        rows = np.array([[one, 1 - one], [0.5, 0.5], [np.nan, np.nan]])
        late = layers.Layers(("conv", "head"), np.zeros(3), np.zeros(3), rows)
        return [(0, late._replace(shares=np.zeros((3, 2)))), (9, late)]

    monkeypatch.setattr(run_folder, "read_layers", shares)
    table = overview.lived(cells, None)
    console = rich.console.Console(width=200, file=io.StringIO())
    console.print(table)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "conv (0.70 to 0.90)" in said and "conv (0.50)" in said and "not known: repeated, or nearly" in said
