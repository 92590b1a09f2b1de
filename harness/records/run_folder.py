# SPDX-License-Identifier: Apache-2.0
"""The run folder: what is known of one run, on disk before anything else hears of it.

`<workspace>/runs/<suite>/<run_id>/` holds

    run.json            facts and status of the run, replaced atomically
    cell.yaml           its cell as a spec that `gdzoo run` takes
    records.jsonl       one line per checkpoint step, append-only
    spectra.jsonl       the spectrum at each, append-only, where it was asked for (harness/records/spectra.py)
    layers.jsonl        where eigenvectors live at each, append-only, where it was asked for (harness/records/layers.py)
    trace.jsonl         a line for each trace point, append-only, where the spec asks for a trace (records/traces.py)
    steps.csv           loss and gradient norm of what each step saw, likewise
    usage.jsonl         what the process took of its machine at each, append-only (harness/runtime/usage.py)
    state-STEP.safetensors  parameters and optimiser state after so many steps: the last KEPT, more while they are small
    lock                held (flock) by the process that runs it, and says which one

A record and its spectrum are on disk before the state of their step, so a run that is killed anywhere goes on from the
state, and records of later steps are made again and dropped as doubles. A torn last line is ignored. A state carries
the SHA-256 of its arrays: one that is damaged is passed over for the one before, or for the beginning. A `run.json` or
a file of lines that is damaged (empty, cut off, foreign) is named (`Damaged`), and counts as a run that never began:
when it is run again, what is there is set aside as FILE.damaged.

safetensors rather than Orbax: one file instead of some fifteen, no code or shape that a reader must trust, and damage
is noticed.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import json
import os
import pathlib
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO, TypeVar

import numpy as np

from harness import errors, records, workspace
from harness.curvature import spectrum
from harness.records import layers, run_facts, spectra, traces, verdict

FORMAT = "gdzoo-state-1"
"""Under this name a state has its SHA-256; one name only, so that equal states are equal files."""

KEPT = 2
"""States that are kept, the newest, at any size."""

KEPT_BYTES = 2_000_000
"""Bytes up to which older states are kept too: what a bundle shows of a run (leaderboard/bundles/bundle.py)."""


LINES = ("records.jsonl", "spectra.jsonl", "layers.jsonl", "usage.jsonl", "trace.jsonl", "steps.csv")
"""The files that hold a line for each step of some kind."""

Loaded = TypeVar("Loaded")


class Damaged(errors.InputError):
    """A file of a run folder does not hold what gdzoo writes there; the message names it and says what to do.

    Attributes:
        file: Which one.
        why: What is wrong with it.
    """

    def __init__(self, file: pathlib.Path, why: str) -> None:
        self.file, self.why = file, why
        super().__init__(f"{file} is damaged ({why}); delete {file.parent} and say `gdzoo run` again")


class Busy(Exception):
    """Another process is running this run; the message says which: process, machine, since when."""


def folder(suite: str, run_id: str) -> pathlib.Path:
    """Returns the folder of a run (it need not exist)."""
    return workspace.runs() / suite / run_id


@contextlib.contextmanager
def claimed(path: pathlib.Path) -> Iterator[None]:
    """Holds a run folder, which is made if it is missing, against every other process, and says in it who holds it.

    Raises:
        Busy: If another process holds it.
    """
    with _locked(path) as handle:
        handle.truncate(0)
        since = datetime.datetime.now(datetime.UTC).isoformat(sep=" ", timespec="seconds").partition("+")[0]
        handle.write(f"process {os.getpid()} on {socket.gethostname()} since {since} UTC\n")
        handle.flush()
        yield


@contextlib.contextmanager
def _locked(path: pathlib.Path) -> Iterator[TextIO]:
    path.mkdir(parents=True, exist_ok=True)
    with open(path / "lock", "a+", encoding="utf-8") as handle:
        for last in (*[False] * 10, True):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if last:
                    handle.seek(0)
                    raise Busy(handle.read().strip() or "another process") from error
                time.sleep(0.02)  # a process that only reads the status holds it for less
        yield handle


def status(path: pathlib.Path) -> str:
    """Returns a run's status: missing, running, interrupted, finished, diverged or failed.

    A run that says it is running while no process holds its folder was interrupted; one whose `run.json` is damaged
    is missing, and a warning names it.
    """
    try:
        facts = read(path)
    except Damaged as error:
        warnings.warn(str(error), stacklevel=2)
        return "missing"
    if facts is None:
        return "missing"
    if facts.status != "running":
        return facts.status
    try:
        with _locked(path):
            return "interrupted"
    except Busy:
        return "running"


def read(path: pathlib.Path) -> run_facts.RunFacts | None:
    """Returns the facts of a run, or None when it never began.

    Raises:
        Damaged: If `run.json` does not hold them.
    """
    plain = read_plain(path)
    try:
        return None if plain is None else run_facts.of(plain)
    except TypeError as error:
        raise Damaged(path / "run.json", f"it is no run's: {str(error)[:200]}") from error


def read_plain(path: pathlib.Path) -> dict[str, Any] | None:
    """Returns what `run.json` holds as it stands there, for readers that check it; None when the run never began.

    Raises:
        Damaged: If it is no JSON object.
    """
    file = path / "run.json"
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise Damaged(file, _why(file, error)) from error
    if not isinstance(plain, dict):
        raise Damaged(file, "it holds no JSON object")
    return {name: verdict.current(value) if name == "verdict" else value for name, value in plain.items()}


def write(path: pathlib.Path, facts: run_facts.RunFacts) -> None:
    """Replaces the facts of a run, atomically."""
    write_plain(path, facts.plain())


def write_plain(path: pathlib.Path, plain: dict[str, Any]) -> None:
    """Replaces `run.json`, atomically."""
    _replace(path / "run.json", (json.dumps(plain, indent=1, ensure_ascii=False) + "\n").encode())


def write_cell(path: pathlib.Path, text: str) -> None:
    """Writes the run's cell as YAML, atomically."""
    _replace(path / "cell.yaml", text.encode())


