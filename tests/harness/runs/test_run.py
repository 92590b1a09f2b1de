# SPDX-License-Identifier: Apache-2.0
"""Seeds that run side by side: what each is recorded as, how each ends, and what a stop or a full disk leaves."""

from __future__ import annotations

import errno
import functools
import json
import os
import pathlib
import signal

import numpy as np
import pytest

from harness import config, errors
from harness.records import run_folder
from harness.runs import events, measure
from harness.runs import run as runs
from harness.runtime import signals
from harness.training import lanes
from tests import builders

GD = builders.gd(0.3)
SGD = builders.sgd(0.3, 8, sampling="reshuffling")
NESTEROV = {"name": "nesterov", "learning_rate": 0.05, "momentum": 0.9, "schedule": {"name": "cosine", "warmup": 3}}
cell = functools.partial(
    builders.cell, data=builders.digits(40), optimizer=SGD, steps=24, checkpoints=4, diagnostics=["fit"], seeds=3
)


def run(one: config.Cell, which: tuple[int, ...] = (0, 1, 2), tell: events.Tell = events.ignore) -> list[pathlib.Path]:
    return runs.run_seeds(one, which, device="cpu", command="gdzoo run t.yaml", tell=tell)


def facts(folder: pathlib.Path) -> dict[str, object]:
    found = run_folder.read_plain(folder)
    assert found is not None
    return found


def bits(folders: list[pathlib.Path]) -> list[tuple[bytes, bytes]]:
    """Returns the records and the end of each run."""
    found = []
    for folder in folders:
        state = run_folder.load_state(folder)
        assert state is not None
        found.append(((folder / "records.jsonl").read_bytes(), state[1]["theta"].tobytes()))
    return found


