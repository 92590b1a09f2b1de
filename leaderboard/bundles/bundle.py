# SPDX-License-Identifier: Apache-2.0
"""A bundle: all seeds of one cell as files that anyone can check again, in a folder of a repository or in one zip.

    bundle.json                  what it is, its files with their SHA-256, what was left out and why
    cell.yaml                    the cell as a spec that `gdzoo run` takes
    seed-N/run.json              facts: provenance, device, precision, command, how it ended
    seed-N/records.jsonl         every record
    seed-N/spectra.jsonl         the spectra at the first and the last record, where they were kept
    seed-N/states.safetensors    parameters and optimiser state at a few checkpoint steps

docs/bundle.md says what every number in them is, so that an outsider can compute it again.
A bundle holds no code, no path and no pickle, and its SHA-256 is that of `bundle.json`. Everything in it is read as a
stranger's: names from a fixed list, regular files of bounded size, hashes before content, content through
leaderboard/export/document.py and harness/records/tensors.py.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import re
import stat
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pydantic
from pydantic import Field

from harness import errors, records, specs
from harness.curvature import spectrum
from harness.records import histogram, run_folder, spectra, statuses, tensors
from harness.risk import layout
from leaderboard.export import document, parsing, text

SCHEMA: Literal[1] = 1
MANIFEST = "bundle.json"
SEED_FILES = ("run.json", "records.jsonl", "spectra.jsonl", "states.safetensors")
NAMES = re.compile(rf"bundle\.json|cell\.yaml|seed-(?:0|[1-9][0-9]?)/(?:{'|'.join(map(re.escape, SEED_FILES))})")
"""What a file of a bundle may be called: at most 100 seeds."""

LIMITS = {
    MANIFEST: 1 << 18,
    "cell.yaml": 1 << 17,
    "run.json": 1 << 18,
    "records.jsonl": 1 << 24,
    "spectra.jsonl": 1 << 23,
    "states.safetensors": 1 << 25,
}
"""Bytes of a file, at most."""

TOTAL = 1 << 28
"""Bytes of all files together, at most."""

RATIO = 200
"""How many times its size a file of a zip may become, at most."""

STATES = 5
"""States of a run that are handed in, at most: the first, the last two, and others evenly between."""

STATE_BYTES = 1 << 23
"""Bytes that the states of a run may take; beyond it fewer are taken, and beyond that none."""

SPECTRA_BYTES = 1 << 19
"""Bytes that the spectra of a run may take; beyond it they are left out."""


class Entry(document.Part):
    """One file of a bundle."""

    sha256: document.Digest
    bytes: document.Count


class Manifest(document.Part):
    """What `bundle.json` says.

    Attributes:
        schema_: Version of the form of bundles.
        label: What tables call the cell.
        seeds: How many seeds it holds: 0, 1, 2, ...
        canary: What the machine that made the runs computes (harness/runtime/canary.py); None where no bits are
        promised. left_out: What is not in it, and why. files: Every other file.
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
    files: dict[str, Entry] = Field(max_length=2 + 100 * len(SEED_FILES))


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
    """

    manifest: Manifest
    digest: str
    cell: specs.Cell
    runs: tuple[document.Run, ...]
    together: dict[int, tuple[int, ...]]
    profiles: dict[int, dict[str, Any]]
    layouts: dict[int, tuple[layout.Leaf, ...]]
    recorded: dict[int, list[records.Record]]
    spectra: dict[int, dict[int, spectrum.Spectrum]]
    states: dict[int, dict[int, dict[str, np.ndarray]]]

    @property
    def place(self) -> str:
        """Its folder among the submissions: `suite/cell_id`."""
        return f"{self.manifest.suite}/{self.manifest.cell_id}"


def make(cell: specs.Cell, folders: Sequence[pathlib.Path], canary: str | None) -> dict[str, bytes]:
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
        facts = run_folder.read(folder)
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
    return signed(files, manifest)


def signed(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """Returns the files with a `bundle.json` that says a manifest and the size and SHA-256 of each of them."""
    others = {name: content for name, content in sorted(files.items()) if name != MANIFEST}
    entries = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in others.items()
    }
    said = json.dumps({**manifest, "files": entries}, indent=1, ensure_ascii=False) + "\n"
    return {MANIFEST: said.encode(), **others}


def chosen(steps: Iterable[int], most: int = STATES) -> list[int]:
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
    size = sum(array.nbytes for name, array in next(iter(known.values())).items() if name != "previous")
    most = min(STATES, STATE_BYTES // max(size, 1))
    if most < 2:
        return None
    taken = chosen(known, most) if most > 3 else list(known)[-most:]
    metadata = {"layout": json.dumps(places)} if places else None
    return writer.save(packed({step: known[step] for step in taken}), metadata=metadata)


def packed(states: Mapping[int, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Returns some states of a run as arrays that have one row for each, and `step` (k,) int64."""
    names = sorted(set.intersection(*(set(arrays) for arrays in states.values())) - {"previous"})
    rows = {name: np.ascontiguousarray(np.stack([arrays[name] for arrays in states.values()])) for name in names}
    return {"step": np.array(list(states), "<i8"), **rows}


