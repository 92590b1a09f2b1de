# SPDX-License-Identifier: Apache-2.0
"""The whole road: the README's four commands word for word, and a pull request checked, published on a bare clone."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

from harness import errors, specs, workspace
from harness.theory import certify, written
from leaderboard.bundles import claim, consistency, pull_request, reading, submissions, trust, verify
from leaderboard.export import labels
from tests import builders

ROOT = workspace.CHECKOUT
SHIPPED = ROOT / "leaderboard" / "submissions"
WHOLE = ("quickstart", "practical", "optimisers")
"""Suites of which every spec is shipped."""


def said(*words: str, cwd: pathlib.Path, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        words, cwd=cwd, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}
    )
    assert not check or done.returncode == 0, (words, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done


@pytest.mark.thorough
def test_the_four_commands_of_the_readme_put_a_network_on_the_board(
    home: pathlib.Path, store_uri: str, tmp_path: pathlib.Path
) -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Your own network, in four commands")[2]
    block = section.split("```")[1]
    commands = [shlex.split(line, comments=True) for line in block.strip().splitlines()]
    assert [command[1] for command in commands] == ["new", "check", "run", "submit"]
    shipped = next(iter(sorted((SHIPPED / "quickstart").iterdir())))
    board = home / "board"
    shutil.copytree(shipped, board / "submissions" / "quickstart" / shipped.name)
    for command in commands:
        assert command[0] == "gdzoo"
        done = said(sys.executable, str(ROOT / "gdzoo.py"), *command[1:], cwd=home)
    (folder,) = (board / "submissions" / "mine").iterdir()
    read = reading.read(folder)
    assert read.name == f"mine/{folder.name}" and read.manifest.canary is not None
    assert f"git add specs/mine/mynet.yaml {folder}".split()[2] in done.stdout
    assert str(folder) in done.stdout and "gh pr create" in done.stdout
    assert "recomputed; " in done.stdout and "bits compared" in done.stdout
    verdict = trust.read(board / "verdicts" / "mine" / f"{folder.name}.json", trust.Verdict)
    assert (verdict.label, verdict.bits, verdict.bundle) == ("recomputed", True, read.digest)
    page = (home / "site" / "index.html").read_text(encoding="utf-8")
    assert "★ yours" in page and page.count("★ yours") == 1, "the new row is marked among the shipped ones"
    cell = (home / "site" / "cell" / "mine" / f"{folder.name}.html").read_text(encoding="utf-8")
    assert "recomputed:" in cell and read.digest in cell
    other = (home / "site" / "cell" / "quickstart" / f"{shipped.name}.html").read_text(encoding="utf-8")
    assert "reported:" in other, "a bundle without a verdict is as its owner reports it"


@pytest.fixture
def clone(tmp_path: pathlib.Path) -> pathlib.Path:
    """A checkout of a bare clone of this repository as it is at its last commit, without the shipped rows."""
    said("git", "clone", "-q", "--bare", str(ROOT), str(tmp_path / "bare.git"), cwd=tmp_path)
    said("git", "clone", "-q", str(tmp_path / "bare.git"), str(tmp_path / "clone"), cwd=tmp_path)
    folder = tmp_path / "clone"
    for name, value in (("user.name", "t"), ("user.email", "t@example.invalid"), ("commit.gpgsign", "false")):
        said("git", "config", name, value, cwd=folder)
    suites = sorted(str(path.relative_to(folder)) for path in (folder / "leaderboard" / "submissions").glob("*/"))
    said("git", "rm", "-rq", *suites, "leaderboard/verdicts", cwd=folder)
    said("git", "commit", "-qm", "base", cwd=folder)
    said("git", "branch", "base", cwd=folder)
    return folder


def _row() -> pathlib.Path:
    """The shipped row that takes least to check: full-batch or not, of an MLP."""
    return min((SHIPPED / "quickstart").iterdir(), key=lambda folder: sum(f.stat().st_size for f in folder.rglob("*")))


def _brought(clone: pathlib.Path, name: str) -> pathlib.Path:
    """Begins a branch that brings a shipped row, not committed yet; its folder."""
    said("git", "switch", "-qc", name, "base", cwd=clone)
    target = clone / "leaderboard" / "submissions" / "quickstart" / _row().name
    shutil.copytree(_row(), target)
    return target


def _commit(clone: pathlib.Path) -> None:
    said("git", "add", "-A", cwd=clone)
    said("git", "commit", "-qm", "bring", cwd=clone)
    said("git", "switch", "-q", "base", cwd=clone)


def _checked(clone: pathlib.Path, name: str, *more: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    return said(sys.executable, "-m", "leaderboard.bundles.pull_request", "base", name, *more, cwd=clone, check=check)


@pytest.mark.parametrize("level", builders.tiers(["reported", "recomputed"], quick=["reported"]))
def test_a_pull_request_is_verified_merged_and_published(
    level: str, clone: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    _brought(clone, "brought")
    _commit(clone)
    output = tmp_path / "found"
    asked = ("--to", level, "--output", str(output), "--challenge", "a public value")
    done = _checked(clone, "brought", *asked, check=True)
    assert re.search(rf"\| quickstart/.* \| {level} \| \d+ \| (bits|within tolerances) \| \d+ \|", done.stdout)
    assert (output / "comment.md").read_text(encoding="utf-8") == done.stdout
    verdict = trust.read(output / "quickstart" / f"{_row().name}.json", trust.Verdict)
    assert verdict.challenge == "a public value"
    said("git", "merge", "-q", "--no-edit", "brought", cwd=clone)
    said(sys.executable, "-m", "leaderboard.bundles.submissions", str(output), cwd=clone, GDZOO_BOARD="")
    assert (clone / "leaderboard" / "verdicts" / "quickstart" / f"{_row().name}.json").exists()
    gdzoo = (sys.executable, str(clone / "gdzoo.py"))
    words = ("verify", "leaderboard/submissions/quickstart", "--missing", "--to", level)
    again = said(*gdzoo, *words, cwd=clone, GDZOO_BOARD="")
    assert "nothing to verify" in again.stdout
    said(*gdzoo, "board", "build", "--only-submitted", "--output", "site", cwd=clone, GDZOO_BOARD="")
    said(*gdzoo, "board", "check", "site", cwd=clone)
    export = json.loads((clone / "site" / "export.json").read_text(encoding="utf-8"))
    assert [one["label"] for one in export["trust"] if one["suite"] == "quickstart"] == [level]
    assert not (clone / "mlflow.db").exists(), "the public board needs no store"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda clone, row: (clone / "gdzoo.py").write_text("x"), "gdzoo.py: bundles come alone"),
        (lambda clone, row: (clone / ".github/workflows/test.yml").write_text("x"), "test.yml: bundles come alone"),
        (lambda clone, row: (row / "run.sh").write_text("x"), "run.sh: bundles come alone|is not a file of a bundle"),
        (lambda clone, row: (row / "cell.yaml").chmod(0o755), "is not a regular file (mode 100755)"),
        (lambda clone, row: _linked(row / "cell.yaml"), "is not a regular file (mode 120000)"),
        (lambda clone, row: _verdict(clone), "verdicts are written where the board is published"),
        (lambda clone, row: _disputed(clone, row.name, "0" * 64), "it is of another bundle"),
        (lambda clone, row: _disputed(clone, "0" * 12, "0" * 64), "there is no bundle of this configuration"),
        (lambda clone, row: row.rename(row.with_name("0" * 12)), "it holds the configuration quickstart/"),
        (lambda clone, row: (row / "cell.yaml").write_text("x"), "its size or SHA-256 differs"),
        (
            lambda clone, row: said("git", "rm", "-q", "specs/quickstart/*.yaml", cwd=clone),
            "a spec that is there is not changed",
        ),
    ],
)
def test_a_pull_request_that_is_more_or_other_than_bundles_is_refused(
    clone: pathlib.Path, change: object, message: str
) -> None:
    row = _brought(clone, "brought")
    change(clone, row)  # type: ignore[operator]
    _commit(clone)
    done = _checked(clone, "brought", "--to", "reported")
    assert done.returncode == errors.EXIT_REJECTED, done.stderr
    plain = done.stdout.replace("\\", "")
    assert "**refused**" in done.stdout and any(part in plain for part in message.split("|")), plain
    assert done.stderr == ""


def _linked(file: pathlib.Path) -> None:
    file.unlink()
    file.symlink_to("/etc/passwd")


def _disputed(clone: pathlib.Path, cell_id: str, digest: str) -> None:
    file = clone / "leaderboard" / "disputes" / "quickstart" / f"{cell_id}.json"
    file.parent.mkdir(parents=True)
    plain = {
        "schema": 1,
        "suite": "quickstart",
        "cell_id": cell_id,
        "bundle": digest,
        "reason": "r",
        "date": "2026-11-25",
    }
    file.write_text(json.dumps(plain))


def _verdict(clone: pathlib.Path) -> None:
    file = clone / "leaderboard" / "verdicts" / "quickstart" / f"{_row().name}.json"
    file.parent.mkdir(parents=True)
    file.write_text("{}")


CERTIFIED = """schema: 1
title: t
source: s
data: {name: gaussian_classes, examples: 9, shape: [1, 1, 3], classes: 3, separation: 2.0}
model: {family: mlp, hidden: [4, 3], activation: tanh}
loss: {name: half_mse}
optimizer: {name: gd, learning_rate: 0.1}
steps: 1
seeds: 1
"""


def _certificate(clone: pathlib.Path, name: str, **changes: object) -> None:
    """Begins a branch that brings a spec and the certificate of its cell, and commits it."""
    said("git", "switch", "-qc", name, "base", cwd=clone)
    (cell,) = specs.parse(CERTIFIED, file="one.yaml", suite="mine", name="one").cells
    made = {"seconds": 1.0, "cpu_seconds": 1.0, "peak_bytes": 1, "commit": None, "dirty": False, "versions": {}}
    plain = {**written.plain(certify.certify(cell, 1), 1), "made": made, **changes}
    file = clone / "leaderboard" / "certificates" / "mine" / f"{cell.cell_id}.json"
    for path, text in ((file, json.dumps(plain)), (clone / "specs" / "mine" / "one.yaml", CERTIFIED)):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    _commit(clone)


def test_a_pull_request_that_brings_a_certificate_is_verified(clone: pathlib.Path) -> None:
    _certificate(clone, "honest")
    done = _checked(clone, "honest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\| mine/one \| recomputed \| \d+ \| a certificate \| \d+ \|", done.stdout)
    _certificate(clone, "forged", verdict="undecided")
    done = _checked(clone, "forged", "--to", "reported")
    assert done.returncode == errors.EXIT_REJECTED and "| disputed |" in done.stdout
    _certificate(clone, "astray", suite="yours")
    done = _checked(clone, "astray", "--to", "reported")
    assert done.returncode == errors.EXIT_REJECTED and "it is of the configuration yours" in done.stdout
    _certificate(clone, "alone", spec="two")
    done = _checked(clone, "alone", "--to", "reported")
    assert done.returncode == errors.EXIT_REJECTED and "there is no specs/mine/two" in done.stdout.replace("\\", "")


def test_a_row_that_is_there_is_not_changed_and_other_pull_requests_are_not_judged(clone: pathlib.Path) -> None:
    _brought(clone, "first")
    _commit(clone)
    said("git", "merge", "-q", "--no-edit", "first", cwd=clone)
    said("git", "switch", "-qc", "second", cwd=clone)
    (clone / "leaderboard" / "submissions" / "quickstart" / _row().name / "cell.yaml").write_text("x")
    _commit(clone)
    done = _checked(clone, "second", "--to", "reported")
    assert done.returncode == errors.EXIT_REJECTED and "a row that is there is not changed" in done.stdout.replace(
        "\\", ""
    )
    said("git", "switch", "-qc", "third", "base", cwd=clone)
    (clone / "README.md").write_text("x")
    _commit(clone)
    done = _checked(clone, "third")
    assert (done.returncode, done.stdout) == (0, "No bundle is brought: there is nothing to recompute.\n")
    assert _checked(clone, "no-such-commit").returncode == errors.EXIT_INPUT
    assert _checked(clone, "--upload-pack=x").returncode == errors.EXIT_INPUT


def test_words_of_strangers_are_text_in_the_comment() -> None:
    hostile = "<img src=x onerror=alert(1)> [a](javascript:x) @everyone | `x` \x1b[31m\n# h"
    shown = pull_request.table([], [hostile])
    assert shown.count("\n") == 1 and "@" not in shown and "\x1b" not in shown
    assert not re.search(r"(?<!\\)[<>\[\]`|#]", shown.removeprefix("- **refused** "))


def test_shipped_rows_are_whole_consistent_and_have_their_verdicts() -> None:
    rows = list(submissions.rows())
    found = {(row.bundle.suite, row.bundle.runs[0].label): row.trust.label for row in rows}
    held = {(row.bundle.suite, row.bundle.cell_id) for row in rows}
    begun = {(row.bundle.suite, row.bundle.runs[0].spec) for row in rows}
    assert {(suite, file.stem) for suite in WHOLE for file in (ROOT / "specs" / suite).glob("*.yaml")} <= begun
    for suite, spec in sorted(begun):
        cells = specs.read(ROOT / "specs" / suite / f"{spec}.yaml").cells
        assert {(suite, cell.cell_id) for cell in cells} <= held, f"{suite}/{spec} is shipped in part"
    assert set(found.values()) <= {"recomputed", "replayed"}, found
    assert all(label == "replayed" for (suite, _), label in found.items() if suite == "quickstart")
    for row in rows:
        assert all(not run.dirty and run.commit for run in row.bundle.runs), f"{row.bundle.name}: no clean checkout"
    for folder in submissions.folders():
        assert all(check.holds for check in consistency.checks(reading.read(folder)))


@pytest.mark.thorough
def test_a_shipped_row_is_replayed() -> None:
    """A sample of one: the smallest, whole, on this machine."""
    outcome = verify.verify(reading.read(_row()), "replayed")
    assert [check for check in outcome.checks if not check.holds] == []
    assert outcome.verdict.label == "replayed" or (not outcome.verdict.bits and outcome.verdict.label == "recomputed")


@pytest.mark.slow
def test_all_shipped_rows_are_replayed() -> None:
    for folder in submissions.folders():
        outcome = verify.verify(reading.read(folder), "replayed")
        assert [claim.sentence(check) for check in outcome.checks if not check.holds] == [], folder


def test_workflows_pin_their_actions_and_give_no_rights_to_what_reads_bundles() -> None:
    for file in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        content = file.read_text(encoding="utf-8")
        flow = yaml.safe_load(content)
        assert "pull_request_target" not in content, file
        assert set(flow["permissions"].values()) <= {"read"} or file.name == "comment.yml", file
        uses = re.findall(r"uses: (\S+)", content)
        assert all(re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40}", one) for one in uses), (file, uses)
        for job in flow["jobs"].values():
            for step in job["steps"]:
                assert "${{ github.event" not in step.get("run", ""), f"{file}: a stranger's word in a shell"
    submission = yaml.safe_load((ROOT / ".github" / "workflows" / "submission.yml").read_text(encoding="utf-8"))
    assert submission["permissions"] == {"contents": "read"}
    first = submission["jobs"]["verify"]["steps"][0]["with"]
    assert first["ref"] == "${{ github.event.pull_request.base.sha }}" and first["persist-credentials"] is False
    assert labels.LEVELS[-1] in str(submission["jobs"]["verify"]["steps"])
