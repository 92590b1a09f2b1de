# SPDX-License-Identifier: Apache-2.0
"""The picture of a trace: crossings where they belong, and a PNG of its size whatever the numbers."""

from __future__ import annotations

import dataclasses
import io
import math

import numpy as np
import PIL.Image
import pytest

from harness.records import traces
from harness.tracking import flow_plot


def points(*values: float) -> list[traces.TracePoint]:
    """Returns trace points at steps 0, 9, 99, ... whose largest eigenvalue is each of these, at a step size of 1/2."""
    return [
        traces.TracePoint(10**i - 1, 0.5, 1.0, 1.0, (value, 1.0, -1.0), (0.1, 0.0, 0.0), 0.0, 0.0, 1)
        for i, value in enumerate(values)
    ]


def test_crossings_lie_on_the_line_between_their_points() -> None:
    steps = np.array([0, 9, 99])
    one_half_of_the_way = math.sqrt(10) - 1  # on the axis of log(1 + step)
    assert flow_plot.crossings(steps, np.array([[0.5], [1.5], [1.2]])) == pytest.approx([one_half_of_the_way])
    assert flow_plot.crossings(steps, np.array([[0.5], [math.nan], [1.5]])) == pytest.approx([9.0])
    assert flow_plot.crossings(steps, np.array([[1.0, 2.0]] * 3)) == []


@pytest.mark.parametrize("values", [[1.0], [1.0, 3.0, 4.0], [1.0, math.nan, 2.0], [1.0, math.inf, 1e300]])
def test_the_picture_is_a_png_of_its_size_and_the_same_bytes_twice(values: list[float]) -> None:
    once, again = (flow_plot.png(points(*values), "a · η") for _ in range(2))
    assert once == again
    assert PIL.Image.open(io.BytesIO(once)).size == (990, 572)


def test_what_was_missed_and_the_batch_sharpness_are_seen() -> None:
    plain = points(1.0, 3.0, 4.0)
    missed = [dataclasses.replace(point, missed=1) for point in plain]
    batches = [dataclasses.replace(point, batch_sharpness=3.0, batch_sharpness_error=0.5) for point in plain]
    pictures = {flow_plot.png(some, "") for some in (plain, missed, batches)}
    assert len(pictures) == 3
