# SPDX-License-Identifier: Apache-2.0
"""What the columns print of a cell, against answers computed by hand."""

from __future__ import annotations

import csv
import io
from types import ModuleType

import pytest

from harness import theory
from leaderboard.board import cell as cells
from leaderboard.board import entries, table
from leaderboard.export import document
from leaderboard.site import figure, spreadsheet

GELU = {"model": {"family": "mlp", "hidden": [4], "activation": "gelu"}}
"""What changes of a cell so that its risk is one piece."""


def test_changes_of_the_count_add_up_and_are_crossings_only_where_that_is_known(
    hand: cells.Cell, sample: ModuleType
) -> None:
    assert [run.changes.all for run in hand.runs] == [3, 0, 5]
    assert [cells.crossings_of(run) for run in hand.runs] == [None] * 3, "relu has kinks, and nobody looked"
    counts = {"n_above_inv_eta": [0, 2, 3]}
    told = {"crossings_between": ["nan", 1, 0], "jumps_between": ["nan", 1, 0], "changes_unresolved": ["nan", 0, 1]}
    relu, gelu = (
        sample.run_of_curves(
            0, {**counts, **more}, cell={"model": {"family": "mlp", "hidden": [4], "activation": name}}
        )
        for name, more in (("relu", told), ("gelu", {}))
    )
    assert relu.changes == (3, 1, 1, 1) and cells.crossings_of(relu) == 1
    assert gelu.changes == (3, 3, 0, 0)
    assert entries.crossings_of((relu,), "")[::2] == ("≥ 1", "1 jumps at kinks; 1 unresolved")
    assert entries.crossings_of((gelu,), "")[::2] == ("3", "")
    assert sample.run_of_curves(0, {"sigma_min": [0.5]}).changes is None
    (row,) = csv.DictReader(io.StringIO(b"".join(spreadsheet.to_csv([spreadsheet.row(cells.Cell((relu,)))])).decode()))
    names = ("count_changes", "crossings", "jumps", "changes_unresolved")
    assert [row[f"{name}_median"] for name in names] == ["3.0", "1.0", "1.0", "1.0"]


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
    return sample.run_of_curves(seed, curves, curvature="lanczos", **changes)


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
    strip = figure.axis([ends := figure.ends(together)]).strip(ends)
    assert (strip.low, strip.high) == (0.0, 100.0)
    assert [length > 0 for _, length in strip.dots] == [False, True, True], "without a lower bound a dot, else a line"
    (row,) = csv.DictReader(io.StringIO(b"".join(spreadsheet.to_csv([spreadsheet.row(together)])).decode()))
    assert (row["margin_lower_median"], row["margin_median"]) == ("0.0008334", "0.001357")
    assert (row["margin_lower_least"], row["margin_greatest"]) == ("0.0", "0.2")


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


def test_a_run_that_learned_nothing_is_marked(sample: ModuleType) -> None:
    def entry(**values: float) -> entries.Entry:
        told = {"loss": 1.0, "train_accuracy": 0.9, "chance": 0.1, "relative_gap": 0.5, **values}
        return table.COLUMNS["seeds"].entry(cells.Cell((sample.run_of_rows(0, [told, told], seeds=1),)))

    assert entry() == ("1/1", 1.0, "", "")
    assert entry(train_accuracy=0.11) == ("1/1", 1.0, "∅ 1 learned nothing", "unlearned")
    assert entry(relative_gap=1.1).mark == "unlearned"


def test_an_error_bar_that_is_no_bound_says_of_which_kind_it_is() -> None:
    assert entries.shown_metric("sigma_min", 0.25, 0.02) == "0.250 ± 0.020"
    assert entries.shown_metric("log_abs_det", 2.5, 0.25, "≈") == "≈ 2.50 ± 0.25 (95\u00a0%)"
    assert entries.shown_metric("mu", -0.5, 0.01) == "−0.500 ± 0.010 (model)"
    assert entries.shown_metric("log_abs_det", 2.5, None) == "2.5"
