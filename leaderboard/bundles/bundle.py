# SPDX-License-Identifier: Apache-2.0
"""A bundle: all seeds of one cell as files that anyone can check again, in a folder of a repository or in one zip.

    bundle.json                  what it is, its files with their SHA-256, what was left out and why
    cell.yaml                    the cell as a spec that `gdzoo run` takes
    seed-N/run.json              facts: provenance, device, precision, command, how it ended
    seed-N/records.jsonl         every record
    seed-N/spectra.jsonl         the spectra at the first and the last record, where they were kept
    seed-N/trace.jsonl           its trace points, where the spec asks for a trace: at most 250 kB of them
    seed-N/steps.csv             loss and gradient norm of what at most 1,000 of its steps saw, likewise
    seed-N/states.safetensors    parameters and optimiser state at a few checkpoint steps

docs/bundle.md says what every number in them is, so that an outsider can compute it again.
A bundle holds no code, no path and no pickle, and its SHA-256 is that of `bundle.json`. It is read by
leaderboard/bundles/reading.py, as a stranger's.
"""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from harness import config, errors, records, specs
from harness.curvature import spectrum
from harness.records import run_folder, spectra, statuses, traces
from harness.risk import layout
from leaderboard.export import document, text

SCHEMA: Literal[1] = 1
MANIFEST = "bundle.json"
SEED_FILES = ("run.json", "records.jsonl", "spectra.jsonl", "trace.jsonl", "steps.csv", "states.safetensors")
STATES = 5
"""States of a run that are handed in, at most: the first, the last two, and others evenly between."""

STATE_BYTES = 1 << 23
"""Bytes that the states of a run may take; beyond it fewer are taken, and beyond that none."""

SPECTRA_BYTES = 1 << 19
"""Bytes that the spectra of a run may take; beyond it they are left out."""


class File(document.Part):
    """One file of a bundle."""

    sha256: document.Digest
    bytes: document.Count


class Manifest(document.Part):
    """What `bundle.json` says.

    Attributes:
        schema_: Version of the form of bundles.
        label: What tables call the cell.
        seeds: How many seeds it holds: 0, 1, 2, ...
        canary: What the machine that made the runs computes (harness/runtime/canary.py); None promises no bits.
        left_out: What is not in it, and why.
        files: Every other file.
    """

    schema_: Literal[1] = Field(alias="schema")
    suite: document.Name
    spec: document.Name
    label: document.Line
    cell_id: document.CellId
    spec_hash: document.Digest
    seeds: Annotated[int, Field(ge=1, le=100)]
    canary: document.Digest | None = None
    left_out: dict[document.Name, document.Line] = Field(default={}, max_length=20)
    files: dict[str, File] = Field(max_length=2 + 100 * len(SEED_FILES))


class Bundle(NamedTuple):
    """A bundle that was read: every file is the one that its manifest names, and every run is one of its cell.

    Attributes:
        manifest: What it says it is.
        digest: SHA-256 of its `bundle.json`, 64 hex digits.
        cell: Its cell.
        runs: Its runs, by seed, as the board takes them.
        together: For each seed the seeds that ran beside it.
        profiles: For each seed what its bits depend on; empty where the run does not say.
        layouts: For each seed which numbers of theta are which parameter; empty where the run does not say.
        recorded: For each seed its records.
        spectra: For each seed its spectra, by step.
        states: For each seed its states, by step.
        traces: For each seed its trace points; none where its cell asks for no trace.
    """

    manifest: Manifest
    digest: str
    cell: config.Cell
    runs: tuple[document.Run, ...]
    together: dict[int, tuple[int, ...]]
    profiles: dict[int, dict[str, Any]]
    layouts: dict[int, tuple[layout.Leaf, ...]]
    recorded: dict[int, list[records.Record]]
    spectra: dict[int, dict[int, spectrum.Spectrum]]
    states: dict[int, dict[int, dict[str, np.ndarray]]]
    traces: dict[int, list[traces.TracePoint]]

    @property
    def name(self) -> str:
        """`suite/cell_id`: also the path of its folder among the submissions."""
        return f"{self.manifest.suite}/{self.manifest.cell_id}"


