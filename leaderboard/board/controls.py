# SPDX-License-Identifier: Apache-2.0
"""Controls: what the specs of runs expected of them, held against what they show, for a page of its own.

What was expected is a claim of the spec, and travels in `run.json`. Whether it agrees is worked out here, by the rule
of harness/specs/expected.py, from the records on the board; what a run says about it is not asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import NamedTuple

from harness import config, metrics, records
from harness.specs import expected
from leaderboard.export import document


class Named(NamedTuple):
    """What names a run, and sorts it as in an export."""

    suite: str
    spec: str
    label: str
    cell_id: str
    seed: int
    seeds: int
    title: str
    source: str | None

    @property
    def run_id(self) -> str:
        """Its run_id."""
        return f"{self.cell_id}-s{self.seed}"


class Row(NamedTuple):
    """One thing that was expected of one run, and what was found."""

    run: Named
    found: expected.Found

    @property
    def what(self) -> str:
        """What it is, in the words of METRICS."""
        moment, _, name = self.found.name.partition(".")
        if not name:
            return moment
        return f"{metrics.METRICS[name].label}, {'of the run' if moment == 'run' else f'at {moment}'}"

    @property
    def detector(self) -> str:
        """What the detector of singularity did; empty where it was not asked."""
        if self.found.fires is None:
            return ""
        if self.found.fires:
            return "fired" if self.found.agrees else "did not fire"
        return "silent" if self.found.agrees else "not silent"


class Control(NamedTuple):
    """One spec whose answers are known: the rows of all its runs, at least one."""

    rows: tuple[Row, ...]

    @property
    def first(self) -> Named:
        """The run whose title and source stand for all."""
        return self.rows[0].run


class Score(NamedTuple):
    """How many of how many are as they must be."""

    right: int
    total: int


def controls(rows: Iterable[Row]) -> list[Control]:
    """Returns the specs that expect something, in the order of an export."""
    ordered = sorted(rows, key=lambda row: row.run)
    return [
        Control(tuple(some)) for _, some in itertools.groupby(ordered, key=lambda row: (row.run.suite, row.run.spec))
    ]


def rows(run: document.Run) -> list[Row]:
    """Returns what was expected of a run."""
    named = Named(run.suite, run.spec, run.label, run.cell_id, run.seed, run.seeds, run.title, run.source)
    return [Row(named, one) for one in compared(run)]


def compared(run: document.Run) -> list[expected.Found]:
    """Returns what a run shows of what was expected of it; at the start first, words last."""
    ends = sorted({0, len(run.steps) - 1}) if run.steps else []
    recorded = [
        records.Record(
            run.steps[i], {name: value for name, values in run.curves.items() if (value := values[i]) is not None}
        )
        for i in ends
    ]
    order = [*(f"{moment}." for moment in expected.MOMENTS), *expected.WORDS]
    wanted = sorted(
        run.expected.items(), key=lambda item: next(i for i, head in enumerate(order) if item[0].startswith(head))
    )
    facts = {"verdict": run.verdict, "status": run.status, "end": {"point": run.end.point if run.end else None}}
    hopes = [config.Expected(name, _value(value)) for name, value in wanted]
    return expected.compare(hopes, facts, recorded, run.summary)


def scores(found: list[Control]) -> dict[str, Score]:
    """Returns how many detectors fired where they must, how many were silent where they must, how much agrees."""
    rows = [row.found for control in found for row in control.rows]
    groups = {
        "fired": [row for row in rows if row.fires],
        "silent": [row for row in rows if row.fires is False],
        "agree": rows,
    }
    return {name: Score(sum(row.agrees for row in group), len(group)) for name, group in groups.items()}


def _value(said: float | str | document.Range) -> config.Value:
    return config.Range(*said.between, said.published) if isinstance(said, document.Range) else said
