# SPDX-License-Identifier: Apache-2.0
"""A board made by formula: dense and Lanczos cells, one diverged, one cut off, one failed, one hostile."""

from __future__ import annotations

import contextlib
import json
import math
import pathlib
import random
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from harness import workspace
from harness.config import canonical
from harness.tracking import client
from leaderboard.board import cell as cells
from leaderboard.export import document, parsing, text, tracing
from leaderboard.export import from_store as exporting

STEPS = (0, 1, 2, 3, 5, 8, 12, 19, 29, 44, 67, 102, 154, 233, 300)
HOSTILE = (
    "</script><img src=x onerror=alert(1)> \"><svg onload=alert(2)> javascript:alert(3) {{7*7}} "
    "\u2028__proto__ \u202egnp.exe\u202c \x1b[31m /home/someone/secret.txt"
)  # fmt: skip


def facts(name: str = "mlp", seed: int = 0, **changes: Any) -> dict[str, Any]:
    """Returns what run.json says of one seed of the cell `name`; `cell` and `dataset` changes are merged in."""
    cell: dict[str, Any] = {
        "data": {"name": "digits", "examples": 100 + zlib.crc32(name.encode()) % 1000},
        "model": {"family": "mlp", "hidden": [16, 16], "activation": "relu"},
        "loss": {"name": "half_mse"},
        "start": {"name": "random"},
        "optimizer": {"name": "gd", "learning_rate": {"eta_lambda": 1.5}},
        "steps": 300,
        "checkpoints": 15,
        "precision": "float32",
        "curvature": "auto",
    }
    dataset: dict[str, Any] = {
        "name": "digits",
        "version": "1.0.0",
        "split": "train[:512]",
        "examples": 512,
        "shape": [8, 8, 1],
        "classes": 10,
        "sha256": "5f" * 32,
        "licence": "CC BY 4.0",
    }
    cell |= changes.pop("cell", {})
    spec_hash = canonical.sha256({"schema": 1, **cell}, "gdzoo-cell-v1\n")
    run: dict[str, Any] = {
        "schema": 1,
        "run_id": f"{spec_hash[:12]}-s{seed}",
        "cell_id": spec_hash[:12],
        "spec_hash": spec_hash,
        "suite": "quickstart",
        "spec": "mlp",
        "label": "mlp · activation=relu",
        "title": "MLP on digits, full-batch gradient descent",
        "source": None,
        "seed": seed,
        "seeds": 3,
        "status": "finished",
        "diverged_at": None,
        "verdict": "invertible",
        "eta": 0.25 * (1 + seed / 10),
        "parameters": 1482,
        "examples": 512,
        "curvature": "dense",
        "device": "cpu x86_64",
        "precision": "float32",
        "command": "gdzoo run specs/quickstart/mlp.yaml",
        "started": f"2026-11-22T10:0{seed % 10}:00Z",
        "seconds": 12.5,
        "versions": {"python": "3.11.7", "jax": "0.10.0"},
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": False,
        "dataset": dataset | changes.pop("dataset", {}),
        "cell": cell,
    }
    return run | changes


def records(run: dict[str, Any], *, steps: tuple[int, ...] = STEPS, phase: float = 0.0) -> str:
    """Returns the lines of records.jsonl: the loss falls, the sharpness climbs to 2/eta and stays."""
    eta = run["eta"] or 1.0
    lines = []
    for step in steps:
        climb = 1 - math.exp(-step / 40)
        product = 1.5 + (0.5 + 0.04 * math.sin(step + phase)) * climb
        margin = 0.02 + 0.3 * math.exp(-step / 60) * abs(math.cos(step * 1.7 + phase + run["seed"]))
        values = {
            "loss": 0.45 * math.exp(-step / 50) + 0.002,
            "loss_gap": 0.45 * math.exp(-step / 50) + 0.002,
            "grad_norm": 0.3 * math.exp(-step / 80),
            "train_accuracy": 0.1 + 0.9 * climb,
            "sharpness": product / eta,
            "sharpness_error": 2e-14,
            "eta_sharpness": product,
            "lambda_min": -0.4 * math.exp(-step / 90),
            "lambda_min_error": 2e-14,
            "sigma_min": margin,
            "sigma_min_error": margin / 8 if run["curvature"] == "lanczos" else 3e-15,
            "log_abs_det": -3.0 - climb,
            "log_abs_det_error": 0.02,
            "n_above_inv_eta": 1 + round(3 * climb + math.sin(step + phase)),
            "n_above_two_inv_eta": round(climb),
            "n_negative": 40 - round(20 * climb),
        }
        lines.append(json.dumps({"step": step, "values": values}) + "\n")
    return "".join(lines)


