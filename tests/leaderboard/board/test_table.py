# SPDX-License-Identifier: Apache-2.0
"""The table of cells against answers computed by hand."""

from __future__ import annotations

import csv
import io
import json
import math
import random
from types import ModuleType
from typing import Any

import pytest

from harness import metrics, theory
from leaderboard.board import cell as cells
from leaderboard.board import entries, interval, number, table, tally
from leaderboard.export import document, parsing
from leaderboard.site import figure, spreadsheet


def _run(sample: ModuleType, seed: int, curves: dict[str, list[Any]], **changes: Any) -> document.Run:
    """Returns a run of the cell `hand` with exactly these curves, at steps 0, 1, 2, ..."""
    said = sample.facts("hand", seed, **changes)
    count = len(next(iter(curves.values()), []))
    lines = [json.dumps({"step": t, "values": {name: v[t] for name, v in curves.items()}}) for t in range(count)]
    return parsing.parse_run(json.dumps(said), "\n".join(lines), sample.cell_yaml(said))


def _board(runs: list[document.Run]) -> document.Export:
    suites = [document.Suite(name=name, note="") for name in sorted({run.suite for run in runs})]
    return document.compose(suites, runs)


@pytest.fixture
def hand(sample: ModuleType) -> cells.Cell:
    """Three seeds with round numbers, the last one diverged."""
    runs = [
        _run(
            sample,
            0,
            {
                "sigma_min": [0.5, 0.25, 0.75],
                "sigma_min_error": [0.1, 0.02, 0.3],
                "n_above_inv_eta": [0, 2, 1],
                "loss_gap": [1.0, 0.5, 0.25],
                "eta_sharpness": [1.0, 1.5, 2.0],
                "train_accuracy": [0.1, 0.5, 1.0],
            },
            eta=0.1,
        ),
        _run(
            sample,
            1,
            {
                "sigma_min": [0.125, 0.5, 0.5],
                "sigma_min_error": [0.001, 0.02, 0.3],
                "n_above_inv_eta": [1, 1, 1],
                "loss_gap": [1.0, 0.5, 0.125],
                "eta_sharpness": [1.25, 1.5, 1.75],
                "train_accuracy": [0.1, 0.5, 0.5],
            },
            eta=0.2,
        ),
        _run(
            sample,
            2,
            {
                "sigma_min": [0.75, 0.375],
                "sigma_min_error": [0.1, 0.0375],
                "n_above_inv_eta": [3, 8],
                "loss_gap": [1.0, "inf"],
                "eta_sharpness": [1.5, 40.0],
                "train_accuracy": [0.1, 0.1],
            },
            eta=0.4,
            status="diverged",
            diverged_at=2,
            verdict="undecided",
        ),
    ]
    return cells.Cell(tuple(runs))


def test_margin_is_the_median_of_the_seeds_least_with_its_own_error_bar(hand: cells.Cell) -> None:
    spread, error = cells.margin(hand)
    assert (spread.median, spread.values, error) == (0.25, [0.125, 0.25, 0.375], 0.02)
    assert cells.margin_of(hand.runs[0]) == cells.Margin(0.25, 0.02, 1)


def test_median_of_two_seeds_takes_the_larger_error_bar(hand: cells.Cell) -> None:
    spread, error = cells.margin(cells.Cell(hand.runs[:2]))
    assert (spread.median, error) == (0.1875, 0.02)


def test_changes_of_the_count_add_up_and_are_crossings_only_where_that_is_known(
    hand: cells.Cell, sample: ModuleType
) -> None:
    assert [cells.changes_of(run).all for run in hand.runs] == [3, 0, 5]
    assert [cells.crossings_of(run) for run in hand.runs] == [None] * 3, "relu has kinks, and nobody looked"
    counts = {"n_above_inv_eta": [0, 2, 3]}
    told = {"crossings_between": ["nan", 1, 0], "jumps_between": ["nan", 1, 0], "changes_unresolved": ["nan", 0, 1]}
    relu, gelu = (
        _run(sample, 0, {**counts, **more}, cell={"model": {"family": "mlp", "hidden": [4], "activation": name}})
        for name, more in (("relu", told), ("gelu", {}))
    )
    assert cells.changes_of(relu) == (3, 1, 1, 1) and cells.crossings_of(relu) == 1
    assert cells.changes_of(gelu) == (3, 3, 0, 0)
    assert entries.crossings_of((relu,), "")[::2] == ("≥ 1", "1 jumps at kinks; 1 unresolved")
    assert entries.crossings_of((gelu,), "")[::2] == ("3", "")
    assert cells.changes_of(_run(sample, 0, {"sigma_min": [0.5]})) is None
    (row,) = csv.DictReader(io.StringIO(spreadsheet.to_csv(_board([relu])).decode()))
    names = ("count_changes", "crossings", "jumps", "changes_unresolved")
    assert [row[f"{name}_median"] for name in names] == ["3.0", "1.0", "1.0", "1.0"]