def make(cell: config.Cell, folders: Sequence[pathlib.Path], canary: str | None) -> dict[str, bytes]:
    """Returns the files of a bundle of some runs.

    Args:
        cell: Their cell.
        folders: The run folders of seeds 0, 1, 2, ...
        canary: See Manifest.

    Raises:
        errors.InputError: A run is not there, or has not ended.
    """
    files = {"cell.yaml": specs.dump(cell).encode()}
    left_out: dict[str, str] = {}
    for seed, folder in enumerate(folders):
        facts = run_folder.read_plain(folder)
        if facts is None or facts["status"] not in statuses.ENDED:
            word = "not here" if facts is None else facts["status"]
            raise errors.InputError(
                f"{cell.label} · seed {seed}: its run is {word} ({folder}); bundles are made where runs are"
            )
        steps = [record.step for record in run_folder.read_records(folder)]
        own = {
            "run.json": (
                json.dumps(text.cleaned(facts, text.clean_lines), indent=1, ensure_ascii=False) + "\n"
            ).encode(),
            "records.jsonl": (folder / "records.jsonl").read_bytes(),
            "spectra.jsonl": _spectra(folder, steps),
            "trace.jsonl": traces.fitting(run_folder.read_trace(folder)).encode() or None,
            "steps.csv": traces.fitting_steps(run_folder.read_steps(folder)).encode() or None,
            "states.safetensors": _states(folder, steps, facts.get("layout")),
        }
        for name, content in own.items():
            if content is not None:
                files[f"seed-{seed}/{name}"] = content
            elif name == "states.safetensors":
                left_out[name] = "too large, or not kept: only a repetition of the whole run can confirm its end"
            elif (folder / name).exists():
                left_out[name] = "too large"
    manifest = {
        "schema": SCHEMA,
        "suite": cell.suite,
        "spec": cell.spec,
        "label": cell.label,
        "cell_id": cell.cell_id,
        "spec_hash": cell.spec_hash,
        "seeds": len(folders),
        "canary": canary,
        "left_out": left_out,
    }
    return with_manifest(files, manifest)


def with_manifest(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns the files with a `bundle.json` that says a manifest and the size and SHA-256 of each of them."""
    others = {name: content for name, content in sorted(files.items()) if name != MANIFEST}
    entries = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in others.items()
    }
    said = json.dumps({**manifest, "files": entries}, indent=1, ensure_ascii=False) + "\n"
    return {MANIFEST: said.encode(), **others}


def chosen_steps(steps: Iterable[int], most: int = STATES) -> list[int]:
    """Returns which of some increasing steps are handed in: the first, the last two, others evenly between."""
    known = list(steps)
    if len(known) <= most:
        return known
    inner = most - 2
    places = {round(i * (len(known) - 2) / inner) for i in range(inner + 1)} | {len(known) - 1}
    return [known[place] for place in sorted(places)]


def _spectra(folder: pathlib.Path, steps: Sequence[int]) -> bytes | None:
    ends = {*steps[:1], *steps[-1:]}
    kept = [(step, known) for step, known in run_folder.read_spectra(folder) if step in ends]
    content = "".join(spectra.dump(step, known) + "\n" for step, known in kept).encode()
    return content if content and len(content) <= SPECTRA_BYTES else None


def _states(folder: pathlib.Path, steps: Sequence[int], places: Any) -> bytes | None:
    from safetensors import numpy as writer

    known = {step: arrays for step, arrays in run_folder.load_states(folder).items() if step in set(steps)}
    if not known:
        return None
    size = sum(array.nbytes for name, array in next(iter(known.values())).items() if _shown(name))
    most = min(STATES, STATE_BYTES // max(size, 1))
    if most < 2:
        return None
    taken = chosen_steps(known, most) if most > 3 else list(known)[-most:]
    metadata = {"layout": json.dumps(places)} if places else None
    return writer.save(stacked({step: known[step] for step in taken}), metadata=metadata)


def stacked(states: Mapping[int, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Returns some states of a run as arrays that have one row for each, and `step` (k,) int64."""
    names = sorted(filter(_shown, set.intersection(*(set(arrays) for arrays in states.values()))))
    rows = {name: np.ascontiguousarray(np.stack([arrays[name] for arrays in states.values()])) for name in names}
    return {"step": np.array(list(states), "<i8"), **rows}


def _shown(name: str) -> bool:
    """Says whether an array of a state is handed in: those from which only a run that was cut off goes on are not."""
    return name != "previous" and not name.startswith("trace_")


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Returns the files as one zip, the same bytes for the same files."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return held.getvalue()