def cell_yaml(run: dict[str, Any]) -> str:
    """Returns a resolved spec in YAML (JSON is YAML)."""
    title = text.clean(run["title"])
    return json.dumps({"schema": 1, "title": title, **run["cell"], "seeds": run["seeds"]}, indent=2) + "\n"


def folder(root: pathlib.Path, name: str = "mlp", seed: int = 0, **changes: Any) -> pathlib.Path:
    """Writes a run folder below `root`, as harness/records/run_folder.py does, and returns it."""
    said = facts(name, seed, **changes)
    said["dataset"]["citation"] = "a paper"
    said["theory"] = {"covered": "theorem 1", "one_piece": False, "bad_steps": []}
    made = root / said["suite"] / said["run_id"]
    made.mkdir(parents=True)
    (made / "cell.yaml").write_text(cell_yaml(said), encoding="utf-8")
    (made / "records.jsonl").write_text(records(said, phase=len(name)), encoding="utf-8")
    (made / "run.json").write_text(json.dumps(said), encoding="utf-8")
    return made


WRITER = """
import pathlib, sys
from harness.tracking import client, upload
opened = client.open_store(sys.argv[1])
for folder in sys.argv[2:]:
    upload.upload(opened, pathlib.Path(folder))
"""
KILLED = """
import os, pathlib, sys
from harness.tracking import client, points, upload
opened = client.open_store(sys.argv[1])
calls = []
def counted(real):
    def call(*arguments, **more):
        real(*arguments, **more)
        calls.append(1)
        if len(calls) == int(sys.argv[3]):
            os._exit(9)
    return call
opened.client.log_batch, points.write = counted(opened.client.log_batch), counted(points.write)
upload.upload(opened, pathlib.Path(sys.argv[2]))
"""


def write_at_once(uri: str, root: pathlib.Path, writers: int) -> None:
    """Has many processes send at once, each a run of its own and all of them one more, and asserts that all is there.

    Every point of every run once, none lost, none doubled.
    """
    folders = [folder(root, cell={"steps": 1000 + number}) for number in range(writers)]
    shared = folder(root, "shared")
    with contextlib.ExitStack() as running:
        started = [running.enter_context(_program(WRITER, uri, own, shared)) for own in folders]
        assert [process.wait() for process in started] == [0] * writers
    found = exporting.read(uri).runs
    assert sorted(run.run_id for run in found) == sorted(made.name for made in (*folders, shared))
    opened = client.open_store(uri)
    for run in opened.client.search_runs([client.experiment_id(opened, "quickstart")], max_results=writers + 1):
        history = opened.client.get_metric_history(run.info.run_id, "train/loss")
        assert [point.step for point in history] == list(STEPS), "no point lost, none doubled"


def write_and_be_killed(uri: str, made: pathlib.Path, calls: int) -> None:
    """Has a process send a run and end, as if killed, after what a call wrote: first its tags, then its points."""
    with _program(KILLED, uri, made, calls) as process:
        assert process.wait() == 9