def append(path: pathlib.Path, record: records.Record) -> None:
    """Appends one record, and returns when it is on disk."""
    _append(path / "records.jsonl", records.dump(record))


def append_spectrum(path: pathlib.Path, step: int, known: spectrum.Spectrum) -> None:
    """Appends the spectrum at a step, and returns when it is on disk."""
    _append(path / "spectra.jsonl", spectra.dump(step, known))


def append_layers(path: pathlib.Path, step: int, known: layers.Layers) -> None:
    """Appends where eigenvectors live at a step, and returns when it is on disk."""
    _append(path / "layers.jsonl", layers.dump(step, known))


def append_trace(path: pathlib.Path, lines: Sequence[str]) -> None:
    """Appends lines of trace points (traces.dump, traces.dump_comparison), and returns when they are on disk."""
    if lines:
        _append(path / "trace.jsonl", "\n".join(lines))


def append_steps(path: pathlib.Path, seen: traces.Steps) -> None:
    """Appends what some steps saw, and returns when it is on disk."""
    if len(seen.step):
        head = "" if (path / "steps.csv").exists() else traces.HEADER + "\n"
        _append(path / "steps.csv", head + traces.dump_steps(seen).rstrip("\n"))


def append_usage(path: pathlib.Path, usage: records.Record) -> None:
    """Appends what the process took at a step."""
    _append(path / "usage.jsonl", records.dump(usage))


def read_records(path: pathlib.Path) -> list[records.Record]:
    """Returns the whole records of a run, in order."""
    return _loaded(path / "records.jsonl", records.load)


def read_usage(path: pathlib.Path) -> list[records.Record]:
    """Returns what the process took at each checkpoint, in order."""
    return _loaded(path / "usage.jsonl", records.load)


def read_spectra(path: pathlib.Path) -> list[tuple[int, spectrum.Spectrum]]:
    """Returns step and spectrum of each checkpoint at which a run kept it, in order."""
    return _loaded(path / "spectra.jsonl", spectra.load)


def read_layers(path: pathlib.Path) -> list[tuple[int, layers.Layers]]:
    """Returns step and shares of layers of each checkpoint at which a run kept them, in order."""
    return _loaded(path / "layers.jsonl", layers.load)


