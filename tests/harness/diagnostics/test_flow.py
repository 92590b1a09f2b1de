# SPDX-License-Identifier: Apache-2.0
"""What a trace says together, of trace points whose answers are counted by hand."""

from __future__ import annotations

import dataclasses
import math

import pytest

from harness import records
from harness.diagnostics import flow
from harness.records import traces


def point(step: int, *values: float, bar: float = 0.01) -> traces.TracePoint:
    """Returns a trace point at eta = 1/2 of these eigenvalues, the least last."""
    return traces.TracePoint(step, 0.5, 1.0, 1.0, values, (bar,) * len(values), 0.0, 0.0, 10)


RUN = [
    point(0, 1.6, 1.0, -0.2),
    point(1, 2.4, 1.2, -0.2),  # the first passes 2 = 1/eta: from 0.2 below 1 to 0.2 above
    point(2, 4.2, 2.2, -0.2),  # the second too: all that is tracked lies above
    point(4, 4.0, 1.8, 0.1),
    point(8, 4.4, 1.5, 0.1),
]


def test_crossings_phases_and_the_window_are_counted_by_hand() -> None:
    said = flow.summary([], one_piece=True, trace=RUN)
    assert set(said) == set(flow.METRICS)
    assert (said["trace_points"], said["trace_products"], said["trace_narrow"]) == (5, 50, 1)
    assert said["trace_crossings"] == 3
    assert said["trace_phases"] == 1, "one alone, between whole windows a step apart"
    assert said["trace_closest"] == pytest.approx(0.1 + 0.5 * 0.01)  # 1.8 and 2.2, half of which is 0.1 from 1
    assert said["trace_edge"] == pytest.approx((2 + 4) / 8), (
        "steps after the points at 4.2 and 4.0; 4.4 has none after it"
    )
    assert math.isnan(flow.summary([], one_piece=False, trace=RUN)["trace_phases"])


def test_what_surveys_found_missing_is_summed() -> None:
    looked = [dataclasses.replace(one, missed=0, least_missed=False) for one in RUN]
    looked[2] = dataclasses.replace(RUN[2], missed=2, least_missed=True)
    looked[3] = RUN[3]
    said = flow.summary([], trace=looked)
    assert (said["trace_compared"], said["trace_missed"]) == (4, 3)


def test_batch_sharpness_is_a_mean_over_the_second_half() -> None:
    sizes = {0: 9.0, 1: 9.0, 2: 9.0, 4: 4.0, 8: 3.0}
    noisy = [
        dataclasses.replace(one, batch_sharpness=sizes[one.step], batch_sharpness_error=0.3 if one.step == 8 else 0.4)
        for one in RUN
    ]
    said = flow.summary([], trace=noisy)
    assert said["trace_batch_sharpness"] == pytest.approx(0.5 * 3.5)
    assert said["trace_batch_sharpness_error"] == pytest.approx(1.96 * 0.5 * 0.5 / 2)


def test_an_episode_is_a_stretch_of_small_gradients_with_a_negative_eigenvalue() -> None:
    norms, least = (1.0, 1e-3, 1e-3, 1.0, 1.0), (0.1, -0.2, -0.2, -0.2, 0.1)
    trace = [
        dataclasses.replace(one, grad_norm=norm, values=(*one.values[:-1], low))
        for one, norm, low in zip(RUN, norms, least, strict=True)
    ]
    recorded = [records.Record(0, {"loss": 1.0, "loss_gap": 0.5})]
    said = flow.summary(recorded, trace=trace)
    assert (said["trace_episodes"], said["trace_episode_steps"]) == (1, 3)
    assert flow.summary(recorded, trace=RUN)["trace_episodes"] == 0