def _program(text: str, *arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", text, *map(str, arguments)], cwd=workspace.CHECKOUT)


def trace(
    run: dict[str, Any], *, top: int = 3, steps: Sequence[int] = tuple(range(301)), missed: Sequence[int] = ()
) -> tuple[str, str]:
    """Returns trace.jsonl and steps.csv of a run by formula: from step 10 on its eigenvalues rise past 1/eta in turn.

    Eigenvalue i is at (0.9 - i / 2) / eta before, and rises by 1 / eta until step 300; `missed` are steps at which a
    survey found one more.
    """
    points = []
    for step in steps:
        rise = max(step - 10, 0) / 290
        batch = {"batch_sharpness": (1 + rise) / run["eta"], "batch_sharpness_error": 0.1 / run["eta"]}
        plain = {
            "step": step,
            "eta": run["eta"],
            **{"loss": 0.5 * 0.99**step, "grad_norm": 0.1, "from_start": 0.01 * step, "from_last": 0.01},
            **(batch if run["cell"]["optimizer"]["name"] == "sgd" else {}),
            "values": [*((0.9 - i / 2 + rise) / run["eta"] for i in range(top)), -0.1 / run["eta"]],
            "errors": [*(0.05 / run["eta"] for _ in range(top)), 1e-6],
            "products": 10,
        }
        if step in (*STEPS, *missed):
            plain |= {"missed": int(step in missed), "least_missed": False}
        points.append(json.dumps(plain) + "\n")
    seen = [f"{step},{0.5 * 0.99**step * (1 + 0.1 * (-1) ** step)},0.1\n" for step in range(300)]
    return "".join(points), "step,loss,grad_norm\n" + "".join(seen)


def traced(seed: int = 0, *, missed: Sequence[int] = (), top: int = 3, **changes: Any) -> document.Run:
    """Returns a checked run of a cell that asks for a trace, with one."""
    asked = {"trace": {"top": top, "every": 1}, **changes.pop("cell", {})}
    model = {"model": {"family": "mlp", "hidden": [16, 16], "activation": "gelu"}}
    said = facts("traced", seed, label="traced", cell=model | asked, **changes)
    known = parsing.parse_run(json.dumps(said), records(said), cell_yaml(said))
    return tracing.with_trace(known, *trace(said, missed=missed, top=top))


def run(name: str = "mlp", seed: int = 0, *, steps: tuple[int, ...] = STEPS, **changes: Any) -> document.Run:
    """Returns a checked run."""
    said = facts(name, seed, **changes)
    return parsing.parse_run(json.dumps(said), records(said, steps=steps, phase=len(name)), cell_yaml(said))


def run_of_rows(seed: int, rows: Sequence[dict[str, Any]], *, every: int = 100, **changes: Any) -> document.Run:
    """Returns a checked run of the cell `hand` with exactly these records, so many steps apart."""
    said = facts("hand", seed, **changes)
    lines = [json.dumps({"step": every * at, "values": row}) for at, row in enumerate(rows)]
    return parsing.parse_run(json.dumps(said), "\n".join(lines), cell_yaml(said))


def run_of_curves(seed: int, curves: dict[str, list[Any]], **changes: Any) -> document.Run:
    """Returns a checked run of the cell `hand` with exactly these curves, at steps 0, 1, 2, ..."""
    count = len(next(iter(curves.values()), []))
    rows = [{name: values[at] for name, values in curves.items()} for at in range(count)]
    return run_of_rows(seed, rows, every=1, **changes)


def cell_of_ends(ends: Sequence[str | None], **changes: Any) -> cells.Cell:
    """Returns a cell whose seeds took 100 steps and ended at these points."""
    plain = [{"loss": 1.0}, {"loss": 0.5}]
    points = [{"end": {"point": end, "because": {}}} for end in ends]
    return cells.Cell(tuple(run_of_rows(seed, plain, **end, **changes) for seed, end in enumerate(points)))


def cell_with_target(*reached: int | None) -> cells.Cell:
    """Returns a cell with a target, whose seeds met it at these steps or missed it in 100, nowhere stationary."""
    target = {"target": {"loss_gap": 0.2}}
    end = {"point": "not stationary", "because": {}}
    plain = [{"loss": 1.0, "eta_sharpness": 1.0}, {"loss": 0.5, "eta_sharpness": 1.0}]
    runs = [run_of_rows(seed, plain, cell=target, end=end, reached_at=at) for seed, at in enumerate(reached)]
    return cells.Cell(tuple(runs))


def board_of(runs: Sequence[document.Run]) -> document.Export:
    """Returns a board of these runs."""
    suites = [document.Suite(name=name, note="") for name in sorted({run.suite for run in runs})]
    return document.compose(suites, list(runs))


def export() -> document.Export:
    """Returns the sample board: eight cells in two suites."""
    gelu = {"model": {"family": "mlp", "hidden": [16, 16], "activation": "gelu"}}
    vgg = {"model": {"family": "vgg", "stages": [[4, 4], [8, 8]], "activation": "relu"}}
    vit = {"model": {"family": "vit", "patch": 2, "width": 12, "depth": 1, "heads": 2, "activation": "gelu"}}
    sgd = {"optimizer": {"name": "sgd", "learning_rate": 0.1, "batch_size": 64}}
    fast = {"optimizer": {"name": "gd", "learning_rate": {"eta_lambda": 8}}}
    mark: dict[str, Any] = dict.fromkeys(("label", "title", "source", "device", "command"), HOSTILE)
    mark["left_out"] = {"sweep": HOSTILE}
    known = {
        "start.loss": 0.452,
        "start.n_above_inv_eta": 1 + round(math.sin(3)),
        "end.sigma_min": 0.0,
        "verdict": "invertible",
    }
    runs = [run("mlp", seed, **({} if seed else {"expected": known})) for seed in range(3)]
    runs += [run("gelu", seed, label="mlp · activation=gelu", cell=gelu) for seed in range(2)]
    runs += [
        run("gelu", 2, label="mlp · activation=gelu", cell=gelu, status="interrupted", steps=STEPS[:6], verdict=None)
    ]
    runs += [run("sgd", s, spec="mlp-sgd", label="mlp-sgd", cell=sgd, verdict="undecided", eta=0.1) for s in range(3)]
    runs += [
        run("vgg", s, spec="vgg", label="vgg · activation=relu", cell=vgg, curvature="lanczos", verdict="undecided",
            parameters=13_402)
        for s in range(3)
    ]  # fmt: skip
    runs += [
        run(
            "vit",
            s,
            spec="vit",
            label="vit · activation=gelu",
            cell=vit,
            verdict="singular" if s == 1 else "invertible",
        )
        for s in range(3)
    ]
    runs += [
        run("fast", s, spec="fast", label="fast", cell=fast, eta=1.25, status="diverged" if s else "finished",
            diverged_at=9 if s else None, verdict="undecided", steps=STEPS[:6] if s else STEPS)
        for s in range(3)
    ]  # fmt: skip
    nothing: dict[str, Any] = {"status": "failed", "steps": (), "verdict": None, "eta": None}
    runs += [run("broken", 0, spec="broken", label="broken", **nothing)]
    runs += [run("hostile", 0, suite="strangers", spec="hostile", versions={"python": HOSTILE}, **mark)]
    suites = [
        document.Suite(
            name="quickstart", note="# Quickstart\nThree families on 8x8 digits, five minutes on two cores."
        ),
        document.Suite(name="strangers", note=HOSTILE),
    ]
    return document.compose(suites, runs)


def many(count: int, seeds: int = 1) -> document.Export:
    """Returns a board of so many cells of 64 specs, each number of it drawn, so that nothing repeats itself."""
    return document.compose([document.Suite(name="quickstart", note="Drawn.")], list(drawn(count, seeds)))


def drawn(count: int, seeds: int = 1) -> Iterator[document.Run]:
    """Yields the runs of `many`, one by one; the first seed of each cell is checked, the others are copies of it."""
    drawn = random.Random(0)
    names = [name for name, value in json.loads(records(facts()).splitlines()[0])["values"].items() if value]
    names += ["gap_above", "gap_below", "pl_ratio", "gradient_defect"]
    steps = range(0, 300, 6)
    for number in range(count):
        rate, spec = 2.0 ** drawn.randint(-4, 3), f"spec-{number % 64:02d}"
        cell = {
            "optimizer": {"name": "gd", "learning_rate": {"eta_lambda": rate}},
            "data": {"name": "digits", "examples": 100 + number},
        }
        first = None
        for seed in range(seeds):
            end = {"point": drawn.choice(["global minimum", "not stationary"]), "because": {"loss": 0.1}}
            said = {"eta": drawn.uniform(0.01, 3), "verdict": drawn.choice(["invertible", "undecided"])}
            rows = [{name: drawn.random() for name in names} for _ in steps]
            if first is None:
                label = f"{spec} · {rate} / λ"
                plain = facts(spec, seed, spec=spec, label=label, cell=cell, seeds=seeds, end=end, **said)
                lines = [json.dumps({"step": step, "values": row}) for step, row in zip(steps, rows, strict=True)]
                first = run = parsing.parse_run(json.dumps(plain), "\n".join(lines), cell_yaml(plain))
            else:
                run = first.model_copy(
                    update={
                        **said,
                        "run_id": f"{first.cell_id}-s{seed}",
                        "seed": seed,
                        "started": f"2026-11-22T10:0{seed % 10}:00Z",
                        "end": document.End(**end),
                        "curves": {name: tuple(row[name] for row in rows) for name in first.curves},
                    }
                )
            yield run
