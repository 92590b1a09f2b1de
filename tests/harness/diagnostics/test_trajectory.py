# SPDX-License-Identifier: Apache-2.0
"""What the records of a run say together: crossing phases (D2), closest approach, accumulated log-volume (D6)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness import metrics, records
from harness.diagnostics import trajectory


def record(step: int, **values: float) -> records.Record:
    plain = {"sigma_min": 0.1, "gap_above": math.inf, "gap_below": math.inf, "n_above_inv_eta": 0.0}
    return records.Record(step, {**plain, "log_abs_det": 0.0, "log_abs_det_error": 0.0, **values})


def path(scaled: np.ndarray) -> list[records.Record]:
    """Returns the records of a run whose eigenvalues of eta H are the rows of `scaled` (T, P)."""
    found = []
    for step, row in enumerate(scaled):
        above, below = row[row > 1], row[row <= 1]
        values = {
            "sigma_min": float(np.abs(1 - row).min()),
            "gap_above": float(above.min() - 1) if len(above) else math.inf,
            "gap_below": float(1 - below.max()) if len(below) else math.inf,
            "n_above_inv_eta": float(len(above)),
        }
        found.append(record(step, **values))
    return found


def test_the_phase_of_a_crossing_is_where_between_two_steps_it_happened() -> None:
    up = path(np.array([[0.9, 0.2], [1.3, 0.2]]))
    down = path(np.array([[1.3, 2.0], [0.9, 2.0]]))
    assert trajectory.crossing_phases(up, one_piece=True) == pytest.approx([0.25])
    assert trajectory.crossing_phases(down, one_piece=True) == pytest.approx([0.75])


def test_what_has_no_phase_is_left_out() -> None:
    both = path(np.array([[0.9, 0.8], [1.3, 1.2]]))
    assert len(trajectory.crossing_phases(both, one_piece=True)) == 0
    apart = [one._replace(step=3 * one.step) for one in path(np.array([[0.9], [1.3]]))]
    assert len(trajectory.crossing_phases(apart, one_piece=True)) == 0
    assert math.isnan(trajectory.summary(path(np.array([[0.5], [0.6]])))["crossing_p"])


def between(run: list[records.Record], told: list[tuple[float, float, float]]) -> list[records.Record]:
    """Returns records that say what happened since the one before: crossings, jumps, unresolved."""
    names = trajectory.CHANGES[1:]
    rows = [(math.nan, math.nan, math.nan), *told]
    return [
        one._replace(values={**one.values, **dict(zip(names, row, strict=True))})
        for one, row in zip(run, rows, strict=True)
    ]


def test_where_the_risk_has_pieces_only_what_is_known_to_cross_counts() -> None:
    run = path(np.array([[0.9], [1.1], [0.8], [1.3], [0.9]]))
    untold = trajectory.summary(run)
    assert (untold["count_changes"], untold["phases"]) == (4, 0)
    assert math.isnan(untold["crossings"]) and math.isnan(untold["jumps"])
    said = between(run, [(1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 1, 0)])
    assert trajectory.changes(said, one_piece=False) == (4, 3, 2, 1)
    assert trajectory.crossing_phases(said) == pytest.approx([0.5]), "a jump, and more than one passing, have no phase"
    told = trajectory.summary(said)
    assert [told[name] for name in ("count_changes", "crossings", "jumps", "phases")] == [4, 3, 2, 1]
    assert trajectory.changes(run, one_piece=True) == (4, 4, 0, 0)
    assert len(trajectory.crossing_phases(run, one_piece=True)) == 4


def drifting(seed: int, *, repelled: bool) -> list[records.Record]:
    """Returns records of eigenvalues that go up and down past 1; if repelled, they leap over its neighbourhood."""
    drawn = np.random.default_rng(seed)
    walk = np.cumsum(drawn.uniform(0.01, 0.05, size=(2000, 1)), axis=0) + np.array([[0.0]])
    scaled = 1 + 0.5 * np.sin(2 * np.pi * walk)
    if repelled:
        near = np.abs(scaled - 1) < 0.05
        scaled = np.where(near, 1 + 0.05 * np.sign(scaled - 1), scaled)
    return path(scaled)


def test_the_test_of_phases_fires_only_where_the_singular_set_is_shunned() -> None:
    fair = [trajectory.summary(drifting(seed, repelled=False), one_piece=True) for seed in range(20)]
    assert all(one["crossings"] == one["phases"] == one["count_changes"] > 80 for one in fair)
    assert sum(one["crossing_p"] < 0.05 for one in fair) <= 4
    shunned = trajectory.summary(drifting(0, repelled=True), one_piece=True)
    assert shunned["crossing_p"] < 1e-6


def test_the_closest_approach_of_chance_is_about_one() -> None:
    drawn = np.random.default_rng(0)
    rows = np.array([np.arange(-20, 20) / 10 + drawn.uniform(0, 0.1) for _ in range(300)])
    ratios = []
    for start in range(0, 300, 30):
        found = trajectory.closest_over_null(path(rows[start : start + 30]))
        ratios.append(found)
    assert 0.3 < np.mean(ratios) < 3
    assert math.isnan(trajectory.closest_over_null(path(np.array([[0.5]]))))


def test_the_log_volume_is_the_sum_over_steps_where_each_was_recorded() -> None:
    values = [0.3, -1.2, 0.7, 5.0]
    run = [record(t, log_abs_det=v, log_abs_det_error=0.01) for t, v in enumerate(values)]
    assert trajectory.log_volume(run) == pytest.approx((sum(values[:3]), 0.03))


def test_under_momentum_the_log_volume_is_that_of_the_state() -> None:
    run = [record(t, log_abs_det=5.0, state_log_abs_det=-1.0, state_log_abs_det_error=0.5) for t in range(4)]
    assert trajectory.log_volume(run) == pytest.approx((-3.0, 1.5))


@pytest.mark.parametrize("stride", [2, 5, 10])
def test_between_records_the_log_volume_is_interpolated_and_says_how_far_it_may_be_off(stride: int) -> None:
    truth = -np.linspace(1, 3, 101)
    run = [record(t, log_abs_det=truth[t]) for t in range(0, 101, stride)]
    volume, error = trajectory.log_volume(run)
    assert volume == pytest.approx(truth[:100].sum()), "exact where it changes linearly"
    assert 0 < error < 0.05 * abs(volume)
    curved = -np.exp(np.linspace(0, 2, 101))
    volume, error = trajectory.log_volume([record(t, log_abs_det=curved[t]) for t in range(0, 101, stride)])
    assert abs(volume - curved[:100].sum()) <= error


def test_a_singular_point_makes_the_log_volume_minus_infinite() -> None:
    run = [record(0, log_abs_det=-math.inf, log_abs_det_error=math.inf), record(1), record(4)]
    assert trajectory.log_volume(run) == (-math.inf, math.inf)
    assert trajectory.log_volume([run[0]._replace(step=-5), record(1)])[0] == -math.inf


def test_every_number_has_its_row() -> None:
    assert set(trajectory.summary([record(0), record(1)])) == set(trajectory.METRICS) <= set(metrics.METRICS)
