# SPDX-License-Identifier: Apache-2.0
"""Engines: what a killed worker, a killed parent and a stop leave behind, and who runs what."""

from __future__ import annotations

import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from harness import config, errors, specs, workspace
from harness.cli import commands
from harness.curvature import dense
from harness.jobs import engines, schedule, task
from harness.jobs.engines import local
from harness.records import run_folder
from harness.runs import events
from harness.tracking import client, upload
from harness.training import problem
from tests import builders

SHORT = {**builders.quadratic(2.0, 1.0), "optimizer": builders.gd(0.3), "steps": 400, "checkpoints": 300, "seeds": 2}
TWO = SHORT | {"seeds": 1, "grid": {"optimizer.learning_rate": [0.3, 0.2]}}
"""Two tasks: the seeds of one cell would run side by side."""
LONG = {
    "data": builders.digits(32),
    "model": builders.mlp(4, activation="gelu"),
    "optimizer": builders.gd(0.2),
    "steps": 10_000_000,
    "checkpoints": 1000,
    "seeds": 2,
}
"""A run that is never done; with an end, its seeds train side by side."""
OPTIONS = engines.Options(device="cpu", jobs=1)


def wanted(parts: builders.Part = SHORT, part: tuple[int, int] = (1, 1)) -> list[task.Portion]:
    return schedule.wanted(builders.cells(**parts), None, part, lambda _: "gdzoo run t.yaml")


def holder(run_id: str) -> int:
    """Returns the process that holds a run."""
    return int((run_folder.folder("tests", run_id) / "lock").read_text().split()[1])


def worked(
    portions: list[task.Portion], tell: events.Tell = events.ignore, options: engines.Options = OPTIONS
) -> tuple[list[task.Result], list[str]]:
    """Runs portions on workers of this machine; the results, and why tasks were begun again."""
    retries: list[str] = []
    with local.opened(options, schedule.open_tasks(portions)) as engine:
        note: engines.Note = lambda what, _, why: retries.append(why) if what == "retry" else None  # noqa: E731
        return list(engine.perform(portions, tell, note)), retries


def at_step(run_id: str, step: int, do: Callable[[str], None]) -> events.Tell:
    """Returns what does something, once in each process that holds a run, when it has recorded a step."""
    done: set[int] = set()

    def tell(event: events.Event) -> None:
        due = event.kind == "record" and event.run_id == run_id and event.step >= step
        if due and (process := holder(event.run_id)) not in done:
            done.add(process)
            do(event.run_id)

    return tell


def test_a_killed_worker_is_replaced_and_its_task_goes_on_from_its_folder(home: pathlib.Path) -> None:
    cell, _ = builders.cells(**TWO)
    killed: list[int] = []

    def kill(run_id: str) -> None:
        if not killed:
            killed.append(run_folder.read_records(run_folder.folder("tests", run_id))[-1].step)
            os.kill(holder(run_id), signal.SIGKILL)

    results, retries = worked(wanted(TWO), at_step(cell.run_id(0), 3, kill))
    assert [result.said for result in results] == ["done", "done"]
    (why,) = retries
    assert "was killed by SIGKILL (the system does that where memory runs out) after" in why
    assert int(why.partition("after step ")[2].split(";")[0]) >= 3
    recorded = [record.step for record in run_folder.read_records(run_folder.folder("tests", cell.run_id(0)))]
    assert recorded == list(cell.checkpoint_steps), "nothing lost, nothing twice"


def test_a_task_whose_workers_die_has_failed_and_the_others_go_on(home: pathlib.Path) -> None:
    first, second = builders.cells(**TWO)
    die = at_step(first.run_id(0), 3, lambda run_id: os.kill(holder(run_id), signal.SIGSEGV))
    results, retries = worked(wanted(TWO), die)
    said = [(result.task.cell.cell_id, result.said) for result in results]
    assert said == [(first.cell_id, "failed"), (second.cell_id, "done")]
    assert len(retries) == 1
    assert "its process was killed by SIGSEGV after step " in results[0].reason


