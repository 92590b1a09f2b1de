# SPDX-License-Identifier: Apache-2.0
"""Comparing in the terminal: the settings in which runs differ, where they ended, and their curves in a line each.

A column is a run, or all seeds of a cell. Runs are looked for in the run folders here, then in the store.
"""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness import errors, metrics, workspace
from harness.records import run_folder, traces
from leaderboard.board import cell as cells
from leaderboard.board import entries, interval, number
from leaderboard.export import document, from_store, parsing, tracing

MOST = 8
"""Columns, at most."""

LEAST = 4
"""Characters of a name, at least."""

CURVES = ("loss", "eta_sharpness", "sigma_min")
LOGARITHMIC = frozenset({"loss", "sigma_min"})
ENDS = (
    "loss", "loss_gap", "grad_norm", "train_accuracy", "eta_sharpness", "sharpness", "lambda_min", "sigma_min",
    "log_abs_det", "n_above_inv_eta",
)  # fmt: skip
TRACED = ("trace_points", "trace_crossings", "trace_missed", "trace_compared", "trace_closest", "trace_batch_sharpness")
"""What is told of whole runs that have a trace."""

BLOCKS = "▁▂▃▄▅▆▇█"
MISSING = "·"
WIDTH = 24


def columns_of(names: Sequence[str], uri: str) -> list[cells.Cell]:
    """Returns the columns that some names stand for: run_ids or cell_ids, or beginnings that only one of them has.

    Args:
        names: At most MOST.
        uri: The store to look in for what has no run folder here.

    Raises:
        errors.InputError: A name is nothing's or several things' beginning, or the run it names has no result yet.
    """
    if len(names) > MOST:
        raise errors.InputError(f"{len(names)} runs are too many for one table; at most {MOST} stand side by side")
    folders = sorted(workspace.runs().glob("*/*-s*"))
    in_folders = {folder.name: folder for folder in folders if (folder / "run.json").is_file()}
    in_store = {} if all(_run_ids(name, in_folders) for name in names) else from_store.unread_runs(uri)
    return [_column(name, in_folders, in_store) for name in names]


def settings(columns: Sequence[cells.Cell]) -> dict[str, list[str]]:
    """Returns the settings in which columns differ: dotted path -> one value for each column."""
    flat = [dict(_flat(_settings(column))) for column in columns]
    paths = dict.fromkeys(path for known in flat for path in known)
    values = {path: [_shown(known.get(path)) for known in flat] for path in paths}
    return {path: row for path, row in values.items() if len(set(row)) > 1}


def settings_of(run: document.Run) -> dict[str, str]:
    """Returns all settings of a run: dotted path -> value, as `settings` prints it."""
    return {path: _shown(value) for path, value in _flat(_settings(cells.Cell((run,))))}


def ends(columns: Sequence[cells.Cell]) -> dict[str, list[str]]:
    """Returns what columns show at their last checkpoint, and their traces: label -> a number, or its seeds' range."""
    rows = {"status": [_words(run.status for run in column.runs) for column in columns]}
    rows["verdict"] = [_words(run.verdict for run in column.runs) for column in columns]
    rows["ended at"] = [_words(run.end and run.end.point for run in column.runs) for column in columns]
    if any(run.part("target") for column in columns for run in column.runs):
        rows["target"] = [_words(_target(run) for run in column.runs) for column in columns]
    for name in ENDS:
        row = [_end(column, name) for column in columns]
        if any(shown != number.MISSING for shown in row):
            rows[metrics.METRICS[name].label] = row
    for name in TRACED if any(run.trace for column in columns for run in column.runs) else ():
        row = [_together(column, name) for column in columns]
        if any(shown != number.MISSING for shown in row):
            rows[metrics.METRICS[name].label] = row
    return rows


def _together(column: cells.Cell, name: str) -> str:
    """Returns a number of the whole run: with error bar and bound of one run, median and range of more."""
    metric = metrics.METRICS[name]
    if len(column.runs) == 1:
        said = column.first.summary if column.first.trace else {}
        return entries.shown_metric(name, said.get(name), said.get(metric.error or ""), metric.bound)
    return _spread([run.summary.get(name) if run.trace else None for run in column.ended])


def _target(run: document.Run) -> str | None:
    """Returns whether a run met the target of its spec; None without one."""
    if not run.part("target"):
        return None
    return "missed" if run.reached_at is None else "met"


def curves(columns: Sequence[cells.Cell]) -> dict[str, list[str]]:
    """Returns the curves of each column's first run: label -> a line of blocks, on one scale for all columns."""
    rows = {}
    for name in CURVES:
        logarithmic = name in LOGARITHMIC
        drawn = [[_scaled(value, logarithmic=logarithmic) for value in _curve(column, name)] for column in columns]
        known = [value for values in drawn for value in values if value is not None]
        if known:
            label = f"{metrics.METRICS[name].label}{' (log)' if logarithmic else ''}"
            rows[label] = [sparkline(values, min(known), max(known)) for values in drawn]
    return rows


def sparkline(values: Sequence[float | None], low: float, high: float) -> str:
    """Draws values between two bounds in at most WIDTH blocks, the last value always among them."""
    if not values:
        return number.MISSING
    count = min(len(values), WIDTH)
    chosen = [values[round(i * (len(values) - 1) / max(count - 1, 1))] for i in range(count)]
    return "".join(_block(value, low, high) for value in chosen)


def as_json(columns: Sequence[cells.Cell]) -> str:
    """Returns everything as JSON: of each run its settings, its steps and all its curves."""
    about = {"run_id", "suite", "label", "seed", "status", "eta", "cell", "steps", "curves"}
    told = about | {"verdict", "doubt", "failure_probability"}
    runs = [run.model_dump(mode="json", include=told) for column in columns for run in column.runs]
    return json.dumps({"differ": settings(columns), "runs": runs}, ensure_ascii=False, indent=1, allow_nan=False)


