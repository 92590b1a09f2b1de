# SPDX-License-Identifier: Apache-2.0
"""Out of memory: one sentence with what was asked for and what would fit, the run failed, the others go on."""

from __future__ import annotations

import io
import pathlib
import subprocess
import sys
from collections.abc import Generator, Sequence

import jax
import pytest
import rich.console

from harness import errors, workspace
from harness.curvature import dense, exclusion
from harness.jobs import engines, progress, schedule, status, task
from harness.records import run_folder
from harness.runs import events
from harness.runtime import memory
from harness.theory import certify
from harness.tracking import client
from harness.training import lanes, problem
from tests import builders

GIB = 2**30
XLA = "RESOURCE_EXHAUSTED: Out of memory allocating 32000000000 bytes."


def said(error: Exception, parameters: int, examples: int = 64, rows: int = 0, limit: int = 24 * GIB) -> str:
    return str(memory.explained(error, parameters=parameters, examples=examples, chunk=2048, rows=rows, limit=limit))


def test_it_is_told_from_other_errors() -> None:
    assert memory.exhausted(jax.errors.JaxRuntimeError(XLA))
    assert memory.exhausted(MemoryError())
    assert not memory.exhausted(jax.errors.JaxRuntimeError("INTERNAL: something else"))
    assert not memory.exhausted(ValueError("allocating"))


def test_a_dense_spectrum_names_the_size_that_fits() -> None:
    words = said(jax.errors.JaxRuntimeError(XLA), 63_000)
    assert words == (
        "out of memory (32 GB asked for at once, 25.8 GB there): a dense spectrum of 63,000 parameters takes 127 GB; "
        "up to about 20,066 parameters fit, or write `curvature: lanczos`"
    )
    assert 8 * memory.COPIES * 20_066**2 < 24 * GIB / 2 < 8 * memory.COPIES * 20_100**2
    numpy = MemoryError("Unable to allocate 29.6 GiB for an array with shape (63000, 63000) and data type float64")
    assert said(numpy, 63_000).startswith("out of memory (31.8 GB asked for at once, 25.8 GB there): a dense")


def test_a_lanczos_run_names_the_size_that_fits() -> None:
    assert said(jax.errors.JaxRuntimeError(XLA), 15_000_000, rows=192) == (
        "out of memory (32 GB asked for at once, 25.8 GB there): the 192 vectors of a Lanczos run take 23 GB for "
        "15,000,000 parameters; up to about 8,388,608 parameters fit"
    )


@pytest.mark.parametrize(
    ("examples", "end"),
    [
        (2048, "with 2,048 examples at a time; about 512 fit: `data.examples: 512`"),
        (1024, "with 1,024 examples at a time; about 256 fit: `data.examples: 256`"),
        (9999, "with 2,048 examples at a time; about 512 fit: ACTIVITY in harness/risk/objective.py sets how many"),
        (1, "with 1 examples at a time; about 1 fit: `data.examples: 1`"),
    ],
)
def test_else_it_names_the_examples_at_a_time_that_fit(examples: int, end: str) -> None:
    assert said(jax.errors.JaxRuntimeError(XLA), 1000, examples).endswith(end)
    assert "about" in said(MemoryError(), 1000, examples)


def test_what_there_is_is_the_least_of_machine_and_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = memory.available()
    assert machine > GIB
    monkeypatch.setattr(memory.resource, "getrlimit", lambda _: (GIB, memory.resource.RLIM_INFINITY))
    assert memory.available() == GIB
    monkeypatch.setattr(memory.resource, "getrlimit", lambda _: (2 * machine,) * 2)
    assert memory.available() == machine
    monkeypatch.setattr(memory.resource, "getrlimit", lambda _: (memory.resource.RLIM_INFINITY,) * 2)
    assert memory.available() == machine


def in_this_process(portions: Sequence[task.Portion], tell: events.Tell, note: engines.Note) -> Generator[task.Result]:
    for portion in portions:
        for one in portion.tasks(task.groups(portion.whole)):
            note("begin", one, "")
            yield task.Result(one, *task.perform(one, "cpu", tell))


