# SPDX-License-Identifier: Apache-2.0
"""What of a run becomes a tag, a parameter, a data set or a point in MLflow; these functions only compute."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness import diagnostics, errors, metrics, records
from harness.records import statuses, traces, verdict
from harness.specs import grid
from harness.tracking.points import Point

STATUS = {
    "running": "RUNNING",
    "finished": "FINISHED",
    "diverged": "FINISHED",
    "interrupted": "KILLED",
    "failed": "FAILED",
}
"""MLflow's name of each status."""

MODEL_METRICS = ("loss", "train_accuracy", "grad_norm", "eta_sharpness", "sigma_min")
"""What a logged model says of itself, at the last record."""

MODEL_NAME = 200
"""Characters of a label that its name takes."""

MAX_SECONDS = 1e9
"""Longest that a run can have taken, in seconds; for run folders from elsewhere."""

Json = Mapping[str, Any]  # run.json, whose keys harness/records/run_folder.py writes


NAME = 250
"""Characters of the name of a run that every database holds (MLflow's tables)."""

VALUE = 6000
"""Characters of a parameter or tag that every database holds; MLflow takes 6,000 and 8,000."""


def cut(text: str, most: int) -> str:
    """Returns a text cut at so many characters; all of it stays in the run folder and in the artifact run.json."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def fault(run: Json) -> str:
    """Returns why the facts of a run cannot go into a store, what they lack or hold in another form; empty if they can.

    For runs that were not made here.
    """
    try:
        params(run), tags(run), dataset(run), milliseconds(run["started"])
        return "" if 0 <= run["seconds"] < MAX_SECONDS else f"it took {run['seconds']} seconds"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"{type(error).__name__}: {errors.first_line(error)}"


def run_name(run: Json) -> str:
    """Returns the name that MLflow shows for a run."""
    seed = f" · seed {run['seed']}"
    return f"{cut(run['label'], NAME - len(seed))}{seed}"


def tags(run: Json) -> dict[str, str]:
    """Returns what a run is grouped and found by."""
    known = {
        "gdzoo.cell": f"{run['label']} [{run['cell_id']}]",
        "gdzoo.cell_id": run["cell_id"],
        "gdzoo.run_id": run["run_id"],
        "gdzoo.spec_hash": run["spec_hash"],
        "gdzoo.suite": run["suite"],
        "gdzoo.spec": run["spec"],
        "gdzoo.status": run["status"],
        "gdzoo.verdict": run["verdict"],
        "gdzoo.end": (run.get("end") or {}).get("point"),
        "gdzoo.theorem": run["theory"]["covered"],
        "gdzoo.one_piece": run["theory"]["one_piece"],
        "gdzoo.bad_steps": json.dumps([bad["eta"] for bad in run["theory"]["bad_steps"]]),
        "gdzoo.curvature": run["curvature"],
        "gdzoo.left_out": json.dumps(run["left_out"], ensure_ascii=False) if "left_out" in run else None,
        "gdzoo.device": run["device"],
        "gdzoo.precision": run["precision"],
        "gdzoo.versions": json.dumps(run["versions"], sort_keys=True),
        "gdzoo.diverged_at": run["diverged_at"],
        "gdzoo.reached_at": run.get("reached_at"),
        "gdzoo.target": _target(run),
        "gdzoo.reason": run.get("reason"),
        "mlflow.source.name": "gdzoo",
        "mlflow.source.git.commit": run["commit"],
        "mlflow.note.content": _sentence(run),
    }
    return {key: cut(str(value), VALUE) for key, value in known.items() if value is not None}


def _target(run: Json) -> str | None:
    """Returns whether a run met the target of its spec; None without one, or before it ended."""
    if not run["cell"].get("target") or run["status"] not in statuses.ENDED:
        return None
    return "missed" if run.get("reached_at") is None else "met"


def _sentence(run: Json) -> str:
    """Returns the one line that MLflow shows as the description of the run."""
    end = f"{run['status']} at step {run['diverged_at']}" if run["diverged_at"] is not None else run["status"]
    batch = " (with the full batch)" if run["cell"]["optimizer"].get("batch_size") else ""
    said = "" if run["verdict"] is None else f"; {verdict.SAID[verdict.current(run['verdict'])]}{batch}"
    met, point = _target(run), (run.get("end") or {}).get("point")
    end += f"; target {met}" if met else ""
    end += f"; ended at: {point}" if point and run["diverged_at"] is None else ""
    data = f"{run['examples']:,} examples of {run['dataset']['name']}"
    step_size = "" if run["eta"] is None else f", η = {run['eta']:.4g}"
    page = f"run/{run['suite']}/{run['run_id']}.html"  # as leaderboard/site/pages.py names it
    label = cut(run["label"], VALUE // 2)
    what = f"{label}, seed {run['seed']}: {run['parameters']:,} parameters, {data}{step_size}; {end}{said}."
    return f"{what} On the board: {page}"


def params(run: Json) -> dict[str, str]:
    """Returns the few settings that a reader filters and compares by."""
    cell = run["cell"]
    rate, activation = cell["optimizer"]["learning_rate"], cell["model"].get("activation")
    settings = {
        "spec": run["spec"],
        "family": cell["model"]["family"],
        "activation": None if activation is None else grid.flow(activation),
        "dataset": cell["data"]["name"],
        "loss": cell["loss"]["name"],
        "weight_decay": cell["loss"].get("weight_decay") or None,
        "optimizer": cell["optimizer"]["name"],
        "learning_rate": f"{_digits(rate['eta_lambda'])} / λ_max(0)" if isinstance(rate, Mapping) else repr(rate),
        "eta": None if run["eta"] is None else repr(run["eta"]),
        "batch_size": cell["optimizer"].get("batch_size") or "full",
        "parameters": run["parameters"],
        "seed": run["seed"],
        "steps": cell["steps"],
    }
    return {key: cut(str(value), VALUE) for key, value in settings.items() if value is not None}


def _digits(number: float) -> str:
    """Returns all digits of a number, without a point where it needs none."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def dataset(run: Json) -> dict[str, str]:
    """Returns the fields of the data set of a run, which fills the column "Dataset" and can be grouped by."""
    data = run["dataset"]
    source = {key: data[key] for key in ("name", "sha256", "licence", "citation")}
    profile = {"num_rows": data["examples"], "shape": data["shape"], "classes": data["classes"]}
    return {
        "name": f"{data['name']}:{data['version']}[{data['split']}]",
        "digest": data["sha256"][:8],
        "source_type": "gdzoo",
        "source": json.dumps(source),
        "profile": json.dumps(profile),
    }