def test_seeds_side_by_side_are_those_alone_up_to_rounding(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = cell()
    together = run(one)
    assert [facts(folder)["together"] for folder in together] == [[0, 1, 2]] * 3
    ends = [run_folder.read_records(folder)[-1].values["loss"] for folder in together]
    assert len(set(ends)) == 3
    monkeypatch.setenv("GDZOO_HOME", str(home / "alone"))
    for seed, end in enumerate(ends):
        (folder,) = run(one, (seed,))
        assert facts(folder)["together"] == [seed]
        assert run_folder.read_records(folder)[-1].values["loss"] == pytest.approx(end, rel=1e-4)


@pytest.mark.parametrize("optimizer", [SGD, NESTEROV], ids=["sgd", "nesterov"])
def test_seeds_cut_off_at_any_record_go_on_with_the_same_bits(
    optimizer: builders.Part, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = cell(optimizer=optimizer)
    whole = bits(run(one))
    for cut in range(12):
        monkeypatch.setenv("GDZOO_HOME", str(home / f"cut-{cut}"))
        left = cut

        def stop(event: events.Event) -> None:
            nonlocal left
            if event.kind == "record":
                left -= 1
                if left < 0:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(one, tell=stop)
        folders = [run_folder.folder("tests", one.run_id(seed)) for seed in range(3)]
        unfinished = tuple(seed for seed in range(3) if run_folder.status(folders[seed]) != "finished")
        assert unfinished
        # Whoever is run again, alone or not, has the place beside the others that it had before.
        for seed in reversed(unfinished):
            run(one, (seed,))
        assert bits(folders) == whole
        assert {run_folder.status(folder) for folder in folders} == {"finished"}
        assert {facts(folder)["verdict"] for folder in folders} == {"undecided"}  # fit alone certifies nothing


def test_a_signal_between_two_checkpoints_saves_what_was_trained(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = cell(steps=300, checkpoints=2)
    whole = bits(run(one))
    monkeypatch.setenv("GDZOO_HOME", str(home / "cut"))
    monkeypatch.setattr(runs, "PACE", 50)
    seen: list[int] = []

    def stop(event: events.Event) -> None:
        if event.kind == "step" and event.step > 0 and not seen:
            seen.append(event.step)
            os.kill(os.getpid(), signal.SIGTERM)

    with signals.handled(), pytest.raises(KeyboardInterrupt):
        run(one, tell=stop)
    assert 0 < seen[0] < 300
    folders = [run_folder.folder("tests", one.run_id(seed)) for seed in range(3)]
    assert {run_folder.status(folder) for folder in folders} == {"interrupted"}
    assert [[record.step for record in run_folder.read_records(folder)] for folder in folders] == [[0]] * 3
    monkeypatch.setattr(signals, "waiting", lambda: True)
    with pytest.raises(KeyboardInterrupt):
        run(one, tell=lambda event: (_ for _ in ()).throw(KeyboardInterrupt) if event.step > 0 else None)
    states = [run_folder.load_state(folder) for folder in folders]
    assert all(state is not None and 0 < state[0] < 300 and "previous" in state[1] for state in states)
    monkeypatch.undo()
    monkeypatch.setenv("GDZOO_HOME", str(home / "cut"))
    assert bits(run(one)) == whole


def test_each_seed_ends_at_its_own_target_or_divergence(home: pathlib.Path) -> None:
    free = run(cell())
    losses_of = [[record.values["loss"] for record in run_folder.read_records(folder)] for folder in free]
    target = float(np.median([losses[2] for losses in losses_of]))
    one = cell(target={"loss": target})
    for folder, losses in zip(run(one), losses_of, strict=True):
        steps = config.checkpoint_steps(24, 4)
        first = next((i for i, loss in enumerate(losses) if loss <= target), 3)
        assert [record.step for record in run_folder.read_records(folder)] == list(steps[: first + 1])
        assert facts(folder)["reached_at"] == (steps[first] if losses[first] <= target else None)
        assert facts(folder)["status"] == "finished"
    # Cut off between the record that reaches the target and the end: the run is not trained beyond it.
    folder = next(folder for folder in run(one) if facts(folder)["reached_at"] is not None)
    reached = facts(folder)
    run_folder.write_plain(folder, {**reached, "status": "running", "reached_at": None, "verdict": None})
    before = (folder / "records.jsonl").read_bytes()
    run(one)
    assert (folder / "records.jsonl").read_bytes() == before
    assert (facts(folder)["reached_at"], facts(folder)["status"]) == (reached["reached_at"], "finished")
    gap = cell(target={"loss_gap": target})
    assert [facts(folder)["reached_at"] for folder in run(gap)] == [facts(folder)["reached_at"] for folder in run(one)]
    lone = cell(optimizer=SGD | {"learning_rate": 1e9})
    assert {facts(folder)["status"] for folder in run(lone)} == {"diverged"}


@pytest.mark.parametrize("diagnostic", ["fit", "sweep"])
def test_with_the_whole_batch_a_run_ends_at_the_very_step_that_reaches_its_target(
    diagnostic: str, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between checkpoints: each seed at its own step, of the path that it takes without a target."""
    every = cell(optimizer=GD, checkpoints=25)
    paths = [run_folder.read_records(folder) for folder in run(every)]
    aim = float(np.mean([path[step].values["loss"] for path, step in zip(paths, (5, 9, 13), strict=True)]))
    one = cell(optimizer=GD, diagnostics=[diagnostic], target={"loss": aim})
    due = config.checkpoint_steps(24, 4)
    between = 0
    for folder, path in zip(run(one), paths, strict=True):
        step = next(record.step for record in path if record.values["loss"] <= aim)
        recorded = run_folder.read_records(folder)
        assert [record.step for record in recorded] == [*(at for at in due if at < step), step]
        assert recorded[-1].values["loss"] == pytest.approx(path[step].values["loss"], rel=1e-6)
        assert (facts(folder)["reached_at"], facts(folder)["status"]) == (step, "finished")
        assert ("sweep_zeros" in recorded[-1].values) == (diagnostic == "sweep"), "what is due at the end is asked"
        between += step not in due
        # Cut off before the end was written, the run is neither trained further nor recorded twice.
        run_folder.write_plain(folder, {**facts(folder), "status": "running", "reached_at": None})
    assert between
    # As where float64 does not agree, in its last digits, that the target is reached.
    monkeypatch.setattr(measure, "at_target", lambda cell, values: False)
    folders = [run_folder.folder("tests", one.run_id(seed)) for seed in range(3)]
    before = [(folder / "records.jsonl").read_bytes() for folder in folders]
    for folder, old in zip(run(one), before, strict=True):
        assert (folder / "records.jsonl").read_bytes() == old
        assert facts(folder)["reached_at"] == run_folder.read_records(folder)[-1].step
    monkeypatch.setenv("GDZOO_HOME", str(home / "anew"))
    steps = [[json.loads(line)["step"] for line in old.splitlines()] for old in before]
    assert [[record.step for record in run_folder.read_records(folder)] for folder in run(one)] == steps
    assert all(facts(folder)["reached_at"] == run_folder.read_records(folder)[-1].step for folder in run(one))


def test_the_schedule_decides_the_recorded_step_size(home: pathlib.Path) -> None:
    one = cell(optimizer=builders.sgd(0.3, 8, schedule={"name": "piecewise", "at": [10], "factors": [0.5]}))
    for folder in run(one):
        for record in run_folder.read_records(folder):
            assert record.values["eta"] == float(np.float32(0.3) * np.float32(0.5 if record.step >= 10 else 1))


def test_a_falling_step_size_ends_where_the_run_does(home: pathlib.Path) -> None:
    one = cell(optimizer=builders.gd(0.25, schedule={"name": "linear", "to": 0.5}))
    recorded = run_folder.read_records(run(one)[0])
    expected = [float(np.float32(0.25) * np.float32(1 - 0.5 * record.step / 24)) for record in recorded]
    assert [record.values["eta"] for record in recorded] == expected


def test_a_full_disk_stops_with_what_there_is_and_what_is_needed(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = cell()
    whole = bits(run(one))
    monkeypatch.setenv("GDZOO_HOME", str(home / "full"))
    sync, left = os.fsync, 40

    def full(handle: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    room = rf"the disk is full at .*make room for some {1 + 3 * run_folder.KEPT_BYTES / 1e6:.0f} MB"  # states are small
    with pytest.raises(errors.Stopped, match=room):
        run(one)
    folders = [run_folder.folder("tests", one.run_id(seed)) for seed in range(3)]
    assert {run_folder.status(folder) for folder in folders} == {"interrupted"}
    assert all(run_folder.read_records(folder) for folder in folders)
    assert not list((home / "full").rglob("*.tmp"))
    monkeypatch.setattr(os, "fsync", sync)
    assert bits(run(one)) == whole


def test_a_run_says_what_it_spent_on_training_and_on_measuring(home: pathlib.Path) -> None:
    for folder in run(cell()):
        found = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        assert found["seconds_training"] > 0
        assert found["seconds_measuring"] > 0
        assert found["seconds"] == pytest.approx(found["seconds_training"] + found["seconds_measuring"], abs=1e-3)


def test_small_dense_networks_have_company_and_convolutions_none() -> None:
    assert lanes.groups(cell(), range(11)) == [tuple(range(8)), (8, 9, 10)]
    convolved = cell(model={"family": "vgg", "stages": [[2]], "activation": "relu"})
    assert lanes.groups(convolved, range(3)) == [(0,), (1,), (2,)]
    assert lanes.groups(convolved, range(3), accelerator=True) == [(0, 1, 2)]
    large = cell(model=builders.mlp(65536))
    assert lanes.lanes(large) == 1
