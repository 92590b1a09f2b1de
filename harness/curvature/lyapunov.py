# SPDX-License-Identifier: Apache-2.0
"""Exponents of the linearised map at a global minimum: mu of gradient descent, lambda of SGD (mathematics, section 2).

At a point where every example is fitted, the Hessian of any batch is a Gauss-Newton matrix, everything happens in the
range of B' (data_space.py), and with the rows R_i of the factor and batches S of b examples

    mu     = max_i log|1 - eta h_i|, h the eigenvalues other than 0 of the whole batch
    lambda = lim (1/n) log|prod_{t<n} (I - (eta/b) sum_{i in S_t} R_i'R_i)|.

Chemnitz & Engel (JMLR 26(134), 2025, arXiv 2407.20209) prove for smooth networks and independent batches: where mu < 0
(lambda < 0 at a regular minimum) gradient descent (SGD) reaches every neighbourhood with positive probability, where it
is > 0 with none. For a network that is smooth in pieces only they are numbers of the piece.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.sparse.linalg
import scipy.special

from harness import losses, objective, optimizers, train
from harness.curvature import data_space

BLOCKS = 32
"""Means of consecutive steps, over which the error is taken."""

EPOCHS = 4
"""Passes through the data in each of them, at least: one batch acts on b K directions of N K only."""

SPAN = 100
"""Steps after which a vector without a factor is brought back into the range of J'."""

LEAST = 64
"""Steps in each of them, at least."""

ENUMERATED = 4_096
"""Most batches that are gone through one by one, where r = 1."""

DETERMINANTS = 256
"""Batches over which log|det| is averaged."""

SQUARES = 128
"""Largest r for which mean squares are computed: a second of one core; at r = 300, where the spectrum is dense near 1,
ARPACK took 218 (by hand)."""


class Estimate(NamedTuple):
    """A number and half the width of its 95 % interval; NaN and infinity where it is not known."""

    value: float
    error: float


UNKNOWN = Estimate(math.nan, math.inf)


def mu(found: data_space.Factor, weights: np.ndarray, eta: float) -> Estimate:
    """Returns mu, and how far rounding may have moved it; minus infinity where eta is critical for all of r."""
    if not found.rank:
        return UNKNOWN
    distances = np.abs(1 - eta * data_space.curvature(found, weights))
    bar = eta * found.error / len(weights) + np.finfo(np.float64).eps
    worst = float(distances.max())
    return Estimate(math.log(worst) if worst > 0 else -math.inf, bar / max(worst - bar, bar))


def steps(examples: int, batch: int) -> tuple[int, int]:
    """Returns how many steps are left out at first, and how many each of BLOCKS means has."""
    length = max(LEAST, math.ceil(EPOCHS * examples / batch))
    return 2 * length, length


def growths(
    found: data_space.Factor, weights: np.ndarray, rule: optimizers.Rule, eta: float, key: jax.Array
) -> np.ndarray:
    """Returns log|w_(t+1)| - log|w_t| for a vector w of the range of B' under SGD, those left out at first included.

    Batches are drawn as training draws them, from a key of their own. Cost: 2 b K r operations a step.
    """
    assert rule.batch_size is not None
    burn, length = steps(len(weights), rule.batch_size)
    first, second = jax.random.split(key)
    start = jax.random.normal(first, (found.rank,), "float64")
    run = _run(rule, len(weights), rule.batch_size, burn + BLOCKS * length)
    rows, shares = jnp.asarray(found.rows), jnp.asarray(weights, "float64")
    return np.asarray(run(rows, shares, start / jnp.linalg.norm(start), eta, second))