def test_a_seed_that_diverged_has_an_infinite_loss_gap_and_no_end_values(hand: cells.Cell) -> None:
    assert cells.loss_gap(hand) == interval.Spread(0.25, [0.125, 0.25, math.inf])
    assert cells.at_end(hand, "eta_sharpness") == interval.Spread(1.875, [1.75, 2.0])


def test_entries_as_printed(hand: cells.Cell) -> None:
    printed = {key: (column.entry(hand).main, column.entry(hand).note) for key, column in table.COLUMNS.items()}
    assert printed == {
        "cell": ("mlp · activation=relu", "mlp · relu · 1,482 parameters · digits"),
        "verdict": ("undecided", "1 undecided, 2 invertible"),
        "theorem": ("Theorem 1", "in pieces; bad η: exactly {1}"),
        "margin": ("0.250 ± 0.020", "0.125–0.375; at 2–3 steps"),
        "crossings": ("3 changes", "0–5; of the count: not told from jumps"),
        "eta": ("0.2", "gd; 1.5\u00a0/\u00a0λ_max(0)"),
        "eta_lambda_start": ("1.25", "1–1.5"),
        "eta_lambda_end": ("1.875", "1.75–2"),
        "end": ("–", ""),
        "target": ("–", ""),
        "loss_gap": ("0.25", "0.125–∞"),
        "accuracy": ("0.75", "0.5–1"),
        "seeds": ("3/3", "↗ 1/3 diverged (6–79\u00a0%)"),
        "above": ("1", "– above 2/η; 1"),
        "edge_time": ("0", "0–0.3333"),
        "trust": ("reported", ""),
    } | dict.fromkeys(
        (
            "minimum",
            "infimum",
            "runtime",
            "exponent",
            "saddle",
            "escaped",
            "escape_ratio",
            "alignment",
            "saddle_exponent",
            "closest",
            "phase",
            "kink",
        ),
        ("–", ""),
    )


GELU = {"model": {"family": "mlp", "hidden": [4], "activation": "gelu"}}
"""What changes of a cell so that its risk is one piece."""


def test_what_records_say_together_is_worked_out_from_the_curves(sample: ModuleType) -> None:
    """One crossing with phase 0.2 / (0.2 + 0.3): p = 2 min(u, 1 - u) of one phase; two gaps of 0.5, least σ_min 0.1."""
    curves: dict[str, list[Any]] = {
        "n_above_inv_eta": [0, 1],
        "gap_above": [0.3, 0.3],
        "gap_below": [0.2, 0.2],
        "sigma_min": [0.2, 0.1],
        "log_abs_det": [-2.0, "-inf"],
        "log_abs_det_error": [0.5, 0.5],
    }
    run = _run(sample, 0, curves, cell=GELU)
    rest = {"closest_over_null": 0.8, "log_volume": -2.0, "log_volume_error": 0.5}
    assert run.summary == pytest.approx(
        {"count_changes": 1, "crossings": 1, "jumps": 0, "phases": 1, "crossing_p": 0.8, **rest}
    )
    assert _run(sample, 0, curves).summary == pytest.approx({"count_changes": 1, "phases": 0, **rest}), "relu has kinks"
    cell = cells.Cell((run,))
    assert table.COLUMNS["closest"].entry(cell).main == "0.8" == table.COLUMNS["phase"].entry(cell).main
    less = _run(sample, 0, {name: values for name, values in curves.items() if name != "gap_below"}, cell=GELU)
    assert less.summary == {}, "what is needed was not recorded"
    with pytest.raises(ValueError, match="unknown metric 'crossing_p'"):
        _run(sample, 0, {"crossing_p": [0.5, 0.5]})