def read_trace(path: pathlib.Path) -> list[traces.TracePoint]:
    """Returns the trace points of a run, in order; none where it has no trace."""
    with _undamaged(path / "trace.jsonl"):
        return traces.load(_lines(path / "trace.jsonl"))


def read_steps(path: pathlib.Path) -> traces.Steps:
    """Returns what each step of a run saw; nothing where it has no trace."""
    with _undamaged(path / "steps.csv"):
        return traces.load_steps(_lines(path / "steps.csv"))


def keep_records(path: pathlib.Path, last: int) -> list[records.Record]:
    """Drops what was recorded after step `last` (and torn lines), atomically, and returns the records that stay.

    States of later steps, which were found damaged, go too.
    """
    for file in _states(path):
        if _step(file) > last:
            file.unlink(missing_ok=True)
    kept = [record for record in read_records(path) if record.step <= last]
    _replace(path / "records.jsonl", "".join(records.dump(record) + "\n" for record in kept).encode())
    if (path / "usage.jsonl").exists():
        usage = [records.dump(reading) + "\n" for reading in read_usage(path) if reading.step <= last]
        _replace(path / "usage.jsonl", "".join(usage).encode())
    if (path / "spectra.jsonl").exists():
        lines = [spectra.dump(step, known) for step, known in read_spectra(path) if step <= last]
        _replace(path / "spectra.jsonl", "".join(line + "\n" for line in lines).encode())
    if (path / "layers.jsonl").exists():
        lines = [layers.dump(step, known) for step, known in read_layers(path) if step <= last]
        _replace(path / "layers.jsonl", "".join(line + "\n" for line in lines).encode())
    _keep_trace(path, last)
    return kept


def _keep_trace(path: pathlib.Path, last: int) -> None:
    """Drops trace points after step `last`, and what that step and later ones saw, which will be seen again."""
    if (path / "trace.jsonl").exists():
        lines = [line for line in _lines(path / "trace.jsonl") if json.loads(line)["step"] <= last]
        _replace(path / "trace.jsonl", "".join(lines).encode())
    if (path / "steps.csv").exists():
        seen = traces.dump_steps(read_steps(path).until(last))
        _replace(path / "steps.csv", f"{traces.HEADER}\n{seen}".encode())


def clear(path: pathlib.Path) -> None:
    """Forgets records and states, so that the run begins anew."""
    for file in (*_states(path), *(path / name for name in LINES)):
        file.unlink(missing_ok=True)


def sound(path: pathlib.Path, checkpoints: Sequence[int]) -> bool:
    """Says whether a run can go on from its folder; where a file is damaged a warning names it, and all is set aside.

    What is set aside keeps its name, with `.damaged` behind it.

    Args:
        path: The folder.
        checkpoints: The steps that are recorded; before that of the newest state none may be missing. Its own record
            is made again: a run may have been stopped between the two.
    """
    try:
        for reader in (read, read_usage, read_spectra, read_layers, read_trace):
            reader(path)
        recorded, seen = {record.step for record in read_records(path)}, set(read_steps(path).step.tolist())
        if (newest := last_state(path)) is not None:
            made = _step(newest)
            _complete(path / "records.jsonl", [step for step in checkpoints if step < made and step not in recorded])
            if (path / "trace.jsonl").exists():
                _complete(path / "steps.csv", [step for step in range(made) if step not in seen])
            for name in LINES:
                if (path / name).exists() and not (path / name).stat().st_size:
                    raise Damaged(path / name, "it is empty")
    except Damaged as error:
        warnings.warn(f"{error}: the run begins anew, and what is there is set aside as FILE.damaged", stacklevel=2)
        for file in (path / "run.json", *_states(path), *(path / name for name in LINES)):
            if file.exists():
                file.rename(file.with_name(f"{file.name}.damaged"))
        return False
    return True


def _complete(path: pathlib.Path, missing: Sequence[int]) -> None:
    """Raises Damaged where steps are missing in a file."""
    if missing:
        raise Damaged(path, f"step {missing[0]} is not in it")


