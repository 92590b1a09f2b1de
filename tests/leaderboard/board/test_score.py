# SPDX-License-Identifier: Apache-2.0
"""Scores and the phase table against answers computed by hand."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import pytest

from leaderboard.board import cell as cells
from leaderboard.board import entries, phase, scope, score, table, tally
from leaderboard.export import document, parsing
from leaderboard.site import pages, rows, spreadsheet


def _run(sample: ModuleType, seed: int, values: Sequence[dict[str, Any]], **changes: Any) -> document.Run:
    said = sample.facts("hand", seed, **changes)
    lines = [json.dumps({"step": 100 * at, "values": known}) for at, known in enumerate(values)]
    return parsing.parse_run(json.dumps(said), "\n".join(lines), sample.cell_yaml(said))


def _cell(sample: ModuleType, ends: Sequence[str | None], **changes: Any) -> cells.Cell:
    """Returns a cell whose seeds took 100 steps and ended at these points."""
    point = [{"end": {"point": end, "because": {}}} for end in ends]
    plain = [{"loss": 1.0}, {"loss": 0.5}]
    return cells.Cell(tuple(_run(sample, seed, plain, **end, **changes) for seed, end in enumerate(point)))


def _aimed(sample: ModuleType, *reached: int | None) -> cells.Cell:
    """Returns a cell with a target, whose seeds met it at these steps or missed it in 100, nowhere stationary."""
    aim = {"target": {"loss_gap": 0.2}}
    end = {"point": "not stationary", "because": {}}
    plain = [{"loss": 1.0, "eta_sharpness": 1.0}, {"loss": 0.5, "eta_sharpness": 1.0}]
    runs = [_run(sample, seed, plain, cell=aim, end=end, reached_at=at) for seed, at in enumerate(reached)]
    return cells.Cell(tuple(runs))


def test_seeds_that_missed_are_spent_not_dropped(sample: ModuleType) -> None:
    """Two of three meet the target in 100 steps of the whole risk each: 300 / 2 gradients."""
    cell = _aimed(sample, 100, 100, None)
    found = score.runtime(cell)
    assert score.hits(cell) == (2, 3, pytest.approx((0.2077, 0.9385), abs=1e-4))
    assert found is not None
    assert (found.value, found.spent) == (150.0, 300.0)
    assert found.interval == (100.0, math.inf), "3/3 to 0/3 hits, each with 300 spent: a draw of none has chance 1/27"
    none = _aimed(sample, None, None)
    assert table.COLUMNS["runtime"].entry(none)[:2] == ("≥ 200", math.inf)
    assert table.COLUMNS["runtime"].entry(none).mark == "budget"
    assert score.runtime(_cell(sample, ["global minimum"])) is None, "a run without a target has no time to it"


def test_a_minibatch_costs_its_share_of_a_gradient(sample: ModuleType) -> None:
    sgd = {"optimizer": {"name": "sgd", "learning_rate": 0.1, "batch_size": 64}}
    cell = _cell(sample, ["global minimum"], cell=sgd)
    assert score.spent(cell.first) == 100 * 64 / 512


def test_a_target_a_minimum_and_an_infimum_are_three_counts(sample: ModuleType) -> None:
    """What is asked of one is not counted of another, whatever its runs ended at."""
    on_labels: dict[str, Any] = {"loss": {"name": "ce"}}
    planted = on_labels | {"data": {"name": "digits", "examples": 8, "targets": {"planted": 1}}}
    decayed = {"loss": {"name": "half_mse", "weight_decay": 0.1}}
    aimed = _aimed(sample, 40, None)
    ends = ["global minimum", "approaching infimum", None]
    found = {
        "target": aimed,
        "minimum": _cell(sample, ends),
        "infimum": _cell(sample, ends, cell=on_labels),
    }
    for aim, cell in found.items():
        assert score.aim(cell.first) == aim
        assert {goal: score.hits(cell, goal) is not None for goal in score.GOALS} == {
            goal: goal == aim for goal in score.GOALS
        }
        printed = {goal: table.COLUMNS[goal].entry(cell).main for goal in score.GOALS}
        assert printed == {goal: "1/2" if goal == aim else "–" for goal in score.GOALS}
    assert score.aim(_cell(sample, [None], cell=planted).first) == "minimum"
    assert score.aim(_cell(sample, [None], cell=decayed).first) is None
    assert score.spent(aimed.first) == 40
    written = json.loads(spreadsheet.to_json(_board(found.values())))
    names = ("target_met", "global_minimum", "near_infimum")
    assert {tuple(row[name] for name in names) for row in written} == {
        (1, None, None),
        (None, 1, None),
        (None, None, 1),
    }


@pytest.mark.parametrize(("mu", "says"), [(-0.2, "attracts"), (0.2, "repels"), (0.05, "undecided")])
def test_the_sign_of_an_exponent_counts_beyond_its_error_bar(sample: ModuleType, mu: float, says: str) -> None:
    values = [{"mu": mu, "mu_error": 0.1, "displacement": 1e-6}, {"mu": mu, "mu_error": 0.1, "displacement": 5e-6}]
    start = {"start": {"name": "planted_minimum", "perturbation": 1e-6}}
    found = score.exponent(cells.Cell((_run(sample, 0, values, cell=start),)))
    assert found is not None
    assert found.says == says
    assert found.agree == {"attracts": score.share(1, 1), "repels": score.share(0, 1), "undecided": None}[says]
    assert score.exponent(_cell(sample, [None])) is None


def test_a_seed_that_stays_at_a_saddle_is_censored(sample: ModuleType) -> None:
    """Prediction 50 steps: seeds leave after 45 and 55, one is watched for 500 and stays."""
    start = {"start": {"name": "head_saddle", "perturbation": 1e-7}}
    seeds = [(45.0, 45.0), (55.0, 55.0), ("inf", 500.0)]
    runs = [
        _run(
            sample,
            seed,
            [{"escape_steps": left, "escape_watched": watched, "escape_predicted": 50.0, "saddle_least": -0.3,
              "saddle_least_error": 1e-9, "escape_alignment": 0.9 if left != "inf" else "nan"}],
            cell=start,
        )
        for seed, (left, watched) in enumerate(seeds)
    ]  # fmt: skip
    found = score.escape(cells.Cell(tuple(runs)))
    assert found is not None and found.ratio is not None
    assert (found.left.hits, found.left.trials, found.ratio.value) == (2, 3, 1.1)
    assert found.alignment.values == [0.9, 0.9]
    entry = table.COLUMNS["escaped"].entry(cells.Cell(tuple(runs)))
    assert (entry.main, entry.mark) == ("2/3", "censored")
    saddle = table.COLUMNS["saddle"].entry(cells.Cell(tuple(runs)))
    assert (saddle.main, saddle.note.split(";")[0]) == ("head saddle", "strict")


def test_time_at_the_edge_is_a_share_of_the_looks(sample: ModuleType) -> None:
    values = [{"eta_sharpness": value} for value in (1.0, 1.9, 2.2, 2.3)]
    assert score.edge_time(cells.Cell((_run(sample, 0, values),))).median == 0.5


def test_the_phase_table_puts_a_cell_at_the_nearest_power_of_two(sample: ModuleType) -> None:
    def at(start: float, end: str, name: str) -> cells.Cell:
        values = [{"eta_sharpness": start}, {"eta_sharpness": 1.0}]
        cell = {"data": {"name": "digits", "examples": 100 + len(name)}}
        return cells.Cell((_run(sample, 0, values, end={"point": end, "because": {}}, cell=cell),))

    board = [at(1.4, "global minimum", "a"), at(1.5, "not stationary", "bb"), at(100.0, "not stationary", "ccc")]
    (row,) = phase.rows(board)
    shown = {phase.HEADINGS[at]: square for at, square in enumerate(row.squares) if square}
    assert {key: (one.found and one.found[:2]) for key, one in shown.items()} == {
        "1": (1, 1),
        "2": (0, 1),
        "≥ 8": (0, 1),
    }
    assert (shown["1"].least, shown["≥ 8"].most) == (pytest.approx(2**-0.5), None)


def test_a_view_stands_in_the_order_of_its_column_with_the_missing_last(sample: ModuleType) -> None:
    board = [
        _cell(sample, ends, seeds=9)
        for ends in (["not stationary"], [None], ["global minimum"], ["global minimum"] * 9)
    ]
    made = rows.of_cells(board)
    assert rows.ordered(made, table.VIEWS["minima"]) == [3, 2, 0, 1], "9/9 before 1/1 before 0/1 before unknown"
    assert rows.ordered(made, table.VIEWS["non-singularity"]) == [0, 1, 2, 3]


def test_views_name_columns_and_are_narrow_enough() -> None:
    for view in table.VIEWS.values():
        assert set(view.columns) <= set(table.COLUMNS) and len(view.columns) <= 10
        assert view.columns[0] == "cell" and (not view.sort or view.sort in view.columns)
        assert {"seeds", "eta"} <= set(view.columns), "every row says how many seeds it has"


def test_rows_of_ones_own_say_so(sample: ModuleType) -> None:
    board = [_cell(sample, [None])]
    mine = f"quickstart/{board[0].first.cell_id}"
    script = rows.scripts(rows.of_cells(board, {mine}))["data/cells.js"].decode()
    assert "★ yours" in script and re.search(r'[ "]mine"', script)
    assert not re.search(r'[ "]mine"', rows.scripts(rows.of_cells(board))["data/cells.js"].decode())


def _board(found: Iterable[cells.Cell]) -> document.Export:
    return document.compose([document.Suite(name="quickstart", note="")], [run for one in found for run in one.runs])


def test_the_counts_of_a_board_by_hand(sample: ModuleType) -> None:
    """A cell certified and at a minimum; one with one seed of two there; at a saddle; degenerate; at the edge."""
    edge = [{"eta_sharpness": 1.0}, {"eta_sharpness": 2.0}]
    known = [
        (["global minimum", "global minimum"], "invertible", [{"loss": 1.0}, {"loss": 0.5}]),
        (["global minimum", "not stationary"], "undecided", [{"loss": 1.0}, {"loss": 0.5}]),
        (["strict saddle", "strict saddle"], "undecided", [{"loss": 1.0}, {"loss": 0.5}]),
        (["degenerate", "diverged"], "undecided", [{"loss": 1.0}, {"loss": 0.5}]),
        ([None, None], "invertible", edge),
    ]
    board = [
        cells.Cell(
            tuple(
                _run(sample, seed, values, verdict=verdict, end={"point": end, "because": {}},
                     cell={"data": {"name": "digits", "examples": 100 + number}})
                for seed, end in enumerate(ends)
            )
        )
        for number, (ends, verdict, values) in enumerate(known)
    ]  # fmt: skip
    counts = {one.flag: (one.count, one.total) for one in tally.tallies(board)}
    minima = {"invertible": (2, 5), "minimum": (1, 4), "saddle": (2, 6), "edge": (1, 5)}
    assert counts == minima | {"target": (0, 0), "infimum": (0, 0)}
    words = {one.flag: one.shown for one in tally.tallies(board)}
    assert words["saddle"] == "2 of 6 runs whose end is stationary"
    assert words["target"] == words["infimum"] == "not tested here"


def test_runs_that_a_target_ended_are_at_no_minimum(sample: ModuleType) -> None:
    """11 of 75 cells were called `global minimum from every seed` for meeting a target at a gap of 0.09 to 0.25."""
    counts = {one.flag: one.shown for one in tally.tallies([_aimed(sample, 40, 60)])}
    assert counts["target"] == "1 of 1 cells with a target"
    assert counts["minimum"] == counts["saddle"] == "not tested here"
    page = pages.render(_board([_aimed(sample, 40, 60)]))["index.html"].decode()
    assert "not tested here" in page
    assert re.search(r"<small>Target met</small></th>.{,900}>2/2<", page, re.DOTALL)


def test_a_run_that_learned_nothing_is_marked(sample: ModuleType) -> None:
    def entry(**values: float) -> entries.Entry:
        told = {"loss": 1.0, "train_accuracy": 0.9, "chance": 0.1, "relative_gap": 0.5, **values}
        return table.COLUMNS["seeds"].entry(cells.Cell((_run(sample, 0, [told, told], seeds=1),)))

    assert entry() == ("1/1", 1.0, "", "")
    assert entry(train_accuracy=0.11) == ("1/1", 1.0, "∅ 1 learned nothing", "unlearned")
    assert entry(relative_gap=1.1).mark == "unlearned"


def test_the_scope_says_how_large_on_which_data_and_how_often(sample: ModuleType) -> None:
    small = _cell(sample, [None, None])
    large = _cell(sample, [None], parameters=90_000, dataset={"name": "fashion_mnist", "shape": [28, 28, 1]})
    large = cells.Cell(large.runs, document.Trust(suite="a", cell_id="0" * 12, label="replayed", bundle="0" * 64))
    assert scope.sentences([small, large]) == (
        "2 networks of 1,482 to 90,000 parameters on digits (512 examples of 8×8×1), fashion_mnist (512 examples of "
        "28×28×1). 3 runs of 2 cells, each looked at on 2 of its steps; 1 of 2 of the cells was submitted as bundles "
        "that anyone can check."
    )
    assert scope.sentences([]) == ""
