# SPDX-License-Identifier: Apache-2.0
"""The document that is published: `export.json`, its types, and every check that a run must pass to enter it.

Runs come from strangers. Nothing enters a page that did not pass through here: names that become file names are
matched against a pattern, metric names against METRICS, numbers are finite or null, text is cleaned and short, and a
key that is not expected is an error.
"""

from __future__ import annotations

import datetime
import functools
import itertools
import json
import math
from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, StringConstraints

from harness import config, diagnostics, errors, metrics, specs
from harness import records as record_file
from harness.diagnostics import flow, trajectory
from harness.records import ends, histogram
from harness.records import verdict as verdict_rule
from harness.specs import expected, strict_yaml
from leaderboard.export import cell_theory, labels, text

SCHEMA: Literal[1] = 1
MAX_CELL_CHARACTERS = 1 << 17
CURVES = frozenset(name for name, metric in metrics.METRICS.items() if metric.group not in ("run", "trace"))

Status = Literal["finished", "diverged", "interrupted", "failed"]
Verdict = Annotated[Literal["invertible", "undecided", "singular"], BeforeValidator(verdict_rule.current)]

CellId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
RunId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}-s(0|[1-9][0-9]{0,5})$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Name = Annotated[str, StringConstraints(pattern=rf"^{specs.NAME.pattern}$")]
Line = Annotated[str, StringConstraints(max_length=4000), AfterValidator(text.clean)]
Lines = Annotated[str, StringConstraints(max_length=MAX_CELL_CHARACTERS), AfterValidator(text.clean_lines)]
Instant = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
Count = Annotated[int, Field(ge=0, le=10**15)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Part(pydantic.BaseModel):
    """A part of the document: frozen, typed without coercion, no unknown keys."""

    model_config = pydantic.ConfigDict(frozen=True, strict=True, extra="forbid", populate_by_name=True)


class Dataset(Part):
    """Where the examples came from."""

    name: Name
    version: Line
    split: Line
    examples: Count
    shape: tuple[Count, ...] = Field(max_length=8)
    classes: Count
    sha256: Digest
    licence: Line
    citation: Lines = ""


class End(Part):
    """Where a run ended, and the numbers that decided (harness/records/ends.py)."""

    point: ends.Word | None
    because: dict[Name, Finite] = Field(default={}, max_length=20)


class Doubt(Part):
    """Why a run is undecided: the first logged step that is, and how many are (harness/records/verdict.py)."""

    step: Count | None
    because: verdict_rule.Because
    steps: Count


class Histogram(Part):
    """How many known eigenvalues of the Hessian lie where at a step, in units of 1/eta (harness/records/histogram.py).

    Attributes:
        complete: Whether all eigenvalues are known.
        first: The bin of the first count.
    """

    step: Count
    complete: bool
    first: Annotated[int, Field(ge=-histogram.FURTHEST, lt=histogram.FURTHEST)]
    counts: tuple[Count, ...] = Field(min_length=1, max_length=2 * histogram.FURTHEST)


class Trace(Part):
    """What a page shows of the trace of a run: some of its points (harness/records/traces.py), and what all say.

    Attributes:
        steps: Their steps, increasing, (n,).
        eta: The step size at each, (n,).
        values: Of each tracked eigenvalue, the largest first and the least last, its values, (top + 1, n).
        errors: The error bar of each of these values, (top + 1, n).
        batch_sharpness: At each point; null for full-batch rules.
        batch_sharpness_error: Its standard error over the drawn mini-batches; null for full-batch rules.
        missed: How many eigenvalues a survey at each point found that the trace did not have; 0 without a survey.
        loss_steps: Some steps, increasing.
        losses: The loss of what each of these steps saw.
        summary: What all trace points say (harness/diagnostics/flow.py); without what is not finite.
    """

    steps: tuple[Count, ...] = Field(max_length=1000)
    eta: tuple[Finite, ...] = Field(max_length=1000)
    values: tuple[tuple[Finite | None, ...], ...] = Field(max_length=64)
    errors: tuple[tuple[Finite | None, ...], ...] = Field(max_length=64)
    batch_sharpness: tuple[Finite | None, ...] = Field(max_length=1000)
    batch_sharpness_error: tuple[Finite | None, ...] = Field(max_length=1000)
    missed: tuple[Count, ...] = Field(max_length=1000)
    loss_steps: tuple[Count, ...] = Field(max_length=1000)
    losses: tuple[Finite | None, ...] = Field(max_length=1000)
    summary: dict[Name, Finite] = Field(default={}, max_length=40)

    @pydantic.model_validator(mode="after")
    def _agrees_with_itself(self) -> Trace:
        noise = (self.batch_sharpness, self.batch_sharpness_error)
        columns = (self.eta, *noise, self.missed, *self.values, *self.errors)
        if any(len(column) != len(self.steps) for column in columns) or len(self.losses) != len(self.loss_steps):
            raise ValueError("a column of the trace has not one value for each of its steps")
        if not 2 <= len(self.values) == len(self.errors):
            raise ValueError("the trace has not one column of error bars for each of its eigenvalues")
        for steps in (self.steps, self.loss_steps):
            if any(b <= a for a, b in itertools.pairwise(steps)):
                raise ValueError("the steps of the trace do not increase")
        if not all(size > 0 for size in self.eta) or set(self.summary) - set(flow.METRICS):
            raise ValueError("the trace has a step size that is none, or an unknown number")
        return self


class Range(Part):
    """What is expected of a number that is not known exactly."""

    between: tuple[Finite, Finite]
    published: Finite | None = None


class Run(Part):
    """One seed of one cell: what `run.json` says, the curves of `records.jsonl` and the text of `cell.yaml`.

    Attributes:
        doubt: Why it is undecided; None where it is not, and of older runs.
        failure_probability: Of its verdict, over random starts of Lanczos, at most.
        mixed: Whether it was begun with other code or on another device than the ones named here.
        reached_at: The step at which it reached its target and ended, if it did.
        end: What kind of point it ended at.
        histograms: Of the spectra that it kept: at the start, where it came nearest to singular, at its end.
        left_out: Diagnostics that were not measured, and why not.
        steps: Checkpoint steps, strictly increasing, (T,).
        curves: For each metric its values at those steps, (T,); null where it is not a finite number.
        trace: What a page shows of its trace; None without one.
    """

    run_id: RunId
    cell_id: CellId
    spec_hash: Digest
    suite: Name
    spec: Name
    label: Line
    title: Line
    source: Line | None
    seed: Count
    seeds: Annotated[int, Field(ge=1, le=1000)]
    status: Status
    diverged_at: Count | None
    verdict: Verdict | None
    doubt: Doubt | None = None
    failure_probability: Annotated[float, Field(ge=0, le=1)] | None = None
    eta: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None
    parameters: Count
    examples: Count
    curvature: Literal["dense", "lanczos"]
    device: Line
    precision: Literal["float32", "float64"]
    command: Line
    started: Instant
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    versions: dict[Name, Line] = Field(max_length=40)
    commit: Commit | None
    dirty: bool
    mixed: bool = False
    reached_at: Count | None = None
    dataset: Dataset
    cell: dict[str, JsonValue]
    end: End | None = None
    histograms: tuple[Histogram, ...] = Field(default=(), max_length=histogram.MOST)
    expected: dict[str, Finite | Status | Verdict | ends.Word | Range] = Field(default={}, max_length=200)
    left_out: dict[Name, Line] = Field(default={}, max_length=40)
    cell_yaml: Lines
    steps: tuple[Count, ...] = Field(max_length=1000)
    curves: dict[str, tuple[Finite | None, ...]]
    trace: Trace | None = None

    @pydantic.field_validator("cell")
    @classmethod
    def _cell_is_small_and_named(cls, cell: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if len(json.dumps(cell)) > MAX_CELL_CHARACTERS:
            raise ValueError(f"the cell is longer than {MAX_CELL_CHARACTERS} characters")
        cleaned: dict[str, JsonValue] = text.cleaned(cell, text.clean)
        names = pydantic.TypeAdapter(Name)
        for part, key in (("model", "family"), ("data", "name"), ("loss", "name"), ("optimizer", "name")):
            section = cleaned.get(part)
            if not isinstance(section, dict) or key not in section:
                raise ValueError(f"the cell has no {part}.{key}")
            names.validate_python(section[key], strict=True)
        return cleaned

    @pydantic.field_validator("expected")
    @classmethod
    def _expected_is_allowed(cls, said: dict[str, float | str | Range]) -> dict[str, float | str | Range]:
        values = {name: [value.model_dump() if isinstance(value, Range) else value] for name, value in said.items()}
        for problem in expected.check(values, 1):
            place = text.clean(".".join(map(str, problem.path)))[:80]
            raise ValueError(f"{place}: {text.clean(problem.text)[:200]}")
        return said

    @pydantic.model_validator(mode="after")
    def _agrees_with_itself(self) -> Run:
        if self.run_id != f"{self.cell_id}-s{self.seed}":
            raise ValueError(f"run_id {self.run_id} is not cell_id {self.cell_id} with seed {self.seed}")
        if not self.spec_hash.startswith(self.cell_id):
            raise ValueError(f"cell_id {self.cell_id} is not the head of spec_hash {self.spec_hash}")
        if config.hash_of(self.cell) != self.spec_hash:
            raise ValueError(f"the cell is not the one that spec_hash {self.spec_hash} names")
        if _cell_of(self.cell_yaml) != self.cell:
            raise ValueError("cell.yaml is not the cell that run.json holds")
        if self.seed >= self.seeds:
            raise ValueError(f"seed {self.seed} is outside 0..{self.seeds - 1}")
        if (self.diverged_at is not None) != (self.status == "diverged"):
            raise ValueError(f"status {self.status} does not agree with diverged_at {self.diverged_at}")
        if any(b <= a for a, b in zip(self.steps, self.steps[1:], strict=False)):
            raise ValueError("the recorded steps do not increase")
        if any(one.step not in self.steps or sum(one.counts) > self.parameters for one in self.histograms):
            raise ValueError(f"a histogram is of no recorded step, or of more eigenvalues than {self.parameters}")
        unknown = sorted(set(self.curves) - CURVES)
        if unknown:
            raise ValueError(f"unknown metric {unknown[0]!r}{errors.nearest(unknown[0], CURVES)}")
        if any(len(values) != len(self.steps) for values in self.curves.values()):
            raise ValueError("a curve has not one value per recorded step")
        return self

    @property
    def ended(self) -> str:
        """The moment the run ended, ISO 8601 in UTC."""
        begin = datetime.datetime.fromisoformat(self.started)
        end = begin + datetime.timedelta(seconds=min(self.seconds, 10.0**9))
        return end.strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def gradients_to_target(self) -> float | None:
        """Gradients of the whole risk that it took to reach the target; None for a run that has none, or missed it."""
        if self.reached_at is None:
            return None
        batch = self.part("optimizer").get("batch_size") or self.examples
        return self.reached_at * float(str(batch)) / self.examples

    @functools.cached_property
    def recorded(self) -> list[record_file.Record]:
        """Its curves as records; NaN for what is not a finite number."""
        names, values = list(self.curves), zip(*self.curves.values(), strict=True)
        return [
            record_file.Record(step, {name: math.nan if v is None else v for name, v in zip(names, row, strict=True)})
            for step, row in zip(self.steps, values, strict=False)
        ]

    @functools.cached_property
    def cell_text(self) -> str:
        """Its cell as JSON with sorted keys: the same text for the same cell."""
        return json.dumps(self.cell, sort_keys=True)

    @functools.cached_property
    def one_piece(self) -> bool:
        """Whether its risk is analytic everywhere; False where this version does not understand its cell."""
        known = cell_theory.theory_of(self.cell_text, self.dataset.shape, self.dataset.classes)
        return known is not None and known.one_piece

    @functools.cached_property
    def changes(self) -> trajectory.Changes | None:
        """How often the count above 1/eta changed between its looks, and by what; None when it was never counted."""
        names = trajectory.CHANGES
        rows = zip(*(self.curves.get(name) or [None] * len(self.steps) for name in names), strict=True)
        counted = [
            record_file.Record(step, {name: math.nan if v is None else v for name, v in zip(names, row, strict=True)})
            for step, row in zip(self.steps, rows, strict=True)
            if row[0] is not None
        ]
        return trajectory.changes(counted, one_piece=self.one_piece) if counted else None

    @functools.cached_property
    def summary(self) -> dict[str, float]:
        """What its records say together (harness/diagnostics, RUN); without what is not finite, or not known."""
        with np.errstate(all="ignore"):  # a stranger's numbers may be as large as they come
            said = diagnostics.summary(self.recorded, one_piece=self.one_piece)
        return {name: value for name, value in said.items() if math.isfinite(value)} | (
            self.trace.summary if self.trace else {}
        )

    def part(self, section: str) -> dict[str, JsonValue]:
        """Returns one section of the resolved cell, for example `optimizer`; empty when there is none."""
        value = self.cell.get(section)
        return value if isinstance(value, dict) else {}


class Suite(Part):
    """One suite of specs: its name and the note (Markdown) that its MLflow experiment carries."""

    name: Name
    note: Lines


class Trust(Part):
    """How far a submitted cell was checked, and how.

    Attributes:
        label: What the verifier found, or `disputed`.
        bundle: SHA-256 of the bundle's `bundle.json`.
        bits: Whether bits were compared.
        why: Of a disputed cell the reason.
    """

    suite: Name
    cell_id: CellId
    label: labels.Label
    bundle: Digest
    bits: bool = False
    why: Line = ""


class Export(Part):
    """Everything the site is made of.

    Attributes:
        version: Version of this document's form.
        snapshot: When the latest of its runs ended; empty without runs. It moves with the data, never with the clock.
        suites: Sorted by name.
        runs: Sorted by suite, spec, label, cell and seed.
        trust: Of submitted cells, sorted by suite and cell; every other row is as its owner reports it.
    """

    version: Literal[1] = Field(alias="schema")
    snapshot: str
    suites: tuple[Suite, ...]
    runs: tuple[Run, ...]
    trust: tuple[Trust, ...] = ()

    @pydantic.model_validator(mode="after")
    def _is_in_order(self) -> Export:
        ids = [(run.suite, run.run_id) for run in self.runs]
        if len(set(ids)) != len(ids):
            raise ValueError("a run stands twice in a suite")
        if list(self.runs) != sorted(self.runs, key=order):
            raise ValueError("the runs are not in order")
        cells = [(one.suite, one.cell_id) for one in self.trust]
        agree([suite.name for suite in self.suites], cells, {(run.suite, run.cell_id) for run in self.runs})
        return self


def compose(suites: list[Suite], runs: list[Run], trust: Iterable[Trust] = ()) -> Export:
    """Returns the export of these suites, runs and labels of trust, in its one order."""
    return Export(
        version=SCHEMA,
        snapshot=max((run.ended for run in runs), default=""),
        suites=tuple(sorted(suites, key=lambda suite: suite.name)),
        runs=tuple(sorted(runs, key=order)),
        trust=tuple(sorted(trust, key=lambda one: (one.suite, one.cell_id))),
    )


def agree(suites: Sequence[str], trust: Sequence[tuple[str, str]], cells: Collection[tuple[str, str]]) -> None:
    """Makes sure that the suites of a board and its labels of trust are those of its cells, and in order.

    Args:
        suites: The names of its suites.
        trust: Suite and cell_id of each label.
        cells: Suite and cell_id of each cell.

    Raises:
        ValueError: They are not.
    """
    homeless = sorted({suite for suite, _ in cells} - set(suites))
    if homeless or list(suites) != sorted(set(suites)):
        raise ValueError(f"the suites {list(suites)} are not the sorted suites of the runs {homeless}")
    if list(trust) != sorted(set(trust)) or set(trust) - set(cells):
        raise ValueError("the labels of trust are not those of its cells, in order")


def order(run: Run) -> tuple[str, str, str, str, int]:
    """Returns what the runs of an export are sorted by."""
    return run.suite, run.spec, run.label, run.cell_id, run.seed


@functools.lru_cache(maxsize=16)
def _cell_of(cell_yaml: str) -> dict[str, Any]:
    """Returns the cell that a resolved spec holds: its mapping without what names it for people; seeds share it."""
    try:
        found: dict[str, Any] = strict_yaml.load(cell_yaml, "cell.yaml").value
    except errors.InputError as error:
        raise ValueError(text.clean(str(error))) from None
    return {key: value for key, value in found.items() if key not in ("schema", "title", "source", "seeds")}