def pack(files: Mapping[str, bytes]) -> bytes:
    """Returns the files as one zip, the same bytes for the same files."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return held.getvalue()


def read(path: pathlib.Path) -> Bundle:
    """Reads a bundle: a folder, or a zip.

    Raises:
        errors.InputError: There is nothing of that name.
        errors.Rejected: It is no bundle; says why, in one line.
    """
    if not os.path.lexists(path):
        raise errors.InputError(f"{path}: there is no such folder or file; `gdzoo submit` makes bundles")
    try:
        return parse(_of_folder(path) if path.is_dir() and not path.is_symlink() else _of_zip(path))
    except (ValueError, OSError) as error:
        raise errors.Rejected(f"{path}: rejected: {text.clean(str(error))[:300]}") from None


def parse(files: Mapping[str, bytes]) -> Bundle:
    """Returns the bundle of some files.

    Raises:
        ValueError: They are none; says why.
    """
    if MANIFEST not in files:
        raise ValueError(f"it has no {MANIFEST}")
    manifest = _manifest(files)
    runs, facts, recorded, kept, states, layouts = [], {}, {}, {}, {}, {}
    cell_yaml = _text(files["cell.yaml"], "cell.yaml")
    for seed in range(manifest.seeds):
        place = f"seed-{seed}"
        said = _text(files[f"{place}/run.json"], f"{place}/run.json")
        lines = _text(files[f"{place}/records.jsonl"], f"{place}/records.jsonl")
        try:
            run = parsing.parse_run(said, lines, cell_yaml)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
        _check(run, manifest, seed)
        facts[seed] = parsing.parse_json(said, "run.json")
        recorded[seed] = [records.load(line) for line in lines.splitlines()]
        kept[seed] = _known(files.get(f"{place}/spectra.jsonl"), place, run)
        found = histogram.chosen(kept[seed], recorded[seed])  # of what stands beside it, not of what it says
        runs.append(
            run.model_copy(
                update={"histograms": tuple(map(document.Histogram.model_validate_json, map(json.dumps, found)))}
            )
        )
        layouts[seed] = layout.load(facts[seed].get("layout"), run.parameters, f"{place}: layout")
        states[seed] = _held(files.get(f"{place}/states.safetensors"), place, run, layouts[seed])
    together = {seed: _together(facts[seed].get("together"), seed, manifest.seeds) for seed in facts}
    profiles = {seed: profile if isinstance(profile := facts[seed].get("profile"), dict) else {} for seed in facts}
    cell = _cell(cell_yaml, runs[0])
    if manifest.seeds < cell.seeds:
        raise ValueError(f"it holds {manifest.seeds} of the {cell.seeds} seeds that its cell asks for")
    digest = hashlib.sha256(files[MANIFEST]).hexdigest()
    return Bundle(manifest, digest, cell, tuple(runs), together, profiles, layouts, recorded, kept, states)


def _manifest(files: Mapping[str, bytes]) -> Manifest:
    """Returns the manifest, when the files are exactly those that it names, each with its size and hash."""
    said = _text(files[MANIFEST], MANIFEST)
    plain = parsing.parse_json(said, MANIFEST)
    if isinstance(plain, dict) and (plain.get("schema") != SCHEMA or type(plain["schema"]) is not int):
        raise ValueError(f"{MANIFEST} has the schema {str(plain.get('schema'))[:20]}; this version reads {SCHEMA}")
    try:
        manifest = Manifest.model_validate_json(json.dumps(plain))
    except pydantic.ValidationError as error:
        raise ValueError(f"{MANIFEST}: {parsing.explain(error)}") from None
    wanted = {"cell.yaml", *(f"seed-{seed}/{name}" for seed in range(manifest.seeds) for name in SEED_FILES[:2])}
    if missing := sorted(wanted - set(manifest.files)):
        raise ValueError(f"it has no {missing[0]}")
    if strange := sorted(set(manifest.files) ^ (set(files) - {MANIFEST})):
        raise ValueError(f"{strange[0][:80]!r} is named in {MANIFEST} or is there, not both")
    for name, entry in manifest.files.items():
        seed = int(name[5:].partition("/")[0]) if name.startswith("seed-") else 0
        if not NAMES.fullmatch(name) or seed >= manifest.seeds:
            raise ValueError(f"{name[:80]!r} is no file of a bundle of {manifest.seeds} seeds")
        if len(files[name]) != entry.bytes or hashlib.sha256(files[name]).hexdigest() != entry.sha256:
            raise ValueError(f"{name} is not the file that {MANIFEST} names: its size or SHA-256 differs")
    return manifest


def _check(run: document.Run, manifest: Manifest, seed: int) -> None:
    """Makes sure that a run is the one of its place.

    Raises:
        ValueError: It is another.
    """
    for name, said in (("suite", run.suite), ("spec", run.spec), ("cell_id", run.cell_id), ("label", run.label)):
        if said != getattr(manifest, name):
            raise ValueError(
                f"seed-{seed} is of {name} {said[:80]!r}, {MANIFEST} says {getattr(manifest, name)[:80]!r}"
            )
    if run.spec_hash != manifest.spec_hash or run.seed != seed:
        raise ValueError(f"seed-{seed} holds the run {run.run_id}")
    if run.status not in statuses.ENDED:
        raise ValueError(f"seed-{seed} is {run.status}: a bundle holds runs that ended")
    if not run.steps or run.eta is None:
        raise ValueError(f"seed-{seed} has no record")


def _cell(cell_yaml: str, run: document.Run) -> specs.Cell:
    try:
        cell = specs.parse(cell_yaml, file="cell.yaml", suite=run.suite, name=run.spec).cells[0]
    except errors.InputError as error:
        raise ValueError(str(error).splitlines()[0]) from None
    if cell.spec_hash != run.spec_hash:
        raise ValueError("cell.yaml is not written out: this version reads another cell in it")
    return cell


def _together(said: object, seed: int, seeds: int) -> tuple[int, ...]:
    if not isinstance(said, list) or not all(type(one) is int and 0 <= one < seeds for one in said):
        raise ValueError(f"seed-{seed}: together is not a list of seeds of this bundle")
    if seed not in said or len(set(said)) != len(said):
        raise ValueError(f"seed-{seed}: together does not hold the seed itself once")
    return tuple(said)


def _known(content: bytes | None, place: str, run: document.Run) -> dict[int, spectrum.Spectrum]:
    """Returns the spectra of a run by step, each a list of finite numbers that increase."""
    if content is None:
        return {}
    found = {}
    for number, line in enumerate(_text(content, f"{place}/spectra.jsonl").splitlines(), start=1):
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


def _held(
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


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8") from error


def _limit(name: str) -> int:
    return LIMITS[name.rpartition("/")[2]]


def _of_folder(path: pathlib.Path) -> dict[str, bytes]:
    """Returns the files of a folder: regular ones with allowed names, two levels deep; anything else is refused."""
    files: dict[str, bytes] = {}
    budget = TOTAL
    todo = [(path, "")]
    while todo:
        folder, prefix = todo.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                name = f"{prefix}{entry.name}"
                facts = entry.stat(follow_symlinks=False)
                if not prefix and stat.S_ISDIR(facts.st_mode) and re.fullmatch(r"seed-(0|[1-9][0-9]?)", entry.name):
                    todo.append((pathlib.Path(entry.path), f"{entry.name}/"))
                    continue
                if not NAMES.fullmatch(name):
                    raise ValueError(f"{name[:80]!r} is not a file of a bundle")
                if not stat.S_ISREG(facts.st_mode):
                    raise ValueError(f"{name} is not a regular file")
                with open(entry.path, "rb") as handle:
                    files[name] = handle.read(min(_limit(name), budget) + 1)
                budget = within(name, len(files[name]), budget)
    return files


def _of_zip(path: pathlib.Path) -> dict[str, bytes]:
    """Returns the files of a zip: by name from a fixed list, each read up to its limit; nothing is ever extracted."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError("it is neither a folder nor a regular file")
    if path.stat().st_size > TOTAL:
        raise ValueError(f"it is larger than {TOTAL >> 20} MiB")
    files: dict[str, bytes] = {}
    budget = TOTAL
    try:
        with zipfile.ZipFile(path) as archive:
            _check_zip(archive, path)
            for info in archive.infolist():
                with archive.open(info) as handle:
                    files[info.filename] = handle.read(min(_limit(info.filename), budget) + 1)
                budget = within(info.filename, len(files[info.filename]), budget)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise ValueError(f"it is no zip that can be read: {str(error)[:80]}") from None
    return files


