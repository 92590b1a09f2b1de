# SPDX-License-Identifier: Apache-2.0
"""Optimisers: how fast each came to a target, against a frozen reference, over all problems that it was run on.

A problem is a cell without its optimiser, length and diagnostics: data, network, loss, start, precision, target. Its
reference is the average runtime to the target, in gradients of the whole risk, that stood best when it was frozen
(`reference.json`, `python -m leaderboard.board.optimisers`); it does not move when rows come or go, so neither does a
score.

- **Performance profile** rho(tau) (Dolan & More, Mathematical Programming 91, 2002): the share of its problems that an
  optimiser solved within tau times the reference. A problem that it missed is solved at no tau.
- **Area**: the mean over its problems of 6 - log2(runtime / reference), cut to [0, 8] and divided by 8: the area under
  the profile between 1/4 and 64 on a logarithmic axis. 0.75 is the reference itself.
- **Rank**: among the optimisers with every problem of the reference, by area; its interval is that of 95 % of DRAWS
  bootstrap samples of the problems. Optimisers whose intervals overlap are not told apart. A rank, unlike a score,
  moves with the rows that there are. Few problems make wide intervals, and the samples know nothing of the seeds.
"""

from __future__ import annotations

import json
import pathlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pydantic
from pydantic import Field

from harness import errors
from harness.config import canonical
from leaderboard.board import cell as cells
from leaderboard.board import interval, score, settings
from leaderboard.export import document, from_store

FILE = pathlib.Path(__file__).parent.with_name("reference.json")
DOMAIN = "gdzoo-problem-1:"
LEFT_OUT = ("optimizer", "steps", "checkpoints", "diagnostics", "curvature")
"""Fields of a cell that do not make its problem another."""

SUITE = "optimisers"
"""The suite whose problems have a reference; a target elsewhere ends runs for other reasons."""

TAUS = (1, 2, 4, 8, 16, 32)
LOW, HIGH = -2.0, 6.0
"""The area's end points, as powers of 2 of runtime over reference."""

DRAWS = 2000


class Known(document.Part):
    """The reference of one problem: gradients of the whole risk for each seed that came to the target."""

    name: document.Line
    gradients: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    optimiser: document.Line


class Reference(document.Part):
    """The frozen reference.

    Attributes:
        schema_: Version of this form.
        frozen: When, YYYY-MM-DD: the end of the latest run that it is made of.
        problems: By the key of a problem.
    """

    schema_: Literal[1] = Field(alias="schema")
    frozen: str
    problems: dict[document.CellId, Known] = Field(max_length=1000)


class Row(NamedTuple):
    """One optimiser.

    Attributes:
        name: Its settings, with its step size.
        ratios: Runtime over reference for each problem that it was run on, infinite where it missed.
        profile: For each of TAUS the share of them that it solved within it.
        area: Under its profile.
        rank: From which to which rank; None where it lacks a problem.
        places: Points of its profile as percent of the plot's width and height, for a polyline.
        margin: The least margin of its cells.
        tried: Its cells.
    """

    name: str
    ratios: dict[str, float]
    profile: tuple[score.Share, ...]
    area: float
    rank: interval.Interval | None
    places: str
    margin: float | None
    tried: tuple[Tried, ...]


class Tried(NamedTuple):
    """What the page takes of a cell whose spec sets a target.

    Attributes:
        suite, cell_id, spec: What names it.
        optimiser: Its settings, with its step size.
        problem: The key of its problem.
        runtime: Average runtime to the target, infinite where no seed met it; None where none ended.
        margin: Median of the seeds' margins.
    """

    suite: str
    cell_id: str
    spec: str
    optimiser: str
    problem: str
    runtime: float | None
    margin: float | None


def tried(cell: cells.Cell) -> Tried | None:
    """Returns what the page takes of a cell; None where its spec sets no target."""
    run, key = cell.first, problem(cell.first)
    if key is None:
        return None
    found = score.runtime(cell)
    margin = cells.margin(cell)[0].median
    return Tried(run.suite, run.cell_id, run.spec, optimiser(run), key, found and found.value, margin)


def problem(run: document.Run) -> str | None:
    """Returns the key of a run's problem; None where its spec sets no target."""
    if not run.part("target"):
        return None
    return canonical.sha256({name: part for name, part in run.cell.items() if name not in LEFT_OUT}, DOMAIN)[:12]


def optimiser(run: document.Run) -> str:
    """Returns what tells one optimiser from another: its settings and how its step size is chosen."""
    return f"{settings.optimizer(run)}, η = {settings.learning_rate(run)}".replace("\u00a0", " ")


def reference(path: pathlib.Path = FILE) -> Reference:
    """Reads the frozen reference.

    Raises:
        errors.InputError: It is none.
    """
    try:
        return Reference.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, pydantic.ValidationError) as error:
        raise errors.InputError(f"{path}: is not the reference of gdzoo: {str(error).splitlines()[0]}") from None


