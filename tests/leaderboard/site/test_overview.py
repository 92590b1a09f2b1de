# SPDX-License-Identifier: Apache-2.0
"""The pictures of the first page against answers computed by hand."""

from __future__ import annotations

from leaderboard.site import overview


def _taken(family: str, *values: float, turns: tuple[int, int, str] | None = None) -> overview.Taken:
    near = tuple(overview.Near(value, 1e-12 * (seed + 1), f"{family}-s{seed}") for seed, value in enumerate(values))
    return overview.Taken("suite", family, near, turns)


def test_the_run_whose_flow_is_drawn_has_most_changes_of_side_then_most_parameters() -> None:
    board = [
        _taken("MLP", turns=(3, 900, "few")),
        _taken("VGG", turns=(7, 800, "small")),
        _taken("ViT", turns=(7, 900, "first")),
        _taken("ViT", turns=(7, 900, "second")),
        _taken("VGG"),
    ]
    found = overview.chosen(board)
    assert found is not None and found.turns == (7, 900, "first")
    assert overview.chosen([_taken("VGG")]) is None


def test_runs_stand_in_the_lane_of_their_family_and_those_at_one_place_share_a_dot() -> None:
    strip = overview.strip([_taken("ViT", 0.1, 0.1001, 1e-3), _taken("MLP", 1e-2)])
    assert strip is not None
    assert [(lane.family, [dot.runs for dot in lane.dots]) for lane in strip.lanes] == [("MLP", [1]), ("ViT", [1, 2])]
    (mlp,), (near, far) = (lane.dots for lane in strip.lanes)
    assert near.x < mlp.x < far.x and abs((mlp.x - near.x) - (far.x - mlp.x)) <= 1  # a decade each
    assert (strip.least, strip.error, strip.floor) == (1e-3, 1e-12, overview.LEFT)  # the lower of the middle two
    assert overview.strip([_taken("VGG")]) is None