def model_name(run: Json) -> str:
    """Returns the name of the logged model of a run, without the characters that MLflow refuses."""
    return re.sub(r"[/:.%\"']", "-", f"{run['label'][:MODEL_NAME]}-seed-{run['seed']}")


def model_tags(run: Json) -> dict[str, str]:
    """Returns what the logged model of a run is found by."""
    return {"gdzoo.run_id": run["run_id"], "gdzoo.cell_id": run["cell_id"], "gdzoo.suite": run["suite"]}


def points(
    recorded: Sequence[records.Record], started: int, one_piece: bool, trace: Sequence[traces.TracePoint] = ()
) -> list[Point]:
    """Returns every point of every curve, what they say together (`run/*`, `trace/*`), and `final/*` once.

    The latter is of step 0 (for bar charts), with the timestamp of the last record.

    Args:
        recorded: The records of a run, in order.
        started: When it was begun, in milliseconds since 1970.
        one_piece: Whether its risk is analytic everywhere.
        trace: Its trace points, in order.
    """
    found = [_point(name, value, started, step) for step, values in recorded for name, value in values.items()]
    for step, values in recorded[-1:]:
        together = diagnostics.summary(recorded, one_piece=one_piece, trace=trace)
        found += [_final(name, value, started + step) for name, value in values.items()]
        found += [_point(name, value, started, step) for name, value in together.items()]
    return found


def flow(trace: Sequence[traces.TracePoint], started: int) -> list[Point]:
    """Returns the curves of a trace: `flow/eta_lambda_1`, ... and `flow/eta_lambda_min`, at their own steps."""
    found = []
    for point in trace:
        names = [f"flow/eta_lambda_{rank}" for rank in range(1, len(point.values))] + ["flow/eta_lambda_min"]
        for name, value in zip(names, point.values, strict=True):
            found.append(Point(name, _finite(point.eta * value), started + point.step, point.step))
        if math.isfinite(point.batch_sharpness):
            sharpness = point.eta * point.batch_sharpness
            found.append(Point("flow/eta_batch_sharpness", sharpness, started + point.step, point.step))
    return found


def steps(seen: traces.Steps, started: int) -> list[Point]:
    """Returns the curves of what each step saw: `flow/loss` and `flow/grad_norm`."""
    return [
        Point(f"flow/{name}", value, started + step, step)
        for name, column in (("loss", seen.loss), ("grad_norm", seen.grad_norm))
        for step, value in zip(seen.step.tolist(), column.tolist(), strict=True)
    ]


def model_points(last: records.Record, started: int) -> list[Point]:
    """Returns what a logged model says of itself, which `points` has too: MODEL_METRICS of the last record."""
    return [_final(name, last.values[name], started + last.step) for name in MODEL_METRICS if name in last.values]


def usage(readings: Sequence[records.Record], started: int) -> list[Point]:
    """Returns what the process took of its machine, under the names that MLflow's page "System metrics" shows."""
    return [
        Point(f"system/{name}", _finite(value), started + step, step)
        for step, values in readings
        for name, value in values.items()
    ]


def milliseconds(moment: str) -> int:
    """Returns an ISO 8601 moment in milliseconds since 1970."""
    return round(1000 * datetime.datetime.fromisoformat(moment).timestamp())


def _point(name: str, value: float, started: int, step: int) -> Point:
    return Point(metrics.METRICS[name].key(name), _finite(value), started + step, step)


def _final(name: str, value: float, moment: int) -> Point:
    return Point(f"final/{name}", _finite(value), moment, 0)


def _finite(value: float) -> float:
    """Returns NaN for what is not finite: MLflow would store an infinite value as another number."""
    return value if math.isfinite(value) else math.nan
