# SPDX-License-Identifier: Apache-2.0
"""How much the Hessian of a piece says of the risk around it (mathematics, D9).

Kinks are in the gradient of L: where a step crosses many, g(theta') - g(theta) is not H (theta' - theta), however short
the step. Signs are compared CHUNK examples at a time, so that memory does not grow with the data. Cost: two gradients,
one product, about 10 forward passes, and the rounding of gradients and product (harness/curvature/rounding.py).
Failure: a margin is measured in units of preactivations, not in the distance that theta must move; ties that stay (dead
units under a max-pool) are left out; bisection finds a place where the step leaves the piece, and a sign that flips and
flips back before it is not seen.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness.curvature import operators, rounding
from harness.diagnostics import plan
from harness.diagnostics import point as points
from harness.risk import objective

METRICS = (
    "kink_distance",
    "flip_fraction",
    "segment_exit",
    "segment_exit_error",
    "gradient_defect",
    "gradient_defect_error",
)

CHUNK = 128
"""Examples whose margins are held at once."""

WIDTH = 1e-6
"""Bisection ends when its bracket is so narrow relative to its upper end."""

AT_ONCE = 1e-12
"""Nor does it go on below this share of the step: the point lies on a kink."""

CHANGE = 16.0
"""Gradients that a change of the gradient and its prediction cost in Monte Carlo arithmetic, about."""

FORWARDS = 10
"""Forward passes, about: 1 for the distance, 2 for the flips, 2 for the exit and those that bisect in some chunk."""


class Programs(NamedTuple):
    """The compiled questions to the margins of a network.

    Attributes:
        distance: `(theta, batch) -> least modulus of a margin that is not 0`, infinite if there is none.
        flips: `(theta, other, batch) -> (2,)`: signs that differ, and signs.
        leave: `(theta, other, batch) -> (2,)`: the bracket, in shares of the segment, within which its end away from
            theta first is on another piece; its upper end is infinite if the two ends are on one piece.
    """

    distance: Callable[[jax.Array, objective.Batch], jax.Array]
    flips: Callable[[jax.Array, jax.Array, objective.Batch], jax.Array]
    leave: Callable[[jax.Array, jax.Array, objective.Batch], jax.Array]


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs, in gradients."""
    return 2 + plan.FIRST + FORWARDS * plan.FORWARD + 2 * rounding.PAIRS * CHANGE


def measure(point: points.Point) -> dict[str, float]:
    """Returns the least margin, the flips since the last checkpoint, where the step leaves the piece, and the defect.

    Raises:
        ValueError: If it is not known where the point is.
    """
    theta, previous, problem, *_ = point.nearby
    ask = programs(problem.margins)
    flips = math.nan
    if previous is not None:
        changed, signs = (int(n) for n in ask.flips(previous, theta, problem.exact))
        flips = changed / max(1, signs)
    gradient = problem.gradient(theta)
    step = -point.eta * gradient
    low, high = (float(end) for end in ask.leave(theta, theta + step, problem.exact))
    change = np.asarray(problem.gradient(theta + step) - gradient)
    predicted = np.asarray(problem.product(theta, step))
    size = float(np.linalg.norm(change))
    defect = float(np.linalg.norm(change - predicted)) / size if size else math.nan
    return {
        "kink_distance": float(ask.distance(theta, problem.exact)),
        "flip_fraction": flips,
        "segment_exit": high,
        "segment_exit_error": high - low if math.isfinite(high) else 0.0,
        "gradient_defect": defect,
        "gradient_defect_error": _rounding(point, defect, size) if size else math.nan,
    }


def _rounding(point: points.Point, defect: float, size: float) -> float:
    """Returns the error bar of |change - predicted| / |change| = defect, given size = |change|."""
    theta, _, problem, *_ = point.nearby
    off, of_change = changes(problem.objective.risk)(theta, jnp.asarray(point.eta, theta.dtype), problem.exact)
    return (off + defect * of_change) / size


@functools.lru_cache(maxsize=1)
def changes(risk: Callable[..., jax.Array]) -> Callable[..., tuple[float, ...]]:
    """Returns the function `(theta, eta, batch) -> rounding of change - predicted, and of change`, as modelled."""

    def change(theta: jax.Array, eta: jax.Array, batch: objective.Batch) -> tuple[jax.Array, jax.Array]:
        gradient = jax.grad(risk)(theta, batch)
        step = -eta * gradient
        found = jax.grad(risk)(theta + step, batch) - gradient
        return found - operators.single(risk)((theta, batch), step), found

    return rounding.spread(change)


@functools.lru_cache(maxsize=1)
def programs(margins: Callable[[jax.Array, jax.Array], dict[str, jax.Array]]) -> Programs:
    """Returns the programs of a network, given its margins `(theta, x) -> {path: (N, ...)}`."""

    def listed(theta: jax.Array, piece: objective.Batch, padding: float) -> list[jax.Array]:
        """Returns all margins, those of examples that only fill a chunk replaced."""
        real = piece.weights > 0
        return [
            jnp.where(real.reshape(-1, *[1] * (array.ndim - 1)), array, padding)
            for array in margins(theta, piece.x).values()
        ]

    def differing(one: list[jax.Array], other: list[jax.Array]) -> jax.Array:
        pairs = zip(one, other, strict=True)
        return sum((jnp.sum(jnp.sign(a) != jnp.sign(b)) for a, b in pairs), start=jnp.zeros((), int))

    @jax.jit
    def distance(theta: jax.Array, batch: objective.Batch) -> jax.Array:
        def least(piece: objective.Batch) -> jax.Array:
            sizes = [jnp.min(jnp.where(array == 0, jnp.inf, jnp.abs(array))) for array in listed(theta, piece, 0.0)]
            return functools.reduce(jnp.minimum, sizes, jnp.asarray(jnp.inf))

        return jnp.min(jax.lax.map(least, objective.chunks(batch, CHUNK)))

    @jax.jit
    def flips(theta: jax.Array, other: jax.Array, batch: objective.Batch) -> jax.Array:
        def count(piece: objective.Batch) -> jax.Array:
            one = listed(theta, piece, 1.0)
            signs = sum(array.size // len(piece.weights) for array in one) * jnp.sum(piece.weights > 0)
            return jnp.stack([differing(one, listed(other, piece, 1.0)), signs])

        return jnp.sum(jax.lax.map(count, objective.chunks(batch, CHUNK)), axis=0)

    @jax.jit
    def leave(theta: jax.Array, other: jax.Array, batch: objective.Batch) -> jax.Array:
        def narrow(bracket: jax.Array, piece: objective.Batch) -> tuple[jax.Array, None]:
            here = listed(theta, piece, 1.0)

            def outside(share: jax.Array) -> jax.Array:
                return differing(here, listed(theta + share * (other - theta), piece, 1.0)) > 0

            def halve(ends: jax.Array) -> jax.Array:
                middle = jnp.mean(ends)
                return jnp.where(outside(middle), ends.at[1].set(middle), ends.at[0].set(middle))

            end = jnp.minimum(bracket[1], 1.0)
            start = jnp.where(outside(end), jnp.stack([jnp.zeros_like(end), end]), bracket)
            return jax.lax.while_loop(wide, halve, start), None

        def wide(ends: jax.Array) -> jax.Array:
            return (ends[1] - ends[0] > WIDTH * ends[1]) & (ends[1] > AT_ONCE)

        nothing = jnp.asarray([0.0, jnp.inf], theta.dtype)
        return jax.lax.scan(narrow, nothing, objective.chunks(batch, CHUNK))[0]

    return Programs(distance, flips, leave)
