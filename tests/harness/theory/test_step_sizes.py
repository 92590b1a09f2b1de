# SPDX-License-Identifier: Apache-2.0
"""F9: what several points of one piece leave over of the step sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness import records
from harness.curvature import spectrum as spectra
from harness.records import verdict
from harness.theory import step_sizes


def spectrum(values: list[float], error: float = 1e-6, *, complete: bool = True) -> spectra.Spectrum:
    return spectra.Spectrum(np.sort(values), np.full(len(values), error), complete, len(values), 0)


def test_no_point_certifies_nothing_and_a_negative_spectrum_everything() -> None:
    assert step_sizes.certified([]) == step_sizes.Steps(0.0, ())
    assert step_sizes.certified([spectrum([-1.0, -2.0])]) == step_sizes.Steps(math.inf, ())


def test_one_point_leaves_the_reciprocals_of_its_positive_eigenvalues() -> None:
    found = step_sizes.certified([spectrum([-1.0, 0.5, 2.0, 4.0])])
    assert found.below == math.inf
    assert [0.5 * (one.low + one.high) for one in found.candidates] == pytest.approx([0.25, 0.5, 2.0], rel=1e-6)
    for one, value in zip(found.candidates, (4.0, 2.0, 0.5), strict=True):
        assert one.low < 1 / value < one.high
        assert one.high - one.low == pytest.approx(2 * verdict.MARGIN * 1e-6 / value**2, rel=1e-3)


def test_a_second_point_excludes_all_but_what_both_have() -> None:
    both = step_sizes.certified([spectrum([0.5, 2.0, 4.0]), spectrum([0.7, 2.0 + 1e-4, 5.0])])
    assert [round(one.low, 3) for one in both.candidates] == [0.5]
    assert step_sizes.certified([spectrum([0.5, 2.0, 4.0]), spectrum([0.7, 2.0 + 3e-4, 5.0])]).candidates == ()


def test_eigenvalues_that_may_be_zero_end_the_range() -> None:
    found = step_sizes.certified([spectrum([0.0, 1e-5, 3.0]), spectrum([0.0, 2.0], 1e-7)])
    assert found.below == pytest.approx(1 / (verdict.MARGIN * 1e-7))
    assert found.candidates == ()


ROOM = 1e-6 + (verdict.MARGIN - 1) * 1e-9
"""What residuals prove, once, and rounding 100 times: of the spectra below."""


def partial(values: list[float], rest: float, coupling: float = 1e-6) -> spectra.Spectrum:
    return spectrum(values, 1e-9, complete=False)._replace(size=99, rest=rest, coupling=coupling)


def test_a_spectrum_of_which_nothing_is_excluded_certifies_nothing() -> None:
    assert step_sizes.certified([spectrum([1.0], complete=False)]) == step_sizes.Steps(0.0, ())
    assert not step_sizes.within(step_sizes.certified([spectrum([1.0], complete=False)]), np.array([1e-9]))


def test_what_was_not_seen_ends_the_range_and_what_was_is_left_over() -> None:
    found = step_sizes.certified([partial([-3.0, 0.2, 0.5, 2.0, 4.0], 0.5)])
    assert found.below == pytest.approx(1 / (0.5 + ROOM))
    assert [0.5 * (one.low + one.high) for one in found.candidates] == pytest.approx([0.25, 0.5], rel=1e-6)
    width = 2 * ROOM  # the others' error bars, 1e-9, do not say how far an eigenvalue may be
    assert found.candidates[0].high - found.candidates[0].low == pytest.approx(width / 4.0**2, rel=1e-3)


def test_points_known_in_part_share_the_longest_range_and_only_common_candidates() -> None:
    found = step_sizes.certified([partial([0.7, 2.0, 4.0], 0.5), partial([0.3, 0.5, 2.0], 0.1)])
    assert found.below == pytest.approx(1 / (0.1 + ROOM))
    # 0.5 may be an eigenvalue of the first point too, which saw nothing below it; 0.7 and 4 are not at the second.
    assert [round(0.5 * (one.low + one.high), 3) for one in found.candidates] == [0.5, 2.0, 3.333]
    both = step_sizes.certified([partial([0.7, 2.0], 0.5), spectrum([0.3, 0.7])])
    assert both.below == math.inf
    assert [round(0.5 * (one.low + one.high), 3) for one in both.candidates] == [1.429, 3.333]


def test_a_level_below_zero_leaves_every_step_size_but_the_known_ones() -> None:
    found = step_sizes.certified([partial([2.0], -0.5)])
    assert found.below == math.inf
    assert len(found.candidates) == 1


def test_one_step_size_is_decided_as_the_range_says() -> None:
    one = partial([2.0, 4.0], 0.5)
    asked = {0.1: True, 0.25: False, 0.25000005: False, 0.26: True, 1.9: True, 2.1: False}
    assert step_sizes.within(step_sizes.certified([one]), np.array(list(asked))).tolist() == list(asked.values())
    for eta, expected in asked.items():
        assert verdict.apart(spectra.lower_bound(one, eta), spectra.lower_error(one, eta)) is expected


@pytest.mark.parametrize("complete", [True, False])
def test_a_run_and_a_certificate_ask_for_the_same_room(complete: bool) -> None:
    one = spectrum([0.2, 2.0, 4.0], 1e-6) if complete else partial([0.2, 2.0, 4.0], 0.5)
    width = 3e-4 if complete else 3e-6
    etas = np.concatenate([1 / (level + np.linspace(-width, width, 101)) for level in (0.5, 2.0, 4.0)])
    record = [
        {
            "sigma_min": spectra.distance_from_one(one, eta)[0],
            "sigma_min_error": 0.0,
            "sigma_min_lower": spectra.lower_bound(one, eta),
            "sigma_min_lower_error": spectra.lower_error(one, eta),
        }
        for eta in etas
    ]
    runs = [verdict.verdict([records.Record(0, values)], singular=False) == "invertible" for values in record]
    within = step_sizes.within(step_sizes.certified([one]), etas)
    assert runs == within.tolist() and 0 < sum(runs) < len(runs)


@pytest.mark.parametrize("seed", range(5))
def test_the_intersection_is_that_of_the_sets(seed: int) -> None:
    drawn = np.random.default_rng(seed)
    sets = [step_sizes.bands(spectrum(drawn.uniform(-1, 3, 12).tolist(), 3e-4)) for _ in range(2)]
    both = step_sizes.intersection(*sets)

    def inside(bands: np.ndarray, at: float) -> bool:
        return bool(np.any((bands[:, 0] <= at) & (at <= bands[:, 1])))

    for at in drawn.uniform(0, 3, 2000):
        assert inside(both, at) == (inside(sets[0], at) and inside(sets[1], at))
    assert np.all(both[1:, 0] >= both[:-1, 1])
