# SPDX-License-Identifier: Apache-2.0
"""The notebooks in examples/ run from top to bottom, and end where they say."""

from __future__ import annotations

import ast
import json
import pathlib
from typing import Any

import jax
import matplotlib
import matplotlib.pyplot
import pytest

from harness import workspace

EXAMPLES = workspace.CHECKOUT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
LINES = 10
"""Most lines from a trained network to a certified answer."""


def sources(path: pathlib.Path) -> list[str]:
    """Returns the code cells of a notebook, which must have no outputs."""
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["nbformat"] == 4
    cells = [cell for cell in found["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells), "kept without outputs"
    return ["".join(cell["source"]) for cell in cells]


def ran(cells: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Runs cells in order, as a kernel does; returns their names, and what each cell that ends in a value shows."""
    held: dict[str, Any] = {}
    shown = []
    for cell in cells:
        *first, last = ast.parse(cell).body
        if isinstance(last, ast.Expr):
            exec(compile(ast.Module(first, []), "cell", "exec"), held)
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), held)
            shown.append(getattr(value, "_repr_html_", lambda value=value: repr(value))())
        else:
            exec(cell, held)
    return held, shown


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_comes_to_a_certified_answer_in_ten_lines(
    path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    matplotlib.use("agg")
    cells = sources(path)
    with jax.enable_x64(False):  # as in a process of its own
        held, shown = ran(cells)
    assert held["found"].certified
    (asking,) = [cell for cell in cells if "import gdzoo" in cell]
    assert len([line for line in asking.splitlines() if line.strip()]) <= LINES
    assert any("whole map is non-singular" in one for one in shown)
    assert held["axes"].get_ylabel() == "η λ"
    assert "is int32, and gradient descent moves floats only" in capsys.readouterr().out
    matplotlib.pyplot.close("all")


def test_every_notebook_is_in_the_list() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert NOTEBOOKS and all(f"({path.name})" in text for path in NOTEBOOKS)