def test_a_run_that_does_not_fit_has_failed_and_the_others_go_on(
    home: pathlib.Path, store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = builders.cell(**builders.quadratic(2.0, 1.0), optimizer=builders.gd(0.3), steps=1, seeds=2)
    real = problem.problem(cell)
    asked: list[int] = []
    monkeypatch.setattr(lanes, "lanes", lambda *_, **__: 1)  # seeds side by side share their memory, and its end

    def survey(*arguments: object) -> object:
        asked.append(1)
        if len(asked) == 1:
            raise jax.errors.JaxRuntimeError(XLA)
        return real.surveyor.survey(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(problem, "problem", lambda _: real._replace(surveyor=real.surveyor._replace(survey=survey)))
    out = io.StringIO()
    display = progress.plain(status.Underway(), rich.console.Console(file=out, width=300))
    opened = client.open_store(store_uri)
    wanted = schedule.wanted([cell], None, (1, 1), lambda _: "")
    here = engines.Engine(in_this_process, lambda: None)
    outcome = schedule.work(wanted, opened, here, display)
    assert (outcome.failed, outcome.ran) == ([cell.run_id(0)], [cell.run_id(1)])
    assert "failed   t · seed 0: out of memory (32 GB asked for at once" in out.getvalue()
    assert "Traceback" not in out.getvalue()
    assert [run_folder.status(run_folder.folder("tests", cell.run_id(seed))) for seed in (0, 1)] == [
        "failed",
        "finished",
    ]
    facts = run_folder.read_plain(run_folder.folder("tests", cell.run_id(0))) or {}
    assert facts["reason"].startswith("out of memory (32 GB asked for at once")
    again = schedule.work(wanted, opened, here, display)
    assert (len(again.ran), len(again.kept), again.failed) == (1, 1, []), "said again, it is made"


def test_the_command_line_ends_with_1_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from leaderboard.cli import door

    for error in (jax.errors.JaxRuntimeError(XLA), errors.OutOfMemory("out of memory: too large")):

        def fail(_arguments: list[str], error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(door, "app", fail)
        with pytest.raises(SystemExit) as left:
            door.main()
        assert left.value.code == errors.EXIT_FAILED
        assert capsys.readouterr().err.count("\n") == 1


TOO_LARGE = """
import resource, sys
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
from harness.curvature import survey
from harness.runtime import memory

size = 20_000
ask = survey.surveyor(lambda point: lambda v: point[0] * v, size, sys.argv[1], rows=15_000)
point = (jax.block_until_ready(jnp.ones(size)),)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30),) * 2)
try:
    ask.survey(point, 0.5, jax.random.key(0))
except Exception as error:
    print(memory.exhausted(error), memory.ASKED.search(str(error)) is not None)
"""


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_an_array_that_really_does_not_fit_raises_and_does_not_end_the_process(method: str) -> None:
    command = [sys.executable, "-c", TOO_LARGE, method]
    done = subprocess.run(command, cwd=workspace.CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "True True\n"), done.stderr[-2000:]


COMMAND = """
import resource, sys
import jax
import gdzoo
from harness.cli import certificates, overview
from harness.runtime import device
device.configure("cpu")
jax.block_until_ready(jax.jit(lambda x: x @ x)(jax.numpy.ones((64, 64))))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30),) * 2)
gdzoo.main()
"""
WIDE = {
    "data": builders.classes(examples=16, shape=[512, 512, 1], classes=2),
    "model": {
        "family": "vgg",
        "stages": [[64], [1], [1], [1]],
        "dense": [4],
        "activation": "gelu",
        "pool": "average",
    },
}
"""16 images at a time give 270 million numbers."""


@pytest.mark.parametrize("command", ["check", "certify"])
def test_a_command_that_really_does_not_fit_says_one_sentence(command: str, home: pathlib.Path) -> None:
    (home / "wide.yaml").write_text(builders.spec_text(**WIDE), encoding="utf-8")
    words = [sys.executable, "-c", COMMAND, command, str(home / "wide.yaml")]
    done = subprocess.run(words, cwd=workspace.CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == errors.EXIT_FAILED, done.stderr[-2000:]
    last = done.stderr.strip().splitlines()[-1]
    if command == "check":  # it counts before it tries
        assert (
            last.startswith("1 configuration of 1 cannot be run here: home/wide: ")
            and "GB are needed for 5,347 para" in last
        )
    else:
        assert last.startswith("out of memory (") and "there) with 8 examples at a time; about " in last
        assert last.endswith(
            tuple(f"{fits} fit: ACTIVITY in harness/risk/objective.py sets how many" for fits in (1, 2, 4))
        )
    assert "Traceback" not in done.stderr and "RESOURCE_EXHAUSTED" not in done.stderr


@pytest.mark.parametrize(
    ("curvature", "method", "words"),
    [
        ("dense", "matrix", "a dense spectrum of 34 parameters takes 0.037 MB; up to about 22 parameters fit, or"),
        ("lanczos", "outer", "the 129 vectors of a Lanczos run take 0.0351 MB for 34 parameters; up to about 16"),
    ],
)
def test_a_certificate_s_spectra_are_named_too(
    curvature: str, method: str, words: str, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> object:
        raise jax.errors.JaxRuntimeError(XLA)

    module = dense if method == "matrix" else exclusion
    monkeypatch.setattr(module, method, lambda *_: fail)
    monkeypatch.setattr(memory, "available", lambda: 33_100)
    cell = builders.cell(
        data=builders.classes(examples=4, shape=[3, 3, 1], classes=2),
        model={"family": "resnet", "channels": [1], "blocks": 1, "activation": "tanh"},
        optimizer=builders.gd(0.3),
        curvature=curvature,
    )
    with pytest.raises(errors.OutOfMemory, match=words):
        certify.certify(cell, 1)


def test_what_fits_is_not_touched() -> None:
    for error in (ValueError("allocating"), KeyboardInterrupt()):
        with pytest.raises(type(error)), memory.explaining(parameters=1, examples=1, chunk=1, rows=1):
            raise error
    with memory.explaining(parameters=1, examples=1, chunk=1, rows=1):
        pass
