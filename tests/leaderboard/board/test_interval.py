# SPDX-License-Identifier: Apache-2.0
"""Wilson's interval against its published formula."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from leaderboard.board import interval


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


def test_wilson_is_that_of_scipy_to_the_last_bit() -> None:
    for trials in (*range(1, 31), 97, 1000):
        for hits in range(trials + 1):
            found = stats.binomtest(hits, trials).proportion_ci(0.95, method="wilson")
            assert interval.wilson(hits, trials) == (found.low, found.high), (hits, trials)


def test_without_trials_nothing_is_known() -> None:
    assert interval.wilson(0, 0) == (0.0, 1.0)
