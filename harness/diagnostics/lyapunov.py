# SPDX-License-Identifier: Apache-2.0
"""Exponents of the linearised map at a global minimum: mu of gradient descent, lambda of SGD (mathematics, section 2).

At a point where every example is fitted, the Hessian of any batch is a Gauss-Newton matrix, everything happens in the
range of B' (harness/risk/jacobian.py), and with the rows R_i of the factor and batches S of b examples

    mu     = max_i log|1 - eta h_i|, h the eigenvalues other than 0 of the whole batch
    lambda = lim (1/n) log|prod_{t<n} (I - (eta/b) sum_{i in S_t} R_i'R_i)|.

Chemnitz & Engel (JMLR 26(134), 2025, arXiv 2407.20209) prove for smooth networks and independent batches: where mu < 0
(lambda < 0 at a regular minimum) gradient descent (SGD) reaches every neighbourhood with positive probability, where it
is > 0 with none. For a network that is smooth in pieces only they are numbers of the piece, and where batches depend on
each other (`sampling: reshuffling`, `cyclic`) the theorem about SGD does not speak of them.

n steps P from a vector w do not show lambda but (log|P w|)/n: by how much they differ is the transient. With v the
direction that P stretches most, log|P w| = log|P| + log|<v, w>| up to what P stretches less, and batches are drawn
alike in either order, so v is distributed as the direction y into which another run of steps turns a vector. In the
long run the transient is therefore E log|<y, w>| - E log|<y, x>|, x and y independent draws of where directions end.
Where lambda is near 0 most directions are all but still, a vector drawn at random needs some 1/|lambda| steps to turn,
and the transient is as large as log sqrt(r). So two vectors begin where the whole batch is steepest, their overlap
says what their own transient is, and a third begins at random: its overlap with any v has a known distribution.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.sparse.linalg
import scipy.special

from harness import config
from harness.risk import jacobian, losses, objective
from harness.training import loop, optimizers
from harness.training.problem import Problem

BLOCKS = 32
"""Means of consecutive steps, over which the error is taken."""

EPOCHS = 4
"""Passes through the data in each of them, at least: one batch acts on b K directions of N K only."""

PERIODIC = 512
"""Largest r for which the product over a whole period of cyclic batches is made: 2 K r^2 operations an example."""

SPAN = 100
"""Steps after which a vector without a factor is brought back into the range of J'."""

LEAST = 64
"""Steps in each of them, at least."""

ENUMERATED = 4_096
"""Most batches that are gone through one by one, where r = 1."""

DETERMINANTS = 256
"""Batches over which log|det| is averaged."""

SQUARES = 128
"""Largest r for which mean squares are computed: ARPACK needs minutes at r = 300, where the spectrum is dense
near 1. Above it mean squares are bounded by those of one step."""

SQUARED = 2_000
"""Largest r for that bound: 6 N K r^2 operations and the largest eigenvalue of an (r, r) matrix."""


class Estimate(NamedTuple):
    """A number and half the width of its 95 % interval; NaN and infinity where it is not known."""

    value: float
    error: float


UNKNOWN = Estimate(math.nan, math.inf)


def mu(found: jacobian.Factor, weights: np.ndarray, eta: float) -> Estimate:
    """Returns mu, and how far rounding may have moved it; minus infinity where eta is critical for all of r."""
    if not found.rank:
        return UNKNOWN
    distances = np.abs(1 - eta * jacobian.curvature(found, weights))
    bar = eta * found.error / len(weights) + np.finfo(np.float64).eps
    worst = float(distances.max())
    return Estimate(math.log(worst) if worst > 0 else -math.inf, bar / max(worst - bar, bar))


def steps(examples: int, batch: int) -> tuple[int, int]:
    """Returns how many steps are left out at first, and how many each of BLOCKS means has."""
    length = max(LEAST, math.ceil(EPOCHS * examples / batch))
    return 2 * length, length


