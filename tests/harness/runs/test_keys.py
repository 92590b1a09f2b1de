# SPDX-License-Identifier: Apache-2.0
"""Random keys: those of shipped rows stay what they were, whatever fields a cell has been given since."""

from __future__ import annotations

import json
import pathlib

import pytest

from harness import specs, workspace
from harness.config import canonical
from harness.runs import keys

SHIPPED = sorted((workspace.CHECKOUT / "leaderboard" / "submissions").glob("*/*"))


@pytest.mark.parametrize("suite", sorted({folder.parent.name for folder in SHIPPED if folder.is_dir()}))
def test_the_keys_of_shipped_rows_are_those_that_they_were_made_with(suite: str) -> None:
    folders = [folder for folder in SHIPPED if folder.parent.name == suite]
    for folder in folders:
        (cell,) = specs.parse(_cell(folder), file="t.yaml", suite=suite, name="t").cells
        made = json.loads(_facts(folder).read_text(encoding="utf-8"))["cell"]
        without = {name: part for name, part in made.items() if name not in ("diagnostics", "trace")}
        assert keys.text_of(cell) == canonical.text(without), folder.name


def _cell(folder: pathlib.Path) -> str:
    return (folder / "cell.yaml").read_text(encoding="utf-8")


def _facts(folder: pathlib.Path) -> pathlib.Path:
    return folder / "seed-0" / "run.json"
