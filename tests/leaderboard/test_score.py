# SPDX-License-Identifier: Apache-2.0
"""Scores and the phase table against answers computed by hand."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest

from leaderboard import cell as cells
from leaderboard import document, phase, rows, score, site, table


def _run(sample: ModuleType, seed: int, values: Sequence[dict[str, Any]], **changes: Any) -> document.Run:
    said = sample.facts("hand", seed, **changes)
    lines = [json.dumps({"step": 100 * at, "values": known}) for at, known in enumerate(values)]
    return document.parse_run(json.dumps(said), "\n".join(lines), sample.cell_yaml(said))


def _cell(sample: ModuleType, ends: Sequence[str | None], **changes: Any) -> cells.Cell:
    """Returns a cell whose seeds took 100 steps and ended at these points."""
    point = [{"end": {"point": end, "because": {}}} for end in ends]
    plain = [{"loss": 1.0}, {"loss": 0.5}]
    return cells.Cell(tuple(_run(sample, seed, plain, **end, **changes) for seed, end in enumerate(point)))


def test_seeds_that_missed_are_spent_not_dropped(sample: ModuleType) -> None:
    """Two of three reach it in 100 steps of the whole risk each: 300 / 2 gradients."""
    cell = _cell(sample, ["global minimum", "approaching infimum", "not stationary"])
    found = score.runtime(cell)
    assert score.hits(cell) == (2, 3, pytest.approx((0.2077, 0.9385), abs=1e-4))
    assert found is not None
    assert (found.value, found.spent) == (150.0, 300.0)
    assert found.interval == (100.0, math.inf), "3/3 to 0/3 hits, each with 300 spent: a draw of none has chance 1/27"
    none = _cell(sample, ["diverged", "other minimum"])
    assert table.COLUMNS["runtime"].entry(none)[:2] == ("≥ 200", math.inf)
    assert table.COLUMNS["runtime"].entry(none).mark == "budget"
    assert score.runtime(_cell(sample, [None])) is None


def test_a_minibatch_costs_its_share_of_a_gradient(sample: ModuleType) -> None:
    sgd = {"optimizer": {"name": "sgd", "learning_rate": 0.1, "batch_size": 64}}
    cell = _cell(sample, ["global minimum"], cell=sgd)
    assert score.spent(cell.first) == 100 * 64 / 512


def test_with_a_target_what_counts_is_whether_it_was_reached(sample: ModuleType) -> None:
    aim = {"target": {"loss_gap": 1e-3}}
    reached = _cell(sample, ["not stationary"], cell=aim, reached_at=40)
    missed = _cell(sample, ["global minimum"], cell=aim, reached_at=None)
    assert (score.hit(reached.first), score.hit(missed.first)) == (True, False)
    assert score.spent(reached.first) == 40


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


def test_the_four_counts_of_a_board_by_hand(sample: ModuleType) -> None:
    """A cell certified and at a minimum; one with one seed of two there; at a saddle; degenerate; at the edge."""
    edge = [{"eta_sharpness": 1.0}, {"eta_sharpness": 2.0}]
    known = [
        (["global minimum", "global minimum"], "invertible", [{"loss": 1.0}, {"loss": 0.5}]),
        (["global minimum", "not stationary"], "undecided", [{"loss": 1.0}, {"loss": 0.5}]),
        (["strict saddle", "strict saddle"], "undecided", [{"loss": 1.0}, {"loss": 0.5}]),
        (["degenerate", "diverged"], "undecided", [{"loss": 1.0}, {"loss": 0.5}]),
        ([None, None], "invertible", edge),
    ]
    runs = [
        _run(sample, seed, values, verdict=verdict, end={"point": end, "because": {}},
             cell={"data": {"name": "digits", "examples": 100 + number}})
        for number, (ends, verdict, values) in enumerate(known)
        for seed, end in enumerate(ends)
    ]  # fmt: skip
    board = document.compose([document.Suite(name="quickstart", note="")], runs)
    counts = {tally.flag: (tally.count, tally.total) for tally in site.tallies(board, cells.cells(board))}
    assert counts == {"invertible": (2, 5), "minimum": (1, 5), "saddle": (2, 10), "edge": (1, 5)}
