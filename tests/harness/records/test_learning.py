# SPDX-License-Identifier: Apache-2.0
"""Which runs learned nothing, by hand."""

from __future__ import annotations

import math

import pytest

from harness.records import learning


@pytest.mark.parametrize(
    ("right", "of", "chance", "nothing"),
    [
        (10, 100, 0.1, True),
        (15, 100, 0.1, True),  # Wilson: 0.093 to 0.233
        (16, 100, 0.1, False),  # 0.101 to 0.244
        (160, 1000, 0.1, False),
        (5, 5, 0.6, True),  # 0.566 to 1: five examples do not tell it from a class of three
        (100, 100, 1.0, False),  # one class: nothing to tell apart
    ],
)
def test_an_accuracy_counts_where_the_lower_end_of_its_interval_is_above_chance(
    right: int, of: int, chance: float, nothing: bool
) -> None:
    found = learning.nothing({"train_accuracy": right / of, "chance": chance, "relative_gap": 0.9}, of)
    assert bool(found) == nothing
    assert found is not None and ("not above chance" in found) == nothing


def test_a_loss_counts_where_it_is_below_that_of_the_best_constant() -> None:
    good = {"train_accuracy": 1.0, "chance": 0.1}
    assert "constant" in str(learning.nothing({**good, "relative_gap": 1.0}, 100))
    assert learning.nothing({**good, "relative_gap": 0.999}, 100) == ""
    assert learning.nothing({"train_accuracy": math.nan, "chance": math.nan, "relative_gap": 0.5}, 100) == ""


def test_what_is_not_known_is_not_judged() -> None:
    assert learning.nothing({"train_accuracy": 0.1}, 100) is None
    assert learning.nothing({"relative_gap": None, "train_accuracy": math.nan, "chance": math.nan}, 9) is None
