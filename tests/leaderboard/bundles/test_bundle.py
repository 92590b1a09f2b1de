# SPDX-License-Identifier: Apache-2.0
"""Bundles of our own runs."""

from __future__ import annotations

import json
import pathlib

import pytest

from harness import specs, workspace
from harness.records import run_folder
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import reading


def test_a_run_without_a_record_makes_no_bundle_and_says_why(tmp_path: pathlib.Path) -> None:
    """It diverged before its first record: there is nothing that could be checked."""
    spec = workspace.CHECKOUT / "specs" / "quickstart" / "mlp-sgd.yaml"
    (cell,) = specs.read(spec).cells
    run_folder.write_plain(tmp_path, {"status": "diverged", "diverged_at": 0})
    (tmp_path / "records.jsonl").write_text("")
    made = bundles.make(cell, [tmp_path], None)
    assert "states.safetensors" in json.loads(made["bundle.json"])["left_out"]
    with pytest.raises(ValueError, match="seed-0 has no record"):
        reading.parse(made)
