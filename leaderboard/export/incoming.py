# SPDX-License-Identifier: Apache-2.0
"""Run folders from a machine that has no store: checked as strictly as the board checks, and taken whole or not.

A run folder is recognised by its `run.json`. Only regular files with the names that harness/records/run_folder.py gives
are taken, no link is followed, and what a name says (suite, run) must be what the run itself says.
"""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from harness.records import run_folder, traces
from harness.tracking import fields
from leaderboard.export import document, from_store, parsing, text, tracing

DEPTH = 4
"""How far below a named folder run folders are looked for: a workspace, its runs/, a suite, a run."""

FILES = re.compile(
    r"run\.json|cell\.yaml|(?:records|spectra|layers|trace|usage)\.jsonl|steps\.csv|state-\d{1,15}\.safetensors"
)
NAME = re.compile(r"[a-z0-9_]{1,60}")
LIMITS = from_store.ARTIFACTS | dict.fromkeys(("spectra.jsonl", "trace.jsonl", "steps.csv"), 1 << 28)
LIMITS |= {"layers.jsonl": 1 << 26, "usage.jsonl": 1 << 24}
MAX_STATE_BYTES = 1 << 31


class Taken(NamedTuple):
    """What became of one run folder.

    Attributes:
        source: The folder.
        word: `taken`, `present` (this workspace has the very same run), `conflict` (it has the same run_id, but from
            another start), `refused` (it is not a whole run of ours).
        why: For the last two, in a line.
        folder: Where the run lies now, unless it was not taken.
    """

    source: pathlib.Path
    word: Literal["taken", "present", "conflict", "refused"]
    why: str
    folder: pathlib.Path | None


def run_folders(roots: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Returns the run folders in some folders and below them, at most DEPTH deep, sorted; links are not followed."""
    return sorted({folder for root in roots for folder in _below(root.absolute(), DEPTH)})


def take(source: pathlib.Path) -> Taken:
    """Copies a run folder into the workspace, if it is a whole run and the workspace has none of its run_id.

    Args:
        source: A run folder from anywhere; nothing in it is believed.

    Raises:
        OSError: The workspace cannot be written.
    """
    try:
        run = _checked(source)
    except (ValueError, OSError) as error:
        return Taken(source, "refused", text.clean(str(error))[:300], None)
    target = run_folder.folder(run.suite, run.run_id)
    if (here := run_folder.read_plain(target)) is not None:
        same = all((here.get(key) == getattr(run, key)) for key in ("started", "status", "seconds"))
        why = (
            "" if same else f"one that was begun at {here.get('started')} is here; move {target} away to take this one"
        )
        return Taken(source, "present" if same else "conflict", why, target)
    partial = target.with_name(f".{target.name}.incoming-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        for file in _files(source):
            shutil.copyfile(file, partial / file.name, follow_symlinks=False)
        _checked(partial, run.suite, run.run_id)  # what was read once may have been another file
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Taken(source, "taken", "", target)


def _below(folder: pathlib.Path, depth: int) -> Iterator[pathlib.Path]:
    with os.scandir(folder) as entries:
        inside = sorted(entries, key=lambda entry: entry.name)
    if any(entry.name == "run.json" and entry.is_file(follow_symlinks=False) for entry in inside):
        yield folder
    elif depth:
        for entry in inside:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _below(pathlib.Path(entry.path), depth - 1)


def _checked(folder: pathlib.Path, suite: str | None = None, run_id: str | None = None) -> document.Run:
    """Returns the run in a folder.

    Raises:
        ValueError: It is not a whole run; says why.
    """
    files = {file.name: file for file in _files(folder)}
    if missing := [name for name in from_store.ARTIFACTS if name not in files]:
        raise ValueError(f"it has no {missing[0]}")
    run = parsing.parse_run(*(files[name].read_bytes().decode("utf-8") for name in from_store.ARTIFACTS))
    if (run.suite, run.run_id) != (suite or folder.parent.name, run_id or folder.name):
        raise ValueError(f"it holds the run {run.suite}/{run.run_id}, and its folder says otherwise")
    tracing.with_trace(run, *_fitting(folder))  # as the store and the board will have it
    if fault := fields.fault(run_folder.read_plain(folder) or {}):
        raise ValueError(f"run.json is not one of gdzoo's ({fault})")
    _check_optional(folder, run.steps)
    return run


def _fitting(folder: pathlib.Path) -> tuple[str, str]:
    """Returns the two files of the trace of a run as a store will hold them.

    Raises:
        ValueError: They cannot be read.
    """
    try:
        return traces.fitting(run_folder.read_trace(folder)), traces.fitting_steps(run_folder.read_steps(folder))
    except run_folder.Damaged as error:
        raise ValueError(f"{error.file.name} is damaged ({error.why})") from error
    except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"its trace is not one of gdzoo's ({type(error).__name__})") from error


def _check_optional(folder: pathlib.Path, steps: Sequence[int]) -> None:
    """Makes sure that what will be shown can be read, and that usage is told of these steps in names a store takes."""
    name = "spectra.jsonl"
    try:
        whole = all(known.values.ndim == 1 for _, known in run_folder.read_spectra(folder))
        name = "layers.jsonl"
        run_folder.read_layers(folder)
        name = "usage.jsonl"
        usage = run_folder.read_usage(folder)
        told = len({reading.step for reading in usage} & set(steps)) == len(usage)
        named = all(NAME.fullmatch(key) for reading in usage for key in reading.values)
    except run_folder.Damaged as error:
        raise ValueError(f"{error.file.name} is damaged ({error.why})") from error
    except (ArithmeticError, AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is not one of gdzoo's ({type(error).__name__})") from error
    if not whole:
        raise ValueError("spectra.jsonl holds what is no list of eigenvalues")
    if not told:
        raise ValueError("usage.jsonl tells of a step that records.jsonl does not, or twice of one")
    if not named:
        raise ValueError("usage.jsonl holds a name that is not one of gdzoo's")


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files of a run folder that are ours by name, each a regular file of bounded size; skips the rest."""
    files = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not FILES.fullmatch(entry.name):
                continue
            facts = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(facts.st_mode):
                raise ValueError(f"{entry.name} is not a regular file")
            if facts.st_size > LIMITS.get(entry.name, MAX_STATE_BYTES):
                raise ValueError(f"{entry.name} is larger than {LIMITS.get(entry.name, MAX_STATE_BYTES) >> 10} KiB")
            files.append(pathlib.Path(entry.path))
    return sorted(files)
