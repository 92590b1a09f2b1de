# SPDX-License-Identifier: Apache-2.0
"""Histograms of spectra against numpy's; edges that mean something; which are kept."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness import records
from harness.curvature import spectrum
from harness.records import histogram


def known(*values: float, size: int = 0) -> spectrum.Spectrum:
    found = np.sort(np.array(values))
    return spectrum.Spectrum(found, np.zeros(len(found)), not size, size or len(found), 0)


def edge(place: int) -> float:
    """The value of eta lambda at an edge: the inverse of 8 log10(1 + 999 |x|)."""
    return math.copysign((10 ** (abs(place) / 8) - 1) / 999, place)


def test_counts_are_those_of_numpy() -> None:
    drawn = np.random.default_rng(0)
    values = drawn.standard_normal(2000) * 10 ** drawn.uniform(-6, 4, 2000)
    eta = 0.3
    found = histogram.of(7, known(*values), eta)
    edges = [edge(place) for place in range(-80, 81)]
    wanted = np.histogram(eta * values, edges)[0]
    held = np.zeros(160, int)
    held[found["first"] + 80 :][: len(found["counts"])] = found["counts"]
    assert held.tolist() == wanted.tolist()
    assert (found["step"], found["complete"], sum(found["counts"])) == (7, True, 2000)
    assert found["counts"][0] and found["counts"][-1], "no empty bins at the ends"


@pytest.mark.parametrize(
    ("product", "place"),
    [(0.0, 0), (1.0, 24), (1.0 - 1e-12, 24), (1.0 - 1e-6, 23), (-1e-9, -1), (1e300, 127), (-1e300, -128)],
)
def test_a_bin_begins_at_one_over_eta_and_at_0(product: float, place: int) -> None:
    assert histogram.of(0, known(product), 1.0) == {"step": 0, "complete": True, "first": place, "counts": [1]}


def test_the_first_the_nearest_to_singular_and_the_last_are_kept() -> None:
    kept = {step: known(float(step), size=9) for step in (0, 5, 10, 20)}
    sigma = {0: 0.5, 3: 0.0, 5: 0.2, 10: 0.1, 20: 0.3}
    recorded = [records.Record(step, {"eta": 0.1 * (step + 1), "sigma_min": value}) for step, value in sigma.items()]
    found = histogram.chosen(kept, recorded)
    assert [one["step"] for one in found] == [0, 10, 20], "step 3 is nearer, and has no spectrum"
    assert found[1] == histogram.of(10, kept[10], 0.1 * 11), "with the step size of its own record"
    assert not found[1]["complete"]
    assert [one["step"] for one in histogram.chosen({5: kept[5]}, recorded)] == [5]
    assert histogram.chosen({}, recorded) == [] == histogram.chosen(kept, [])
