# SPDX-License-Identifier: Apache-2.0
"""Submissions on the board: labels come from verdicts of the very bundle, and nothing is left out without a word."""

from __future__ import annotations

import io
import json
import pathlib
import shutil
from typing import Any

import pytest
import rich.console
import typer.testing

from harness import errors, workspace
from leaderboard.board import cell as cells
from leaderboard.bundles import reading, submissions, submit, trust, verify
from leaderboard.cli import commands
from leaderboard.export import document, shelf
from leaderboard.site import pages

SHIPPED = workspace.CHECKOUT / "leaderboard" / "submissions" / "quickstart"


@pytest.fixture
def folder(home: pathlib.Path) -> pathlib.Path:
    """The smallest shipped bundle among the submissions of this test's own board."""
    source = min(SHIPPED.iterdir(), key=lambda folder: sum(file.stat().st_size for file in folder.rglob("*")))
    target = home / "board" / "submissions" / "quickstart" / source.name
    shutil.copytree(source, target)
    return target


def verdict(folder: pathlib.Path, **changes: Any) -> trust.Verdict:
    """A verdict of a bundle, reported for free, with changes."""
    found = verify.verify(reading.read(folder), "reported", challenge="x").verdict
    plain = {**json.loads(trust.dump(found)), **changes}
    plain.pop("sha256")
    return trust.verdict(plain)


def merged(board: document.Export | None, row: submissions.Row) -> document.Export:
    """A board with a submitted cell."""
    held = shelf.of(board) if board else shelf.Shelf()
    submissions.merge(held, [row])
    return held.export()


def run(*words: str) -> Any:
    return typer.testing.CliRunner().invoke(commands.app, list(words))


def test_a_row_has_the_label_of_its_verdict_and_a_page_says_it(folder: pathlib.Path) -> None:
    (row,) = submissions.rows()
    assert row.trust.label == "reported" and row.trust.bundle == row.bundle.digest
    file = submissions.write_statement(verdict(folder, label="replayed", level="replayed", bits=True))
    (row,) = submissions.rows()
    assert (row.trust.label, row.trust.bits) == ("replayed", True)
    board = merged(None, row)
    (cell,) = cells.cells(board)
    assert cell.trust == row.trust and len(cell.runs) == 3
    page = pages.render(board)[f"cell/quickstart/{folder.name}.html"].decode()
    assert "● replayed:" in page and row.bundle.digest in page and "Bits were compared" in page
    file.write_text(file.read_text().replace('"recomputed"', '"replayed"').replace('"bits": true', '"bits": false'))
    with pytest.raises(errors.Rejected, match="sha256 is not that of what it says"):
        list(submissions.rows())


def test_a_dispute_beats_a_verdict_and_its_reason_is_shown_as_text(folder: pathlib.Path) -> None:
    submissions.write_statement(verdict(folder, label="replayed", level="replayed"))
    reason = "<script>alert(1)</script> the loss is 0.25"
    done = run("dispute", str(folder), "--reason", reason, "--found", "loss=0.25", "--by", "a reader")
    assert done.exit_code == 0, done.output
    (row,) = submissions.rows()
    assert row.trust.label == "disputed"
    assert row.trust.why.startswith(f"{reason} (found: loss = 0.25); a reader, 20")
    files = pages.render(merged(None, row))
    page = files[f"cell/quickstart/{folder.name}.html"].decode()
    assert "⚑ disputed:" in page and "&lt;script&gt;" in page and "<script>alert" not in page
    assert b"disputed" in files["data/cells.csv"]


@pytest.mark.parametrize(
    "words", [("--found", "loss"), ("--found", "loss=low"), ("--found", "loss=nan"), ("--reason", "")]
)
def test_a_dispute_without_reason_or_number_is_wrong_input(folder: pathlib.Path, words: tuple[str, str]) -> None:
    done = run("dispute", str(folder), *(words if "--reason" in words else ("--reason", "r", *words)))
    assert isinstance(done.exception, errors.InputError)
    assert not (workspace.board() / "disputes").exists()


