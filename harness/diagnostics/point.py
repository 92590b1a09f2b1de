# SPDX-License-Identifier: Apache-2.0
"""Point: one parameter vector of a run and what was computed there, which all diagnostics read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from harness.curvature import survey

if TYPE_CHECKING:
    import jax


class Probe(NamedTuple):
    """Compiled functions of a run's problem in float64; each compiles when it is first called.

    Attributes:
        gradient: `theta -> (P,)`, of the whole risk.
        product: `(theta, v) -> H v`.
        margins: `theta -> {path: (N, ...)}`, as zoo.pattern gives them; empty for an analytic network.
    """

    gradient: Callable[[jax.Array], jax.Array]
    product: Callable[[jax.Array, jax.Array], jax.Array]
    margins: Callable[[jax.Array], dict[str, jax.Array]]


class Nearby(NamedTuple):
    """Where a point is, for diagnostics that look around it.

    Attributes:
        theta: (P,) float64.
        previous: The same at the checkpoint step before; None at the first.
        probe: What can be asked there.
    """

    theta: jax.Array
    previous: jax.Array | None
    probe: Probe


class Point(NamedTuple):
    """What is known at one checkpoint step, in float64.

    Attributes:
        eta: Step size.
        infimum: Infimum L* of the risk over all predictions.
        loss: L(theta).
        grad_norm: Norm of the gradient of L.
        accuracy: Share of training examples classified right.
        survey: Spectrum of the Hessian and log|det(I - eta H)|.
        nearby: Where the point is; None where only its numbers are known.
    """

    eta: float
    infimum: float
    loss: float
    grad_norm: float
    accuracy: float
    survey: survey.Survey
    nearby: Nearby | None = None
