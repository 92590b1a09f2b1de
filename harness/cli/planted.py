# SPDX-License-Identifier: Apache-2.0
"""Planted points: what mu, lambda and lambda_min say of them, against what runs that were displaced from them did.

A planted minimum attracts where the exponent of the map that is trained (mu, or lambda for SGD) is below 0, and repels
where it is above; a run stayed if it ends within STAYS times its displacement. Runs from planted saddles leave, in a
time that linear theory predicts, or are censored. Intervals are those of harness/records/survival.py.
"""

from __future__ import annotations

import collections
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import rich.console
import rich.markup
import rich.table

from harness import config, records
from harness.records import run_folder, survival

STAYS = 10.0
"""A run that ends within so many of its displacements has stayed."""

Said = Literal["attracts", "undecided", "repels"]
Seen = Literal["stayed", "left"]


class Behaviour(NamedTuple):
    """What was said of a planted minimum, what a run did, and why they differ where they do."""

    said: Said
    seen: Seen
    why: str


def behaviour(cell: Any, recorded: Sequence[records.Record]) -> Behaviour | None:
    """Returns what a run displaced from a planted minimum shows; None for any other, and where mu is not recorded."""
    if cell.start.name != "planted_minimum" or not cell.start.perturbation or len(recorded) < 2:
        return None
    first, last = recorded[0].values, recorded[-1].values
    name = "mu" if getattr(cell.optimizer, "batch_size", None) is None else "lambda"
    exponent, bar = first.get(name, math.nan), first.get(f"{name}_error", math.inf)
    if math.isnan(exponent) or "displacement" not in first:
        return None
    said: Said = "repels" if exponent > bar else "attracts" if exponent < -bar else "undecided"
    stayed = last["displacement"] <= STAYS * first["displacement"]
    seen: Seen = "stayed" if stayed else "left"
    return Behaviour(said, seen, _why(said, seen, exponent, last, recorded[-1].step))


def _why(said: Said, seen: Seen, exponent: float, last: Mapping[str, float], steps: int) -> str:
    """Returns what explains that a run did not do what was said, if anything does."""
    if said == "repels" and seen == "stayed":
        if exponent * steps < math.log(STAYS) + 2:
            return f"{exponent * steps:.1f} nats of growth in {steps} steps are too few"
        kappa = last.get("absorption", math.nan)
        return f"rounding absorbed it: kappa {kappa:.2f}" if math.isfinite(kappa) else "not explained"
    if said == "attracts" and seen == "left":
        square = last.get("lambda_upper", math.nan)
        return "mean squares grow, so excursions are long" if square > 0 else "the displacement is not small"
    return ""


class Escape(NamedTuple):
    """What the runs of a cell from a planted saddle show.

    Attributes:
        runs: How many there are.
        left: How many left; the others are censored.
        share: Wilson's 95 % interval of left over runs.
        median: Steps after which half have left, by Kaplan and Meier; infinite if they have not.
        interval: Its 95 % interval.
        predicted: Median of the predicted steps.
        ratio: Median of measured over predicted, over those that left.
    """

    runs: int
    left: int
    share: tuple[float, float]
    median: float
    interval: tuple[float, float]
    predicted: float
    ratio: float


def escape(found: Sequence[Mapping[str, float]]) -> Escape | None:
    """Returns what runs from one saddle show, from their first records' values; None without any."""
    found = [values for values in found if not math.isnan(values.get("escape_steps", math.nan))]
    if not found:
        return None
    left = [values["escape_steps"] for values in found if math.isfinite(values["escape_steps"])]
    stayed = [values["escape_watched"] for values in found if not math.isfinite(values["escape_steps"])]
    median = survival.median(left, stayed)
    ratios = [values["escape_ratio"] for values in found if math.isfinite(values.get("escape_ratio", math.nan))]
    return Escape(
        len(found),
        len(left),
        survival.share(len(left), len(found)),
        median.value,
        (median.low, median.high),
        statistics.median(values["escape_predicted"] for values in found),
        statistics.median(ratios) if ratios else math.nan,
    )


def show(cells: Sequence[config.Cell], seeds: int | None, console: rich.console.Console) -> None:
    """Prints what the runs of cells that begin at planted points show, if there are any.

    Args:
        cells: The cells.
        seeds: How many seeds were run of each; None for as many as its spec asks for.
        console: Where.
    """
    folders = {
        cell: [run_folder.folder(cell.suite, cell.run_id(seed)) for seed in range(seeds or cell.seeds)]
        for cell in cells
    }
    recorded = {cell: [run_folder.read_records(folder) for folder in found] for cell, found in folders.items()}
    _minima(recorded, console)
    _escapes(recorded, console)


Recorded = Mapping[config.Cell, Sequence[Sequence[records.Record]]]


def _minima(recorded: Recorded, console: rich.console.Console) -> None:
    shown = [(cell, one) for cell, runs in recorded.items() for run in runs if (one := behaviour(cell, run))]
    if not shown:
        return
    counts: collections.Counter[tuple[str, str]] = collections.Counter((one.said, one.seen) for _, one in shown)
    table = rich.table.Table(title=f"{len(shown)} runs from planted minima", box=None, header_style="bold")
    for header in ("exponent", "stayed", "left"):
        table.add_column(header, justify="left" if header == "exponent" else "right")
    for said, sign in (("attracts", "< 0"), ("undecided", "0 within its error"), ("repels", "> 0")):
        table.add_row(sign, *(str(counts[said, seen]) for seen in ("stayed", "left")))
    console.print(table)
    reasons = collections.Counter((cell.label, one.why) for cell, one in shown if one.why)
    for (label, why), count in reasons.items():
        console.print(f"{count} of {rich.markup.escape(label)}: {why}", highlight=False)


def _escapes(recorded: Recorded, console: rich.console.Console) -> None:
    found = {cell: escape([run[0].values for run in runs if run]) for cell, runs in recorded.items()}
    shown = {cell: one for cell, one in found.items() if one}
    if not shown:
        return
    table = rich.table.Table(title="escape from planted saddles", box=None, header_style="bold")
    table.add_column("cell", overflow="fold")
    for header in ("left", "95 %", "median steps", "95 %", "predicted", "ratio"):
        table.add_column(header, justify="right", no_wrap=True)
    for cell, one in shown.items():
        table.add_row(
            rich.markup.escape(cell.label),
            f"{one.left} of {one.runs}",
            f"{one.share[0]:.2f} to {one.share[1]:.2f}",
            f"{one.median:g}",
            f"{one.interval[0]:g} to {one.interval[1]:g}",
            f"{one.predicted:.4g}",
            "·" if math.isnan(one.ratio) else f"{one.ratio:.3f}",
        )
    console.print(table)
