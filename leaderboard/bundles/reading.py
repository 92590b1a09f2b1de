# SPDX-License-Identifier: Apache-2.0
"""A stranger's bundle, read strictly: a folder or a zip becomes a `Bundle`, or one line says why not.

Hashes are checked before content; content goes through leaderboard/export/parsing.py and harness/records/tensors.py.
Nothing is written, and nothing is run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pydantic

from harness import config, errors, records, specs
from harness.curvature import spectrum
from harness.records import histogram, spectra, statuses, tensors, traces
from harness.risk import layout
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import files as bundle_files
from leaderboard.export import document, parsing, text, tracing


def read(path: pathlib.Path) -> bundles.Bundle:
    """Reads a bundle: a folder, or a zip.

    Raises:
        errors.InputError: There is nothing of that name.
        errors.Rejected: It is no bundle; says why, in one line.
    """
    content = files(path)
    with explained(path):
        return parse(content)


def files(path: pathlib.Path) -> dict[str, bytes]:
    """Returns the files of a bundle, a folder or a zip, as they are: nothing but their names and sizes is checked.

    Raises:
        errors.InputError: There is nothing of that name.
        errors.Rejected: It is no bundle; says why, in one line.
    """
    if not os.path.lexists(path):
        raise errors.InputError(f"{path}: there is no such folder or file; `gdzoo submit` makes bundles")
    with explained(path):
        return bundle_files.of_folder(path) if path.is_dir() and not path.is_symlink() else bundle_files.of_zip(path)


@contextlib.contextmanager
def explained(path: pathlib.Path) -> Iterator[None]:
    """Turns what is wrong with a bundle into one line that names it.

    Raises:
        errors.Rejected: Something is.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        raise errors.Rejected(f"{path}: rejected: {text.clean(str(error))[:300]}") from None


def parse(files: Mapping[str, bytes]) -> bundles.Bundle:
    """Returns the bundle of some files.

    Raises:
        ValueError: They are none; says why.
    """
    if bundles.MANIFEST not in files:
        raise ValueError(f"it has no {bundles.MANIFEST}")
    manifest = _manifest(files)
    cell_yaml = _decoded(files["cell.yaml"], "cell.yaml")
    seeds = {seed: _seed(files, manifest, cell_yaml, seed) for seed in range(manifest.seeds)}
    together = {seed: _together(one.facts.get("together"), seed, manifest.seeds) for seed, one in seeds.items()}
    cell = _cell(cell_yaml, seeds[0].run)
    if manifest.seeds < cell.seeds:
        raise ValueError(f"it holds {manifest.seeds} of the {cell.seeds} seeds that its configuration asks for")
    return bundles.Bundle(
        manifest=manifest,
        digest=hashlib.sha256(files[bundles.MANIFEST]).hexdigest(),
        cell=cell,
        runs=tuple(one.run for one in seeds.values()),
        together=together,
        profiles={
            seed: profile if isinstance(profile := one.facts.get("profile"), dict) else {}
            for seed, one in seeds.items()
        },
        layouts={seed: one.layout for seed, one in seeds.items()},
        recorded={seed: one.recorded for seed, one in seeds.items()},
        spectra={seed: one.spectra for seed, one in seeds.items()},
        states={seed: one.states for seed, one in seeds.items()},
        traces={seed: one.trace for seed, one in seeds.items()},
    )


class _Seed(NamedTuple):
    """What the files of one seed say; see `bundles.Bundle`."""

    facts: dict[str, Any]
    run: document.Run
    layout: tuple[layout.Leaf, ...]
    recorded: list[records.Record]
    spectra: dict[int, spectrum.Spectrum]
    states: dict[int, dict[str, np.ndarray]]
    trace: list[traces.TracePoint]


def _seed(files: Mapping[str, bytes], manifest: bundles.Manifest, cell_yaml: str, seed: int) -> _Seed:
    """Returns what the files of one seed say, each checked against the others."""
    place = f"seed-{seed}"
    facts_text = _decoded(files[f"{place}/run.json"], f"{place}/run.json")
    records_text = _decoded(files[f"{place}/records.jsonl"], f"{place}/records.jsonl")
    if not records_text.strip():
        raise ValueError(f"{place} has no record")
    try:
        run = parsing.parse_run(facts_text, records_text, cell_yaml)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    _require_run_of(manifest, seed, run)
    facts = parsing.parse_json(facts_text, "run.json")
    recorded = [records.load(line) for line in records_text.splitlines()]
    if any("sigma_min" in one.values and "sigma_min_lower_error" not in one.values for one in recorded):
        raise ValueError(f"{place} is of an older version, whose error bars held less; make the bundle anew")
    kept = _spectra(files.get(f"{place}/spectra.jsonl"), place, run)
    histograms = histogram.chosen(kept, recorded)  # of the spectra beside it, not of what the run says
    run = run.model_copy(
        update={"histograms": tuple(map(document.Histogram.model_validate_json, map(json.dumps, histograms)))}
    )
    leaves = layout.load(facts.get("layout"), run.parameters, f"{place}: layout")
    states = _states(files.get(f"{place}/states.safetensors"), place, run, leaves)
    try:
        trace, seen = (_decoded(files.get(f"{place}/{name}", b""), name) for name in tracing.FILES)
        found = tracing.read(trace, seen, run)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    if found is not None and found.points:
        run = run.model_copy(update={"trace": tracing.shown(found, run)})
    return _Seed(facts, run, leaves, recorded, kept, states, [] if found is None else found.points)