@pytest.mark.parametrize("seed", range(40))
def test_no_number_of_a_stranger_breaks_what_records_say_together(sample: ModuleType, seed: int) -> None:
    drawn = random.Random(seed)
    pool = [0.0, 1.0, -1.0, 5e-324, 1e-160, 1e308, -1e308, "inf", "-inf", "nan", 0.3]
    names = [name for name in metrics.METRICS if name in document.CURVES and (seed % 2 or drawn.random() < 0.9)]
    run = _run(sample, 0, {name: [drawn.choice(pool) for _ in range(12)] for name in names})
    assert all(math.isfinite(value) for value in run.summary.values())


def test_the_most_frequent_end_is_printed_with_its_share(sample: ModuleType) -> None:
    points = ("global minimum", "strict saddle", "global minimum", None)
    runs = [
        sample.run("a", seed, seeds=4).model_copy(update={"end": document.End(point=point, because={})})
        for seed, point in enumerate(points)
    ]
    entry = table.COLUMNS["end"].entry(cells.Cell(tuple(runs)))
    assert (entry.main, entry.note) == ("global minimum", "2/3 (21–94\u00a0%); 1 strict saddle")
    alone = table.COLUMNS["end"].entry(cells.Cell(tuple(runs[1:2])))
    assert (alone.main, alone.note, alone.sort) == ("strict saddle", "1/1", 3.0)


def test_seeds_that_missed_their_target_are_censored_and_counted(sample: ModuleType) -> None:
    """Reached at 10, 20 and 40 of 400 steps, missed once: half have reached it after 20."""
    last = sample.STEPS[-1]
    runs = [
        sample.run("a", seed, seeds=4).model_copy(
            update={
                "reached_at": at,
                "cell": {**sample.run("a").cell, "target": {"loss": 0.5}},
                "steps": (0, at or last),
            }
        )
        for seed, at in enumerate((10, 40, None, 20))
    ]
    entry = table.COLUMNS["target"].entry(cells.Cell(tuple(runs)))
    assert (entry.main, entry.note, entry.sort) == ("3/4", "median 20 steps; 30–95\u00a0%", 20.0)
    missed = table.COLUMNS["target"].entry(cells.Cell(tuple(runs[2:3])))
    assert (missed.main, missed.note) == ("0/1", "fewer than half; 0–79\u00a0%")
    sgd = runs[0].model_copy(update={"cell": {**runs[0].cell, "optimizer": {"name": "sgd", "batch_size": 64}}})
    assert runs[0].gradients_to_target == 10
    assert sgd.gradients_to_target == 10 * 64 / sgd.examples
    assert runs[2].gradients_to_target is None


def test_interrupted_and_failed_seeds_are_marked_and_kept_out_of_the_numbers(sample: ModuleType) -> None:
    runs = [
        sample.run("a", 0, seeds=5),
        sample.run("a", 1, seeds=5, status="interrupted", verdict=None, steps=sample.STEPS[:2]),
        sample.run("a", 2, seeds=5, status="failed", verdict=None, steps=(), eta=None),
    ]
    cell = cells.Cell(tuple(runs))
    assert cells.marks(cell) == [("failed", 1), ("interrupted", 1), ("incomplete", 2)]
    assert table.COLUMNS["seeds"].entry(cell).main == "1/5"
    assert cells.margin(cell) == cells.margin(cells.Cell((runs[0],)))


def test_marks_and_trust_labels_differ_by_their_signs() -> None:
    assert {"n/a", "failed", "diverged", "censored", "budget"} <= set(cells.MARKS)
    assert len({sign for sign, _ in cells.MARKS.values()}) == len(cells.MARKS)
    assert len({sign for sign, _ in cells.TRUST.values()}) == len(cells.TRUST) == 4


def test_lanczos_values_are_bounds(sample: ModuleType) -> None:
    cell = cells.Cell((sample.run("a", curvature="lanczos", verdict="undecided"),))
    assert table.COLUMNS["margin"].entry(cell).main.startswith("≤ ")
    assert table.COLUMNS["crossings"].entry(cell).main.startswith("≈ ")


def test_a_cell_without_records_has_no_numbers(sample: ModuleType) -> None:
    cell = cells.Cell((sample.run("a", status="failed", verdict=None, steps=(), eta=None),))
    entries = {key: column.entry(cell) for key, column in table.COLUMNS.items()}
    assert {key for key, entry in entries.items() if entry.main == "–"} == set(entries) - {
        "cell",
        "seeds",
        "theorem",
        "trust",
    }
    assert all(entry.sort is None for entry in entries.values() if entry.main == "–")


