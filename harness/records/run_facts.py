# SPDX-License-Identifier: Apache-2.0
"""RunFacts: what `run.json` says of a run, as a typed record."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from harness.records import verdict

SCHEMA = 1
"""Version of the format of run folders."""


@dataclasses.dataclass(frozen=True)
class RunFacts:
    """What is known of one run beside its records; its fields are the keys of `run.json`, in their order.

    A file of an older version lacks what was added later: that has a default. docs/bundle.md says what each means.

    Attributes:
        schema: Version of the format.
        run_id: `<cell_id>-s<seed>`.
        cell_id: The first 12 hex digits of spec_hash.
        spec_hash: What names the cell.
        suite: The suite of its spec.
        spec: The name of its spec.
        label: How the cell differs inside its spec.
        title: The title of its spec.
        source: Where the configuration comes from.
        seed: The seed.
        seeds: How many seeds its spec asks for, or `--seeds`.
        status: running, interrupted, failed, finished or diverged.
        diverged_at: The first step at which loss or gradient were not finite.
        verdict: A word of records.verdict.
        doubt: Why a run is undecided: the fields of verdict.Doubt.
        failure_probability: What the verdict is false with, at most.
        bad_step: The bad step size that a step size of the run is, or is next to.
        eta: The step size before its schedule, rounded to the training precision; None until it is known.
        parameters: P.
        layout: Which numbers of theta are which parameter.
        examples: N.
        curvature: How Hessians are surveyed: `dense` or `lanczos`.
        device: The device in words.
        profile: What else bits depend on (runtime.device).
        precision: That of training.
        command: The command that repeats the run.
        together: The seeds that it is trained beside, itself among them.
        environments: From which step on it was made where, if that changed.
        reached_at: The step at which it reached its target.
        end: Where it ended: `point`, a word of records.ends, and `because`, the numbers that decided.
        histograms: How eigenvalues lie around 1/eta (records.histogram).
        started: When it began, ISO 8601, UTC.
        seconds: Of training and measuring together.
        seconds_training: Of training.
        seconds_measuring: Of measuring.
        versions: Versions of libraries.
        commit: The commit of gdzoo; None outside a checkout.
        dirty: Whether the checkout differed from it.
        dataset: Name, version, split, shape, fingerprint, licence of the training set.
        theory: What the theorem says of the cell (theory.Theory).
        expected: What the spec expects of its runs.
        left_out: Which diagnostics, or numbers of them, were not measured, and why.
        cell: The recipe in plain values, every default written out.
        reason: Why it failed; stands in the file only where it did.
    """

    schema: int = SCHEMA
    run_id: str = ""
    cell_id: str = ""
    spec_hash: str = ""
    suite: str = ""
    spec: str = ""
    label: str = ""
    title: str = ""
    source: str | None = None
    seed: int = 0
    seeds: int = 1
    status: str = "running"
    diverged_at: int | None = None
    verdict: str | None = None
    doubt: dict[str, Any] | None = None
    failure_probability: float | None = None
    bad_step: dict[str, Any] | None = None
    eta: float | None = None
    parameters: int = 0
    layout: list[dict[str, Any]] | None = None
    examples: int = 0
    curvature: str = ""
    device: str = ""
    profile: dict[str, Any] = dataclasses.field(default_factory=dict)
    precision: str = ""
    command: str = ""
    together: list[int] | None = None
    environments: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    reached_at: int | None = None
    end: dict[str, Any] | None = None
    histograms: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    started: str = ""
    seconds: float = 0.0
    seconds_training: float = 0.0
    seconds_measuring: float = 0.0
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    commit: str | None = None
    dirty: bool | None = None
    dataset: dict[str, Any] = dataclasses.field(default_factory=dict)
    theory: dict[str, Any] = dataclasses.field(default_factory=dict)
    expected: dict[str, Any] = dataclasses.field(default_factory=dict)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    cell: dict[str, Any] = dataclasses.field(default_factory=dict)
    reason: str | None = None

    @property
    def group(self) -> tuple[int, ...]:
        """The seeds that the run is trained beside, itself among them."""
        return tuple(self.together or (self.seed,))

    @property
    def verdict_in_words(self) -> str:
        """The verdict in a few words, with what it rests on."""
        notes = [verdict.Doubt(**self.doubt).words] if self.doubt else []
        if self.failure_probability:
            notes.append(f"false with probability {self.failure_probability:.2g} at most")
        if bad := self.bad_step:
            since = f" from step {bad['step']} on" if bad["step"] else ""
            apart = f"|1 − ηλ| = {bad['distance']:.2g}"
            near = f"within one rounding of a bad step size, {apart}" if bad["distance"] else "bad"
            notes.append(f"η = {bad['eta']:.4g}{since} is {near} ({bad['source']})")
        return f"{self.verdict} ({'; '.join(notes)})" if notes else str(self.verdict)

    def replace(self, **changes: Any) -> RunFacts:
        """Returns the facts with some of them changed."""
        return dataclasses.replace(self, **changes)

    def plain(self) -> dict[str, Any]:
        """Returns them as `run.json` holds them."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.reason is None:
            del values["reason"]
        return values


def of(plain: Mapping[str, Any]) -> RunFacts:
    """Returns the facts that a `run.json` of this version or an older one holds; unknown keys are dropped.

    Values are not checked: a stranger's file is read by leaderboard.export.document.
    """
    known = {field.name for field in dataclasses.fields(RunFacts)}
    values = {name: value for name, value in plain.items() if name in known}
    if "verdict" in values:
        values["verdict"] = verdict.current(values["verdict"])
    return RunFacts(**values)