def title(column: cells.Cell) -> str:
    """Returns the head of a column: its label, and its seed or how many it has."""
    run = column.first
    alone = len(column.runs) == 1
    which = (f"seed {run.seed}", run.run_id) if alone else (f"{len(column.runs)} seeds", run.cell_id)
    return "\n".join([run.label, *which])


def _run_ids(name: str, ids: Iterable[str]) -> list[str]:
    """Returns the run_ids that a name stands for: one run, or all seeds of one cell; several cells are ambiguous."""
    if name in ids:
        return [name]
    return [run_id for run_id in ids if run_id.startswith(name)] if len(name) >= LEAST else []


def _column(
    name: str, in_folders: Mapping[str, pathlib.Path], in_store: Mapping[str, from_store.UnreadRun]
) -> cells.Cell:
    known = {**in_store, **in_folders}
    run_ids = _run_ids(name, in_folders) or _run_ids(name, in_store)
    owners = sorted({run_id.rpartition("-s")[0] for run_id in run_ids})
    if not run_ids:
        near = errors.nearest(name, [*known, *{run_id.rpartition("-s")[0] for run_id in known}])
        raise errors.InputError(
            f"there is no run or configuration '{name}' in {workspace.runs()} or in the store{near}; "
            f"a name is a run_id (`0123456789ab-s0`), a cell_id, or at least {LEAST} characters of one; "
            "the board and MLflow show them"
        )
    if len(owners) > 1:
        raise errors.InputError(
            f"'{name}' begins {len(owners)} configurations: {', '.join(owners[:5])}; write more of it"
        )
    runs = [_read(run_id, in_folders, in_store) for run_id in run_ids]
    return cells.Cell(tuple(sorted(runs, key=lambda run: run.seed)))


def _read(
    run_id: str, in_folders: Mapping[str, pathlib.Path], in_store: Mapping[str, from_store.UnreadRun]
) -> document.Run:
    if run_id not in in_folders:
        return in_store[run_id].read()
    folder = in_folders[run_id]
    facts = {**(run_folder.read_plain(folder) or {}), "status": run_folder.status(folder)}
    if facts["status"] == "running":
        raise errors.InputError(f"run {run_id} is still going on; compare it when it has ended")
    try:
        texts = [(folder / name).read_text(encoding="utf-8") for name in ("records.jsonl", "cell.yaml")]
        points, seen = run_folder.read_trace(folder), run_folder.read_steps(folder)
        run = parsing.parse_run(json.dumps(facts), *texts)
        return tracing.with_trace(run, traces.fitting(points), traces.fitting_steps(seen))
    except (OSError, ValueError) as error:
        raise errors.InputError(f"run {run_id} cannot be read: {error}") from error


def _settings(column: cells.Cell) -> dict[str, Any]:
    """Returns what a column was run with; the seed and the step size only where it is one run."""
    run = column.first
    alone = {"seed": run.seed, "η": run.eta} if len(column.runs) == 1 else {}
    where = {"device": run.device, "commit": run.commit and run.commit[:12], "versions": run.versions}
    return {**run.cell, "suite": run.suite, **alone, "parameters": run.parameters, **where}


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inside in value.items():
            yield from _flat(inside, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return number.show(value)
    return (
        number.MISSING if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )


def _words(values: Any) -> str:
    """Returns the one word of all seeds, or each word with how many have it."""
    known = [value for value in values if value]
    counted = {word: known.count(word) for word in dict.fromkeys(known)}
    if len(counted) < 2:
        return next(iter(counted), number.MISSING)
    return ", ".join(f"{count} {word}" for word, count in counted.items())


def _end(column: cells.Cell, name: str) -> str:
    """Returns the last value of a metric: with its error bar for one run, the median and range of the seeds else."""
    if len(column.runs) == 1:
        run = column.first
        if name == "sigma_min":
            return _sigma(run)
        bound = metrics.METRICS[name].bound if run.curvature == "lanczos" else ""
        return entries.shown_metric(name, cells.at(run, name, -1), cells.error_bar(run, name, -1), bound)
    return _spread([cells.at(run, name, -1) for run in column.ended])


def _spread(values: list[float | None]) -> str:
    """Returns the median of some values and their range."""
    spread = interval.spread(values)
    middle = number.show(spread.median)
    span = number.show_range(spread.values, middle)
    return f"{middle} [{span}]" if span else middle


def _sigma(run: document.Run) -> str:
    """Returns sigma_min at the last checkpoint: with its error bar, or the interval that is known."""
    value, lower = (cells.at(run, name, -1) for name in ("sigma_min", "sigma_min_lower"))
    if value is None:
        return number.MISSING
    partial = run.curvature == "lanczos"
    found = cells.Margin(value, cells.error_bar(run, "sigma_min", -1), 0, lower if partial else None)
    return entries.shown_margin(found, metrics.METRICS["sigma_min"].bound if partial else "")


def _curve(column: cells.Cell, name: str) -> Sequence[float | None]:
    return column.first.curves.get(name, ())


def _scaled(value: float | None, *, logarithmic: bool) -> float | None:
    if value is None or not logarithmic:
        return value
    return math.log10(value) if value > 0 else None


def _block(value: float | None, low: float, high: float) -> str:
    if value is None:
        return MISSING
    share = 0.5 if high == low else (value - low) / (high - low)
    return BLOCKS[min(int(share * len(BLOCKS)), len(BLOCKS) - 1)]
