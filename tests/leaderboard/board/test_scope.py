# SPDX-License-Identifier: Apache-2.0
"""The scope of a board in words."""

from __future__ import annotations

from types import ModuleType

from leaderboard.board import cell as cells
from leaderboard.board import scope
from leaderboard.export import document


def test_the_scope_says_how_large_on_which_data_and_how_often(sample: ModuleType) -> None:
    small = sample.cell_of_ends([None, None])
    large = sample.cell_of_ends([None], parameters=90_000, dataset={"name": "fashion_mnist", "shape": [28, 28, 1]})
    large = cells.Cell(large.runs, document.Trust(suite="a", cell_id="0" * 12, label="replayed", bundle="0" * 64))
    assert scope.sentences(map(scope.seen, [small, large])) == (
        "2 networks of 1,482 to 90,000 parameters on digits (512 examples of 8×8×1), fashion_mnist (512 examples of "
        "28×28×1). 3 runs of 2 configurations, each looked at on 2 of its steps; 1 of 2 of the configurations was "
        "submitted as bundles that anyone can check."
    )
    assert scope.sentences([]) == ""
