# SPDX-License-Identifier: Apache-2.0
"""Runs: the runs of specs, made and read, with their records as plain dicts or tables of pandas."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from harness import errors, specs, workspace
from harness.curvature import spectrum
from harness.face import shown
from harness.records import run_facts, run_folder, traces

if TYPE_CHECKING:
    import pandas as pd

Path = str | os.PathLike[str]

SHOWN = ("loss", "sharpness", "sigma_min", "log_abs_det", "n_above_inv_eta")
"""The metrics that are shown of a record."""


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One run, read from its folder.

    Attributes:
        facts: What is known of it beside its records (`run.json`).
        folder: Its folder.
    """

    facts: run_facts.RunFacts
    folder: pathlib.Path

    @property
    def run_id(self) -> str:
        """Its name."""
        return self.facts.run_id

    @property
    def records(self) -> list[dict[str, float]]:
        """A dict for each checkpoint step: `step`, and metrics by name (`gdzoo list metrics`)."""
        return [{"step": record.step, **record.values} for record in run_folder.read_records(self.folder)]

    @property
    def trace(self) -> list[traces.TracePoint]:
        """Its trace points; none where its spec asks for no trace."""
        return run_folder.read_trace(self.folder)

    @property
    def spectra(self) -> list[tuple[int, spectrum.Spectrum]]:
        """Step and spectrum of each checkpoint at which it kept one."""
        return run_folder.read_spectra(self.folder)

    def frame(self) -> pd.DataFrame:
        """Returns the records as a table of pandas, a row for each checkpoint step."""
        import pandas as pd

        return pd.DataFrame(self.records).set_index("step")

    def dict(self) -> dict[str, Any]:
        """Returns what is known of it beside its records as a plain dict."""
        return self.facts.plain()

    def _table(self) -> shown.Table:
        rows = [
            (str(int(record["step"])), *(shown.number(record.get(name, float("nan"))) for name in SHOWN))
            for record in self.records
        ]
        note = f"{self.facts.status}: {self.facts.verdict_in_words}"
        return shown.Table(f"Run {self.run_id} · {self.facts.label}", ("step", *SHOWN), rows, (note,))

    def __repr__(self) -> str:
        """Returns its records, a line each."""
        return shown.text(self._table())

    def _repr_html_(self) -> str:
        return shown.page(self._table())


class Runs(Sequence[Run]):
    """Some runs."""

    def __init__(self, found: Sequence[Run]) -> None:
        self._found = tuple(found)

    @overload
    def __getitem__(self, place: int) -> Run: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Run]: ...
    def __getitem__(self, place: int | slice) -> Run | Sequence[Run]:
        """Returns a run."""
        return self._found[place]

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self._found)

    def dicts(self) -> list[dict[str, Any]]:
        """Returns for each run its `run.json`, with its records under `records`, as plain dicts."""
        return [{**one.dict(), "records": one.records} for one in self._found]

    def frame(self) -> pd.DataFrame:
        """Returns all records as one table of pandas, a row for each run and checkpoint step."""
        import pandas as pd

        rows = [
            {"suite": one.facts.suite, "label": one.facts.label, "run_id": one.run_id, "seed": one.facts.seed, **record}
            for one in self._found
            for record in one.records
        ]
        return pd.DataFrame(rows)

    def _table(self) -> shown.Table:
        rows = [
            (
                one.run_id,
                one.facts.suite,
                one.facts.label,
                str(one.facts.seed),
                one.facts.status,
                str(one.facts.verdict),
            )
            for one in self._found
        ]
        head = ("run", "suite", "configuration", "seed", "status", "verdict")
        return shown.Table(f"{len(rows)} runs", head, rows)

    def __repr__(self) -> str:
        """Returns a line for each."""
        return shown.text(self._table())

    def _repr_html_(self) -> str:
        return shown.page(self._table())


def run(spec: Path, *, seeds: int | None = None, store: str | None = None) -> Runs:
    """Makes the missing runs of a spec exist, as `gdzoo run` does, and returns all of them.

    Training is done in other processes; a stop keeps what was recorded, and the same call goes on.

    Args:
        spec: The path of a spec, or of a folder of them.
        seeds: How many seeds of each configuration; as many as the spec says unless given.
        store: URI of an MLflow store to send them to; None for run folders alone (`gdzoo store import` takes those).

    Raises:
        errors.InputError: If a spec is wrong, a data set cannot be had, or the store cannot be opened.
        errors.Stopped: On Ctrl-C.
        RuntimeError: If a run failed; says which, and the first one's reason.
    """
    from harness.cli import commands

    outcome = commands.run_specs([pathlib.Path(spec)], commands.Wanted(seeds, store, store is None))
    made = runs(spec)
    if outcome is not None and outcome.failed:
        reasons = [one.facts.reason for one in made if one.run_id in outcome.failed]
        why = next(filter(None, reasons), "its folder says why")
        raise RuntimeError(f"{len(outcome.failed)} runs failed, {outcome.failed[0]} first: {why}")
    return made


def runs(spec: Path | None = None) -> Runs:
    """Returns the runs that are in the workspace, of all specs or of one, in the order of suite, cell and seed.

    Args:
        spec: The path of a spec, or of a folder of them; None for all runs.

    Raises:
        errors.InputError: If the spec is wrong.
    """
    wanted = None
    if spec is not None:
        cells = [cell for one in specs.read_all([pathlib.Path(spec)]) for cell in one.cells]
        wanted = {(cell.suite, cell.cell_id) for cell in cells}
    found = []
    for file in workspace.runs().glob("*/*/run.json"):
        facts = run_folder.read(file.parent)
        if facts is not None and (wanted is None or (facts.suite, facts.cell_id) in wanted):
            found.append(Run(facts, file.parent))
    return Runs(sorted(found, key=lambda one: (one.facts.suite, one.facts.cell_id, one.facts.seed)))


def one_run(name: str) -> Run:
    """Returns the run of a name in the workspace.

    Raises:
        errors.InputError: If there is none.
    """
    there = runs()
    for one in there:
        if one.run_id == name:
            return one
    raise errors.InputError(f"there is no run {name!r}{errors.nearest(name, [one.run_id for one in there])}")
