# SPDX-License-Identifier: Apache-2.0
"""Figures: what each plot shows, and the small strips in the table.

A plot is described here and drawn by `assets/plot.js`; a strip is small enough to be drawn into the page itself.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

from harness import metrics, verdict
from leaderboard import cell as cells
from leaderboard import compare, document

CURVES = (
    "loss",
    "loss_gap",
    "sharpness",
    "sharpness_error",
    "eta_sharpness",
    "sigma_min",
    "sigma_min_error",
    "log_abs_det",
    "log_abs_det_error",
    "n_above_inv_eta",
    "grad_norm",
    "lambda_min",
    "lambda_min_error",
)


@dataclasses.dataclass(frozen=True)
class Plot:
    """One plot of curves over the steps.

    Attributes:
        title: Its heading.
        caption: What to see in it, in a sentence or two.
        metric: The METRICS name on the vertical axis.
        label: What the axis says.
        scale: `log` or `linear`.
        error: The METRICS name of the error bars; empty for none.
        lines: Horizontal reference lines, (value, label).
        floor: Whether the running minimum is drawn bold.
        near: Steps whose value is at most so many error bars get a mark at the foot; 0 for none.
        runs: The curves, (name of the run's data, label).
    """

    title: str
    caption: str
    metric: str
    label: str
    scale: str
    error: str
    lines: tuple[tuple[float, str], ...]
    floor: bool
    near: float
    runs: tuple[tuple[str, str], ...]


class Strip(NamedTuple):
    """Where the seeds' margins lie on the logarithmic scale that all rows share, in percent of its width."""

    low: float
    high: float
    median: float
    dots: tuple[float, ...]


def plots(runs: tuple[document.Run, ...], labels: tuple[str, ...] = ()) -> list[Plot]:
    """Returns the plots of a run page (one run) or of a cell page (all its seeds).

    `labels` name the curves, by default the seeds. Seeds may have their own step sizes, so several runs show eta times
    the sharpness, where 1 and 2 serve each of them.
    """
    named = labels or tuple(f"seed {run.seed}" for run in runs)
    curves = tuple(zip(map(name, runs), named, strict=True))
    alone = runs[0] if len(runs) == 1 else None
    sharpness = "sharpness" if alone else "eta_sharpness"
    lines: tuple[tuple[float, str], ...] = ((1.0, "1"), (2.0, "2"))
    if alone:
        lines = ((1 / alone.eta, "1/η"), (2 / alone.eta, "2/η")) if alone.eta else ()
    return [
        _plot(
            "loss",
            "Loss",
            "The empirical risk over all training examples; steps and loss both on logarithmic axes.",
            curves,
        ),
        _plot(
            sharpness,
            "Sharpness",
            "Largest eigenvalue of the Hessian. At 1/η the map I − ηH is singular along it; above 2/η the linearised "
            "map is unstable along it.",
            curves,
            scale="linear",
            lines=lines,
        ),
        _plot(
            "sigma_min",
            "Distance from singular",
            "Least singular value of I − ηH at each logged step with its error bar; the bold line is the least so far, "
            f"marks at the foot are steps within {verdict.MARGIN:g} error bars of 0. "
            + ("Each value is an upper bound." if any(run.curvature == "lanczos" for run in runs) else ""),
            curves,
            floor=True,
            near=verdict.MARGIN,
        ),
        _plot(
            "log_abs_det",
            "Volume",
            "log |det(I − ηH)|: by how much a step stretches volume; it falls to −∞ where the map is singular.",
            curves,
            scale="linear",
        ),
        _plot(
            "n_above_inv_eta",
            "Eigenvalues above 1/η",
            "How many eigenvalues lie beyond the singular set; each change is a fold crossed between two looks.",
            curves,
            scale="linear",
        ),
        _plot("grad_norm", "Gradient", "Norm of the gradient of the risk over all training examples.", curves),
        _plot(
            "lambda_min",
            "Least eigenvalue",
            "Negative where the risk bends down: at a strict saddle, and along most trajectories.",
            curves,
            scale="linear",
        ),
    ]


def strips(board: list[cells.Cell]) -> dict[str, Strip]:
    """Returns the strip of every cell that has a margin, by `suite/cell_id`."""
    margins = {f"{cell.first.suite}/{cell.first.cell_id}": cells.margin(cell)[0] for cell in board}
    positive = [value for spread in margins.values() for value in spread.values if value > 0]
    if not positive:
        return {}
    low, high = math.log10(min(positive)), math.log10(max(positive))
    width = max(high - low, 1e-9)

    def place(value: float) -> float:
        return 0.0 if value <= 0 else round(100 * (math.log10(value) - low) / width, 2)

    return {
        key: Strip(place(values[0]), place(values[-1]), place(median), tuple(map(place, values)))
        for key, (median, values) in margins.items()
        if median is not None
    }


def name(run: document.Run) -> str:
    """Returns the name under which a run's curves are known to the page."""
    return f"{run.suite}/{run.run_id}"


def curves(run: document.Run) -> dict[str, object]:
    """Returns what a plot needs of a run: its name, settings, steps, and curves with six significant digits."""
    kept = {name: [_short(value) for value in run.curves[name]] for name in CURVES if name in run.curves}
    return {
        "label": f"{run.label}, seed {run.seed}",
        "settings": compare.settings_of(run),
        "eta": run.eta if _one_step_size(run) else None,
        "steps": list(run.steps),
        "curves": kept,
    }


def _one_step_size(run: document.Run) -> bool:
    """Says whether a run's step size does not change, so that eta times its steps is a time."""
    schedule = run.part("optimizer").get("schedule")
    return not isinstance(schedule, dict) or schedule.get("name", "constant") == "constant"


def _plot(
    metric: str,
    title: str,
    caption: str,
    runs: tuple[tuple[str, str], ...],
    *,
    scale: str = "log",
    lines: tuple[tuple[float, str], ...] = (),
    floor: bool = False,
    near: float = 0,
) -> Plot:
    row = metrics.METRICS[metric]
    return Plot(title, caption.strip(), metric, row.label, scale, row.error or "", lines, floor, near, runs)


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