def test_what_does_not_belong_stops_the_board_with_its_name(folder: pathlib.Path) -> None:
    good = verdict(folder)
    file = submissions.write_statement(good)
    lost = file.with_name("0" * 12 + ".json")
    shutil.copy(file, lost)
    with pytest.raises(errors.Rejected, match=f"{lost.name}: rejected: no bundle of this configuration was submitted"):
        list(submissions.rows())
    lost.unlink()
    submissions.write_statement(verdict(folder, bundle="0" * 64))
    with pytest.raises(errors.Rejected, match="it is of the bundle 000000000000, and .* lies there"):
        list(submissions.rows())
    submissions.write_statement(good)
    other = folder.with_name("0" * 12)
    folder.rename(other)
    with pytest.raises(
        errors.Rejected, match=f"{other}: rejected: it holds the configuration quickstart/{folder.name}"
    ):
        list(submissions.rows())
    other.rename(folder)
    (folder / "cell.yaml").write_text("x")
    with pytest.raises(errors.Rejected, match="its size or SHA-256 differs"):
        list(submissions.rows())


def test_a_label_that_no_verdict_gives_is_not_taken(folder: pathlib.Path) -> None:
    for changes in ({"label": "gold"}, {"label": "replayed (see README)"}, {"label": "replayed"}, {"schema": 2}):
        with pytest.raises(ValueError, match="label|schema"):
            verdict(folder, **changes)
    failed = json.loads(trust.dump(verdict(folder)))
    failed["pairs"][0]["failed"] = 1
    failed.pop("sha256")
    with pytest.raises(ValueError, match="the label reported does not follow from its pairs"):
        trust.verdict(failed)
    assert trust.verdict({**failed, "label": "disputed"}).label == "disputed"


def test_the_own_runs_of_a_cell_win_and_its_label_is_of_the_very_runs(folder: pathlib.Path) -> None:
    submissions.write_statement(verdict(folder, label="recomputed", level="recomputed"))
    (row,) = submissions.rows()
    whole = merged(None, row)
    same = merged(whole.model_copy(update={"trust": ()}), row)
    assert [one.label for one in same.trust] == ["recomputed"] and same.runs == whole.runs
    again = [one.model_copy(update={"started": "2026-01-01T00:00:00Z"}) for one in whole.runs]
    mine = merged(document.compose(list(whole.suites), again), row)
    assert mine.trust == () and {one.started for one in mine.runs} == {"2026-01-01T00:00:00Z"}
    fewer = merged(document.compose(list(whole.suites), list(whole.runs[:1])), row)
    assert fewer.trust == () and len(fewer.runs) == 1
    with pytest.raises(ValueError, match="the labels of trust are not those of its cells"):
        document.compose([], [], [row.trust])