def growths_free(
    outputs: data_space.Outputs,
    loss: Any,
    theta: jax.Array,
    batch: objective.Batch,
    rule: optimizers.Rule,
    eta: float,
    key: jax.Array,
) -> np.ndarray:
    """Returns what `growths` does without a factor, for any N K: products with the Jacobians of mini-batches.

    The vector is kept as J'z beside z itself, and made of z anew every SPAN steps: rounding would else leave it parts
    outside the range of J', which do not shrink. Where J J' is singular, z gathers parts that J' does not see, and
    digits are lost after some 36 / |lambda| steps (mathematics, section 2). Cost: 2 gradients of a mini-batch a step,
    one of the whole risk every SPAN steps.
    """
    assert rule.batch_size is not None
    examples, width = batch.targets.shape
    burn, length = steps(examples, rule.batch_size)
    first, second = jax.random.split(key)
    count = burn + BLOCKS * length
    run = _run_free(outputs, loss, rule, examples, rule.batch_size, -(-count // SPAN))
    z = jax.random.normal(first, (examples, width), "float64")
    return np.asarray(run(theta, batch, z, eta, second))[:count]


def exponent(logs: np.ndarray, burn: int) -> Estimate:
    """Returns the mean of log growths but the first, and half the width of its 95 % interval by batch means.

    Source: Student's t over BLOCKS means of consecutive steps, as in Flegal & Jones, Ann. Stat. 2010.
    """
    kept = logs[burn:]
    if not np.isfinite(kept).all():
        return Estimate(-math.inf, 0.0) if (kept == -np.inf).any() and not np.isnan(kept).any() else UNKNOWN
    means = kept.reshape(BLOCKS, -1).mean(axis=1)
    quantile = float(scipy.special.stdtrit(BLOCKS - 1, 0.975))
    rounding = float(np.finfo(np.float64).eps * (1 + np.abs(kept).max()))
    return Estimate(float(means.mean()), quantile * float(means.std(ddof=1)) / math.sqrt(BLOCKS) + rounding)


def enumerated(
    found: data_space.Factor, weights: np.ndarray, rule: optimizers.Rule, eta: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns all multipliers of SGD and their chances where r = 1 and the batches are few, else None."""
    batch, examples = rule.batch_size, len(weights)
    if found.rank != 1 or batch is None or rule.sampling != "replacement" or examples**batch > ENUMERATED:
        return None
    squares = np.sum(found.rows[:, :, 0] ** 2, axis=1)
    chances = weights / weights.sum()
    drawn = np.array(list(itertools.product(range(examples), repeat=batch)))
    return 1 - eta * squares[drawn].mean(axis=1), np.prod(chances[drawn], axis=1)


def exact(multipliers: np.ndarray, chances: np.ndarray) -> Estimate:
    """Returns lambda where r = 1: the mean of log|m| over all batches, with its rounding."""
    with np.errstate(divide="ignore"):
        logs = np.log(np.abs(multipliers))
    value = float(chances @ logs)
    bar = float(np.finfo(np.float64).eps * (8 + chances @ (1 / np.maximum(np.abs(multipliers), 1e-300))))
    return Estimate(value, bar if math.isfinite(value) else 0.0)


def determinant(
    found: data_space.Factor, weights: np.ndarray, rule: optimizers.Rule, eta: float, key: jax.Array
) -> Estimate:
    """Returns E log|det(I - (eta/b) R_S R_S')| / r with its 95 % interval: the mean of all r exponents, so <= lambda.

    Cost: DETERMINANTS determinants of min(b K, r) rows.
    """
    batches = _drawn(found, weights, rule, key)
    size = batches.shape[1]
    scale = eta * found.rows.shape[1] / size
    logs = np.empty(len(batches))
    for i, rows in enumerate(batches):
        small = rows @ rows.T if size <= found.rank else rows.T @ rows
        logs[i] = np.linalg.slogdet(np.eye(len(small)) - scale * small)[1] / found.rank
    if not np.isfinite(logs).all():
        return Estimate(-math.inf, 0.0)
    quantile = float(scipy.special.stdtrit(len(logs) - 1, 0.975))
    return Estimate(float(logs.mean()), quantile * float(logs.std(ddof=1)) / math.sqrt(len(logs)))


class MeanSquare(NamedTuple):
    """What the second moments of w say.

    Attributes:
        exponent: 1/2 log rho(E[A_S (x) A_S]) >= lambda, by Jensen's inequality.
        step: The step size below which it is negative (Mulayoff & Michaeli, arXiv 2306.07850: 2 / lambda_max(C^+ D)).
    """

    exponent: float
    step: float


def mean_square(found: data_space.Factor, weights: np.ndarray, rule: optimizers.Rule, eta: float) -> MeanSquare:
    """Returns the mean-square exponent and threshold of independent batches; NaN for r above SQUARES.

    For batches without replacement it is that of batches drawn anew at each step, not of an epoch's. Cost: some hundred
    products of 4 N K r^2 operations. Method: ARPACK on the symmetric operator X -> E[A_S X A_S].
    """
    size, batch = found.rank, rule.batch_size
    if batch is None or not 0 < size <= SQUARES:
        return MeanSquare(math.nan, math.nan)
    chances = weights / weights.sum()
    shared = np.sqrt(chances)[:, None, None] * found.rows
    flat = shared.reshape(-1, size)
    values, frame = scipy.linalg.eigh(flat.T @ flat)
    turned = found.rows @ frame
    share = 1 / batch
    if rule.sampling != "replacement":
        share = (len(weights) - batch) / (batch * max(len(weights) - 1, 1))

    def spread(x: np.ndarray) -> np.ndarray:
        """X -> sum_i p_i M_i X M_i - H X H, with M_i = R_i'R_i and H their mean."""
        seen = turned @ x @ turned.transpose(0, 2, 1)
        weighed = (chances[:, None, None] * (seen @ turned)).reshape(-1, size)
        return np.asarray(turned.reshape(-1, size).T @ weighed) - values[:, None] * x * values

    def second(x: np.ndarray) -> np.ndarray:
        x = x.reshape(size, size)
        left = 1 - eta * values
        return np.asarray(left[:, None] * x * left + eta**2 * share * spread(x)).ravel()

    half = 1 / np.sqrt((values[:, None] + values) / 2)

    def critical(x: np.ndarray) -> np.ndarray:
        x = x.reshape(size, size) * half
        return np.asarray(half * (values[:, None] * x * values + share * spread(x))).ravel()

    radius, ratio = (_largest(operator, size) for operator in (second, critical))
    return MeanSquare(0.5 * math.log(radius) if radius > 0 else -math.inf, 2 / ratio if ratio > 0 else math.inf)


def _largest(operator: Callable[[np.ndarray], np.ndarray], size: int) -> float:
    """Returns the largest eigenvalue of a symmetric operator on (size, size) matrices that keeps the positive ones.

    Where the start spans few directions ARPACK goes on with drawn ones: without `rng` other bits from call to call.
    """
    if size == 1:
        return float(operator(np.ones(1))[0])
    seen = scipy.sparse.linalg.LinearOperator((size**2,) * 2, matvec=operator, dtype=np.float64)
    start = np.eye(size).ravel()  # the eigenvector is a positive matrix, so this is not orthogonal to it
    found = scipy.sparse.linalg.eigsh(seen, k=1, which="LA", v0=start, tol=1e-10, return_eigenvectors=False, rng=0)
    return float(found[0])


def absorption(logs: np.ndarray, burn: int, cases: tuple[np.ndarray, np.ndarray] | None) -> float:
    """Returns kappa: an unstable run begun at distance d ends on the rounding floor f with a chance of (f/d)^kappa.

    It solves Lambda(-kappa) = 0 for the moment exponents Lambda(q) = lim (1/n) log E|w_n|^q: exactly where all
    multipliers are known (E|m|^(-kappa) = 1), else with Lambda(q) = lambda q + s^2 q^2 / 2, s^2 the variance of log
    growths per step by batch means: kappa = 2 lambda / s^2. NaN where lambda is not positive.
    """
    if cases is None:
        kept = logs[burn:].reshape(BLOCKS, -1)
        lengths = kept.shape[1]
        mean, variance = float(kept.mean()), float(kept.mean(axis=1).var(ddof=1)) * lengths
        return 2 * mean / variance if mean > 0 and variance > 0 else math.nan
    multipliers, chances = np.abs(cases[0]), cases[1]
    if not (multipliers > 0).all() or float(chances @ np.log(multipliers)) <= 0 or (multipliers >= 1).all():
        return math.nan

    def moment(k: float) -> float:
        return float(scipy.special.logsumexp(-k * np.log(multipliers), b=chances))

    high = 1.0
    while moment(high) < 0:
        high *= 2
    from scipy import optimize  # a fifth of a second, at every start of a worker

    return float(optimize.brentq(moment, 1e-12, high))


def _drawn(found: data_space.Factor, weights: np.ndarray, rule: optimizers.Rule, key: jax.Array) -> np.ndarray:
    """Returns the rows of DETERMINANTS batches, (DETERMINANTS, b K, r)."""
    draw = _draw(rule, jnp.asarray(weights, "float64"), key)
    chosen = np.asarray(jax.jit(lambda ks: jax.lax.map(draw, ks))(jnp.arange(DETERMINANTS)))
    return found.rows[chosen].reshape(DETERMINANTS, -1, found.rank)


def _draw(rule: optimizers.Rule, weights: jax.Array, key: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """Returns the function from a step to the places (b,) of the examples that training would see there."""
    places = jnp.arange(len(weights))
    draw = train.drawing(rule, objective.Batch(places, places, weights), key, len(weights))
    return lambda k: draw(k).x


@functools.lru_cache(maxsize=4)
def _run(rule: optimizers.Rule, examples: int, batch: int, count: int) -> Callable[..., jax.Array]:
    """Returns the compiled function `(rows, weights, start (r,), eta, key) -> (count,)` of `growths`."""

    @jax.jit
    def run(rows: jax.Array, weights: jax.Array, start: jax.Array, eta: jax.Array, key: jax.Array) -> jax.Array:
        draw = _draw(rule, weights, key)

        def step(w: jax.Array, k: jax.Array) -> tuple[jax.Array, jax.Array]:
            seen = rows[draw(k)].reshape(-1, rows.shape[-1])
            moved = w - eta / batch * (seen.T @ (seen @ w))
            norm = jnp.linalg.norm(moved)
            return jnp.where(norm > 0, moved / norm, moved), jnp.log(norm)

        return jax.lax.scan(step, start, jnp.arange(count))[1]

    return run


@functools.lru_cache(maxsize=2)
def _run_free(
    outputs: data_space.Outputs, loss: Any, rule: optimizers.Rule, examples: int, batch: int, spans: int
) -> Callable[..., jax.Array]:
    """Returns the compiled function `(theta, batch, z (N, K), eta, key) -> (spans SPAN,)` of `growths_free`."""

    @jax.jit
    def run(theta: jax.Array, whole: objective.Batch, z: jax.Array, eta: jax.Array, key: jax.Array) -> jax.Array:
        draw = train.drawing(rule, whole._replace(targets=jnp.arange(examples)), key, examples)
        pieces = objective.chunks(objective.Batch(whole.x, z, whole.weights), batch)

        def spanned(z: jax.Array) -> jax.Array:
            """J'z, a chunk of examples at a time."""
            rows = objective.chunks(objective.Batch(whole.x, z, whole.weights), batch).targets

            def add(so_far: jax.Array, pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
                x, row = pair
                return so_far + jax.vjp(lambda theta: outputs(theta, x), theta)[1](row)[0], None

            return jax.lax.scan(add, jnp.zeros_like(theta), (pieces.x, rows))[0]

        def step(state: tuple[jax.Array, jax.Array], k: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            z, delta = state
            seen = draw(k)
            values, push = jax.linearize(lambda theta: outputs(theta, seen.x), theta)
            targets = whole.targets[seen.targets]

            def slope(f: jax.Array) -> jax.Array:
                return jax.grad(lambda f: jnp.sum(losses.per_example(loss, f, targets)))(f)

            change = -eta / batch * jax.jvp(slope, (values,), (push(delta),))[1]
            moved = delta + jax.linear_transpose(push, theta)(change)[0]
            norm = jnp.linalg.norm(moved)
            scale = jnp.where(norm > 0, norm, 1)
            return (z.at[seen.targets].add(change) / scale, moved / scale), jnp.log(norm)

        def span(z: jax.Array, i: jax.Array) -> tuple[jax.Array, jax.Array]:
            delta = spanned(z)
            norm = jnp.linalg.norm(delta)
            (z, _), logs = jax.lax.scan(step, (z / norm, delta / norm), i * SPAN + jnp.arange(SPAN))
            return z, logs

        return jax.lax.scan(span, z, jnp.arange(spans))[1].ravel()

    return run