def _manifest(files: Mapping[str, bytes]) -> bundles.Manifest:
    """Returns the manifest, when the files are exactly those that it names, each with its size and hash."""
    said = _decoded(files[bundles.MANIFEST], bundles.MANIFEST)
    plain = parsing.parse_json(said, bundles.MANIFEST)
    if isinstance(plain, dict) and (plain.get("schema") != bundles.SCHEMA or type(plain["schema"]) is not int):
        raise ValueError(
            f"{bundles.MANIFEST} has the schema {str(plain.get('schema'))[:20]}; this version reads {bundles.SCHEMA}"
        )
    try:
        manifest = bundles.Manifest.model_validate_json(json.dumps(plain))
    except pydantic.ValidationError as error:
        raise ValueError(f"{bundles.MANIFEST}: {parsing.explain(error)}") from None
    wanted = {
        "cell.yaml",
        *(f"seed-{seed}/{name}" for seed in range(manifest.seeds) for name in bundles.SEED_FILES[:2]),
    }
    if missing := sorted(wanted - set(manifest.files)):
        raise ValueError(f"it has no {missing[0]}")
    if strange := sorted(set(manifest.files) ^ (set(files) - {bundles.MANIFEST})):
        raise ValueError(f"{strange[0][:80]!r} is named in {bundles.MANIFEST} or is there, not both")
    for name, entry in manifest.files.items():
        seed = int(name[5:].partition("/")[0]) if name.startswith("seed-") else 0
        if not bundle_files.NAMES.fullmatch(name) or seed >= manifest.seeds:
            raise ValueError(f"{name[:80]!r} is no file of a bundle of {manifest.seeds} seeds")
        if len(files[name]) != entry.bytes or hashlib.sha256(files[name]).hexdigest() != entry.sha256:
            raise ValueError(f"{name} is not the file that {bundles.MANIFEST} names: its size or SHA-256 differs")
    return manifest


def _require_run_of(manifest: bundles.Manifest, seed: int, run: document.Run) -> None:
    """Makes sure that a run is the one of its seed.

    Raises:
        ValueError: It is another.
    """
    for name, said in (("suite", run.suite), ("spec", run.spec), ("cell_id", run.cell_id), ("label", run.label)):
        if said != getattr(manifest, name):
            raise ValueError(
                f"seed-{seed} is of {name} {said[:80]!r}, {bundles.MANIFEST} says {getattr(manifest, name)[:80]!r}"
            )
    if run.spec_hash != manifest.spec_hash or run.seed != seed:
        raise ValueError(f"seed-{seed} holds the run {run.run_id}")
    if run.status not in statuses.ENDED:
        raise ValueError(f"seed-{seed} is {run.status}: a bundle holds runs that ended")
    if not run.steps or run.eta is None:
        raise ValueError(f"seed-{seed} has no record")


def _cell(cell_yaml: str, run: document.Run) -> config.Cell:
    """Returns the cell of a bundle, when `cell.yaml` gives the hash that its runs have."""
    try:
        cell = specs.parse(cell_yaml, file="cell.yaml", suite=run.suite, name=run.spec).cells[0]
    except errors.InputError as error:
        raise ValueError(str(error).splitlines()[0]) from None
    if cell.spec_hash != run.spec_hash:
        raise ValueError("cell.yaml is not written out: this version reads another cell in it")
    return cell


def _together(said: object, seed: int, seeds: int) -> tuple[int, ...]:
    """Returns the seeds that ran beside a seed, itself among them."""
    if not isinstance(said, list) or not all(type(one) is int and 0 <= one < seeds for one in said):
        raise ValueError(f"seed-{seed}: together is not a list of seeds of this bundle")
    if seed not in said or len(set(said)) != len(said):
        raise ValueError(f"seed-{seed}: together does not hold the seed itself once")
    return tuple(said)


def _spectra(content: bytes | None, place: str, run: document.Run) -> dict[int, spectrum.Spectrum]:
    """Returns the spectra of a run by step, each a list of finite numbers that increase."""
    if content is None:
        return {}
    found = {}
    for number, line in enumerate(_decoded(content, f"{place}/spectra.jsonl").splitlines(), start=1):
        name = f"{place}/spectra.jsonl line {number}"
        parsing.parse_json(line, name)
        try:
            step, known = spectra.load(line)
            right = known.values.ndim == 1 and 0 < len(known.values) <= known.size == run.parameters
            right = right and bool(np.isfinite(known.values).all() and np.isfinite(known.errors).all())
            right = right and bool((np.diff(known.values) >= 0).all() and (known.errors >= 0).all())
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{name} is no spectrum ({type(error).__name__})") from None
        if not right or (known.complete and len(known.values) != known.size) or type(known.complete) is not bool:
            raise ValueError(f"{name} is no spectrum of {run.parameters} parameters")
        if step not in run.steps or step in found:
            raise ValueError(f"{name} is of step {step}, which has no record or a spectrum already")
        found[step] = known
    return found


def _states(
    content: bytes | None, place: str, run: document.Run, places: tuple[layout.Leaf, ...]
) -> dict[int, dict[str, np.ndarray]]:
    """Returns the states of a run by step; their shapes are of as many parameters as the run says it has."""
    if content is None:
        return {}
    name = f"{place}/states.safetensors"
    states = tensors.states(tensors.load(content, name), name)
    said = tensors.metadata(content, name).get("layout")
    if said is not None and layout.load(parsing.parse_json(said, name), run.parameters, name) != places:
        raise ValueError(f"{name} says another layout than run.json")
    for step, arrays in states.items():
        if step not in run.steps:
            raise ValueError(f"{name} has a state at step {step}, which has no record")
        if arrays["theta"].shape != (run.parameters,) or arrays["theta"].dtype != run.precision:
            raise ValueError(f"{name} has no theta of {run.parameters} numbers in {run.precision}")
    return states


def _decoded(content: bytes, name: str) -> str:
    """Returns the text of a file in UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8") from error
