# SPDX-License-Identifier: Apache-2.0
"""Submitting: bundles of the cells that were run here, verified, where a pull request brings them from."""

from __future__ import annotations

import json
import pathlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from harness import config, errors, workspace
from harness.records import run_folder, statuses
from leaderboard.bundles import bundle, process, reading, submissions, verify
from leaderboard.export import labels

if TYPE_CHECKING:
    import rich.console


class Made(NamedTuple):
    """A bundle that was made.

    Attributes:
        outcome: What the verifier found of it.
        folder: Where it lies, if it was confirmed.
    """

    outcome: verify.Outcome
    folder: pathlib.Path | None


def bundles_of(
    cells: Sequence[config.Cell],
    level: labels.Level,
    *,
    seconds: int,
    tell: process.Tell,
    pack: pathlib.Path | None = None,
) -> list[Made]:
    """Makes, verifies and writes a bundle of each cell; one that is not confirmed is not written.

    Raises:
        errors.InputError: A run is not here, or the folder cannot be written.
        errors.Rejected: A recomputation was refused or took too much.
    """
    mine = canary()
    made = []
    for cell in cells:
        outcome, files = _verified(cell, mine, level, seconds, tell)
        folder = None
        if outcome.confirmed:
            folder = submissions.path_of("submissions", cell.suite, cell.cell_id)
            submissions.write(files, folder)
            if not submissions.goes_further(folder, outcome.verdict):
                submissions.write_statement(outcome.verdict)
            if pack is not None:
                pack.mkdir(parents=True, exist_ok=True)
                (pack / f"{cell.suite}-{cell.cell_id}.zip").write_bytes(bundle.zipped(files))
        made.append(Made(outcome, folder))
    return made


def _verified(
    cell: config.Cell, mine: str | None, level: labels.Level, seconds: int, tell: process.Tell
) -> tuple[verify.Outcome, dict[str, bytes]]:
    files = bundle.make(cell, _folders(cell), mine)
    try:
        read = reading.parse(files)
    except ValueError as error:
        raise errors.Rejected(f"{cell.suite}/{cell.label}: no bundle can be made: {error}") from None
    return verify.verify(read, level, seconds=seconds, tell=tell), files


def _folders(cell: config.Cell) -> list[pathlib.Path]:
    """Returns the run folders of seeds 0, 1, 2, ...: those that the spec asks for, and more where they are here."""
    seeds = cell.seeds
    while run_folder.status(run_folder.folder(cell.suite, cell.run_id(seeds))) in statuses.ENDED:
        seeds += 1
    return [run_folder.folder(cell.suite, cell.run_id(seed)) for seed in range(min(seeds, 100))]


def canary() -> str:
    """Returns the canary of this machine, from a process of its own: this one may have no device set.

    Raises:
        errors.Rejected: That process failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "harness.runtime.canary"],
        capture_output=True,
        text=True,
        cwd=workspace.CODE,
        env=process.environment(workspace.home()),
    )
    if done.returncode:
        raise errors.Rejected(f"the canary failed: {' '.join(done.stderr.splitlines()[-1:])[:200]}")
    return str(json.loads(done.stdout.splitlines()[-1]))


def to_commit(made: Sequence[Made], files: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Returns what a pull request brings: the bundles that were confirmed, and the specs that are not ours yet."""
    bundles_ = [one.folder for one in made if one.folder is not None]
    return [*(file for file in files if file.exists()), *bundles_] if bundles_ else []


def commands(paths: Sequence[pathlib.Path], made: Sequence[Made]) -> list[list[str]]:
    """Returns the commands that bring what was submitted to the public board, word by word."""
    first = made[0].outcome.bundle.manifest
    name = f"submit-{first.suite}-{first.spec}-{first.cell_id}"
    title = f"Submit {first.suite}/{first.spec}: {len(made)} configuration{'s' if len(made) > 1 else ''}"
    shown = [_relative(path) for path in paths]
    return [
        ["git", "switch", "-c", name],
        ["git", "add", *shown],
        ["git", "commit", "-m", title],
        ["git", "push", "-u", "origin", name],
        ["gh", "pr", "create", "--fill"],
    ]


def offer(
    paths: Sequence[pathlib.Path], made: Sequence[Made], out: rich.console.Console, *, open_pr: bool = False
) -> None:
    """Says what to commit and where, or with `open_pr` and gh does it.

    Raises:
        errors.InputError: A command failed; says which.
    """
    words = commands(paths, made)
    if open_pr and shutil.which("gh"):
        for command in words:
            done = subprocess.run(command, cwd=workspace.CHECKOUT, capture_output=True, text=True)
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or [""])[-1][:200]
                raise errors.InputError(f"`{shlex.join(command)}` failed: {reason}; the bundles are written")
            out.print(shlex.join(command), highlight=False, soft_wrap=True, markup=False)
        return
    if open_pr:
        out.print("gh is not installed; these are the commands:", highlight=False)
    else:
        out.print("next, to put it on the public board (`--open-pr` does it):", highlight=False)
    for command in words:
        out.print(f"  {shlex.join(command)}", highlight=False, soft_wrap=True, markup=False)


def _relative(path: pathlib.Path) -> str:
    """Returns a path as git takes it in the checkout."""
    whole = path.resolve()
    return str(whole.relative_to(workspace.CHECKOUT) if whole.is_relative_to(workspace.CHECKOUT) else whole)
