# SPDX-License-Identifier: Apache-2.0
"""Merging: sums of two products become one product, with the same values."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness.curvature import merged


def products(traced: object) -> int:
    """Returns how many matrix products a jaxpr needs once what is not needed is left out."""
    compiled = jax.jit(lambda v: jax.core.eval_jaxpr(traced.jaxpr, traced.consts, v))  # type: ignore[attr-defined]
    return compiled.lower(traced.in_avals[0]).as_text().count("stablehlo.dot_general")  # type: ignore[attr-defined]


@pytest.mark.parametrize("shape", [(2, 30), (2, 3, 30)])
def test_the_gradient_of_a_weight_is_one_product_with_the_same_values(shape: tuple[int, ...]) -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=shape))
    theta = jnp.asarray(np.random.default_rng(1).normal(size=900))

    def loss(t: jax.Array) -> jax.Array:
        w = t.reshape(30, 30)
        return jnp.sum(jnp.tanh(jnp.tanh(x @ w) @ w) ** 2)

    _, product = jax.linearize(jax.grad(loss), theta)
    traced = jax.make_jaxpr(product)(theta)
    fewer = merged.merged(traced)
    v = jnp.asarray(np.random.default_rng(2).normal(size=900))
    (found,) = jax.core.eval_jaxpr(fewer.jaxpr, fewer.consts, v)
    assert np.allclose(found, jax.hessian(loss)(theta) @ v, rtol=1e-12, atol=1e-12)
    assert products(fewer) < products(traced)


def test_a_result_smaller_than_its_parts_stays_a_sum() -> None:
    a, b = jnp.ones((2, 50)), jnp.ones((50, 3))

    def product(v: jax.Array) -> jax.Array:
        return jax.jvp(lambda t: (t * a) @ (t * b), (jnp.ones(()),), (v,))[1]

    traced = jax.make_jaxpr(product)(jnp.ones(()))
    assert products(merged.merged(traced)) == products(traced)


def test_outer_products_which_sum_over_nothing_stay_a_sum() -> None:
    a, b = jnp.arange(1.0, 9), jnp.arange(1.0, 10)

    def product(v: jax.Array) -> jax.Array:
        return jax.jvp(lambda t: jax.lax.dot_general(t * a, t * b, (((), ()), ((), ()))), (jnp.ones(()),), (v,))[1]

    traced = jax.make_jaxpr(product)(jnp.ones(()))
    fewer = merged.merged(traced)
    assert products(fewer) == products(traced) == 2
    (found,) = jax.core.eval_jaxpr(fewer.jaxpr, fewer.consts, jnp.ones(()))
    assert np.array_equal(found, 2 * np.outer(a, b))
