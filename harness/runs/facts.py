# SPDX-License-Identifier: Apache-2.0
"""Facts: what `run.json` says of a run: its cell, its data, its code and place, and what the theorem says."""

from __future__ import annotations

import datetime
from typing import Any

from harness import config, theory
from harness.records.run_facts import RunFacts
from harness.risk import layout
from harness.runs import outline
from harness.runtime import device as devices
from harness.runtime import provenance
from harness.specs import expected
from harness.training import problem


def code() -> dict[str, Any]:
    """Returns with which code steps are made."""
    commit, dirty = provenance.commit()
    return {"versions": provenance.versions(), "commit": commit, "dirty": dirty}


def initial(cell: config.Cell, seed: int, ready: problem.Problem, device: str, command: str) -> RunFacts:
    """Returns what is known of a run before its first step.

    Args:
        cell: Its cell.
        seed: Its seed.
        ready: The problem.
        device: The device in words.
        command: The command that repeats it.
    """
    return RunFacts(
        run_id=cell.run_id(seed),
        cell_id=cell.cell_id,
        spec_hash=cell.spec_hash,
        suite=cell.suite,
        spec=cell.spec,
        label=cell.label,
        title=cell.title,
        source=cell.source,
        seed=seed,
        seeds=max(cell.seeds, seed + 1),  # `--seeds` may ask for more than the spec does
        parameters=ready.objective.size,
        layout=layout.plain(ready.objective.layout),
        examples=len(ready.arrays.x),
        curvature=ready.surveyor.method,
        device=device,
        profile=devices.profile(),
        precision=cell.precision,
        command=command,
        together=[seed],
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        **code(),
        dataset={
            "name": cell.data.name,
            "version": ready.arrays.version,
            "split": _part(cell.data, ready.facts.split),
            "examples": len(ready.arrays.x),
            "shape": list(ready.facts.shape),
            "classes": ready.facts.classes,
            "sha256": ready.arrays.sha256,
            "licence": ready.arrays.licence,
            "citation": ready.arrays.citation,
        },
        theory=theory.of(cell).as_dict(),
        expected={one.name: expected.plain(one.value) for one in cell.expected},
        left_out=outline.plan(cell, ready.objective.size).left_out,
        cell=cell.resolved(),
    )


def _part(data_: config.Data, split: str) -> str:
    """Returns which examples of a data set a run saw: `train`, `train[:256]` or `train[256 balanced by seed 0]`."""
    examples, subset = getattr(data_, "examples", None), getattr(data_, "subset", None)
    if examples is None or subset is None:
        return split
    return f"{split}[:{examples}]" if subset == "first" else f"{split}[{examples} balanced by seed {subset.balanced}]"
