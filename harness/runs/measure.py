# SPDX-License-Identifier: Apache-2.0
"""What is measured at a point of a run, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import jax

from harness import diagnostics
from harness.curvature import spectrum as spectra
from harness.runtime import sharding
from harness.starts import saddles
from harness.training import problem


def measure(
    ready: problem.Problem,
    theta: jax.Array,
    eta: float,
    key: jax.Array,
    previous: jax.Array | None = None,
    names: Iterable[str] = diagnostics.DEFAULT,
    surveyed: Callable[[spectra.Spectrum], None] = lambda spectrum: None,
    planted: saddles.Saddle | None = None,
    previous_eta: float | None = None,
    above: float | None = None,
) -> dict[str, float] | None:
    """Returns the metrics of some diagnostics at theta, in float64, or None where something is not finite.

    Args:
        ready: The problem.
        theta: Where.
        eta: Step size.
        key: Random key of Lanczos and its probes.
        previous: theta at the checkpoint step before; None at the first.
        names: Names in diagnostics.DIAGNOSTICS.
        surveyed: Called with the spectrum of the Hessian at theta, if one of them reads it.
        planted: The point that the run was planted at, if it was.
        previous_eta: Step size at the checkpoint step before; `eta` unless given.
        above: Eigenvalues that were counted above 1/eta there; counted again where it is not given.
    """
    names = tuple(names)
    theta = sharding.exact(theta)
    loss, grad_norm, accuracy = (float(v) for v in jax.block_until_ready(ready.evaluate(theta, ready.exact)))
    if not math.isfinite(loss) or not math.isfinite(grad_norm):
        return None
    before = None if previous is None else sharding.exact(previous)
    nearby = diagnostics.Nearby(theta, before, ready, key, planted, previous_eta, above)
    found = None
    try:
        if any(diagnostics.DIAGNOSTICS[name].surveys for name in names):
            found = ready.surveyor.survey((theta, ready.exact), eta, key)
            surveyed(found.spectrum)
        known = ready.infimum, loss, grad_norm, accuracy
        point = diagnostics.Point(eta, *known, found, nearby, ready.constant, ready.chance)
        return diagnostics.measure(point, names)
    except FloatingPointError:
        return None