def rows(board: Iterable[Tried], frozen: Reference) -> list[Row]:
    """Returns the optimisers of a board, those with every problem first, by area."""
    grouped: dict[str, dict[str, Tried]] = {}
    for cell in board:
        if cell.problem in frozen.problems:
            grouped.setdefault(cell.optimiser, {}).setdefault(cell.problem, cell)
    found = [_row(name, mine, frozen) for name, mine in grouped.items()]
    ranks = _ranks({row.name: row.ratios for row in found}, sorted(frozen.problems))
    ranked = [row._replace(rank=ranks.get(row.name)) for row in found]
    return sorted(ranked, key=lambda row: (row.rank is None, -row.area, row.name))


def _row(name: str, mine: Mapping[str, Tried], frozen: Reference) -> Row:
    ratios = {key: ratio(cell, frozen.problems[key].gradients) for key, cell in sorted(mine.items())}
    values = list(ratios.values())
    profile = tuple(score.share(sum(value <= tau for value in values), len(values)) for tau in TAUS)
    margins = [cell.margin for cell in mine.values() if cell.margin is not None]
    return Row(
        name, ratios, profile, area(values), None, _places(values), min(margins, default=None), tuple(mine.values())
    )


def ratio(cell: Tried, gradients: float) -> float:
    """Returns the average runtime to the target over a reference; infinite where no seed met it."""
    return float("inf") if cell.runtime is None else cell.runtime / gradients


def area(ratios: Sequence[float]) -> float:
    """Returns the area under the performance profile of some ratios, from 0 to 1."""
    with np.errstate(divide="ignore"):
        saved = HIGH - np.log2(np.array(ratios, float))
    return float(np.mean(np.clip(saved, 0, HIGH - LOW))) / (HIGH - LOW)


def _ranks(ratios: Mapping[str, Mapping[str, float]], problems: Sequence[str]) -> dict[str, interval.Interval]:
    """Returns the ranks that each complete optimiser has in 95 % of bootstrap samples of the problems."""
    whole = sorted(name for name, mine in ratios.items() if set(mine) == set(problems))
    if not whole:
        return {}
    scores = np.array([[area([ratios[name][key]]) for key in problems] for name in whole])
    drawn = np.random.default_rng(0).integers(len(problems), size=(DRAWS, len(problems)))
    means = scores[:, drawn].mean(2)  # (optimisers, DRAWS)
    better = (means[None] > means[:, None]).sum(1)  # how many are better, (optimisers, DRAWS)
    low, high = np.quantile(1 + better, [0.025, 0.975], axis=1, method="inverted_cdf")
    return {name: interval.Interval(float(low[i]), float(high[i])) for i, name in enumerate(whole)}


def tied(found: Sequence[Row]) -> set[str]:
    """Returns the names of the ranked optimisers whose interval meets another's."""
    ranked = [(row.name, row.rank) for row in found if row.rank is not None]
    return {
        name
        for name, mine in ranked
        if any(other != name and mine.low <= theirs.high and theirs.low <= mine.high for other, theirs in ranked)
    }


def _places(ratios: Sequence[float]) -> str:
    """Returns the profile as points of a polyline: x from 2^LOW to 2^HIGH in percent, y from 100 (none) to 0 (all)."""
    known = sorted(min(max(float(np.log2(value)), LOW), HIGH) for value in ratios if value < 2**HIGH)
    points, height = [(0.0, 100.0)], 100.0
    for value in known:
        x = 100 * (value - LOW) / (HIGH - LOW)
        points.append((x, height))
        height -= 100 / len(ratios)
        points.append((x, height))
    points.append((100.0, height))
    return " ".join(f"{x:.4g},{y:.4g}" for x, y in points)


def frozen_of(board: document.Export, suite: str = SUITE) -> Reference:
    """Returns the reference that a board would freeze: the best average runtime of each solved problem of a suite."""
    best: dict[str, tuple[float, cells.Cell]] = {}
    for cell in cells.cells(board):
        key, found = problem(cell.first), score.runtime(cell)
        if cell.first.suite == suite and key and found and found.value < best.get(key, (float("inf"), cell))[0]:
            best[key] = found.value, cell
    problems: dict[str, Any] = {
        key: {
            "name": f"{cell.first.suite}/{cell.first.spec}",
            "gradients": value,
            "optimiser": optimiser(cell.first),
        }
        for key, (value, cell) in sorted(best.items())
    }
    ended = max((run.ended for _, cell in best.values() for run in cell.runs), default="")
    plain = {"schema": 1, "frozen": ended[:10], "problems": problems}
    return Reference.model_validate_json(json.dumps(plain))


if __name__ == "__main__":  # FILE of an export: print the reference that it would freeze
    made = frozen_of(from_store.load(pathlib.Path(sys.argv[1])))
    sys.stdout.write(json.dumps(made.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False) + "\n")