def partly(sample: ModuleType, seed: int, values: list[float], lowers: list[float], **changes: object) -> document.Run:
    """A run of which part of the spectrum is known."""
    curves = {"sigma_min": values, "sigma_min_error": [0.0] * len(values), "sigma_min_lower": lowers}
    return _run(sample, seed, curves, curvature="lanczos", **changes)


def test_a_margin_that_is_an_interval_is_printed_and_sorted_as_one(sample: ModuleType) -> None:
    runs = [
        partly(sample, 0, [0.5, 0.001357], [0.0008334, 0.001]),
        partly(sample, 1, [0.2, 0.3], [0.1, 0.05]),
        partly(sample, 2, [0.00012, 0.3], [0.0, 0.05]),
    ]
    assert [cells.margin_of(run) for run in runs] == [
        cells.Margin(0.001357, 0.0, 1, 0.0008334),
        cells.Margin(0.2, 0.0, 0, 0.05),
        cells.Margin(0.00012, 0.0, 0, 0.0),
    ]
    alone = [table.COLUMNS["margin"].entry(cells.Cell((run,))) for run in runs]
    assert [entry.main for entry in alone] == ["[0.0008334, 0.001357]", "[0.05, 0.2]", "≤ 0.00012"]
    assert [entry.sort for entry in alone] == [0.0008334, 0.05, 0.0]
    together = cells.Cell(tuple(runs))
    entry = table.COLUMNS["margin"].entry(together)
    assert (entry.main, entry.sort, entry.note) == ("[0.0008334, 0.001357]", 0.0008334, "0–0.2; at 2 steps")
    strip = figure.strips([together])[f"{runs[0].suite}/{runs[0].cell_id}"]
    assert (strip.low, strip.high) == (0.0, 100.0)
    assert [length > 0 for _, length in strip.dots] == [False, True, True], "without a lower bound a dot, else a line"
    (row,) = csv.DictReader(io.StringIO(spreadsheet.to_csv(_board(runs)).decode()))
    assert (row["margin_lower_median"], row["margin_median"]) == ("0.0008334", "0.001357")
    assert (row["margin_lower_least"], row["margin_greatest"]) == ("0.0", "0.2")


def test_a_dense_margin_has_both_ends_in_the_files(hand: cells.Cell) -> None:
    (row,) = csv.DictReader(io.StringIO(spreadsheet.to_csv(_board(list(hand.runs))).decode()))
    assert float(row["margin_lower_median"]) == pytest.approx(0.25 - 0.02)


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        ({"name": "gd", "learning_rate": 0.1}, ""),
        ({"name": "sgd", "learning_rate": 0.1, "batch_size": 64}, theory.FULL_BATCH),
        ({"name": "sgd", "learning_rate": 1.0, "batch_size": 64}, theory.BAD_BATCHES),
        ({"name": "heavy_ball", "learning_rate": 0.1, "momentum": 0.9, "batch_size": 64}, theory.EVERY_BATCH),
    ],
)
def test_a_verdict_says_of_which_map_it_is(sample: ModuleType, optimizer: dict[str, object], said: str) -> None:
    verdict = "singular" if optimizer["learning_rate"] == 1.0 else "invertible"
    hidden = [] if said == theory.FULL_BATCH else [16, 16]  # of linear regression the data decide which steps are bad
    model = {"family": "mlp", "hidden": hidden, "activation": "relu"}
    cell = {"optimizer": optimizer, "model": model}
    run = sample.run("a", cell=cell, eta=optimizer["learning_rate"], verdict=verdict)
    note = table.COLUMNS["verdict"].entry(cells.Cell((run,))).note
    assert note == "; ".join(part for part in ("1 seed", said) if part)


def test_singular_comes_first_then_undecided_then_invertible_then_the_margin(sample: ModuleType) -> None:
    def cell(name: str, verdict: str, margin: float) -> document.Run:
        said = sample.facts(name, verdict=verdict, label=name)
        line = json.dumps({"step": 0, "values": {"sigma_min": margin}})
        return parsing.parse_run(json.dumps(said), line, sample.cell_yaml(said))

    runs = [
        cell("a", "invertible", 0.1),
        cell("b", "singular", 0.3),
        cell("c", "undecided", 0.2),
        cell("d", "undecided", 0.1),
    ]
    assert [found.first.label for found in cells.cells(_board(runs))] == ["b", "d", "c", "a"]


