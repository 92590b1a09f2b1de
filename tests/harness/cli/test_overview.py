# SPDX-License-Identifier: Apache-2.0
"""`gdzoo status --shards`: which shares of the list of runs are done."""

from __future__ import annotations

import pathlib

import pytest
import rich.console

from harness.cli import overview
from harness.records import run_folder
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
