# SPDX-License-Identifier: Apache-2.0
"""Optimisers against answers computed by hand: profile, area, ranks, ties, and a reference that stays where it is."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest

from harness import errors
from leaderboard.board import cell as cells
from leaderboard.board import optimisers
from leaderboard.bundles import submissions
from leaderboard.export import document, parsing, shelf
from leaderboard.site import pages

PROBLEMS = ("relu", "gelu", "tanh", "silu")


def _cell(sample: ModuleType, problem: str, optimizer: dict[str, Any], took: int | None, **changes: Any) -> cells.Cell:
    """One seed that took so many steps of the whole risk to its target, or missed it in 300."""
    part = {
        "model": {"family": "mlp", "hidden": [4], "activation": problem},
        "optimizer": {"learning_rate": 0.1, **optimizer},
        "target": {"loss_gap": 0.1},
    }
    said = sample.facts("hand", 0, cell=part, reached_at=took, spec=problem, seeds=1, **changes)
    lines = [json.dumps({"step": step, "values": {"loss": 1.0}}) for step in (0, took or 300)]
    return cells.Cell((parsing.parse_run(json.dumps(said), "\n".join(lines), sample.cell_yaml(said)),))


GD, SLOW, SGD = {"name": "gd"}, {"name": "heavy_ball", "momentum": 0.9}, {"name": "sgd", "batch_size": 256}


def _board(sample: ModuleType) -> list[cells.Cell]:
    gd = [_cell(sample, problem, GD, took) for problem, took in zip(PROBLEMS, (100, 100, 100, 200), strict=True)]
    slow = [_cell(sample, problem, SLOW, took) for problem, took in zip(PROBLEMS, (200, 100, 400, None), strict=True)]
    return [*gd, *slow, _cell(sample, "relu", SGD, 100)]


def tried(board: list[cells.Cell]) -> list[optimisers.Tried]:
    return [found for cell in board if (found := optimisers.tried(cell)) is not None]


def _frozen(sample: ModuleType, board: list[cells.Cell]) -> optimisers.Reference:
    problems = {}
    for cell in board[:4]:
        key = optimisers.problem(cell.first)
        assert key is not None
        problems[key] = {"name": cell.first.spec, "gradients": 100.0, "optimiser": "gd"}
    plain = {"schema": 1, "frozen": "2026-11-25", "problems": problems}
    return optimisers.Reference.model_validate_json(json.dumps(plain))


def test_profiles_areas_and_ranks_are_those_computed_by_hand(sample: ModuleType) -> None:
    board = _board(sample)
    gd, slow, sgd = optimisers.rows(tried(board), _frozen(sample, board))
    assert [row.name.split(",")[0] for row in (gd, slow, sgd)] == ["gd", "heavy ball", "sgd"]
    assert sorted(gd.ratios.values()) == [1, 1, 1, 2]
    assert [share.hits for share in gd.profile] == [3, 4, 4, 4, 4, 4]
    assert gd.area == pytest.approx((6 + 6 + 6 + 5) / 4 / 8)
    assert [share.hits for share in slow.profile] == [1, 2, 3, 3, 3, 3], "a miss is solved at no tau"
    assert slow.area == pytest.approx((5 + 6 + 4 + 0) / 4 / 8)
    assert list(sgd.ratios.values()) == [0.5], "100 steps of half the examples are 50 gradients"
    assert sgd.area == pytest.approx(7 / 8) and sgd.rank is None, "it lacks three problems, and is ranked by none"
    assert gd.places.startswith("0,100 25,100 25,75 25,75 25,50 25,50 25,25 37.5,25 37.5,0")
    # gd is better on relu, tanh and silu, equal on gelu: only a draw of gelu alone (1/256) makes them equal.
    assert gd.rank == (1, 1) and slow.rank == (2, 2)
    assert optimisers.tied([gd, slow, sgd]) == set()


def test_optimisers_that_win_one_problem_each_are_tied(sample: ModuleType) -> None:
    board = [
        *(_cell(sample, problem, GD, took) for problem, took in (("relu", 100), ("gelu", 200))),
        *(_cell(sample, problem, SLOW, took) for problem, took in (("relu", 200), ("gelu", 100))),
    ]
    frozen = _frozen(sample, board[:2])
    found = optimisers.rows(tried(board), frozen)
    assert [row.rank for row in found] == [(1, 2), (1, 2)]
    assert optimisers.tied(found) == {row.name for row in found}


def test_a_row_that_comes_or_goes_moves_no_score(sample: ModuleType) -> None:
    board = _board(sample)
    frozen = _frozen(sample, board)
    whole = {row.name: (row.ratios, row.profile, row.area) for row in optimisers.rows(tried(board), frozen)}
    for gone in range(len(board)):
        rest = [cell for place, cell in enumerate(board) if place != gone]
        for row in optimisers.rows(tried(rest), frozen):
            if row.name != optimisers.optimiser(board[gone].first):
                assert whole[row.name] == (row.ratios, row.profile, row.area)


def test_what_makes_a_problem_another_and_what_does_not(sample: ModuleType) -> None:
    key = optimisers.problem(_cell(sample, "relu", GD, 100).first)
    assert key == optimisers.problem(_cell(sample, "relu", SLOW, None).first)
    assert key != optimisers.problem(_cell(sample, "gelu", GD, 100).first)
    said = sample.facts("hand", 0)
    plain = parsing.parse_run(json.dumps(said), '{"step": 0, "values": {}}\n', sample.cell_yaml(said))
    assert optimisers.problem(plain) is None


def test_the_reference_that_a_board_would_freeze_is_its_best(sample: ModuleType, tmp_path: Any) -> None:
    board = document.compose(
        [document.Suite(name="quickstart", note="")], [run for cell in _board(sample) for run in cell.runs]
    )
    frozen = optimisers.frozen_of(board, "quickstart")
    assert optimisers.frozen_of(board).problems == {}
    assert sorted(known.gradients for known in frozen.problems.values()) == [50, 100, 100, 200]
    assert {known.optimiser.split(",")[0] for known in frozen.problems.values()} <= {"gd", "heavy ball", "sgd"}
    file = tmp_path / "reference.json"
    file.write_text(json.dumps(frozen.model_dump(mode="json", by_alias=True)), encoding="utf-8")
    assert optimisers.reference(file) == frozen
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(errors.InputError, match="is not the reference of gdzoo"):
        optimisers.reference(file)


def test_the_shipped_reference_is_that_of_the_shipped_rows() -> None:
    board = shelf.Shelf()
    submissions.merge(board, (row for row in submissions.rows() if row.bundle.suite == "optimisers"))
    assert optimisers.frozen_of(board.export()) == optimisers.reference()


def test_the_page_shows_them_and_the_shipped_reference_is_one(
    sample: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(optimisers.reference().problems) >= 4
    board = _board(sample)
    frozen = _frozen(sample, board)
    monkeypatch.setattr(optimisers, "reference", lambda: frozen)
    runs = [run for cell in board for run in cell.runs]
    files = pages.render(document.compose([document.Suite(name="quickstart", note="")], runs))
    page = files["optimisers.html"].decode()
    assert page.count("<polyline") == 3 and "1 of 4 problems" in page and "3/4" in page
    assert "frozen on 2026-11-25" in page and 'id="optimisers"' in files["method.html"].decode()
    empty = pages.render(document.compose([], []))["optimisers.html"].decode()
    assert "gdzoo run specs/optimisers" in empty