class Growths(NamedTuple):
    """Log growths log|w_(t+1)| - log|w_t| of vectors w of the range of B', those left out at first included.

    Attributes:
        drawn: (n,) of a vector that began at random.
        steep: (2, n) of two that began where the whole batch is steepest, each with batches of its own.
        overlaps: (n,) log|<u, v>| of the directions of these two.
    """

    drawn: np.ndarray
    steep: np.ndarray
    overlaps: np.ndarray


def growths(found: jacobian.Factor, weights: np.ndarray, rule: optimizers.Rule, eta: float, key: jax.Array) -> Growths:
    """Returns the growths of three vectors under SGD, side by side.

    Batches are drawn as training draws them, from a key of their own. Cost: 6 b K r operations a step.
    """
    assert rule.batch_size is not None
    burn, length = steps(len(weights), rule.batch_size)
    first, second = jax.random.split(key)
    start = jax.random.normal(first, (found.rank,), "float64")
    steep = jnp.asarray(steepest(found, weights, eta))
    keys = jnp.stack([second, *(jax.random.fold_in(second, i) for i in (1, 2))])
    run = _run(rule, len(weights), rule.batch_size, burn + BLOCKS * length)
    rows, shares = jnp.asarray(found.rows), jnp.asarray(weights, "float64")
    starts = jnp.stack([start / jnp.linalg.norm(start), steep, steep])
    logs, overlaps = (np.asarray(each) for each in run(rows, shares, starts, eta, keys))
    return Growths(logs[:, 0], logs[:, 1:].T, overlaps)


def steepest(found: jacobian.Factor, weights: np.ndarray, eta: float) -> np.ndarray:
    """Returns the unit eigenvector (r,) of the whole batch whose |1 - eta h| is largest."""
    if np.ptp(weights) == 0:  # the frame is that of R'R
        return np.eye(1, found.rank, int(np.argmax(np.abs(1 - eta * found.values / len(weights)))))[0]
    flat = (np.sqrt(weights / weights.sum())[:, None, None] * found.rows).reshape(-1, found.rank)
    values, frame = scipy.linalg.eigh(flat.T @ flat)
    return np.ascontiguousarray(frame[:, np.argmax(np.abs(1 - eta * values))])


