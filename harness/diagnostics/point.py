# SPDX-License-Identifier: Apache-2.0
"""Point: one parameter vector of a run and what was computed there, which all diagnostics read."""

from __future__ import annotations

from typing import NamedTuple

from harness.curvature import survey


class Point(NamedTuple):
    """What is known at one checkpoint step, in float64.

    Attributes:
        eta: Step size.
        infimum: Infimum L* of the risk over all predictions.
        loss: L(theta).
        grad_norm: Norm of the gradient of L.
        accuracy: Share of training examples classified right.
        survey: Spectrum of the Hessian and log|det(I - eta H)|.
    """

    eta: float
    infimum: float
    loss: float
    grad_norm: float
    accuracy: float
    survey: survey.Survey
