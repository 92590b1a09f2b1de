# SPDX-License-Identifier: Apache-2.0
"""What records entitle a run to claim."""

from __future__ import annotations

from harness import records, verdict


def run(*pairs: tuple[float, float], lower: float = 1e-10) -> list[records.Record]:
    return [
        records.Record(t, {"sigma_min": s, "sigma_min_error": e, "sigma_min_lower": lower})
        for t, (s, e) in enumerate(pairs)
    ]


def test_certified_needs_a_lower_bound_and_every_checkpoint() -> None:
    assert verdict.verdict(run((0.3, 1e-12), (1e-9, 1e-12)), singular=False) == "certified"
    assert verdict.verdict(run((0.3, 1e-12), lower=0.0), singular=False) == "undecided", "nothing excludes others"
    assert verdict.verdict(run((0.3, 1e-12), (0.99e-10, 1e-12)), singular=False) == "undecided", "within 100 error bars"
    assert verdict.verdict(run((0.3, 1e-12), (float("nan"), 1e-12)), singular=False) == "undecided"
    assert verdict.verdict([], singular=False) == "undecided"


def test_rounding_at_zero_is_undecided_never_singular() -> None:
    assert verdict.verdict(run((0.0, 1e-13)), singular=False) == "undecided"


def test_a_map_that_is_proven_needs_no_points() -> None:
    assert verdict.verdict(run((0.0, 1e-13)), singular=False, proven=True) == "certified"
    assert verdict.verdict([], singular=True, proven=True) == "singular"


def test_a_step_size_known_to_be_bad_makes_the_map_singular_whatever_the_points() -> None:
    assert verdict.verdict(run((0.3, 1e-12)), singular=True) == "singular"
