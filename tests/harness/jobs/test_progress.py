# SPDX-License-Identifier: Apache-2.0
"""Progress: what a terminal, a file and a program are told of runs, and how the time that is left is found."""

from __future__ import annotations

import io
import json
import math
import pathlib
import threading

import pytest
import rich.console

from harness.cli import overview
from harness.jobs import pace, progress, status, task
from harness.records import run_folder
from harness.runs import events
from tests import builders

CELL = builders.cell(**builders.quadratic(2.0, 1.0), optimizer=builders.gd(0.3), steps=1000, checkpoints=12, seeds=2)
STEPS = CELL.checkpoint_steps
BOTH = task.Task(CELL, (0, 1), "gdzoo run t.yaml")


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Returns the seconds."""
        return self.now


def record(seed: int, step: int) -> events.Event:
    return events.Event("record", CELL.run_id(seed), step, {"loss": 1 / (1 + step), "eta_sharpness": math.inf})


def recorded(upto: int, clock: Clock, now: status.Underway, *, step: float, checkpoint: float) -> None:
    """Lets both seeds record the first checkpoint steps, each step and each checkpoint taking its time."""
    last = 0
    for at in STEPS[:upto]:
        clock.now += step * (at - last) + checkpoint
        last = at
        for seed in (0, 1):
            now.tell(record(seed, at))


@pytest.mark.parametrize(("step", "checkpoint"), [(0.5, 2.0), (0.001, 3.0), (1.0, 0.0), (0.0, 1.0)])
def test_the_time_left_is_that_of_the_steps_and_of_the_checkpoints(step: float, checkpoint: float) -> None:
    clock = Clock()
    now = status.Underway(clock)
    now.plan(2, 0)
    now.note("begin", BOTH, "")
    recorded(9, clock, now, step=step, checkpoint=checkpoint)
    row = now.row(CELL.run_id(1))
    assert row is not None
    assert pace.seconds(row.pace) == pytest.approx((step, checkpoint), abs=1e-9)
    expected = step * (STEPS[-1] - STEPS[8]) + checkpoint * (len(STEPS) - 9)
    assert now.left(row) == pytest.approx(expected)
    clock.now += expected / 2
    assert now.left(row) == pytest.approx(expected / 2), "it goes down between events too"


def test_no_time_is_told_before_steps_and_checkpoints_can_be_told_apart() -> None:
    clock = Clock()
    now = status.Underway(clock)
    now.note("begin", BOTH, "")
    recorded(4, clock, now, step=0.5, checkpoint=2.0)  # steps 0, 1, 2, 3: each interval has one step, one checkpoint
    row = now.row(CELL.run_id(0))
    assert row is not None
    assert now.left(row) is None
    assert progress.duration(None) == "?"


def test_tasks_to_come_take_what_others_took() -> None:
    clock = Clock()
    now = status.Underway(clock)
    now.plan(4, 0)
    now.note("begin", BOTH, "")
    clock.now += 40
    for seed in (0, 1):
        now.note("finished", BOTH._replace(seeds=(seed,)), "")
    assert (now.done, now.rows) == (2, {})
    assert now.all_left() == pytest.approx(40)


def test_a_file_gets_a_line_when_a_run_ends_and_one_every_ten_seconds() -> None:
    out, clock = io.StringIO(), Clock()
    now = status.Underway(clock)
    display = progress.plain(now, rich.console.Console(file=out, width=200))
    display.plan(2, 0)
    display.note("begin", BOTH, "")
    for at in STEPS[:10]:
        clock.now += 4.0
        display.tell(record(0, at))
    lines = out.getvalue().splitlines()
    assert len(lines) == 3, "40 seconds"
    assert lines[-1].startswith("running  t · seeds 0 to 1: step ")
    display.note("diverged", BOTH._replace(seeds=(0,)), "at step 3 (1 s)")
    display.note("failed", BOTH._replace(seeds=(1,)), "[red]no markup[/]")
    assert out.getvalue().splitlines()[3:] == [
        "diverged t · seed 0 at step 3 (1 s)",
        "failed   t · seed 1: [red]no markup[/]",
    ]
    assert "\x1b" not in out.getvalue()


def test_a_program_gets_one_object_a_line() -> None:
    lines: list[str] = []
    people = io.StringIO()
    display = progress.machine(lines.append, rich.console.Console(file=people))
    display.plan(2, 5)
    display.note("begin", BOTH, "")
    display.tell(events.Event("begin", CELL.run_id(1)))
    display.tell(record(1, 3))
    display.tell(events.Event("end", CELL.run_id(1), status="finished"))
    display.note("retry", BOTH, "killed")
    display.done({"ran": 2})
    display.line("for people")
    said = [json.loads(line, parse_constant=lambda name: pytest.fail(name)) for line in lines]
    assert [one["event"] for one in said] == ["plan", "begin", "record", "end", "retry", "retry", "done"]
    assert {key: said[0][key] for key in ("missing", "kept")} == {"missing": 2, "kept": 5}
    run = {"run_id": CELL.run_id(1), "suite": "tests", "spec": "t", "cell": "t", "seed": 1, "of": 1000}
    assert all(run.items() <= one.items() for one in (*said[1:4], said[5]))
    assert (said[2]["step"], said[2]["values"]) == (3, {"loss": 0.25, "eta_sharpness": "inf"})
    assert (said[3]["status"], said[4]["why"], said[6]["ran"]) == ("finished", "killed", 2)
    assert people.getvalue() == "for people\n"


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_table_has_a_row_for_each_task_and_no_number_is_cut(width: int) -> None:
    clock = Clock()
    now = status.Underway(clock)
    now.plan(21, 0)
    now.note("begin", BOTH, "")
    now.note("begin", task.Task(CELL, (2,), ""), "")
    recorded(9, clock, now, step=0.01, checkpoint=1.0)
    out = io.StringIO()
    rich.console.Console(file=out, width=width).print(progress.table(now))
    text = out.getvalue()
    for word in ("tests/t", "seeds 0 to 1", "seed 2", "compiling", f"{STEPS[8]} of 1000", "100", "0/21 runs"):
        assert word in text
    assert text.count(f"{1 / (1 + STEPS[8]):.3g}") == 2
    assert "inf inf" in text


def test_the_cost_of_measuring_is_told_where_runs_recorded_it(home: pathlib.Path) -> None:
    assert overview.cost([CELL], None) == ""
    for seed, facts in enumerate(({"seconds_training": 50.0, "seconds_measuring": 20.0}, {"status": "finished"})):
        folder = run_folder.folder("tests", CELL.run_id(seed))
        folder.mkdir(parents=True)
        run_folder.write_plain(folder, facts)
    assert overview.cost([CELL], None) == "diagnostics cost 40 % of training: 20 s next to 50 s"


def test_many_seeds_are_shown_by_their_ends() -> None:
    many = task.Task(CELL, tuple(range(9)), "")
    row = status.Row(many, pace.begun(0.0), STEPS, {str(seed): {"loss": float(seed)} for seed in many.seeds})
    assert progress.values(row, "loss") == "0 to 8"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "0 s"), (8.4, "8.4 s"), (75, "75 s"), (600, "10 min"), (9000, "2.5 h"), (1e6, "12 days")],
)
def test_a_time_is_said_as_people_say_it(seconds: float, words: str) -> None:
    assert progress.duration(seconds) == words


def test_a_bar_draws_where_there_is_a_terminal_and_starts_no_thread_elsewhere() -> None:
    for terminal in (True, False):
        console = rich.console.Console(file=io.StringIO(), force_terminal=terminal, width=100)
        before = threading.active_count()
        with progress.bar(console, 2) as bar:
            assert threading.active_count() == before + terminal
            bar.begin("one", 1)
            bar.step(3)
            bar.end()
        assert isinstance(console.file, io.StringIO)
        assert bool(console.file.getvalue()) == terminal
