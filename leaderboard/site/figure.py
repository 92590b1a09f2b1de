# SPDX-License-Identifier: Apache-2.0
"""Figures: what each plot shows, and the small strips in the table.

A plot is described here and drawn by `assets/plot.js`; a strip is small enough to be drawn into the page itself.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from harness import metrics
from harness.diagnostics import episodes
from harness.records import verdict
from leaderboard.board import cell as cells
from leaderboard.board import compare, number
from leaderboard.export import document

CURVES = {
    "loss": number.rounded,
    "sharpness": number.rounded,
    "sharpness_error": number.rounded_error,
    "eta_sharpness": number.rounded,
    "sigma_min": number.rounded,
    "sigma_min_error": number.rounded_error,
    "sigma_min_lower": number.rounded,
    "log_abs_det": number.rounded,
    "log_abs_det_error": number.rounded_error,
    "n_above_inv_eta": number.rounded,
    "n_above_inv_eta_error": number.rounded,
    "grad_norm": number.rounded,
    "lambda_min": number.rounded,
    "lambda_min_error": number.rounded_error,
}
"""What a plot may draw, and how its numbers are rounded."""


@dataclasses.dataclass(frozen=True)
class Plot:
    """One plot of curves over the steps; `assets/plot.js` makes it, with what a page says of its runs (`Shown`).

    Attributes:
        metric: The METRICS name on the vertical axis.
        title: Its heading.
        caption: What to see in it, in a sentence or two.
        scale: `log` or `linear`.
        lower: The METRICS name of lower bounds, to which bars reach down; empty for none.
        lines: Horizontal reference lines, (value, label).
        floor: Whether the running minimum is drawn bold.
        near: Steps whose value is at most so many error bars get a mark at the foot; 0 for none.
        alone: Whether it is for a page of one run, whose `lines` it then takes, or for the others; None for both.
        notes: Sentences that are added to the caption where the page says so, by the field of `Shown`.
    """

    metric: str
    title: str
    caption: str
    scale: str = "log"
    lower: str = ""
    lines: tuple[tuple[float, str], ...] = ()
    floor: bool = False
    near: float = 0
    alone: bool | None = None
    notes: dict[str, str] = dataclasses.field(default_factory=dict)

    def plain(self) -> dict[str, object]:
        """Returns it for the script, with what METRICS says: the label of its axis, and what its error bars are."""
        row = metrics.METRICS[self.metric]
        return {**dataclasses.asdict(self), "label": row.label, "error": row.error or ""}


class Shown(NamedTuple):
    """What the plots of a page are of.

    Attributes:
        curves: (Name of the run's data, label) of each.
        alone: Whether this is the page of one run.
        lines: Where 1/eta and 2/eta lie for that run.
        stay: Steps between which that run stayed at a saddle.
        upper: Whether some sigma_min are upper bounds.
        without: The metric of a plot that the page has in another form; empty for none.
    """

    curves: tuple[tuple[str, str], ...]
    alone: bool = False
    lines: tuple[tuple[float, str], ...] = ()
    stay: tuple[int, int] | None = None
    upper: bool = False
    without: str = ""


class Strip(NamedTuple):
    """Where the seeds' margins lie on the logarithmic scale that all rows share, in percent of its width.

    Attributes:
        low, high: Of all seeds; from the least lower bound, where margins are intervals.
        median: What the row is sorted by.
        dots: Of each seed where it begins and how long it is: 0, or that of its interval.
    """

    low: float
    high: float
    median: float
    dots: tuple[tuple[float, float], ...]


SHARPNESS = (
    "Largest eigenvalue of the Hessian. At 1/η the map I − ηH is singular along it; above 2/η the linearised map is "
    "unstable along it."
)
SHADED = "Shaded: at a saddle, until it left."

PLOTS = (
    Plot("loss", "Loss", "The empirical risk over all training examples; steps and loss both on logarithmic axes."),
    Plot("sharpness", "Sharpness", SHARPNESS, scale="linear", alone=True),
    # Runs may have their own step sizes; 1 and 2 serve each of them.
    Plot("eta_sharpness", "Sharpness", SHARPNESS, scale="linear", lines=((1.0, "1"), (2.0, "2")), alone=False),
    Plot(
        "sigma_min",
        "Distance from singular",
        "Least singular value of I − ηH at each logged step with its error bar; the bold line is the least so far, "
        f"marks at the foot are steps within {verdict.MARGIN:g} error bars of 0.",
        floor=True,
        near=verdict.MARGIN,
        lower="sigma_min_lower",
        notes={"upper": "Each value is an upper bound; its bar reaches down to the lower one."},
    ),
    Plot(
        "log_abs_det",
        "Volume",
        "log |det(I − ηH)|: by how much a step stretches volume; it falls to −∞ where the map is singular.",
        scale="linear",
    ),
    Plot(
        "n_above_inv_eta",
        "Eigenvalues above 1/η",
        "How many eigenvalues lie beyond the singular set; a change between two looks is a crossing of 1/η or, where "
        "the risk has pieces, a jump at a kink.",
        scale="linear",
    ),
    Plot(
        "grad_norm", "Gradient", "Norm of the gradient of the risk over all training examples.", notes={"stay": SHADED}
    ),
    Plot(
        "lambda_min",
        "Least eigenvalue",
        "Negative where the risk bends down: at a strict saddle, and along most trajectories.",
        scale="linear",
        notes={"stay": SHADED},
    ),
)
"""The plots of every page, in their order."""


def shown(run: document.Run) -> Shown:
    """Returns what the plots of the page of a run are of."""
    lines = ((1 / run.eta, "1/η"), (2 / run.eta, "2/η")) if run.eta else ()
    without = "loss" if run.trace is not None and run.trace.loss_steps else ""
    return together((run,))._replace(alone=True, lines=lines, stay=stay(run), without=without)


def together(runs: Sequence[document.Run], labels: Sequence[str] = ()) -> Shown:
    """Returns what the plots of several runs are of; `labels` name the curves, by default the seeds do."""
    curves = zip(map(name, runs), labels or [f"seed {run.seed}" for run in runs], strict=True)
    return Shown(tuple(curves), upper=any(run.curvature == "lanczos" for run in runs))


def stay(run: document.Run) -> tuple[int, int] | None:
    """Returns the steps between which a run stayed at a saddle; None where it is not known to have left one.

    At a planted one from the start until it left, as `escape` measured; else on its longest saddle episode, to one gap
    between looks.
    """
    left = cells.at(run, "escape_steps", 0) if run.steps else None
    if left is not None:
        return 0, min(int(left), run.steps[-1])
    return max(episodes.spans(run.recorded), key=lambda span: span[1] - span[0], default=None)


class Axis(NamedTuple):
    """The logarithmic scale that the strips of all rows of a table share, from the least margin to the largest."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Returns where a margin lies, in percent."""
        width = max(self.high - self.low, 1e-9)
        return 0.0 if value <= 0 else round(100 * (math.log10(value) - self.low) / width, 2)

    def strip(self, ends: Sequence[tuple[float, float]]) -> Strip | None:
        """Returns the strip of a cell from where the margins of its seeds begin and end; None without any."""
        if not ends:
            return None
        return Strip(
            min(self.at(one) for one, _ in ends),
            max(self.at(other) for _, other in ends),
            self.at(statistics.median(one for one, _ in ends)),
            tuple((self.at(one), round(self.at(other) - self.at(one), 2)) for one, other in ends),
        )


def axis(cells_ends: Iterable[Sequence[tuple[float, float]]]) -> Axis | None:
    """Returns the scale for the margins of some cells; None where none is above 0."""
    low, high = math.inf, -math.inf
    for ends in cells_ends:
        positive = [value for pair in ends for value in pair if value > 0]
        low, high = min([low, *positive]), max([high, *positive])
    return None if low == math.inf else Axis(math.log10(low), math.log10(high))


def ends(cell: cells.Cell) -> list[tuple[float, float]]:
    """Returns the margin of each seed that ended, in order: from its lower bound, where one is known, to its value."""
    found = [one for run in cell.ended if (one := cells.margin_of(run)) is not None]
    return sorted((one.lower or one.value, one.value) for one in found)


def name(run: document.Run) -> str:
    """Returns the name under which a run's curves are known to the page."""
    return f"{run.suite}/{run.run_id}"


def curves(run: document.Run) -> dict[str, object]:
    """Returns what plots need of a run: name, settings, steps, and curves with as many digits as a page prints."""
    kept = {
        name: [value if value is None else round_to(value) for value in run.curves[name]]
        for name, round_to in CURVES.items()
        if name in run.curves and (name != "sigma_min_lower" or run.curvature == "lanczos")
    }
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
