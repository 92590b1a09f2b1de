# SPDX-License-Identifier: Apache-2.0
"""The table of cells as a CSV file, with full precision and in words that sort."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from leaderboard import cell as cells
from leaderboard import document, interval, table, theorem

FORMULA = ("=", "+", "-", "@", "\t", "\r")

TEXTS: dict[str, Callable[[cells.Cell], object]] = {
    "suite": lambda cell: cell.first.suite,
    "spec": lambda cell: cell.first.spec,
    "cell_id": lambda cell: cell.first.cell_id,
    "label": lambda cell: cell.first.label,
    "family": lambda cell: cell.first.part("model")["family"],
    "activation": lambda cell: table.activation(cell.first) or None,
    "dataset": lambda cell: cell.first.dataset.name,
    "parameters": lambda cell: cell.first.parameters,
    "optimizer": lambda cell: table.optimizer(cell.first),
    "learning_rate": lambda cell: table.learning_rate(cell.first),
    "curvature": lambda cell: cell.first.curvature,
    "seeds_asked": lambda cell: cell.seeds,
    "seeds_ended": lambda cell: len(cell.ended),
    "seeds_diverged": lambda cell: cells.diverged(cell)[0],
    "verdict": cells.verdict,
    "theorem": lambda cell: known.covered if (known := theorem.known(cell.first)) else None,
    "one_piece": lambda cell: known.one_piece if (known := theorem.known(cell.first)) else None,
    "margin_error": lambda cell: cells.margin(cell)[1],
    "checkpoints_least": lambda cell: cells.checkpoints(cell)[0],
    "checkpoints_greatest": lambda cell: cells.checkpoints(cell)[1],
}
SPREADS: dict[str, Callable[[cells.Cell], interval.Spread]] = {
    "eta": cells.eta,
    "eta_lambda_start": lambda cell: cells.at_start(cell, "eta_sharpness"),
    "margin": lambda cell: cells.margin(cell)[0],
    "fold_crossings": cells.fold_crossings,
    "loss_gap_end": cells.loss_gap,
    "eta_lambda_end": lambda cell: cells.at_end(cell, "eta_sharpness"),
    "accuracy_end": lambda cell: cells.at_end(cell, "train_accuracy"),
}


def to_csv(export: document.Export) -> bytes:
    """Returns one line per cell: texts, then median, least and greatest of each number; empty where there is none."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow([*TEXTS, *(f"{name}_{kind}" for name in SPREADS for kind in ("median", "least", "greatest"))])
    for cell in cells.cells(export):
        row = [value(cell) for value in TEXTS.values()]
        for spread in SPREADS.values():
            median, values = spread(cell)
            row += [median, min(values, default=None), max(values, default=None)]
        writer.writerow(["" if item is None else inert(str(item)) for item in row])
    return buffer.getvalue().encode()


def inert(value: str) -> str:
    """Returns `value` as a spreadsheet shows it: text that would start a formula gets a leading apostrophe."""
    if not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return "'" + value
    return value
