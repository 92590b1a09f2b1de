# SPDX-License-Identifier: Apache-2.0
"""How far numbers of another machine may be: room for rounding, and none for what is false."""

from __future__ import annotations

import pytest

from harness import metrics
from leaderboard.bundles import tolerance


@pytest.mark.parametrize(
    ("name", "claimed", "true", "record"),
    [
        ("kink_distance", 4.7e-20, 4.9e-6, {}),  # what multiply-adds had made of equal numbers
        ("segment_exit", 9e-13, 6.6e-3, {"kink_distance": 4.7e-20}),
        ("segment_exit", 0.5, 0.6, {"kink_distance": 1e-4}),
        ("flip_fraction", 0.0, 0.01, {}),
        ("jumps_between", 0.0, 1.0, {"changes_unresolved": 0.0, "sigma_min": 0.1}),
    ],
)
def test_what_is_false_of_kinks_has_no_room(name: str, claimed: float, true: float, record: dict[str, float]) -> None:
    assert abs(claimed - true) > tolerance.room(name, claimed, record)
    assert abs(claimed - true) > tolerance.room(name, true, {**record, "kink_distance": 1e-4})


@pytest.mark.parametrize(
    ("name", "claimed", "apart", "record"),
    [
        ("kink_distance", 4.57e-6, 3.2e-8, {}),
        ("segment_exit", 2.21e-5, 1.1e-7, {"kink_distance": 1.75e-6}),
        ("segment_exit", 5.27e-4, 1.2e-7, {"kink_distance": 3e-4}),
        ("gradient_defect", 12.2, 5.1e-6, {}),
        ("crossings_between", 4.0, 1.0, {"changes_unresolved": 10.0}),
    ],
)
def test_what_was_measured_between_instruction_sets_has(
    name: str, claimed: float, apart: float, record: dict[str, float]
) -> None:
    assert apart < 0.7 * tolerance.room(name, claimed, record)


def test_every_kink_metric_has_a_finite_room() -> None:
    record = {"kink_distance": 1e-5, "changes_unresolved": 0.0, "sharpness": 1.0, "eta_sharpness": 1.0}
    for name, metric in metrics.METRICS.items():
        if metric.group == "kinks":
            assert tolerance.room(name, 0.5, record) < 1.5, name
