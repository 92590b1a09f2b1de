# SPDX-License-Identifier: Apache-2.0
"""Minima against answers computed by hand: what makes a sweep, its squares, and what its runs say together."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest

from leaderboard.board import cell as cells
from leaderboard.board import minima
from leaderboard.export import document, parsing
from leaderboard.site import drawing, pages

GD, SGD = {"name": "gd"}, {"name": "sgd", "batch_size": 2}
AT, STAYED, SADDLE = "global minimum", "other minimum", "strict saddle"


def _cell(
    sample: ModuleType, start: float, *ended: tuple[str, float | None, float | None], rule: Any = GD, part: Any = None
) -> cells.Cell:
    """Seeds that ended somewhere with an exponent of some error 0.01, and eta lambda_max there."""
    rate = {"eta_lambda": start}
    cell = {"loss": {"name": "half_mse"}, "optimizer": {**rule, "learning_rate": rate}, "target": {"loss_gap": 1e-9}}
    runs = []
    for seed, (point, exponent, sharpness) in enumerate(ended):
        name = "lambda" if "batch_size" in rule else "mu"
        said = sample.facts(
            "sweep",
            seed,
            cell=cell | (part or {}),
            spec="sweep",
            seeds=len(ended),
            end={"point": point, "because": {}},
            **({"status": "diverged", "diverged_at": 3} if point == "diverged" else {}),
        )
        last = {"loss": 1e-12, "eta_sharpness": sharpness, name: exponent, f"{name}_error": 0.01}
        lines = [{"step": 0, "values": {"loss": 1.0}}]
        if point != "diverged":
            lines.append({"step": 300, "values": {key: value for key, value in last.items() if value is not None}})
        runs.append(parsing.parse_run(json.dumps(said), "\n".join(map(json.dumps, lines)), sample.cell_yaml(said)))
    return cells.Cell(tuple(runs))


def _board(sample: ModuleType) -> list[cells.Cell]:
    return [
        _cell(sample, 0.5, (AT, -0.2, 0.4), (AT, -0.1, 0.6)),
        _cell(sample, 1.5, (AT, 0.005, 1.9), (STAYED, None, 0.1)),
        _cell(sample, 4.0, (AT, 0.3, 2.5), (SADDLE, None, 0.1), ("diverged", None, None)),
        _cell(sample, 64.0, ("diverged", None, None)),
        _cell(sample, 0.5, (AT, -0.2, 0.4), rule=SGD),
    ]


def _swept(board: list[cells.Cell]) -> list[minima.Swept]:
    return [found for cell in board if (found := minima.swept(cell)) is not None]


def test_a_sweep_has_a_column_for_each_step_size_and_squares_count_seeds(sample: ModuleType) -> None:
    (table,) = minima.sweeps(_swept(_board(sample)))
    assert (table.spec, table.starts) == ("sweep", (0.5, 1.5, 4.0, 64.0))
    (row,) = table.rows  # of SGD there is one step size alone: no sweep
    assert (row.network, row.optimiser) == ("MLP · ReLU · half squared error", "gradient descent")
    squares = [square for square in row.squares if square]
    assert [(square.share.hits, square.share.trials, square.diverged) for square in squares] == [
        (2, 2, 0),
        (1, 2, 0),
        (1, 3, 1),
        (0, 1, 1),
    ]
    assert [square.look for square in squares] == ["all", "half", "some", "diverged"]


def test_what_runs_say_together_counts_every_minimum_once(sample: ModuleType) -> None:
    said = minima.said(minima.sweeps(_swept(_board(sample))))
    assert (said.below, said.within, said.unmeasured, said.reached) == (2, 1, 0, 4)
    ((cell, run),) = said.above
    assert (cell.start, run.sign) == (4.0, 1)
    assert said.sharp[:2] == (3, 4)
    assert said.saddles[:2] == (1, 6)
    assert (said.diverged, said.ended) == (2, 8)


@pytest.mark.parametrize(
    "part",
    [
        {"loss": {"name": "ce"}},
        {"start": {"name": "origin"}},
        {"optimizer": {"name": "gd", "learning_rate": 0.1}},
        {"optimizer": {"name": "gd", "learning_rate": {"eta_lambda": 1.0}, "schedule": {"name": "linear"}}},
    ],
    ids=["no minimum", "planted", "no eta lambda", "schedule"],
)
def test_what_can_be_part_of_no_sweep_is_left_out(sample: ModuleType, part: Any) -> None:
    assert minima.swept(_cell(sample, 1.0, (AT, -0.1, 0.4))) is not None
    assert minima.swept(_cell(sample, 1.0, (AT, -0.1, 0.4), part=part)) is None


def test_the_page_shows_squares_edges_exceptions_and_the_drawing(sample: ModuleType) -> None:
    board = _board(sample)
    picture = drawing.sharpness(_swept(board))
    assert picture is not None and [dot.hollow for dot in picture.dots] == [False, False, True]
    files = pages.render(
        document.compose([document.Suite(name="quickstart", note="")], [run for cell in board for run in cell.runs])
    )
    page = files["minima.html"].decode()
    assert page.count('<th scope="col" class="edge">') == 2
    assert "1/3 ↗1" in page and "1 run at a global minimum with an exponent above 0" in page
    assert '<svg class="drawing"' in page
    assert "gdzoo run specs/minima" in pages.render(document.compose([], []))["minima.html"].decode()
