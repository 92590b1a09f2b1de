# SPDX-License-Identifier: Apache-2.0
"""Submissions: bundles on the board, with what the verifier found of them and what is said against them.

The label of a row comes from its verdict file, which names the bundle by its hash; without one, or where it is of
another version of the bundle, the build says so. A bundle that is none stops the build with its name, as a run of the
store does: a board that leaves rows out without a word is wrong.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from harness import errors, workspace
from harness.tracking import store
from leaderboard import folder as files
from leaderboard.bundles import accepted as accept
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import reading, trust
from leaderboard.export import document, labels, shelf

Kind = Literal["submissions", "verdicts", "disputes"]


class Row(NamedTuple):
    """A submitted cell.

    Attributes:
        bundle: What the board takes of its bundle.
        trust: How far it was checked.
    """

    bundle: accept.Accepted
    trust: document.Trust


def path_of(kind: Kind, suite: str, cell_id: str) -> pathlib.Path:
    """Returns where the bundle of a cell lies among the submissions, or its verdict or dispute."""
    name = cell_id if kind == "submissions" else f"{cell_id}.json"
    return workspace.board() / kind / suite / name


def folders() -> list[pathlib.Path]:
    """Returns the folders of all submitted bundles, sorted."""
    return sorted(_entries_below(workspace.board() / "submissions", 2))


def bundles_in(path: pathlib.Path) -> list[pathlib.Path]:
    """Returns the bundles that a path given by a person means: itself, or those up to three levels below it.

    Raises:
        errors.InputError: There is nothing of that name, or no bundle in it.
    """
    if not os.path.lexists(path):
        raise errors.InputError(f"{path}: there is no such folder or file; `gdzoo submit` makes bundles")
    if not path.is_dir() or (path / bundles.MANIFEST).exists():
        return [path]
    below = [
        folder for depth in (1, 2, 3) for folder in _entries_below(path, depth) if (folder / bundles.MANIFEST).exists()
    ]
    if not below:
        raise errors.InputError(f"{path}: holds no bundle ({bundles.MANIFEST}), and no folder of bundles")
    return below


def rows() -> Iterator[Row]:
    """Yields the submitted cells.

    Raises:
        errors.Rejected: A bundle, a verdict or a dispute is none, or lies where it does not belong; says which.
    """
    known = set()
    for folder in folders():
        bundle = accept.accepted(folder)
        if bundle.name != f"{folder.parent.name}/{folder.name}":
            raise errors.Rejected(f"{folder}: rejected: it holds the configuration {bundle.name}")
        known.add(bundle.name)
        yield Row(bundle, _trust(bundle))
    for kind in ("verdicts", "disputes"):
        for file in sorted(_entries_below(workspace.board() / kind, 2)):
            if f"{file.parent.name}/{file.stem}" not in known:
                raise errors.Rejected(f"{file}: rejected: no bundle of this configuration was submitted; remove it")


def _trust(bundle: accept.Accepted) -> document.Trust:
    """Returns the label of a bundle that agrees with itself, by its verdict and its dispute."""
    label: labels.Label = "reported"
    bits, why = False, ""
    file = path_of("verdicts", bundle.suite, bundle.cell_id)
    if file.exists():
        verdict = trust.read(file, trust.Verdict)
        _require_of(verdict, bundle, file)
        label, bits = verdict.label, verdict.bits
        failed = [pair for pair in verdict.pairs if pair.failed]
        if failed:
            why = "{0.what}, {0.where}: {0.claimed} is claimed, {0.found} was found".format(failed[0])
    file = path_of("disputes", bundle.suite, bundle.cell_id)
    if file.exists():
        dispute = trust.read(file, trust.Dispute)
        _require_of(dispute, bundle, file)
        label, why = "disputed", trust.dispute_line(dispute)
    return document.Trust(
        suite=bundle.suite, cell_id=bundle.cell_id, label=label, bundle=bundle.digest, bits=bits, why=why
    )


def _require_of(
    statement: trust.Verdict | trust.Dispute, bundle: bundles.Bundle | accept.Accepted, file: pathlib.Path
) -> None:
    """Makes sure that a file speaks of a bundle.

    Raises:
        errors.Rejected: It speaks of another, or of another version.
    """
    if f"{statement.suite}/{statement.cell_id}" != bundle.name or statement.bundle != bundle.digest:
        raise errors.Rejected(
            f"{file}: rejected: it is of the bundle {statement.bundle[:12]}, and {bundle.digest[:12]} lies there"
        )


def merge(board: shelf.Shelf, submitted: Iterable[Row]) -> set[shelf.Key]:
    """Puts the submitted cells on the shelf of a board; a cell that the board has keeps its own runs.

    The label of such a cell counts only where its runs are the very runs of the bundle.

    Returns:
        The cells that the board did not have.
    """
    guests: set[shelf.Key] = set()
    for row in submitted:
        key = (row.bundle.suite, row.bundle.cell_id)
        if key not in board:
            if key[0] not in board.suites:
                note = store.tags(key[0]).get("mlflow.note.content", "")
                board.suites[key[0]] = document.Suite(name=key[0], note=note)
            for run in row.bundle.runs:
                board.add(run)
            guests.add(key)
        elif list(map(_results, board.runs(key))) != list(map(_results, row.bundle.runs)):
            continue
        board.trust[key] = row.trust
    return guests


def _results(run: document.Run) -> tuple[object, ...]:
    """Returns what tells a run from another one of the same cell and seed."""
    return run.run_id, run.started, run.status, run.eta, run.steps, run.curves


def write(content: Mapping[str, bytes], folder: pathlib.Path) -> None:
    """Writes the files of a bundle, whole or not at all; one that is there already is replaced."""
    partial = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for name, held in content.items():
            files.replace(partial / name, held)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except OSError as error:
        raise errors.InputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_statement(statement: trust.Verdict | trust.Dispute) -> pathlib.Path:
    """Writes a verdict or a dispute where the site reads it, and returns the file."""
    kind: Kind = "verdicts" if isinstance(statement, trust.Verdict) else "disputes"
    file = path_of(kind, statement.suite, statement.cell_id)
    try:
        files.replace(file, trust.dump(statement))
    except OSError as error:
        raise errors.InputError(f"{file}: cannot be written: {error.strerror or error}") from error
    return file


def _entries_below(root: pathlib.Path, depth: int) -> Iterator[pathlib.Path]:
    """Yields what lies so deep below a folder, but for names that begin with a dot and READMEs."""
    if not root.is_dir():
        return
    for entry in sorted(root.iterdir()):
        if entry.name.startswith(".") or entry.name == "README.md":
            continue
        if depth == 1:
            yield entry
        else:
            yield from _entries_below(entry, depth - 1)


def has_verdict(folder: pathlib.Path, level: labels.Level) -> bool:
    """Says whether a submitted bundle has a verdict of its own that went as far as a level, or further.

    Raises:
        errors.Rejected: The bundle or the verdict is none.
    """
    file = path_of("verdicts", folder.parent.name, folder.name)
    if not file.exists():
        return False
    verdict = trust.read(file, trust.Verdict)
    own = verdict.bundle == reading.read(folder).digest
    return own and labels.LEVELS.index(verdict.level) >= labels.LEVELS.index(level)


def goes_further(folder: pathlib.Path, verdict: trust.Verdict) -> bool:
    """Says whether a submitted bundle has a verdict already that says more than a new one: one is never lowered.

    A new one that disputes it always counts.
    """
    file = path_of("verdicts", folder.parent.name, folder.name)
    if verdict.label == "disputed" or not file.exists():
        return False
    known = trust.read(file, trust.Verdict)
    if known.bundle != verdict.bundle or known.label == "disputed":
        return False
    return labels.LEVELS.index(known.label) > labels.LEVELS.index(verdict.label)


def accept_verdicts(source: pathlib.Path) -> list[pathlib.Path]:
    """Takes the verdicts in a folder, `<suite>/<cell_id>.json`, after checking all of them; returns their files.

    Whoever made them had no right to write to the board.

    Raises:
        errors.Rejected: One is none, or is of no bundle that was submitted.
    """
    verdicts = []
    for file in sorted(_entries_below(source, 2)):
        verdict = trust.read(file, trust.Verdict)
        folder = path_of("submissions", verdict.suite, verdict.cell_id)
        if not folder.is_dir():
            raise errors.Rejected(f"{file}: rejected: no bundle {verdict.suite}/{verdict.cell_id} was submitted")
        _require_of(verdict, reading.read(folder), file)
        verdicts.append(verdict)
    return [write_statement(verdict) for verdict in verdicts]


if __name__ == "__main__":
    for written in accept_verdicts(pathlib.Path(sys.argv[1])):
        sys.stdout.write(f"{written}\n")
