# SPDX-License-Identifier: Apache-2.0
"""The tracer: the compiled programs of one trace point: risk, gradient, and the tracked eigenvalues of the Hessian.

They only read parameters: training does not know of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from harness.curvature import operators, tracked
from harness.risk import norm
from harness.risk import objective as objectives


class Place(NamedTuple):
    """Where a run is, all (P,).

    Attributes:
        theta: Its parameters.
        start: Where it began.
        last: Its parameters at the trace point before; `theta` at the first.
    """

    theta: jax.Array
    start: jax.Array
    last: jax.Array


class Looked(NamedTuple):
    """What is found at a trace point.

    Attributes:
        loss: Risk of the batch.
        grad_norm: Norm of its gradient.
        from_start: Distance from where the run began.
        from_last: Distance from the trace point before.
        tracked: The eigenvalues, and the basis from which the next trace point starts.
    """

    loss: jax.Array
    grad_norm: jax.Array
    from_start: jax.Array
    from_last: jax.Array
    tracked: tracked.Tracked


class Tracer(NamedTuple):
    """The programs of one risk and one number of eigenvalues; the dtype of the parameters is that of the trace.

    Attributes:
        begin: `(place, batch, key) -> Looked` at the first trace point, where nothing is known: to convergence.
        follow: `(place, batch, basis, key) -> Looked` at a later one, from the basis that the one before left.
    """

    begin: Callable[[Place, objectives.Batch, jax.Array], Looked]
    follow: Callable[[Place, objectives.Batch, jax.Array, jax.Array], Looked]


def tracer(risk: Callable[..., jax.Array], size: int, top: int) -> Tracer:
    """Returns the programs of a trace.

    Cost of a trace point: a gradient, and what tracked.price says.

    Args:
        risk: `(theta, batch) -> scalar`.
        size: P.
        top: How many of the largest eigenvalues.
    """
    tracking = tracked.tracker(operators.hessian(risk), size, top)

    @jax.jit
    def fit(place: Place, batch: objectives.Batch) -> tuple[jax.Array, jax.Array]:
        found: tuple[jax.Array, jax.Array] = jax.value_and_grad(risk)(place.theta, batch)
        return found

    def looked(place: Place, loss: jax.Array, gradient: jax.Array, found: tracked.Tracked) -> Looked:
        from_start, from_last = (norm.norm(place.theta - other) for other in (place.start, place.last))
        return Looked(loss, norm.norm(gradient), from_start, from_last, found)

    def begin(place: Place, batch: objectives.Batch, key: jax.Array) -> Looked:
        loss, gradient = fit(place, batch)
        return looked(place, loss, gradient, tracking.begin((place.theta, batch), key))

    @jax.jit
    def follow(place: Place, batch: objectives.Batch, basis: jax.Array, key: jax.Array) -> Looked:
        loss, gradient = fit(place, batch)
        drawn = jax.random.normal(key, place.theta.shape, place.theta.dtype)
        news = jnp.stack([gradient, place.theta - place.last, drawn])
        return looked(place, loss, gradient, tracking.follow((place.theta, batch), basis, news))

    return Tracer(begin, follow)


def on_host(looked: Looked) -> Looked:
    """Returns what was found, on the host."""
    found: Any = jax.device_get(jax.block_until_ready(looked))
    return found