def _check_zip(archive: zipfile.ZipFile, path: pathlib.Path) -> None:
    """Makes sure that a zip holds nothing but files of a bundle, each once, and no byte beside them.

    Raises:
        ValueError: It does.
    """
    names = [info.filename for info in archive.infolist()]
    if len(names) > 2 + 100 * len(SEED_FILES):
        raise ValueError(f"it holds {len(names)} files, more than any bundle")
    for info in archive.infolist():
        kind = info.external_attr >> 16
        if not NAMES.fullmatch(info.filename) or info.orig_filename != info.filename:
            raise ValueError(f"{info.orig_filename[:80]!r} is not a file of a bundle")
        if kind and not stat.S_ISREG(kind) and stat.S_IFMT(kind):
            raise ValueError(f"{info.filename} is not a regular file")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
            raise ValueError(f"{info.filename} is encrypted, or packed in a way that is not read")
        if info.file_size > RATIO * max(info.compress_size, 1) or info.file_size > _limit(info.filename):
            raise ValueError(f"{info.filename} would become {info.file_size} bytes")
    if len(set(names)) != len(names):
        raise ValueError("it holds a file twice")
    size = path.stat().st_size
    with open(path, "rb") as handle:
        begins = handle.read(4)
        handle.seek(max(0, size - 22))
        ends = handle.read(22)
    if begins != b"PK\x03\x04" or ends[:4] != b"PK\x05\x06" or archive.comment:
        raise ValueError("it has bytes before or behind the zip")


def within(name: str, size: int, budget: int) -> int:
    """Returns the budget that a file of some size leaves."""
    if size > _limit(name) or size > budget:
        raise ValueError(f"{name} is larger than {min(_limit(name), budget) >> 10} KiB")
    return budget - size
