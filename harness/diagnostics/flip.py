# SPDX-License-Identifier: Apache-2.0
"""Whether the oscillation that begins where eta lambda_max passes 2 is stable (mathematics, D16).

At eta lambda_max = 2 the map G = theta - eta grad L has the multiplier -1 along the unit eigenvector v of lambda_max,
and its normal form there is xi -> -xi + c xi^3 with

    c = (eta / 6) (3 t' H^{-1} t - L4),     t = D^3 L[v, v, .],  L4 = D^4 L[v, v, v, v]

(Kuznetsov, Elements of Applied Bifurcation Theory, section 5.4, with A = I - eta H, B = -eta D^3 L, C = -eta D^4 L; for
gradient descent Mulayoff & Stich, COLT 2026, arXiv 2602.14789, and Gan, arXiv 2606.15551). Where c > 0 the flip is
supercritical: above 2/eta there is a stable cycle of two points, sqrt((eta lambda - 2)/c) from the point between them.
Where c < 0 it is subcritical: below 2/eta there is an unstable one, and above it nothing near that holds the iterates.

Along v alone c is (eta / 6) (3 L3^2 / lambda - L4) with L3 = t.v, what is known in one dimension. The rest is how the
other directions answer: (eta / 2) u' H^{-1} u with u the part of t off v, never negative at an isolated minimum. Where
H has the eigenvalue 0 there is no H^{-1}, and the answer never settles: u is the gradient of lambda_max, flat
directions drift down it for as long as the iterates oscillate, and lambda_max falls back (self-stabilisation: Damian,
Nichani & Lee, ICLR 2023, arXiv 2209.15594). So H^{-1} is replaced by what the other directions have answered after
HORIZON steps,

    eta sum over k < HORIZON of (I - eta H)^k,

which goes to H^{-1} where 0 < eta lambda_i < 2, and grows with it on flat directions; their share of |u|^2 is given.
STEPS = HORIZON / 2 Lanczos products from u give the form of such a polynomial exactly (Gauss quadrature).

What is taken for the fixed point is theta, which need not be one; so the answer is given where eta lambda_max is within
WINDOW of 2, and is NaN elsewhere, and where lambda_max is repeated. The error bar adds what changes if HORIZON is
halved, and to first order what the angle of v may do. Cost: STEPS products, linearised once, and three nested
directional derivatives of one gradient.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness.curvature import lanczos, operators
from harness.diagnostics import plan
from harness.diagnostics import point as points
from harness.risk import objective

METRICS = (
    "flip_coefficient",
    "flip_coefficient_error",
    "flip_line",
    "flip_line_error",
    "flip_flat",
    "flip_amplitude",
)

WINDOW = 0.2
"""How far eta lambda_max may be from 2."""

STEPS = 24
"""Lanczos products on the complement of v."""

HORIZON = 2 * STEPS
"""Steps after which the answer of the other directions is taken."""

DERIVATIVES = 8.0
"""Gradients that the three nested directional derivatives of one cost, at most: 5 (MLP, VGG) to 7 (ViT)."""

SHARP = 1e-2
"""Sine of the angle of v beyond which it is not known well enough."""


class Flip(NamedTuple):
    """The coefficient at one point, as the metrics have it."""

    coefficient: float
    error: float
    line: float
    line_error: float
    flat: float


def gradients(size: plan.Size) -> float:
    """Returns what one answer costs, in gradients."""
    return plan.PRODUCT * STEPS + plan.FIRST + DERIVATIVES


def measure(point: points.Point) -> dict[str, float]:
    """Returns the coefficient, that along v alone, the share of flat directions, and the distance of the cycle.

    Raises:
        ValueError: If it is not known where the point is, or the survey was not asked for eigenvectors.
        FloatingPointError: If a product is not finite.
    """
    theta, _, problem, *_ = point.nearby
    known = point.vectors
    excess = point.eta * float(known.values[0]) - 2
    unknown = dict.fromkeys(METRICS, math.nan)
    if abs(excess) > WINDOW or known.angles[0] > SHARP:
        return unknown
    off = float(known.residuals[0]), float(known.angles[0])
    found = at(problem.objective.risk, (theta, problem.exact), known.rows[0], float(known.values[0]), point.eta, off)
    cycle = excess / found.coefficient if found.coefficient else math.nan
    amplitude = math.sqrt(cycle) if cycle > 0 else math.nan
    return dict(zip(METRICS, (*found, amplitude), strict=True))


def at(
    risk: Callable[..., jax.Array],
    point: tuple[jax.Array, objective.Batch],
    v: jax.Array,
    value: float,
    eta: float,
    off: tuple[float, float] = (0.0, 0.0),
) -> Flip:
    """Returns the coefficient along a unit eigenvector.

    Args:
        risk: `(theta, batch) -> scalar`.
        point: theta (P,) float64, and the batch.
        v: (P,) the eigenvector.
        value: Its eigenvalue.
        eta: Step size.
        off: How far the eigenvalue may be off, and the sine of the angle of v.

    Raises:
        FloatingPointError: If a derivative is not finite.
    """
    third, fourth = (np.asarray(each) for each in jax.block_until_ready(_derivatives(risk)(point, v)))
    along, bent = float(third @ np.asarray(v)), float(fourth @ np.asarray(v))
    if not math.isfinite(along + bent):
        raise FloatingPointError("a derivative along the top eigenvector is not finite")
    line = eta / 6 * (3 * along**2 / value - bent)
    turned = off[1] * (18 * abs(along) * float(np.linalg.norm(third)) / value + 4 * float(np.linalg.norm(fourth)))
    line_error = eta / 6 * (turned + 3 * along**2 / value**2 * off[0])
    nodes, weights = _complement(risk, point, v, third - along * np.asarray(v))
    answers = [eta / 2 * float(weights @ _answer(eta * nodes, eta, steps)) for steps in (HORIZON, HORIZON // 2)]
    error = line_error + abs(answers[0] - answers[1]) + 2 * off[1] * abs(answers[0])
    flat = float(weights[eta * nodes < 1 / HORIZON].sum() / weights.sum()) if weights.sum() > 0 else math.nan
    return Flip(line + answers[0], error, line, line_error, flat)


def _answer(scaled: np.ndarray, eta: float, steps: int) -> np.ndarray:
    """Returns eta times the sum of (1 - x)^k over k < steps, for x = eta lambda."""
    return eta * np.polynomial.polynomial.polyval(1 - scaled, np.ones(steps))


def _complement(
    risk: Callable[..., jax.Array], point: tuple[jax.Array, objective.Batch], v: jax.Array, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns nodes and weights of the form start' f(H) start off v: exact for polynomials of degree below 2 STEPS."""
    size = len(start)
    if size < 2 or not np.linalg.norm(start) > 0:
        return np.zeros(0), np.zeros(0)
    program = _program(risk, size)
    rows = jnp.zeros((program.capacity + 1, size)).at[0].set(v)
    steps = min(STEPS, program.capacity - 1)
    _, probes = program.probe(program.at(point), rows, 1, jnp.asarray(start)[None], jax.random.key(0), steps)
    nodes, shares = lanczos.quadrature(probes, 0, None)
    return nodes, float(probes.lengths[0]) * shares


@functools.lru_cache(maxsize=1)
def _program(risk: Callable[..., jax.Array], size: int) -> lanczos.Lanczos:
    return lanczos.lanczos(operators.hessian(risk), size, capacity=STEPS + 1)


@functools.lru_cache(maxsize=1)
def _derivatives(risk: Callable[..., jax.Array]) -> Callable[[Any, jax.Array], tuple[jax.Array, jax.Array]]:
    """Returns the compiled function `((theta, batch), v) -> D^3 L[v, v, .], D^4 L[v, v, v, .]`, (P,) each."""

    @jax.jit
    def both(point: tuple[jax.Array, objective.Batch], v: jax.Array) -> tuple[jax.Array, jax.Array]:
        theta, batch = point

        def second(at: jax.Array) -> jax.Array:
            def first(at: jax.Array) -> jax.Array:
                moved: jax.Array = jax.jvp(lambda at: jax.grad(risk)(at, batch), (at,), (v,))[1]
                return moved

            moved: jax.Array = jax.jvp(first, (at,), (v,))[1]
            return moved

        found: tuple[jax.Array, jax.Array] = jax.jvp(second, (theta,), (v,))
        return found

    return both