def save_state(path: pathlib.Path, step: int, arrays: dict[str, np.ndarray]) -> None:
    """Writes the state from which a run goes on, atomically, and forgets old ones beyond KEPT and KEPT_BYTES.

    Older ones are kept to be shown, not to go on from: they lose what only that needs (arrays `trace_...`).
    """
    _write_state(path, step, arrays)
    kept = 0
    for place, file in enumerate(_states(path)):
        if place == KEPT and (older := _whole(file)) is not None and any(map(_of_trace, older)):
            _write_state(path, _step(file), {name: array for name, array in older.items() if not _of_trace(name)})
        kept += file.stat().st_size
        if place >= KEPT and kept > KEPT_BYTES:
            file.unlink(missing_ok=True)


def _write_state(path: pathlib.Path, step: int, arrays: dict[str, np.ndarray]) -> None:
    """Writes a state, atomically."""
    from safetensors import numpy as tensors

    _replace(path / f"state-{step}.safetensors", tensors.save(arrays, metadata={FORMAT: _digest(step, arrays)}))


def _of_trace(name: str) -> bool:
    """Says whether an array of a state is one from which the trace goes on."""
    return name.startswith("trace_")


def load_state(path: pathlib.Path) -> tuple[int, dict[str, np.ndarray]] | None:
    """Returns step and arrays of the last saved state that is whole, or None where there is none; warns of others."""
    for file in _states(path):
        if (arrays := _whole(file)) is not None:
            return _step(file), arrays
        warnings.warn(f"{file} is damaged: the run goes on from before it", stacklevel=2)
    return None


def _whole(file: pathlib.Path) -> dict[str, np.ndarray] | None:
    """Returns the arrays of a saved state; None where it is damaged."""
    import safetensors

    with contextlib.suppress(OSError, safetensors.SafetensorError):
        with safetensors.safe_open(file, framework="numpy") as opened:
            metadata = opened.metadata() or {}
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        if metadata.get(FORMAT) == _digest(_step(file), arrays):
            return arrays
    return None


def load_states(path: pathlib.Path) -> dict[int, dict[str, np.ndarray]]:
    """Returns the arrays of all saved states that are whole, by step, in order."""
    return {_step(file): arrays for file in reversed(_states(path)) if (arrays := _whole(file)) is not None}


def last_state(path: pathlib.Path) -> pathlib.Path | None:
    """Returns the file of the newest saved state; it may be damaged."""
    return next(iter(_states(path)), None)


def _states(path: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files of saved states, the newest first."""
    found = [file for file in path.glob("state-*.safetensors") if file.stem.removeprefix("state-").isdecimal()]
    return sorted(found, key=_step, reverse=True)


def _step(file: pathlib.Path) -> int:
    """Returns the step in the name of a state."""
    return int(file.stem.removeprefix("state-"))


def _digest(step: int, arrays: dict[str, np.ndarray]) -> str:
    """Returns the SHA-256 of a step, and of names, types, shapes and bytes."""
    known = hashlib.sha256(f"{step}\n".encode())
    for name, array in sorted(arrays.items()):
        known.update(f"{name} {array.dtype} {array.shape}\n".encode())
        known.update(np.ascontiguousarray(array).data)
    return known.hexdigest()


def _append(path: pathlib.Path, line: str) -> None:
    with open(path, "a", encoding="utf-8") as handle:
        handle.write(line + "\n")
        handle.flush()
        os.fsync(handle.fileno())


@contextlib.contextmanager
def _undamaged(path: pathlib.Path) -> Iterator[None]:
    """Says of a file that is read inside that it is damaged, where that fails."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError) as error:
        raise Damaged(path, _why(path, error)) from error


def _why(path: pathlib.Path, error: Exception) -> str:
    """Returns what is wrong with a file that could not be read, in few words."""
    if isinstance(error, OSError):
        return str(error.strerror)
    with contextlib.suppress(OSError):
        if not path.stat().st_size:
            return "it is empty"
    return f"{type(error).__name__}: {error}"[:200]


def _loaded(path: pathlib.Path, load: Callable[[str], Loaded]) -> list[Loaded]:
    """Returns what the whole lines of a file say.

    Raises:
        Damaged: If one of them is not such a line.
    """
    with _undamaged(path):
        return [load(line) for line in _lines(path)]


def _lines(path: pathlib.Path) -> list[str]:
    """Returns the whole lines of a file; none where there is no file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _replace(path: pathlib.Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(temporary, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