def test_a_worker_that_cannot_start_is_a_failed_task_with_its_last_words(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_no_such_flag=1")
    notes: list[tuple[str, task.Task]] = []
    portions = wanted()
    with local.opened(OPTIONS, schedule.open_tasks(portions)) as engine:
        results = list(engine.perform(portions, events.ignore, lambda what, one, _: notes.append((what, one))))
    assert [result.said for result in results] == ["failed"]
    assert "before its first record; it said last: " in results[0].reason
    assert "Unknown flag in XLA_FLAGS: --xla_no_such_flag=1" in results[0].reason
    assert notes == [("retry", results[0].task), ("begin", results[0].task)], "who reads results has seen them begin"


@pytest.mark.parametrize("platform", ["cuda", "nonsense"])
def test_a_platform_that_is_not_there_is_told(
    platform: str, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", platform)
    with pytest.raises(errors.InputError, match=f"JAX_PLATFORMS={platform}: this machine shows jax no such device"):
        worked(wanted(), options=OPTIONS._replace(device="auto"))


def test_workers_import_nothing_from_where_the_user_stands(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("types", "json", "numpy", "yaml", "sitecustomize", "harness"):
        (home / f"{name}.py").write_text("raise SystemExit('mine')\n")
    (home / "zoo").mkdir()
    (home / "zoo" / "__init__.py").write_text("")
    monkeypatch.chdir(home)
    results, retries = worked(wanted())
    assert [result.said for result in results] == ["done"] and not retries


def test_ray_that_does_not_start_here_says_how_long_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = pytest.importorskip("harness.jobs.engines.ray", reason="Ray is not installed: pip install -e '.[ray]'")

    def late(*_: object, **__: object) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(cluster.ray, "init", late)
    with pytest.raises(errors.Stopped, match=r"Ray did not start on this machine in \d+ s: The current node timed out"):
        cluster.opened(engines.Options(), []).__enter__()


def test_a_worker_makes_ready_for_what_may_come_and_says_nothing_of_what_cannot_be(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (portion,) = wanted()
    problem._problem.cache_clear()
    task.make_ready(portion.whole)
    assert problem._problem.cache_info().misses == 1
    assert task.perform(portion.whole, "cpu", events.ignore) == ("done", "")
    assert problem._problem.cache_info().misses == 1, "built once, before the task came"
    assert [one.seeds for one in schedule.open_tasks(wanted(TWO))] == [(0,)], "of the other cell nothing is open"
    monkeypatch.setattr(dense, "limit", lambda: 1)
    large = portion.whole.cell.model_copy(update={"curvature": "dense"})
    task.make_ready(portion.whole._replace(cell=large))
    with pytest.raises(errors.InputError, match="curvature: dense is not allowed"):
        problem.problem(large)


def test_what_the_user_gave_wrong_is_told_by_the_parent(home: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match=r"the step size becomes 1e-40; in float32, .* it is 0"):
        worked(wanted(SHORT | builders.quadratic(1e30) | {"optimizer": builders.gd({"eta_lambda": 1e-10})}))
    with pytest.raises(errors.InputError, match="did you mean 'gpu'"):
        worked(wanted(), options=engines.Options(device="gpuu"))
    with pytest.raises(errors.InputError, match="did you mean 'local'"):
        engines.opened("locul", OPTIONS, [])


PARENT = """
import pathlib, sys
from harness import specs
from harness.jobs import engines, schedule
from harness.jobs.engines import local
cells = specs.read(sys.argv[1]).cells
portions = schedule.wanted(cells, None, (1, 1), str)
with local.opened(engines.Options(device="cpu"), schedule.open_tasks(portions)) as engine:
    for _ in engine.perform(portions, lambda event: None, lambda *a: None):
        pass
"""


def test_workers_do_not_outlive_their_parent(home: pathlib.Path) -> None:
    (home / "tests").mkdir()
    (home / "tests" / "t.yaml").write_text(builders.spec_text(**LONG))
    cell = builders.cell(**LONG)
    folder = run_folder.folder("tests", cell.run_id(0))
    command = [sys.executable, "-c", PARENT, str(home / "tests" / "t.yaml")]
    with subprocess.Popen(command, cwd=workspace.CHECKOUT) as parent:
        wait(lambda: len(run_folder.read_records(folder)) > 1)
        child = holder(cell.run_id(0))
        parent.kill()
    wait(lambda: not pathlib.Path(f"/proc/{child}").exists())
    assert (run_folder.read_plain(folder) or {})["status"] == "interrupted", "it was told, and wrote"


def test_a_second_signal_ends_workers_that_do_not_answer(home: pathlib.Path, store_uri: str) -> None:
    (home / "tests").mkdir()
    (home / "tests" / "t.yaml").write_text(builders.spec_text(**LONG))
    cell = builders.cell(**LONG)
    folder = run_folder.folder("tests", cell.run_id(0))
    command = [sys.executable, str(workspace.CHECKOUT / "gdzoo.py"), "run", "tests/t.yaml", "--device", "cpu"]
    with subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as parent:
        wait(lambda: len(run_folder.read_records(folder)) > 1)
        # A second command, meanwhile, says who is at it and leaves.
        words = [*command, "--seeds", "1", "--json"]
        other = subprocess.run(words, cwd=home, capture_output=True, text=True, check=False)
        assert other.returncode == 0, other.stderr
        child = holder(cell.run_id(0))
        said = [json.loads(line) for line in other.stdout.splitlines()]
        assert [one["event"] for one in said] == ["plan", "busy", "done"]
        assert (said[1]["run_id"], said[2]["busy"]) == (cell.run_id(0), 1)
        assert said[1]["why"].startswith(f"process {child} on {os.uname().nodename} since 20")
        assert "0 runs made, 0 there already, 1 run elsewhere" in other.stderr
        os.kill(child, signal.SIGSTOP)
        parent.send_signal(signal.SIGINT)
        assert parent.stdout is not None
        wait(lambda: "stopping" in parent.stdout.readline())
        parent.send_signal(signal.SIGTERM)
        out, err = parent.communicate(timeout=60)
    assert parent.returncode == errors.EXIT_STOPPED, out + err
    assert "Traceback" not in err
    assert not pathlib.Path(f"/proc/{child}").exists()
    assert run_folder.status(folder) == "interrupted"


def wait(for_it: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not for_it():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_two_jobs_are_two_processes_and_one_problem_stays_in_one(home: pathlib.Path) -> None:
    grid = {"model.eigenvalues": [[2.0, 1.0], [3.0, 1.0]], "optimizer.learning_rate": [0.1, 0.2]}
    parts = {**builders.quadratic(2.0, 1.0), "steps": 1, "seeds": 2, "grid": grid}
    results, _ = worked(wanted(parts), options=OPTIONS._replace(jobs=2))
    assert [result.said for result in results] == ["done"] * 4, "two seeds side by side in each"
    by_problem: dict[tuple[float, ...], list[int]] = {}
    for result in results:
        by_problem.setdefault(result.task.cell.model.eigenvalues, []).append(holder(result.task.run_ids[0]))
    first, second = by_problem.values()
    assert set(first) != set(second)
    assert max(map(len, (set(first), set(second)))) <= 2


def test_a_worker_prefers_what_it_has_compiled_then_what_nobody_is_at() -> None:
    assert local.suits(3, 3, {3}) < local.suits(5, 3, {4}) < local.suits(4, 3, {4})


def test_a_task_travels_and_keeps_its_name() -> None:
    for spec in specs.read_all([workspace.CHECKOUT / "specs"]):
        for cell in spec.cells:
            sent = task.Task(cell, (0, 2), "gdzoo run x")
            got = task.load(json.loads(json.dumps(sent.dump())))
            assert got == sent
            assert (got.cell.cell_id, got.cell.expected, got.cell.label) == (cell.cell_id, cell.expected, cell.label)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_shares_are_everything_once_and_even(count: int) -> None:
    for runs_ in (1, 5, 12, 37):
        shares = [task.share(runs_, (i, count)) for i in range(1, count + 1)]
        assert [run for share in shares for run in share] == list(range(runs_))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_data_set_that_finds_the_disk_full_stops_the_command_and_fails_no_run(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise RuntimeError('Failed to write split "train": write() failed: No space left on device')

    monkeypatch.setattr("harness.runs.run.run_seeds", full)
    (portion, *_) = wanted()
    said, reason = task.perform(portion.whole, "cpu", events.ignore)
    assert said == "stopped"
    assert reason.startswith("the disk is full: ")
    assert reason.endswith("make room and say the same command again")


def test_a_group_of_seeds_belongs_to_one_share_however_they_cut_it() -> None:
    parts = SHORT | {"seeds": 10}
    groups = [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9)]
    for count in (1, 2, 3, 4, 10):
        found = [one.seeds for i in range(1, count + 1) for p in wanted(parts, (i, count)) for one in p.tasks(groups)]
        assert sorted(found) == groups


def sent(uri: str) -> set[str]:
    """Returns the run_ids of the suite `mine` that a store holds to their end."""
    opened = client.open_store(uri)
    return {found.run_id for found in client.held(opened, "mine") if found.status == "finished"}


def test_a_share_makes_counts_and_sends_its_groups_whole_and_says_what_another_makes(
    home: pathlib.Path, store_uri: str
) -> None:
    (home / "mine").mkdir()
    (home / "mine" / "t.yaml").write_text(builders.spec_text(**LONG | {"steps": 40, "checkpoints": 4, "seeds": 6}))
    (cell,) = specs.read(home / "mine" / "t.yaml").cells
    names = [cell.run_id(seed) for seed in range(6)]

    def share(text: str) -> schedule.Outcome:
        outcome = commands.run_specs([home / "mine" / "t.yaml"], commands.Wanted(options=OPTIONS, shard=text))
        assert outcome is not None
        return outcome

    assert share("2/3") == schedule.Outcome([], [], [], [], [], names[2:4])
    assert sent(store_uri) == set()
    assert share("1/3") == schedule.Outcome(names, [], [], [], [], [])
    assert sent(store_uri) == set(names)
    assert share("2/3") == schedule.Outcome([], names[2:4], [], [], [], [])
    cut = run_folder.folder("mine", names[5])
    facts = run_folder.read_plain(cut) or {}
    run_folder.write_plain(cut, {**facts, "status": "running"})
    upload.upload(client.open_store(store_uri), cut)
    assert sent(store_uri) == set(names[:5])
    assert share("1/3") == schedule.Outcome([names[5]], names[:2], [], [], [], []), (
        "what was cut off of a group is its owner's"
    )
    assert sent(store_uri) == set(names)


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/", "a/b", "-1/2", "1/0", ""])
def test_a_share_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(errors.InputError, match="allowed: i/n with i from 1 to n"):
        task.shard(text)


def test_a_task_that_fits_no_node_is_refused_at_once() -> None:
    cluster = pytest.importorskip("harness.jobs.engines.ray", reason="Ray is not installed: pip install -e '.[ray]'")
    nodes = [{"CPU": 8.0}, {"CPU": 4.0, "GPU": 2.0}]
    cluster.check(nodes, engines.Options(gpus=2, cpus=8))
    with pytest.raises(errors.InputError, match="--gpus-per-task 3: no node of the cluster has more than 2"):
        cluster.check(nodes, engines.Options(gpus=3))
    with pytest.raises(errors.InputError, match="--gpus-per-task 1: there is no GPU in the cluster"):
        cluster.check(nodes[:1], engines.Options(gpus=1))


def test_an_address_at_which_nobody_listens_is_refused_at_once() -> None:
    cluster = pytest.importorskip("harness.jobs.engines.ray", reason="Ray is not installed: pip install -e '.[ray]'")
    for address in ("auto", "local", "localhost"):
        cluster.answers(address)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
        with pytest.raises(errors.InputError, match=f"--ray-address {address}: .* refused; .* RAY_AUTH_TOKEN"):
            cluster.opened(engines.Options(address=address), []).__enter__()
        one.listen()
        cluster.answers(address)
        cluster.answers(f"ray://{address}")
        cluster.answers(address.replace("127.0.0.1", "[127.0.0.1]"))  # brackets, as around IPv6


@pytest.mark.slow
def test_ray_begins_a_killed_task_again_and_the_run_is_as_if_it_had_not_been(
    home: pathlib.Path, store_uri: str
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    (home / "tests").mkdir()
    parts = LONG | {"steps": 20000, "checkpoints": 40}
    (home / "tests" / "t.yaml").write_text(builders.spec_text(**parts))
    cell = builders.cell(**parts)
    folders = [run_folder.folder("tests", cell.run_id(seed)) for seed in (0, 1)]
    command = [sys.executable, str(workspace.CHECKOUT / "gdzoo.py"), "run", "tests/t.yaml", "--device", "cpu"]
    kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with subprocess.Popen(
        [*command, "--engine", "ray"], cwd=home, env=kept, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as parent:
        wait(lambda: len(run_folder.read_records(folders[0])) > 5)
        killed = holder(cell.run_id(0))
        os.kill(killed, signal.SIGKILL)
        out, err = parent.communicate(timeout=300)
    assert parent.returncode == 0, out + err
    assert re.search(r"retry    t · seeds 0 .*: it is process ", out), out
    assert "2 runs made" in out
    assert holder(cell.run_id(0)) != killed
    got = [(folder / "records.jsonl").read_text() for folder in folders]
    assert [json.loads(line)["step"] for line in got[0].splitlines()] == list(config.checkpoint_steps(20000, 40))
    for folder in folders:
        folder.rename(folder.with_name(f"{folder.name}-ray"))
    worked(wanted(parts))
    assert [(folder / "records.jsonl").read_text() for folder in folders] == got, "the same bits as without a kill"


NODES = """
import sys
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
first = cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.remove_node(first, allow_graceful=False)
cluster.add_node(num_cpus=1)
sys.stdin.readline()
cluster.shutdown()
"""
"""A cluster on this machine: a head that takes no task, and a node that at a word goes away for another."""


@pytest.mark.slow
def test_a_task_whose_node_goes_away_is_begun_again_on_another(home: pathlib.Path, store_uri: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
    (home / "tests").mkdir()
    parts = LONG | {"steps": 200000, "checkpoints": 40}
    (home / "tests" / "t.yaml").write_text(builders.spec_text(**parts))
    cell = builders.cell(**parts)
    folder = run_folder.folder("tests", cell.run_id(0))
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", NODES], **pipes) as nodes:
        address = nodes.stdout.readline().strip() if nodes.stdout else ""
        command = [sys.executable, str(workspace.CHECKOUT / "gdzoo.py"), "run", "tests/t.yaml", "--device", "cpu"]
        command += ["--engine", "ray", "--ray-address", address]
        with subprocess.Popen(command, cwd=home, stderr=subprocess.STDOUT, **pipes) as parent:
            wait(lambda: len(run_folder.read_records(folder)) > 5)
            before = holder(cell.run_id(0))
            assert nodes.stdin
            nodes.stdin.write("change\n")
            nodes.stdin.flush()
            said, _ = parent.communicate(timeout=300)
        nodes.communicate("end\n", timeout=60)
    assert parent.returncode == 0 and "2 runs made" in said, said
    assert holder(cell.run_id(0)) != before
    steps = [record.step for record in run_folder.read_records(folder)]
    assert steps == list(config.checkpoint_steps(200000, 40)), "none lost, none doubled"