def test_a_row_does_not_move_when_others_come_or_go(sample: ModuleType) -> None:
    board = sample.export()
    rows = {row[0] for row in _entries(board)}
    assert len(rows) == 8
    for gone in rows:
        rest = [run for run in board.runs if run.cell_id != gone]
        assert _entries(_board(rest)) == [row for row in _entries(board) if row[0] != gone]


def _entries(board: document.Export) -> list[tuple[str, ...]]:
    return [
        (cell.first.cell_id, *(str(column.entry(cell)) for column in table.COLUMNS.values()))
        for cell in cells.cells(board)
    ]


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(0, 3, 0.0, 0.5615), (3, 3, 0.4385, 1.0), (5, 5, 0.5655, 1.0), (5, 10, 0.2366, 0.7634), (1, 3, 0.0615, 0.7923)],
)
def test_wilson_against_the_published_formula(hits: int, trials: int, low: float, high: float) -> None:
    found = interval.wilson(hits, trials)
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)


def test_wilson_solves_its_equation() -> None:
    """Both ends p satisfy |k/n - p| = z sqrt(p (1 - p) / n)."""
    for end in interval.wilson(3, 7):
        assert abs(3 / 7 - end) == pytest.approx(1.959963984540054 * math.sqrt(end * (1 - end) / 7), abs=1e-12)


def test_without_trials_nothing_is_known() -> None:
    assert interval.wilson(0, 0) == (0.0, 1.0)


def test_summary_is_the_table_of_the_page_without_second_lines(sample: ModuleType) -> None:
    header, rows = table.summary(sample.export())
    assert header == ("Cell", "Verdict", "Margin min σ_min", "Crossings of 1/η", "Loss gap at end", "Seeds")
    assert len(rows) == 8
    assert {len(row) for row in rows} == {len(header)}
    assert rows[0][:2] == ("vit · activation=gelu", "singular")
    assert next(row for row in rows if row[0] == "fast")[-2:] == ("∞", "3/3 ↗")


def test_flags_of_the_first_screen(hand: cells.Cell, sample: ModuleType) -> None:
    assert tally.flags(hand) == ["diverged"], "the count changed, by crossings or by jumps"
    counted = {"sigma_min": [0.5, 0.5], "n_above_inv_eta": [0, 2]}
    assert "crossed" in tally.flags(cells.Cell((_run(sample, 0, counted, cell=GELU),)))
    assert "invertible" in tally.flags(cells.Cell((sample.run("a"),)))


def test_counts_of_a_partial_spectrum_prove_no_crossing(sample: ModuleType) -> None:
    curves = {"sigma_min": [0.5, 0.5], "sigma_min_error": [0.1, 0.1], "n_above_inv_eta": [1.0, 3.0]}
    for method, verdict, expected in (
        ("dense", "undecided", ["crossed"]),
        ("lanczos", "undecided", []),
        ("lanczos", "invertible", ["crossed"]),
    ):
        cell = cells.Cell((_run(sample, 0, curves, curvature=method, verdict=verdict, cell=GELU),))
        assert [flag for flag in tally.flags(cell) if flag == "crossed"] == expected


def test_an_error_bar_that_is_not_finite_is_infinite_not_absent(sample: ModuleType) -> None:
    curves = {"log_abs_det": [-1.0, -2.0], "log_abs_det_error": [0.5, "inf"], "loss": [1.0, 0.5]}
    run = _run(sample, 0, curves, verdict="undecided")
    assert [cells.error_bar(run, "log_abs_det", t) for t in (0, 1)] == [0.5, math.inf]
    assert cells.error_bar(run, "loss", 1) is None
    assert number.show(-2.0, cells.error_bar(run, "log_abs_det", 1)) == "−2 ± ∞"


def test_csv_has_full_precision_and_no_formula(sample: ModuleType) -> None:
    board = _board([sample.run("a", label="=HYPERLINK(1)", eta=0.1234567890123)])
    (row,) = csv.DictReader(io.StringIO(spreadsheet.to_csv(board).decode()))
    assert row["label"] == "'=HYPERLINK(1)"
    assert row["eta_median"] == "0.1234567890123"
    assert float(row["margin_median"]) == cells.margin_of(board.runs[0]).value