def test_verify_finds_bundles_below_and_says_what_to_do_where_there_are_none(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    board = workspace.board()
    for path in (folder, folder.parent, folder.parent.parent, board):
        assert submissions.bundles_in(path) == [folder]
    (tmp_path / "empty").mkdir()
    for path, message in (
        (tmp_path / "empty", "holds no bundle"),
        (tmp_path / "no", "there is no such folder or file"),
    ):
        with pytest.raises(errors.InputError, match=message):
            submissions.bundles_in(path)
    done = run("verify", str(folder), "--to", "reported")
    assert done.exit_code == 0 and "claimed" in done.output and "verdict:" in done.output
    assert submissions.has_verdict(folder, "reported") and not submissions.has_verdict(folder, "replayed")
    assert "nothing to verify" in run("verify", str(folder), "--to", "reported", "--missing").output
    lines = run("verify", str(folder), "--to", "reported", "--json").output.splitlines()
    assert len(lines) == 1 and json.loads(lines[0])["label"] == "reported"
    wrong = run("verify", str(folder), "--to", "replay")
    assert isinstance(wrong.exception, errors.InputError) and "did you mean 'replayed'?" in str(wrong.exception)


def test_a_verdict_is_never_lowered_by_a_smaller_check(folder: pathlib.Path) -> None:
    submissions.write_statement(verdict(folder, label="replayed", level="replayed"))
    done = run("verify", str(folder), "--to", "reported")
    assert done.exit_code == 0 and "the one that is there goes further, and stays" in done.output
    file = submissions.path_of("verdicts", "quickstart", folder.name)
    assert trust.read(file, trust.Verdict).label == "replayed"
    failed = json.loads(trust.dump(verdict(folder)))
    failed["pairs"][0]["failed"] = 1
    failed.pop("sha256")
    disputed = trust.verdict({**failed, "label": "disputed"})
    assert not submissions.goes_further(folder, disputed), "what disputes it counts"
    assert not submissions.goes_further(folder, verdict(folder, bundle="0" * 64)), "and one of another bundle"


def test_verdicts_of_a_process_without_rights_are_checked_before_they_are_taken(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    source = tmp_path / "found"
    (source / "quickstart").mkdir(parents=True)
    file = source / "quickstart" / f"{folder.name}.json"
    file.write_bytes(trust.dump(verdict(folder, label="replayed", level="replayed")))
    (taken,) = submissions.accept_verdicts(source)
    assert taken == submissions.path_of("verdicts", "quickstart", folder.name)
    for content in (b"{}", trust.dump(verdict(folder, cell_id="0" * 12)), trust.dump(verdict(folder, bundle="0" * 64))):
        file.write_bytes(content)
        with pytest.raises(errors.Rejected, match="rejected"):
            submissions.accept_verdicts(source)
    assert trust.read(taken, trust.Verdict).label == "replayed", "what was there stays"


def test_open_pr_says_each_command_to_git_and_gh_in_order_and_stops_at_one_that_fails(
    folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git and gh are stood in for by scripts that write down what they are told."""
    log = tmp_path / "log"
    for name in ("git", "gh"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(
            f'#!/bin/sh\necho "{name} $*" >> {log}\ntest "$1" != push || {{ echo no way >&2; exit 1; }}\n'
        )
        program.chmod(0o755)
    outcome = verify.verify(reading.read(folder), "reported")
    made = [submit.Made(outcome, folder)]
    out = rich.console.Console(file=io.StringIO(), width=200)
    paths = submit.to_commit(made, [tmp_path / "log"])
    assert paths == [folder], "a spec that is not there is not committed"
    submit.offer(paths, made, out)
    assert not log.exists() and "gh pr create --fill" in out.file.getvalue()  # type: ignore[attr-defined]
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    with pytest.raises(
        errors.InputError, match=r"`git push -u origin submit-quickstart-.*` failed: no way; the bundles are"
    ):
        submit.offer(paths, made, out, open_pr=True)
    said = log.read_text().splitlines()
    assert [line.split()[:2] for line in said] == [["git", word] for word in ("switch", "add", "commit", "push")]
    assert str(folder) in said[1]
    monkeypatch.setenv("PATH", "/nowhere")
    submit.offer(paths, made, out, open_pr=True)
    assert "gh is not installed" in out.file.getvalue()  # type: ignore[attr-defined]


def test_verify_goes_on_after_a_bundle_that_cannot_be_checked_here(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set that cannot be had is no fault of the bundles beside it: exit code 2, and they are looked at."""
    shipped = workspace.CHECKOUT / "leaderboard" / "submissions" / "quickstart"
    other = next(path for path in sorted(shipped.iterdir()) if path.name != folder.name)
    real, seen = verify.verify, []

    def missing(read: Any, *arguments: Any, **more: Any) -> Any:
        seen.append(read.manifest.cell_id)
        if len(seen) == 1:
            raise errors.InputError("cannot be checked here: no data set")
        return real(read, *arguments, **more)

    monkeypatch.setattr(verify, "verify", missing)
    done = run("verify", str(folder), str(other), "--to", "reported", "--json")
    assert done.exit_code == errors.EXIT_INPUT
    assert len(seen) == 2 and '"label": "reported"' in done.stdout