def growths_free(problem: Problem, theta: jax.Array, batch: objective.Batch, eta: float, key: jax.Array) -> np.ndarray:
    """Returns the growths of a vector drawn at random, without a factor: products with the Jacobians of mini-batches.

    The vector is kept as J'z beside z itself, and made of z anew every SPAN steps: rounding would else leave it parts
    outside the range of J', which do not shrink. Where J J' is singular, z gathers parts that J' does not see, and
    digits are lost after some 36 / |lambda| steps (mathematics, section 2). Cost: 2 gradients of a mini-batch a step,
    one of the whole risk every SPAN steps.
    """
    rule = problem.rule
    assert rule.batch_size is not None
    examples, width = batch.targets.shape
    burn, length = steps(examples, rule.batch_size)
    first, second = jax.random.split(key)
    count = burn + BLOCKS * length
    run = _run_free(problem.objective.outputs, problem.loss, rule, examples, -(-count // SPAN))
    z = jax.random.normal(first, (examples, width), "float64")
    return np.asarray(run(theta, batch, z, eta, second))[:count]


def reach(size: int) -> float:
    """Returns what -log|<v, w>| exceeds with a chance of 1 in 40, v a unit vector, w one drawn from all of R^size."""
    if size == 1:
        return 0.0
    return -0.5 * math.log(scipy.special.betaincinv(0.5, 0.5 * (size - 1), 0.025))


def exponent(logs: np.ndarray, burn: int, transient: float, blocks: int = BLOCKS) -> Estimate:
    """Returns the mean of log growths but the first, and half the width of its 95 % interval.

    Source: Student's t over means of consecutive steps, as in Flegal & Jones, Ann. Stat. 2010. They do not see what
    lasts longer than all of them; for that the transient is added, over the steps of the mean.

    Args:
        logs: (..., n) log growths; those of several vectors are taken together.
        burn: How many are left out at first.
        transient: Nats by which the sum over a vector's other steps may be off (see above).
        blocks: Means for each vector.
    """
    kept = logs[..., burn:]
    if not np.isfinite(kept).all():
        return Estimate(-math.inf, 0.0) if (kept == -np.inf).any() and not np.isnan(kept).any() else UNKNOWN
    length = kept.shape[-1]
    means = kept.reshape(-1, length // blocks).mean(axis=1)
    quantile = float(scipy.special.stdtrit(len(means) - 1, 0.975))
    rounding = float(np.finfo(np.float64).eps * (1 + np.abs(kept).max()))
    bar = quantile * float(means.std(ddof=1)) / math.sqrt(len(means)) + rounding + transient / length
    return Estimate(float(means.mean()), bar)


def bracketed(found: Growths, burn: int, size: int, upper: float) -> Estimate:
    """Returns lambda from the vectors of `growths`, with a half-width that transients are part of.

    From below it is bounded by the mean of the two that began steepest, less their error with their overlap for the
    transient. They may be too low, where another direction grows faster and they were slow to find it: from above it is
    bounded by the one that began at random, whose transient is what its start may lack, and by `upper`. The value is
    the larger of both means, or where `upper` cuts the interval short the middle of it.

    Args:
        found: The growths.
        burn: How many are left out at first.
        size: r.
        upper: A bound of lambda from above; NaN where there is none.
    """
    with np.errstate(invalid="ignore"):
        own = float(-found.overlaps[burn:].mean())
    steep, drawn = exponent(found.steep, burn, own), exponent(found.drawn, burn, reach(size))
    if not math.isfinite(steep.error) or math.isinf(steep.value):
        return steep
    high = float(np.fmin(max(one.value + one.error for one in (steep, drawn)), upper))
    low = min(steep.value, high) - steep.error
    value = min(max(steep.value, drawn.value), 0.5 * (low + high))
    return Estimate(value, max(high - value, value - low))


def enumerated(
    found: jacobian.Factor, weights: np.ndarray, rule: optimizers.Rule, eta: float
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


def periodic(found: jacobian.Factor, weights: np.ndarray, rule: optimizers.Rule, eta: float) -> Estimate | None:
    """Returns lambda of cyclic batches, r up to PERIODIC: log of the spectral radius of a period's product, per step.

    The error is the rounding of that product (a model) times the condition of its eigenvalue. None for other batches.
    """
    size, examples = found.rank, len(weights)
    if rule.sampling != "cyclic" or size > PERIODIC:
        return None
    chosen = _chosen(rule, examples)
    product, scale = np.eye(size), 0.0
    for one in chosen:
        rows = found.rows[one].reshape(-1, size)
        product = product - eta / chosen.shape[1] * rows.T @ (rows @ product)
        norm = float(np.linalg.norm(product))
        if norm == 0:
            return Estimate(-math.inf, 0.0)
        product, scale = product / norm, scale + math.log(norm)
    values, left, right = scipy.linalg.eig(product, left=True)
    top = int(np.abs(values).argmax())
    radius, overlap = float(np.abs(values[top])), float(np.abs(np.vdot(left[:, top], right[:, top])))
    if radius == 0:
        return Estimate(-math.inf, 0.0)
    rounding = float(np.finfo(np.float64).eps) * size * (len(chosen) + abs(scale))
    return Estimate((math.log(radius) + scale) / len(chosen), rounding / max(overlap * radius, 1e-300) / len(chosen))


def determinant(
    found: jacobian.Factor, weights: np.ndarray, rule: optimizers.Rule, eta: float, key: jax.Array
) -> Estimate:
    """Returns E log|det(I - (eta/b) R_S R_S')| / r with its 95 % interval: the mean of all r exponents, so <= lambda.

    The mean over a period of cyclic batches, whose error is rounding alone; else over DETERMINANTS independent ones.
    Cost: a determinant of min(b K, r) rows for each.
    """
    cyclic = rule.sampling == "cyclic"
    chosen = _chosen(rule, len(weights)) if cyclic else _drawn(weights, rule, key)
    logs = np.empty(len(chosen))
    for i, one in enumerate(chosen):
        rows = found.rows[one].reshape(-1, found.rank)
        small = rows @ rows.T if len(rows) <= found.rank else rows.T @ rows
        logs[i] = np.linalg.slogdet(np.eye(len(small)) - eta / len(one) * small)[1] / found.rank
    if not np.isfinite(logs).all():
        return Estimate(-math.inf, 0.0)
    if cyclic:
        return Estimate(float(logs.mean()), float(np.finfo(np.float64).eps * found.rank * (1 + np.abs(logs).max())))
    quantile = float(scipy.special.stdtrit(len(logs) - 1, 0.975))
    return Estimate(float(logs.mean()), quantile * float(logs.std(ddof=1)) / math.sqrt(len(logs)))


def independent(rule: optimizers.Rule, examples: int) -> bool:
    """Says whether the batches of different steps are independent: those of one epoch are not."""
    assert rule.batch_size is not None
    return rule.sampling == "replacement" or (rule.sampling == "reshuffling" and examples // rule.batch_size == 1)


class MeanSquare(NamedTuple):
    """What the second moments of w say.

    Attributes:
        exponent: 1/2 log rho(E[A_S (x) A_S]) >= lambda, by Jensen's inequality; for r above SQUARES 1/2 log of the
            largest eigenvalue of E[A_S^2], which is not less.
        step: The step size below which it is negative (Mulayoff & Michaeli, arXiv 2306.07850: 2 / lambda_max(C^+ D)).
    """

    exponent: float
    step: float


def mean_square(found: jacobian.Factor, weights: np.ndarray, rule: optimizers.Rule, eta: float) -> MeanSquare:
    """Returns the mean-square exponent and threshold; NaN where batches are not independent, and for a large r.

    Where they are not, E[P'P] of a product P of them is not made of E[A_S (x) A_S], and no bound. Cost: some hundred
    products of 4 N K r^2 operations; one for r above SQUARES, where the threshold is NaN. Method: ARPACK on the
    symmetric operator X -> E[A_S X A_S].
    """
    size, batch = found.rank, rule.batch_size
    if batch is None or not 0 < size <= SQUARED or not independent(rule, len(weights)):
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

    if size > SQUARES:
        once = second(np.eye(size)).reshape(size, size)
        largest = float(scipy.linalg.eigvalsh(0.5 * (once + once.T), subset_by_index=[size - 1, size - 1])[0])
        return MeanSquare(0.5 * math.log(largest) if largest > 0 else -math.inf, math.nan)

    half = 1 / np.sqrt((values[:, None] + values) / 2)

    def critical(x: np.ndarray) -> np.ndarray:
        x = x.reshape(size, size) * half
        return np.asarray(half * (values[:, None] * x * values + share * spread(x))).ravel()

    radius, ratio = (_largest(operator, size) for operator in (second, critical))
    return MeanSquare(0.5 * math.log(radius) if radius > 0 else -math.inf, 2 / ratio if ratio > 0 else math.inf)


KRYLOV = 60
"""Vectors that ARPACK keeps; with its own 20 it asks 4 times the products where the spectrum is dense near 1."""


def _largest(operator: Callable[[np.ndarray], np.ndarray], size: int) -> float:
    """Returns the largest eigenvalue of a symmetric operator on (size, size) matrices that keeps the positive ones.

    Where the start spans few directions ARPACK goes on with drawn ones: without `rng` other bits from call to call.
    """
    if size == 1:
        return float(operator(np.ones(1))[0])
    seen = scipy.sparse.linalg.LinearOperator((size**2,) * 2, matvec=operator, dtype=np.float64)
    start = np.eye(size).ravel()  # the eigenvector is a positive matrix, so this is not orthogonal to it
    kept = min(KRYLOV, size**2)
    found = scipy.sparse.linalg.eigsh(
        seen, k=1, which="LA", v0=start, ncv=kept, tol=1e-10, return_eigenvectors=False, rng=0
    )
    return float(found[0])


def absorption(
    found: Estimate, logs: np.ndarray, burn: int, cases: tuple[np.ndarray, np.ndarray] | None = None
) -> float:
    """Returns kappa: an unstable run begun at distance d ends on the rounding floor f with a chance of (f/d)^kappa.

    It solves Lambda(-kappa) = 0 for the moment exponents Lambda(q) = lim (1/n) log E|w_n|^q: exactly where all
    multipliers are known (E|m|^(-kappa) = 1), else with Lambda(q) = lambda q + s^2 q^2 / 2, s^2 the variance of log
    growths per step by batch means: kappa = 2 lambda / s^2. NaN where lambda is not above 0 by more than its error.

    Args:
        found: lambda.
        logs: (..., n) log growths.
        burn: How many are left out at first.
        cases: All multipliers and their chances, where they are known.
    """
    if cases is None:
        kept = logs[..., burn:]
        means = kept.reshape(-1, kept.shape[-1] // BLOCKS).mean(axis=1)
        variance = float(means.var(ddof=1)) * kept.shape[-1] / BLOCKS
        return 2 * found.value / variance if found.value > found.error and variance > 0 else math.nan
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


def _chosen(rule: optimizers.Rule, examples: int) -> np.ndarray:
    """Returns the places (n, b) of the examples in the n batches of a period of cyclic sampling."""
    assert rule.batch_size is not None
    count = examples // math.gcd(examples, rule.batch_size)
    return np.arange(count * rule.batch_size).reshape(count, -1) % examples


def _drawn(weights: np.ndarray, rule: optimizers.Rule, key: jax.Array) -> np.ndarray:
    """Returns the places (DETERMINANTS, b) of the examples of independent batches, of an epoch the first alone."""
    assert rule.batch_size is not None
    apart = len(weights) // rule.batch_size if rule.sampling == "reshuffling" else 1
    return np.asarray(_draws(rule)(jnp.asarray(weights, "float64"), key, apart * jnp.arange(DETERMINANTS)))


@functools.lru_cache(maxsize=4)
def _draws(rule: optimizers.Rule) -> Callable[[jax.Array, jax.Array, jax.Array], jax.Array]:
    """Returns the compiled function `(weights (N,), key, steps (n,)) -> (n, b)`: the places of their examples."""
    return jax.jit(lambda weights, key, steps: jax.lax.map(_draw(rule, weights, key), steps))


def _draw(rule: optimizers.Rule, weights: jax.Array, key: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """Returns the function from a step to the places (b,) of the examples that training would see there."""
    places = jnp.arange(len(weights))
    draw = loop.drawing(rule, objective.Batch(places, places, weights), key, len(weights))
    return lambda k: draw(k).x


@functools.lru_cache(maxsize=4)
def _run(rule: optimizers.Rule, examples: int, batch: int, count: int) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """Returns the compiled function `(rows, weights, starts (3, r), eta, keys (3,)) -> (count, 3), (count,)`."""

    @jax.jit
    def run(
        rows: jax.Array, weights: jax.Array, starts: jax.Array, eta: jax.Array, keys: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        def moved(w: jax.Array, key: jax.Array, k: jax.Array) -> jax.Array:
            seen = rows[_draw(rule, weights, key)(k)].reshape(-1, rows.shape[-1])
            return w - eta / batch * (seen.T @ (seen @ w))

        def step(w: jax.Array, k: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            after = jax.vmap(moved, in_axes=(0, 0, None))(w, keys, k)
            norms = jnp.linalg.norm(after, axis=1)
            after = jnp.where(norms[:, None] > 0, after / norms[:, None], after)
            return after, (jnp.log(norms), jnp.log(jnp.minimum(jnp.abs(after[1] @ after[2]), 1)))

        return jax.lax.scan(step, starts, jnp.arange(count))[1]

    return run


@functools.lru_cache(maxsize=2)
def _run_free(
    outputs: jacobian.Outputs, loss: config.Loss, rule: optimizers.Rule, examples: int, spans: int
) -> Callable[..., jax.Array]:
    """Returns the compiled function `(theta, batch, z (N, K), eta, key) -> (spans SPAN,)` of `growths_free`."""
    assert rule.batch_size is not None
    batch = rule.batch_size

    @jax.jit
    def run(theta: jax.Array, whole: objective.Batch, z: jax.Array, eta: jax.Array, key: jax.Array) -> jax.Array:
        draw = loop.drawing(rule, whole._replace(targets=jnp.arange(examples)), key, examples)
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
