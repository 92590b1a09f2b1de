# SPDX-License-Identifier: Apache-2.0
"""The table of cells as CSV, JSON and Parquet, with full precision and in words that sort."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from leaderboard.board import cell as cells
from leaderboard.board import interval, score, settings, theorem

GROUP = 5000
"""Lines of a row group."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")

TEXTS: dict[str, Callable[[cells.Cell], object]] = {
    "suite": lambda cell: cell.first.suite,
    "spec": lambda cell: cell.first.spec,
    "cell_id": lambda cell: cell.first.cell_id,
    "label": lambda cell: cell.first.label,
    "family": lambda cell: cell.first.part("model")["family"],
    "activation": lambda cell: settings.activation(cell.first) or None,
    "dataset": lambda cell: cell.first.dataset.name,
    "parameters": lambda cell: cell.first.parameters,
    "optimizer": lambda cell: settings.optimizer(cell.first),
    "learning_rate": lambda cell: settings.learning_rate(cell.first),
    "curvature": lambda cell: cell.first.curvature,
    "seeds_asked": lambda cell: cell.seeds,
    "seeds_ended": lambda cell: len(cell.ended),
    "seeds_diverged": lambda cell: cells.diverged(cell)[0],
    "verdict": cells.verdict,
    "failure_probability": lambda cell: sum(map(theorem.failure, cell.runs)),
    "theorem": lambda cell: known.covered if (known := theorem.known(cell.first)) else None,
    "one_piece": lambda cell: known.one_piece if (known := theorem.known(cell.first)) else None,
    "target_met": lambda cell: found.hits if (found := score.hits(cell, "target")) else None,
    "target_of": lambda cell: found.trials if (found := score.hits(cell, "target")) else None,
    "global_minimum": lambda cell: found.hits if (found := score.hits(cell, "minimum")) else None,
    "global_minimum_of": lambda cell: found.trials if (found := score.hits(cell, "minimum")) else None,
    "near_infimum": lambda cell: found.hits if (found := score.hits(cell, "infimum")) else None,
    "near_infimum_of": lambda cell: found.trials if (found := score.hits(cell, "infimum")) else None,
    "learned_nothing": lambda cell: sum(bool(cells.unlearned(run)) for run in cell.runs),
    "gradients_to_target": lambda cell: found.value if (found := score.runtime(cell)) else None,
    "escaped": lambda cell: found.left.hits if (found := score.escape(cell)) else None,
    "escaped_of": lambda cell: found.left.trials if (found := score.escape(cell)) else None,
    "trust": score.trust,
    "margin_error": lambda cell: cells.margin(cell)[1],
    "checkpoints_least": lambda cell: cells.checkpoints(cell)[0],
    "checkpoints_greatest": lambda cell: cells.checkpoints(cell)[1],
}
WHOLE = {
    **dict.fromkeys(("parameters", "seeds_asked", "seeds_ended", "seeds_diverged", "learned_nothing"), "int"),
    **dict.fromkeys(("target_met", "target_of", "global_minimum", "global_minimum_of"), "int"),
    **dict.fromkeys(("near_infimum", "near_infimum_of"), "int"),
    **dict.fromkeys(("escaped", "escaped_of", "checkpoints_least", "checkpoints_greatest"), "int"),
    "one_piece": "bool",
}
"""What is no text, and no number that can be between two whole ones."""

REAL = {"margin_error", "gradients_to_target", "failure_probability"}


def _lower(cell: cells.Cell) -> interval.Spread:
    """Returns the seeds' lower ends of the margin: the lower bound, or the value less its error bar."""
    found = [margin for run in cell.ended if (margin := cells.margin_of(run)) is not None]
    return interval.spread([one.value - (one.error or 0.0) if one.lower is None else one.lower for one in found])


SPREADS: dict[str, Callable[[cells.Cell], interval.Spread]] = {
    "eta": cells.eta,
    "eta_lambda_start": lambda cell: cells.at_start(cell, "eta_sharpness"),
    "margin": lambda cell: cells.margin(cell)[0],
    "margin_lower": _lower,
    "count_changes": lambda cell: cells.changes(cell.ended, "all"),
    "crossings": lambda cell: cells.changes(cell.ended, "crossings"),
    "jumps": lambda cell: cells.changes(cell.ended, "jumps"),
    "changes_unresolved": lambda cell: cells.changes(cell.ended, "unresolved"),
    "loss_gap_end": cells.loss_gap,
    "eta_lambda_end": lambda cell: cells.at_end(cell, "eta_sharpness"),
    "closest_over_null": lambda cell: cells.over_run(cell, "closest_over_null"),
    "crossing_p": lambda cell: cells.over_run(cell, "crossing_p"),
    "episodes": lambda cell: cells.over_run(cell, "episodes"),
    "edge_time": score.edge_time,
    "exponent": lambda cell: found.spread if (found := score.exponent(cell)) else interval.Spread(None, []),
    "accuracy_end": lambda cell: cells.at_end(cell, "train_accuracy"),
}


def row(cell: cells.Cell) -> list[object]:
    """Returns the line of a cell: texts, then median, least and greatest of each number; None where there is none."""
    found: list[object] = [value(cell) for value in TEXTS.values()]
    for spread in SPREADS.values():
        median, values = spread(cell)
        found += [median, min(values, default=None), max(values, default=None)]
    return found


def to_csv(rows: Iterable[list[object]]) -> Iterator[bytes]:
    """Yields one line per cell."""
    head: list[object] = [*_names()]
    for line in itertools.chain([head], rows):
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="\r\n").writerow(["" if item is None else inert(str(item)) for item in line])
        yield buffer.getvalue().encode()


def to_json(rows: Iterable[list[object]]) -> Iterator[bytes]:
    """Yields the same as a list of objects; an infinite number is null, as in export.json."""
    begin = "[\n"
    for line in rows:
        plain = dict(zip(_names(), map(_finite, line), strict=True))
        yield (begin + json.dumps(plain, allow_nan=False, ensure_ascii=False, indent=0)).encode()
        begin = ",\n"
    yield b"[]\n" if begin == "[\n" else b"\n]\n"


def to_parquet(rows: Iterable[list[object]], target: BinaryIO) -> None:
    """Writes the same as a Parquet file, compressed by zstd, GROUP lines at a time; infinite numbers stay."""
    import pyarrow as pa
    from pyarrow import parquet

    names, lines = _names(), iter(rows)
    texts = {"int": pa.int64(), "bool": pa.bool_()}
    kinds: dict[str, Any] = dict.fromkeys(names, pa.float64()) | dict.fromkeys(set(TEXTS) - REAL, pa.string())
    kinds |= {name: texts[kind] for name, kind in WHOLE.items()}
    schema = pa.schema([(name, kinds[name]) for name in names])
    with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
        group = list(itertools.islice(lines, GROUP))
        while True:  # a board without cells has one empty group
            columns = [pa.array([line[at] for line in group], kinds[name]) for at, name in enumerate(names)]
            writer.write_table(pa.table(columns, schema))
            if not (group := list(itertools.islice(lines, GROUP))):
                return


def _names() -> list[str]:
    return [*TEXTS, *(f"{name}_{kind}" for name in SPREADS for kind in ("median", "least", "greatest"))]


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def inert(value: str) -> str:
    """Returns `value` as a spreadsheet shows it: text that would start a formula gets a leading apostrophe."""
    if not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return "'" + value
    return value
