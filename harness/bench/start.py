# SPDX-License-Identifier: Apache-2.0
"""Start and store: how long until the first step of `gdzoo run`, and what 100,000 points cost MLflow.

Wall time, in processes of their own: the first start compiles, the second finds its programs on disk; `gdzoo data
prepare` was said before, but for one row. Both are compared with a script that imports jax, flax and optax, builds the
same network by hand, compiles one step and takes it.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from harness import records as record_file
from harness import workspace
from harness.bench import commands, demo, row, timing
from harness.bench import store as store_bench
from harness.bench.curvature import Unit
from harness.records import run_folder
from harness.runs import events
from harness.runtime import lapack
from harness.tracking import client, store, upload

SPEC = "specs/quickstart/mlp-sgd.yaml"

POINTS = 100_000

BY_HAND = """
import time
began = time.perf_counter()
import jax, jax.numpy as jnp, optax
from flax import nnx
jax.config.update("jax_enable_x64", True)
import zoo, numpy as np
model = zoo.build("mlp", zoo.FAMILIES["mlp"].config.model_validate(
    {"family": "mlp", "hidden": [12, 12], "activation": "relu"}), inputs=(8, 8, 1), outputs=10)
params = model.init(jax.random.key(0))
x, y = jnp.ones((32, 8, 8, 1), "float32"), jnp.eye(10, dtype="float32")[jnp.arange(32) % 10]
loss = lambda p: 0.5 * jnp.mean(jnp.sum((model.apply(p, x) - y) ** 2, axis=-1))
step = jax.jit(lambda p: jax.tree.map(lambda a, g: a - 0.1 * g, p, jax.grad(loss)(p)))
jax.block_until_ready(step(params))
"""


@timing.all_cores()
def rows() -> list[row.Row]:
    """Times the first step of a first and of a second start, and counts what the second compiles.

    The first is compared with what it cannot do without, its imports and what XLA takes to compile its programs, which
    a process tells that does the same without a parent, a store and a cache; and with the script by hand.
    """
    group = f"from the command to its first step, {SPEC}, wall seconds"
    with tempfile.TemporaryDirectory() as folder:
        cache = pathlib.Path(folder) / "programs"
        hand = min(_timed([sys.executable, "-c", BY_HAND]) for _ in range(2))
        first = _first_step(pathlib.Path(folder) / "1", cache)
        before = _programs(cache)
        second = _first_step(pathlib.Path(folder) / "2", cache)
        added = len(_programs(cache) - before)
        own = _own(pathlib.Path(folder) / "4", pathlib.Path(folder) / "own")
        new = _first_step(pathlib.Path(folder) / "3", pathlib.Path(folder) / "others", prepared=False)
    needed = f"{first:.3g} s against {own['imports']:.3g} and {own['compiling']:.3g} s"
    told = f"{hand:.3g} s: imports, compiles and takes one step, where a run measures its start first"
    return [
        row.Row(
            group, "first start / its imports and compilation", first / sum(own.values()), None, row.Target(2.0), needed
        ),
        row.Row(group, "first start / a script by hand", first / hand, note=told),
        row.Row(group, "where the data set is not prepared / by hand", new / hand, note=f"{new:.3g} s"),
        row.Row(group, "second start / first start", second / first, target=row.Target(1.0), note=f"{second:.3g} s"),
        row.Row(group, "programs that the second compiles", added, target=row.Target(0)),
    ]


@timing.all_cores()
def points() -> list[row.Row]:
    """Times MLflow taking POINTS points of ten runs, as a share of the wall time of specs/quickstart, run anew."""
    group = f"{POINTS:,} points to MLflow"
    with tempfile.TemporaryDirectory() as name:
        home = pathlib.Path(name)
        environment = {**os.environ, "GDZOO_HOME": str(home)}
        command = [sys.executable, "-m", "gdzoo"]
        subprocess.run([*command, "store", "init"], env=environment, check=True, capture_output=True)
        began = time.perf_counter()
        subprocess.run([*command, "run", "specs/quickstart"], env=environment, check=True, capture_output=True)
        quickstart = time.perf_counter() - began
        (like,) = sorted((home / "runs").glob("quickstart/*-s0"))[:1]
        spent = _upload_like(like, home)
    told = f"{spent:.3g} s against {quickstart:.3g} s, one after the other; `gdzoo run` uploads while workers train"
    return [row.Row(group, "/ specs/quickstart", spent / quickstart, target=row.Target(0.05), note=told)]


def units(quick: bool) -> list[Unit]:
    """Returns the parts of `gdzoo bench start`; `quick` changes nothing."""
    return [Unit("first steps", rows), Unit("commands", commands.rows), Unit("the demo", demo.rows)]


def _upload_like(like: pathlib.Path, home: pathlib.Path) -> float:
    """Returns the seconds of uploading ten runs like one, with POINTS points together."""
    recorded = run_folder.read_records(like)
    each = len(recorded[-1].values)
    lines = [record_file.dump(recorded[-1]._replace(step=step)) for step in range(POINTS // 10 // each)]
    opened = client.open_store(workspace.store(f"sqlite:///{home / 'mlflow.db'}"))
    folders = [store_bench.copied(like, home / "copies", seed) for seed in range(900, 910)]
    for folder in folders:
        (folder / "records.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    store.check(opened.uri)
    began = time.perf_counter()
    for folder in folders:
        upload.upload(opened, folder)
    return time.perf_counter() - began


def _own(home: pathlib.Path, cache: pathlib.Path) -> dict[str, float]:
    """Returns the seconds that a process takes to import what a first step needs, and to compile it."""
    home.mkdir()
    environment = {**lapack.settings(), **os.environ, "GDZOO_HOME": str(home), "JAX_COMPILATION_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", "harness.bench.start", str(time.time())]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=workspace.CHECKOUT, env=environment)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _stop(event: events.Event) -> None:
    if event.kind in ("step", "record"):
        raise KeyboardInterrupt


def _told(began: float) -> dict[str, float]:
    """Does in this process what a worker does until its first step, and returns what `_own` does."""
    from harness import specs
    from harness.jobs import task
    from harness.runs import run
    from harness.runtime import device

    words = device.configure("cpu")
    imports = time.time() - began
    assert run
    cell = specs.read(pathlib.Path(SPEC)).cells[0]
    with timing.compilations() as compiled:
        said, why = task.perform(task.Task(cell, (0,), ""), words, _stop)
    assert said == "stopped", why
    return {"imports": imports, "compiling": sum(compiled)}


def _timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=workspace.CHECKOUT)
    return time.perf_counter() - began


def _programs(cache: pathlib.Path) -> set[str]:
    return {file.name for file in cache.rglob("*") if file.is_file() and not file.name.endswith("-atime")}


def _first_step(home: pathlib.Path, cache: pathlib.Path, *, prepared: bool = True) -> float:
    """Returns the seconds from the command to the event of its first step, in a new home."""
    home.mkdir()
    environment = {**os.environ, "GDZOO_HOME": str(home), "JAX_COMPILATION_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", "gdzoo"]
    where = {"env": environment, "cwd": workspace.CHECKOUT}
    subprocess.run([*command, "store", "init"], check=True, capture_output=True, **where)  # type: ignore[call-overload]
    if prepared:
        subprocess.run([*command, "data", "prepare", "digits"], check=True, capture_output=True, **where)  # type: ignore[call-overload]
    began = time.perf_counter()
    seconds = float("nan")
    with subprocess.Popen(
        [*command, "run", SPEC, "--seeds", "1", "--json"],
        env=environment,
        cwd=workspace.CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] in ("step", "record") and seconds != seconds:
                seconds = time.perf_counter() - began
    return seconds


if __name__ == "__main__":
    print(json.dumps(_told(float(sys.argv[1]))))
