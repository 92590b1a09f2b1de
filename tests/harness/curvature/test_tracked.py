# SPDX-License-Identifier: Apache-2.0
"""Tracking: closed forms, dense float64 along a whole run, a planted rise, and what is not finite."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness.curvature import operators, tracked

SIZE = 300

BULK = np.linspace(-1.0, 1.0, SIZE)


def _diagonal(point: tuple[jax.Array, ...]) -> operators.Matvec:
    """Returns the operator of a diagonal."""
    (diagonal,) = point
    return lambda v: diagonal * v


@functools.cache
def _tracker(top: int) -> tracked.Tracker:
    return tracked.tracker(_diagonal, SIZE, top)


def _planted(*top: float) -> np.ndarray:
    """Returns a diagonal (SIZE,) with outliers at its end."""
    return np.r_[BULK[: SIZE - len(top)], top]


def _news(key: int, dtype: str = "float64", size: int = SIZE) -> jax.Array:
    """Returns a step, a gradient and a random vector, as far as this operator knows."""
    return jax.random.normal(jax.random.key(key), (3, size), dtype).at[1].set(0)


def _near(found: tracked.Tracked, exact: np.ndarray) -> None:
    """Holds the error bars of all values against the nearest eigenvalue."""
    values, errors = np.asarray(found.values, "float64"), np.asarray(found.errors, "float64")
    distance = np.abs(values[:, None] - exact[None]).min(axis=1)
    assert np.all(distance <= errors), (distance, errors)


@pytest.mark.parametrize(("top", "precision"), [(1, "float32"), (8, "float32"), (3, "float64")])
def test_a_known_spectrum_that_moves_is_followed(top: int, precision: str) -> None:
    track = _tracker(top)
    outliers = np.asarray([2, 3, 4.5, 5, 6, 7, 9, 12.0])
    found = None
    for k in range(6):
        exact = _planted(*(outliers * (1 + 0.05 * k)))
        point = (jnp.asarray(exact, precision),)
        found = track.begin(point, jax.random.key(0)) if found is None else track.follow(point, found.basis, _news(k))
        expected = np.sort(exact)[::-1][:top]
        assert np.allclose(found.values[:top], expected, rtol=tracked.TO)
        assert abs(float(found.values[top]) + 1) <= 5 * tracked.TO * exact.max()
        assert found.values.dtype == precision
        _near(found, exact)
        gram = np.asarray(found.basis @ found.basis.T)
        assert np.allclose(gram, np.eye(track.rows), atol=1e-4 if precision == "float32" else 1e-12)
    assert int(found.products) <= 2 * top + 12, "the vectors did not turn"


def test_vectors_that_turn_are_followed() -> None:
    """A rotation by 0.2 in as many planes as there are outliers: each vector turns into the bulk."""
    track, exact = tracked.tracker(lambda point: lambda v: point[0] @ v, SIZE, 3), _planted(5.0, 7.0, 9.0)
    frame = np.eye(SIZE)
    found = track.begin((jnp.asarray(np.diag(exact)),), jax.random.key(0))
    for k in range(8):
        for i in range(3):
            one, other = SIZE - 1 - i, 10 * k + i
            turned = np.cos(0.2) * frame[:, one] + np.sin(0.2) * frame[:, other]
            frame[:, other] = np.cos(0.2) * frame[:, other] - np.sin(0.2) * frame[:, one]
            frame[:, one] = turned
        found = track.follow((jnp.asarray((frame * exact) @ frame.T),), found.basis, _news(k))
        assert np.allclose(found.values[:3], [9, 7, 5], rtol=tracked.TO)
        _near(found, exact)


def test_each_of_a_repeated_eigenvalue_is_kept() -> None:
    track, exact = _tracker(3), _planted(4.0, 4.0, 6.0)
    found = track.begin((jnp.asarray(exact),), jax.random.key(0))
    for k in range(5):
        found = track.follow((jnp.asarray(exact * (1 + 0.1 * k)),), found.basis, _news(k))
        assert np.allclose(found.values[:3], np.array([6, 4, 4]) * (1 + 0.1 * k), rtol=tracked.TO)


def test_vectors_of_one_eigenvalue_that_turn_together_are_kept_apart() -> None:
    """Two sums of three vectors of one eigenvalue hold two of them: the third is found where it was."""
    track, exact = tracked.tracker(lambda point: lambda v: point[0] @ v, SIZE, 4), _planted(4.0, 4.0, 4.0, 6.0)
    found = track.begin((jnp.asarray(np.diag(exact)),), jax.random.key(0))
    one, frame = SIZE - 1, np.eye(SIZE)
    for k in range(4):
        turned = 0.8 * frame[:, one] + 0.6 * frame[:, k]
        frame[:, k], frame[:, one] = 0.8 * frame[:, k] - 0.6 * frame[:, one], turned
        found = track.follow((jnp.asarray((frame * exact) @ frame.T),), found.basis, _news(k))
        assert np.allclose(found.values[:4], [6, 4, 4, 4], rtol=tracked.TO)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_nothing_but_zeros(precision: str) -> None:
    track, point = _tracker(3), (jnp.zeros(SIZE, precision),)
    found = track.begin(point, jax.random.key(0))
    for _ in range(2):
        assert np.array_equal(found.values, np.zeros(4))
        assert int(found.products) <= 2 * track.rows
        found = track.follow(point, found.basis, jnp.zeros((3, SIZE)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_gives_nan_and_ends(bad: float) -> None:
    track, exact = _tracker(3), _planted(5.0, 7.0, 9.0)
    found = track.begin((jnp.asarray(exact),), jax.random.key(0))
    broken = (jnp.asarray(exact).at[SIZE - 1].set(bad),)
    for lost in (track.follow(broken, found.basis, _news(0)), track.begin(broken, jax.random.key(0))):
        assert np.all(np.isnan(lost.values)) and np.all(np.isnan(lost.errors))
    again = track.follow((jnp.asarray(exact),), found.basis, _news(0).at[0].set(bad))
    assert np.all(np.isnan(again.values)), "news of a step that was not finite"


@pytest.mark.parametrize("size", [1, 7, 12])
def test_few_parameters_have_their_whole_spectrum(size: int) -> None:
    track, exact = tracked.tracker(_diagonal, size, 8), np.arange(size) - 2.0
    found = track.begin((jnp.asarray(exact),), jax.random.key(0))
    for k in range(3):
        expected = np.full(8, np.nan)
        expected[: min(size, 8)] = exact[::-1][:8]
        assert np.allclose(found.values[:8], expected, equal_nan=True, atol=1e-2)
        assert np.isclose(float(found.values[8]), -2, atol=1e-2)
        assert found.basis.shape == (track.rows, size)
        assert int(found.products) <= size * (1 if size <= track.rows else 2)
        found = track.follow((jnp.asarray(exact),), found.basis, _news(k, size=size))


def test_the_same_arguments_give_the_same_bits() -> None:
    track, exact = _tracker(3), _planted(5.0, 7.0, 9.0)
    found = track.begin((jnp.asarray(exact),), jax.random.key(0))
    point = (jnp.asarray(1.3 * exact),)
    once, again = (track.follow(point, found.basis + 0, _news(1)) for _ in range(2))
    inside = jax.jit(lambda point, basis: track.follow(point, basis, _news(1)))(point, found.basis)
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert np.allclose(once.values, inside.values, rtol=1e-12)


def test_a_rise_from_the_bulk_is_caught_within_records_that_are_counted() -> None:
    """An eigenvalue of the bulk jumps over the tracked ones, its vector known to no one.

    It may be missed at first: the record then holds others, each with an error bar that is true. In all of these
    draws it is found by the RECORDS-th record.
    """
    track, before = _tracker(3), _planted(1.6, 9.0, 12.0)
    after = before.copy()
    after[100] = 2.0
    late = []
    for seed in range(20):
        found = track.begin((jnp.asarray(before),), jax.random.key(seed))
        for k in range(RECORDS):
            found = track.follow((jnp.asarray(after),), found.basis, _news(100 * seed + k))
            _near(found, after)
            if np.allclose(found.values[:3], [12, 9, 2], rtol=tracked.TO):
                late.append(k)
                break
            assert np.allclose(found.values[:3], [12, 9, 1.6], rtol=0.25), "it was missed, and nothing else was"
        else:
            pytest.fail(f"seed {seed}: not found after {RECORDS} records")
    assert max(late) >= 1, "a record misses it now and then, which is what surveys are compared with traces for"


RECORDS = 2
"""In how many records a rise to twice the half-width of the bulk is let in; one to 1.8 took up to 9."""


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_dense_along_a_whole_run_over_the_edge(precision: str) -> None:
    """A tanh network of 331 parameters, by steps that take it to the edge of stability."""
    x = jax.random.normal(jax.random.key(0), (40, 10), precision)
    y = jnp.sin(3 * x[:, :1])

    def risk(theta: jax.Array) -> jax.Array:
        w, v = theta[:300].reshape(10, 30), theta[300:330].reshape(30, 1)
        return jnp.mean((jnp.tanh(x @ w) @ v + theta[330] - y) ** 2)

    size, eta, top = 331, 0.25, 4
    operator = operators.hessian(risk)
    track, dense, slope = tracked.tracker(operator, size, top), jax.jit(jax.hessian(risk)), jax.jit(jax.grad(risk))
    theta, found, sharp, off = 0.3 * jax.random.normal(jax.random.key(1), (size,), precision), None, [], []
    for k in range(120):
        point, gradient = (theta,), slope(theta)
        exact = np.linalg.eigvalsh(np.asarray(dense(theta), "float64"))
        news = jnp.stack([-eta * gradient, gradient, jax.random.normal(jax.random.key(k), (size,), precision)])
        found = track.begin(point, jax.random.key(2)) if found is None else track.follow(point, found.basis, news)
        _near(found, exact)
        off.append(np.max(np.abs(np.asarray(found.values[:top]) / exact[::-1][:top] - 1)))
        sharp.append(eta * exact[-1])
        assert abs(float(found.values[top]) - exact[0]) <= 0.02 * np.abs(exact).max()
        theta = theta - eta * gradient
    assert min(sharp) < 2 < max(sharp), "over the edge"
    assert np.sum(np.asarray(off) > tracked.TO) <= 5 and np.median(off) <= 0.5 * tracked.TO, off


def test_a_price_grows_with_what_is_asked_and_is_bounded_by_the_space() -> None:
    prices: list[Any] = [tracked.price(top, 10_000) for top in (1, 8, 32)]
    assert prices == sorted(prices) and prices[0] <= 35 and prices[1] <= 60
    assert tracked.price(8, 3) < tracked.price(8, 10_000)
