# SPDX-License-Identifier: Apache-2.0
"""The page of controls: expected values travel with the run, and the page works out for itself what agrees."""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import Any

import pytest

from leaderboard.board import controls
from leaderboard.export import document, from_store
from leaderboard.site import pages

EXPECTED = {"start.loss": 0.452, "end.sigma_min": 0.0, "start.n_above_inv_eta": 3, "verdict": "invertible"}


def board(*runs: document.Run) -> document.Export:
    return document.compose([document.Suite(name=runs[0].suite, note="")], list(runs))


def rows(shown: document.Export) -> list[controls.Row]:
    return [row for run in shown.runs for row in controls.rows(run)]


def page(shown: document.Export) -> str:
    return pages.render(shown)["controls.html"].decode()


def test_without_a_control_the_page_says_how_to_make_some(sample: ModuleType) -> None:
    shown = page(board(sample.run("relu")))
    assert "A detector that cannot fire proves nothing." in shown
    assert "<code>gdzoo run specs/controls</code> makes some" in shown
    assert controls.controls(rows(board(sample.run("relu")))) == []


def test_each_expectation_is_a_row_that_says_whether_it_agrees(sample: ModuleType) -> None:
    run = sample.run("relu", expected=EXPECTED)
    (control,) = controls.controls(rows(board(run)))
    found = {row.found.name: row for row in control.rows}
    assert list(found) == ["start.loss", "start.n_above_inv_eta", "end.sigma_min", "verdict"], "start, end, words"
    assert [found[name].found.agrees for name in EXPECTED] == [True, False, False, True]
    assert found["start.loss"].what == "loss L, at start"
    assert (found["start.loss"].detector, found["verdict"].detector) == ("", "silent")
    assert found["end.sigma_min"].detector == "did not fire"
    scores = controls.scores([control])
    assert scores == {"fired": (0, 1), "silent": (1, 1), "agree": (2, 4)}
    shown = page(board(run))
    assert "<strong>4</strong> answers that are known exactly, or within a range, <strong>2</strong> agree." in shown
    assert shown.count("✕</span> disagrees") == 2 and shown.count("✓</span> agrees") == 2
    assert "did not fire" in shown


def test_the_page_shows_each_row_and_each_count_in_its_place(sample: ModuleType) -> None:
    shown = page(board(sample.run("relu", expected=EXPECTED)))
    counts = re.findall(r'"count">(\d+)<span class="of"> / (\d+)</span></span><span class="what">(.*?)<', shown)
    assert counts == [
        ("0", "1", "fired where it must"),
        ("1", "1", "silent where it must be"),
        ("2", "4", "agree in all"),
    ]
    rows = [re.findall(r"<td(.*?)>(.*?)</td>", row) for row in re.findall(r"<tr><th scope=\"row\">.*?</tr>", shown)]
    cells = [[re.sub(r"<.*?>", "", text) for _, text in row] for row in rows]
    assert [(row[1], row[2], row[4], row[5]) for row in cells[:2]] == [
        ("0.452", "0.452", "✓ agrees", ""),
        ("3", "0", "✕ disagrees", ""),
    ]
    assert cells[3][1:] == ["invertible", "invertible", "", "✓ agrees", "silent"]
    value, found, allowed, agrees, detector = cells[2][1:]
    assert (value, agrees, detector) == ("0", "✕ disagrees", "did not fire")
    assert float(found) > 0 and allowed.startswith("± ")
    assert ["disagrees" in row[-1][0] for row in rows] == [False, False, True, False], (
        "a detector that failed is marked"
    )


def test_the_end_is_the_last_logged_step(sample: ModuleType) -> None:
    first, *_, last = sample.run("relu").curves["loss"]
    run = sample.run("relu", expected={"start.loss": last, "end.loss": last, "end.train_accuracy": first})
    assert [found.agrees for found in controls.compared(run)] == [False, True, False]
    assert [found.agrees for found in controls.compared(sample.run("relu", expected={"start.loss": first}))] == [True]


def test_what_the_records_say_together_may_be_expected(sample: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for expected in (3.0, 4.0):
        run = sample.run("relu", expected={"run.crossings": expected})
        monkeypatch.setitem(vars(run), "summary", {"crossings": 3.0})
        (row,) = controls.rows(run)
        assert row.found.agrees == (expected == 3.0)
        assert row.what == "crossings of 1/η, of the run"


def test_specs_of_one_name_in_two_suites_are_two_controls(sample: ModuleType) -> None:
    runs = [sample.run("relu", suite=suite, expected={"verdict": "invertible"}) for suite in ("a", "b")]
    shown = document.compose([document.Suite(name=run.suite, note="") for run in runs], runs)
    assert [control.first.suite for control in controls.controls(rows(shown))] == ["a", "b"]


def test_the_status_and_the_verdict_are_the_run_s_own(sample: ModuleType) -> None:
    wrong = sample.run("relu", verdict="undecided", expected={"verdict": "invertible", "status": "diverged"})
    assert [found.agrees for found in controls.compared(wrong)] == [False, False]


def test_a_detector_that_fires_where_it_must_is_counted(sample: ModuleType) -> None:
    run = sample.run("relu", verdict="singular", expected={"verdict": "singular"})
    assert controls.scores(controls.controls(rows(board(run))))["fired"] == (1, 1)
    silent = sample.run("relu", verdict="singular", expected={"verdict": "invertible"})
    (control,) = controls.controls(rows(board(silent)))
    assert control.rows[0].detector == "not silent"


def test_a_run_without_records_agrees_with_nothing(sample: ModuleType) -> None:
    run = sample.run("relu", status="failed", verdict=None, eta=None, steps=(), expected=EXPECTED)
    assert not any(found.agrees for found in controls.compared(run))


def test_expected_values_survive_the_export(sample: ModuleType, tmp_path: Any) -> None:
    shown = board(sample.run("relu", expected=EXPECTED))
    (tmp_path / "export.json").write_bytes(from_store.dump(shown))
    again = from_store.load(tmp_path / "export.json")
    assert again == shown and page(again) == page(shown)
    assert again.runs[0].expected == EXPECTED


@pytest.mark.parametrize(
    "wrong",
    [
        {"start.sigma_mim": 0.2},
        {"</script>": 1.0},
        {"start.loss": "invertible"},
        {"verdict": 1.0},
        {"verdict": "certain"},
        {"status": "failed"},
        {"start.loss": True},
        {"start.loss": None},
        [],
    ],
    ids=json.dumps,
)
def test_what_cannot_be_expected_does_not_enter(sample: ModuleType, wrong: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        sample.run("relu", expected=wrong)
