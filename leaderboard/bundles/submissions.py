# SPDX-License-Identifier: Apache-2.0
"""What was submitted, for the board: bundles with what the verifier found of them and what is said against them.

The label of a row comes from its verdict file, which names the bundle by its hash; without one, or where it is of
another version of the bundle, the build says so. A bundle that is none stops the build with its name, as a run of the
store does: a board that leaves rows out without a word is wrong.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import sys
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from harness import errors, workspace
from harness.tracking import store
from leaderboard import folder as files
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import claim, consistency, reading, trust
from leaderboard.export import document, labels

Kind = Literal["submissions", "verdicts", "disputes"]


class Row(NamedTuple):
    """A submitted cell.

    Attributes:
        bundle: Its bundle.
        trust: How far it was checked.
    """

    bundle: bundles.Bundle
    trust: document.Trust


def place(kind: Kind, suite: str, cell_id: str) -> pathlib.Path:
    """Returns where the bundle of a cell lies among the submissions, or its verdict or dispute."""
    name = cell_id if kind == "submissions" else f"{cell_id}.json"
    return workspace.board() / kind / suite / name


def folders() -> list[pathlib.Path]:
    """Returns the folders of all submitted bundles, sorted."""
    return sorted(_inside(workspace.board() / "submissions", 2))


def found(path: pathlib.Path) -> list[pathlib.Path]:
    """Returns the bundles that a path given by a person means: itself, or those up to three levels below it.

    Raises:
        errors.InputError: There is nothing of that name, or no bundle in it.
    """
    if not os.path.lexists(path):
        raise errors.InputError(f"{path}: there is no such folder or file; `gdzoo submit` makes bundles")
    if not path.is_dir() or (path / bundles.MANIFEST).exists():
        return [path]
    below = [folder for depth in (1, 2, 3) for folder in _inside(path, depth) if (folder / bundles.MANIFEST).exists()]
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
        found = reading.read(folder)
        if found.place != f"{folder.parent.name}/{folder.name}":
            raise errors.Rejected(f"{folder}: rejected: it holds the cell {found.place}")
        known.add(found.place)
        yield Row(found, _trust(found))
    for kind in ("verdicts", "disputes"):
        for file in sorted(_inside(workspace.board() / kind, 2)):
            if f"{file.parent.name}/{file.stem}" not in known:
                raise errors.Rejected(f"{file}: rejected: no bundle of this cell was submitted; remove it")


def _trust(found: bundles.Bundle) -> document.Trust:
    """Returns the label of a bundle, by its own numbers, its verdict and its dispute."""
    manifest = found.manifest
    wrong = [check for check in consistency.checks(found) if not check.holds]
    if wrong:
        raise errors.Rejected(f"{found.place}: rejected: {claim.sentence(wrong[0])}")
    label: labels.Label = "reported"
    bits, why = False, ""
    file = place("verdicts", manifest.suite, manifest.cell_id)
    if file.exists():
        verdict = trust.read(file, trust.Verdict)
        _require_of(verdict, found, file)
        label, bits = verdict.label, verdict.bits
        why = next((f"{p.what}, {p.where}: {p.claimed} is claimed, {p.found} was found" for p in verdict.pairs if p.failed), "")  # fmt: skip  # noqa: E501
    file = place("disputes", manifest.suite, manifest.cell_id)
    if file.exists():
        dispute = trust.read(file, trust.Dispute)
        _require_of(dispute, found, file)
        label, why = "disputed", trust.told(dispute)
    return document.Trust(
        suite=manifest.suite, cell_id=manifest.cell_id, label=label, bundle=found.digest, bits=bits, why=why
    )


def _require_of(said: trust.Verdict | trust.Dispute, found: bundles.Bundle, file: pathlib.Path) -> None:
    """Makes sure that a file speaks of a bundle.

    Raises:
        errors.Rejected: It speaks of another, or of another version.
    """
    if f"{said.suite}/{said.cell_id}" != found.place or said.bundle != found.digest:
        raise errors.Rejected(
            f"{file}: rejected: it is of the bundle {said.bundle[:12]}, and {found.digest[:12]} lies there"
        )


def merged(board: document.Export | None, submitted: list[Row]) -> document.Export:
    """Returns a board with the submitted cells; a cell that the board has keeps its own runs.

    Its label counts for those only where they are the very runs of the bundle.
    """
    runs = list(board.runs) if board else []
    suites = {suite.name: suite for suite in (board.suites if board else ())}
    own: dict[tuple[str, str], dict[str, document.Run]] = {}
    for run in runs:
        own.setdefault((run.suite, run.cell_id), {})[run.run_id] = run
    labels = []
    for row in submitted:
        manifest = row.bundle.manifest
        here = own.get((manifest.suite, manifest.cell_id))
        if here is None:
            runs += row.bundle.runs
            note = store.tags(manifest.suite).get("mlflow.note.content", "")
            suites.setdefault(manifest.suite, document.Suite(name=manifest.suite, note=note))
        elif {name: _core(run) for name, run in here.items()} != {run.run_id: _core(run) for run in row.bundle.runs}:
            continue
        labels.append(row.trust)
    return document.compose(list(suites.values()), runs, labels)


def _core(run: document.Run) -> tuple[object, ...]:
    """Returns what makes a run the very run of a bundle."""
    return run.started, run.status, run.eta, run.steps, run.curves


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


def write_said(said: trust.Verdict | trust.Dispute) -> pathlib.Path:
    """Writes a verdict or a dispute where the site reads it, and returns the file."""
    file = place("verdicts" if isinstance(said, trust.Verdict) else "disputes", said.suite, said.cell_id)
    try:
        files.replace(file, trust.dump(said))
    except OSError as error:
        raise errors.InputError(f"{file}: cannot be written: {error.strerror or error}") from error
    return file


def _inside(root: pathlib.Path, depth: int) -> Iterator[pathlib.Path]:
    """Yields what lies so deep below a folder, but for names that begin with a dot and READMEs."""
    if not root.is_dir():
        return
    for entry in sorted(root.iterdir()):
        if entry.name.startswith(".") or entry.name == "README.md":
            continue
        if depth == 1:
            yield entry
        else:
            yield from _inside(entry, depth - 1)


def verified(folder: pathlib.Path, level: labels.Level) -> bool:
    """Says whether a submitted bundle has a verdict of its own that went as far as a level, or further.

    Raises:
        errors.Rejected: The bundle or the verdict is none.
    """
    file = place("verdicts", folder.parent.name, folder.name)
    if not file.exists():
        return False
    verdict = trust.read(file, trust.Verdict)
    own = verdict.bundle == reading.read(folder).digest
    return own and labels.LEVELS.index(verdict.level) >= labels.LEVELS.index(level)


def further(folder: pathlib.Path, verdict: trust.Verdict) -> bool:
    """Says whether a submitted bundle has a verdict already that says more than a new one: one is never lowered.

    A new one that disputes it always counts.
    """
    file = place("verdicts", folder.parent.name, folder.name)
    if verdict.label == "disputed" or not file.exists():
        return False
    known = trust.read(file, trust.Verdict)
    if known.bundle != verdict.bundle or known.label == "disputed":
        return False
    return labels.LEVELS.index(known.label) > labels.LEVELS.index(verdict.label)


def take(source: pathlib.Path) -> list[pathlib.Path]:
    """Takes verdicts that a process without rights found, `<suite>/<cell_id>.json`, after checking each; their files.

    Raises:
        errors.Rejected: One is none, or is of no bundle that was submitted.
    """
    taken = []
    for file in sorted(_inside(source, 2)):
        verdict = trust.read(file, trust.Verdict)
        folder = place("submissions", verdict.suite, verdict.cell_id)
        if not folder.is_dir():
            raise errors.Rejected(f"{file}: rejected: no bundle {verdict.suite}/{verdict.cell_id} was submitted")
        _require_of(verdict, reading.read(folder), file)
        taken.append(verdict)
    return [write_said(verdict) for verdict in taken]


if __name__ == "__main__":
    for written in take(pathlib.Path(sys.argv[1])):
        sys.stdout.write(f"{written}\n")
