# SPDX-License-Identifier: Apache-2.0
"""The board works out what the theorem says from the cell, and believes no run about it."""

from __future__ import annotations

import json
from types import ModuleType
from typing import Any

import pytest

from harness import theory
from leaderboard.board import cell as cells
from leaderboard.board import table, theorem
from leaderboard.export import document, parsing
from leaderboard.site import pages

LEAKY = {"model": {"family": "mlp", "hidden": [4], "activation": {"leaky_relu": 0.2}}}
VIT = {
    "model": {
        "family": "vit",
        "patch": 2,
        "width": 12,
        "depth": 1,
        "heads": 2,
        "mlp_width": 24,
        "activation": "gelu",
        "positions": "fixed",
    }
}


def page(run: document.Run) -> str:
    """Returns the text of the page of a run's cell."""
    board = document.compose([document.Suite(name=run.suite, note="")], [run])
    return pages.render(board)[f"{pages.cell_path(run)}.html"].decode()


def test_a_cell_says_what_its_layers_say(sample: ModuleType) -> None:
    relu = theorem.known(sample.run("relu"))
    assert relu is not None and (relu.covered, relu.one_piece) == ("theorem 1", False)
    assert [step.etas for step in relu.bad_steps] == [(1.0,)]
    vit = theorem.known(sample.run("vit", cell=VIT))
    assert vit is not None and (vit.covered, vit.one_piece) == ("proposition 11", True)


def test_what_a_run_says_of_itself_is_not_believed(sample: ModuleType) -> None:
    said = sample.facts("relu", theory={"covered": "by a miracle", "bad_steps": "</script>"})
    run = parsing.parse_run(json.dumps(said), sample.records(said, phase=len("relu")), sample.cell_yaml(said))
    assert run == sample.run("relu")
    assert "miracle" not in page(run)


@pytest.mark.parametrize(("eta", "bad"), [(1.0, True), (0.99, False), (None, False)])
def test_a_known_bad_step_is_recognised(sample: ModuleType, eta: float | None, bad: bool) -> None:
    run = sample.run("relu", eta=eta)
    assert (theorem.match(run) is not None) == bad
    shown = page(run)
    assert ("Seed 0: η = 1 is bad where" in shown) == bad
    assert ("No step size of any seed is known to be bad." in shown) != bad
    assert "η = 1 is bad" in shown


@pytest.mark.parametrize(
    "cell",
    [
        {"model": {"family": "mlp", "hidden": [4]}},
        {"model": {"family": "perceptron"}},
        {"model": {"family": "mlp", "hidden": [4], "activation": "<b>"}},
        {"loss": {"name": "hinge"}},
        {"model": VIT["model"] | {"patch": 3}},
    ],
)
def test_a_cell_that_is_not_understood_gets_a_dash(sample: ModuleType, cell: dict[str, Any]) -> None:
    run = sample.run("odd", cell=cell)
    assert theorem.known(run) is None and theorem.match(run) is None
    entry = table.COLUMNS["theorem"].entry(cells.Cell((run,)))
    assert (entry.main, entry.sort, entry.mark) == ("–", None, "n/a")
    assert "does not understand the configuration" in page(run)


def test_a_schedule_hides_no_bad_step(sample: ModuleType) -> None:
    optimizer = {"name": "gd", "learning_rate": 0.5, "schedule": {"name": "piecewise", "at": [100], "factors": [2.0]}}
    run = sample.run("relu", cell={"optimizer": optimizer}, eta=0.5)
    found = theorem.match(run)
    assert found is not None and (found.exact, found.eta, found.step) == (True, 1.0, 100)
    assert "Seed 0: η = 1 from step 100 on is bad where" in page(run)
    early = sample.run("relu", cell={"optimizer": optimizer}, eta=0.5, steps=(0, 1, 100))
    assert theorem.match(early) is None, "the step at 100 was not made"


def test_the_page_lists_every_ingredient_with_its_reason(sample: ModuleType) -> None:
    run = sample.run("leaky", cell=LEAKY)
    shown = page(run).replace("&#39;", "'")
    says = theorem.known(run)
    assert says is not None
    for row in says.ingredients:
        assert f'<th scope="row">{row.name}</th><td>{theorem.LABELS[row.status]}</td><td>{row.why}</td>' in shown
    assert "leaky_relu of slope 0.2: piecewise linear activation" in shown
    assert theory.ARITHMETIC in shown and says.others in shown
    assert table.COLUMNS["cell"].entry(cells.Cell((run,))).note.startswith("mlp · leaky_relu 0.2 · ")


def test_the_method_page_has_every_statement_that_pages_cite(sample: ModuleType) -> None:
    method = pages.render(sample.export())["method.html"].decode()
    for name in theory.STATEMENTS:
        assert f"<dt>{name}</dt>" in method
    assert list(theorem.LABELS) == list(theory.COVERED)


def test_a_field_that_came_later_leaves_the_name_of_a_cell(sample: ModuleType) -> None:
    said = sample.facts("relu")
    said["cell"]["loss"]["weight_decay"] = 0.0
    run = parsing.parse_run(json.dumps(said), sample.records(said), sample.cell_yaml(said))
    assert run.cell_id == sample.run("relu").cell_id
    said["cell"]["loss"]["weight_decay"] = 0.1
    with pytest.raises(ValueError, match="the cell is not the one that spec_hash"):
        parsing.parse_run(json.dumps(said), sample.records(said), sample.cell_yaml(said))
