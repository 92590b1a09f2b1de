# SPDX-License-Identifier: Apache-2.0
"""The error bar of log|det(I - eta H)| by probes holds the exact value as often as it says: Hessians of a network."""

from __future__ import annotations

import math
import pathlib

import jax
import numpy as np
import pytest

from harness.curvature import dense, logdet, operators, survey
from tests import builders

KEYS = 60
"""Draws of the probes at each state."""


@pytest.mark.thorough
def test_95_of_100_error_bars_of_a_log_determinant_hold_the_exact_one(home: pathlib.Path) -> None:
    """Four states, and at each of them sixty draws; one standard error of 8 probes would miss a third of them."""
    ready = builders.problem(data=builders.digits(24))
    operator, size = operators.hessian(ready.objective.risk), ready.objective.size
    hessian, asked = dense.matrix(operator, size), survey.surveyor(operator, size, "lanczos")
    misses, narrow = 0, 0
    for state, scale in enumerate((0.3, 1.0, 2.0, 3.0)):
        point = (scale * ready.objective.init(jax.random.key(state)).astype("float64"), ready.exact)
        spectrum = dense.spectrum(np.asarray(hessian(point)))
        eta = 0.7 / float(spectrum.values[-1])
        exact = logdet.exact(spectrum, eta)
        for key in range(KEYS):
            found = asked.survey(point, eta, jax.random.key(1000 * state + key))
            assert not found.spectrum.complete
            misses += abs(found.log_det.value - exact.value) > found.log_det.error + exact.error
            narrow += abs(found.log_det.value - exact.value) > found.log_det.error / 2.365 + exact.error
    draws = 4 * KEYS
    most = 0.05 * draws + 3 * math.sqrt(0.05 * 0.95 * draws)  # more: 3 in 1,000
    assert misses <= most < narrow
    assert narrow <= 0.35 * draws + 3 * math.sqrt(0.35 * 0.65 * draws), "nor is it that of a plain standard error"
