# SPDX-License-Identifier: Apache-2.0
"""How many tasks there are at once where nobody says, and which fit into memory beside each other."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from harness.jobs import engines, schedule, task
from harness.jobs.engines import local
from harness.runs import events, outline
from harness.runtime import machine
from tests import builders

GIB = 2**30


@pytest.mark.parametrize(
    ("options", "accelerated", "free", "count"),
    [
        (engines.Options(), False, 64, 8),
        (engines.Options(device="cpu"), True, 64, 8),
        (engines.Options(device="cpu"), False, 3, 3),
        (engines.Options(device="cpu"), False, 0, 1),
        (engines.Options(), True, 64, 1),
        (engines.Options(device="gpu"), True, 64, 1),
        (engines.Options(device="cpu", devices=2), False, 64, 1),
        (engines.Options(device="gpu", jobs=3), True, 0, 3),
    ],
)
def test_there_is_a_task_for_each_core_unless_somebody_says_otherwise(
    options: engines.Options, accelerated: bool, free: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "cores", lambda: 8)
    monkeypatch.setattr(machine, "spare", lambda: free * GIB)
    monkeypatch.setattr(machine, "accelerated", lambda: accelerated)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    assert local.tasks_at_once(options) == count


def test_a_machine_with_a_plug_in_of_jax_may_have_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    monkeypatch.setattr(machine.importlib.metadata, "entry_points", lambda group: found)
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: None)
    assert not machine.accelerated()
    found.append("a GPU")
    assert machine.accelerated()


PARTS: builders.Part = {"grid": {"optimizer.learning_rate": [0.1, 0.2, 0.3]}, "steps": 4, "checkpoints": 2}


@pytest.mark.parametrize(("room", "together"), [(2.5, 2), (1.5, 1), (0.1, 1)])
def test_tasks_that_do_not_fit_into_memory_together_wait_for_each_other(
    room: float, together: int, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = builders.cells(**PARTS)
    portions = schedule.wanted(cells, 1, (1, 1), lambda _: "gdzoo run t.yaml")
    need = task.needs(portions[0].whole)
    monkeypatch.setattr(machine, "cores", lambda: 2)
    crew = local.Crew(engines.Options(device="cpu"), 2)
    crew.room = room * need
    at_once: list[int] = []

    def note(what: engines.What, one: task.Task, why: str) -> None:
        at_once.append(sum(other.item is not None and other.item.bytes > 0 for other in crew.workers))

    try:
        assert [result.said for result in crew.perform(portions, events.ignore, note)] == ["done"] * 3
    finally:
        crew.dismiss()
    assert max(at_once) == together


def test_the_first_seed_of_each_cell_is_begun_before_any_second_one(home: pathlib.Path) -> None:
    cells = builders.cells(**PARTS | builders.quadratic(2.0, 1.0))
    portions = schedule.first_seeds(schedule.wanted(cells, 9, (1, 1), lambda _: "gdzoo run t.yaml"))
    crew = local.Crew(engines.Options(device="cpu"), 1)
    begun: list[tuple[str, tuple[int, ...]]] = []
    try:
        list(crew.perform(portions, events.ignore, lambda what, one, why: begun.append((one.cell.cell_id, one.seeds))))
    finally:
        crew.dismiss()
    side_by_side = tuple(range(8))
    assert begun == [(cell.cell_id, seeds) for seeds in (side_by_side, (8,)) for cell in cells]


def test_a_process_needs_what_its_libraries_its_data_and_its_basis_take() -> None:
    cells = [builders.cell(model=builders.mlp(width), curvature="lanczos") for width in (8, 4096)]
    small, large = (task.needs(task.Task(cell, (0,), "")) for cell in cells)
    few, many = (outline.outline(cell).parameters for cell in cells)
    assert GIB < small < 2 * GIB
    assert large - small > 150 * 8 * (many - few), "the rows of a basis"
