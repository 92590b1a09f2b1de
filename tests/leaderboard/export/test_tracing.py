# SPDX-License-Identifier: Apache-2.0
"""What of a trace a page draws: points that count stay, and what goes up and down is drawn as far as it goes."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from leaderboard.export import tracing


def test_the_drawn_trace_points_keep_ends_comparisons_and_crossings_and_early_steps(sample: ModuleType) -> None:
    steps = tuple(range(0, 30001, 10))
    said = sample.facts("traced", cell={"trace": {"top": 3, "every": 10}, "steps": 30000})
    points = tracing._points(sample.trace(said, steps=steps, missed=(20010,))[0], 4)
    drawn = tracing._drawn(points)
    found = [point.step for point in drawn]
    assert len(found) <= tracing.DRAWN and found == sorted(set(found)) and (found[0], found[-1]) == (0, 30000)
    assert 20010 in found and len([step for step in found if step < 3000]) > tracing.DRAWN / 4
    counts, fewer = ([point.above().number for point in some] for some in (points, drawn))
    assert sum(np.abs(np.diff(fewer))) == sum(np.abs(np.diff(counts))) == 3
    assert tracing._drawn(points[:100]) == points[:100]


def test_the_drawn_losses_go_as_far_up_and_down_as_all() -> None:
    steps = np.arange(1000)
    losses = 0.99**steps * (1 + 0.1 * (-1.0) ** steps)
    places = tracing._outline(losses)
    assert len(places) <= tracing.LOSSES + 1 and (places[0], places[-1]) == (0, 999)
    assert (np.diff(places) > 0).all()
    for low in range(0, 1000, 100):
        some = places[(places >= low) & (places < low + 100)]
        assert max(losses[some]) >= 0.97 * max(losses[low : low + 100])
        assert min(losses[some]) <= 1.03 * min(losses[low : low + 100])
        ups = (np.diff(np.log(losses[some]) - np.log(0.99) * some) > 0).mean()
        assert 0.3 < ups < 0.7, "not every second one, which would all be above"
    assert tracing._outline(losses[:50]).tolist() == list(range(50))
