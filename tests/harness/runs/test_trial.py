# SPDX-License-Identifier: Apache-2.0
"""What was tried of a cell is remembered for this cell, this machine and these versions, and for nothing else."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import pytest

from harness import config
from harness.runs import estimate, outline, trial
from harness.runtime import compilation_cache, device, provenance
from harness.training import problem
from tests import builders

PARTS = estimate.Parts(compile=1.5, step=0.25, checkpoint=2.0, gradient=0.125, temporaries=1000)


@pytest.fixture
def asked(home: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> list[config.Cell]:
    """Returns the cells that were tried; nothing is computed."""
    tried: list[config.Cell] = []

    def time_parts(cell: config.Cell, known: outline.Outline) -> estimate.Parts:
        tried.append(cell)
        return PARTS

    monkeypatch.setattr(compilation_cache, "folder", lambda: tmp_path / "cache" / "xla")
    monkeypatch.setattr(estimate, "time_parts", time_parts)
    monkeypatch.setattr(problem, "trial", lambda cell: (2.0, float("nan")))
    return tried


def ask(cell: config.Cell) -> trial.Trial:
    return trial.trial(cell, outline.outline(cell))


def test_the_second_asking_computes_nothing(asked: list[config.Cell]) -> None:
    cell = builders.cell()
    first, second = ask(cell), ask(cell)
    assert asked == [cell]
    assert first.parts == second.parts == PARTS
    assert str(first) == str(second), "what diverges is remembered too"


def test_another_cell_machine_or_version_is_asked_anew(
    asked: list[config.Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(builders.cell())
    ask(builders.cell(steps=7))
    ask(builders.cell(diagnostics=["fit"]))
    assert len(asked) == 3
    profile: dict[str, Any] = {**device.profile(), "kind": "another"}
    with monkeypatch.context() as other:
        other.setattr(device, "profile", lambda: profile)
        ask(builders.cell())
    with monkeypatch.context() as other:
        other.setattr(os, "cpu_count", lambda: 77)
        ask(builders.cell())
    with monkeypatch.context() as other:
        other.setattr(provenance, "versions", lambda: {"jax": "another"})
        ask(builders.cell())
    assert len(asked) == 6
    ask(builders.cell())
    assert len(asked) == 6


@pytest.mark.parametrize("text", ["", "{", "[]", '{"parts": {}}', '{"parts": {"compile": 1}, "before": 1, "after": 1}'])
def test_what_cannot_be_read_is_asked_anew_and_written_whole(text: str, asked: list[config.Cell]) -> None:
    cell = builders.cell()
    ask(cell)
    trial.place(cell, outline.outline(cell)).write_text(text)
    assert ask(cell).parts == ask(cell).parts == PARTS
    assert len(asked) == 2


def test_a_folder_that_cannot_be_written_to_is_no_error(asked: list[config.Cell], tmp_path: pathlib.Path) -> None:
    (tmp_path / "cache").write_text("a file")
    cell = builders.cell()
    assert ask(cell).parts == ask(cell).parts == PARTS
    assert len(asked) == 2
