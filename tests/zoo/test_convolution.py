# SPDX-License-Identifier: Apache-2.0
"""The written-out convolution against jax's own, and against a sum by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo import convolution


def stock(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=convolution.LAYOUT)


def ours(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return convolution.conv_general_dilated(x, kernel, (1, 1), "SAME", lhs_dilation=(1, 1), rhs_dilation=(1, 1))


@pytest.mark.parametrize("kernel_shape", [(3, 3), (1, 1), (5, 3)])
def test_values_gradients_and_products_are_those_of_the_stock_convolution(kernel_shape: tuple[int, int]) -> None:
    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[0], (3, 6, 5, 2), "float64")
    kernel = jax.random.normal(keys[1], (*kernel_shape, 2, 4), "float64")
    tangent = jax.random.normal(keys[2], kernel.shape, "float64")

    def risk(conv: object, k: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.sum(jnp.tanh(conv(jnp.tanh(conv(x, k)), jnp.swapaxes(k, 2, 3))) ** 2)  # type: ignore[operator]

    assert np.allclose(ours(x, kernel), stock(x, kernel), rtol=0, atol=1e-13)
    gradients = [jax.grad(risk, argnums=(1, 2))(conv, kernel, x) for conv in (ours, stock)]
    assert np.allclose(gradients[0][0], gradients[1][0], rtol=0, atol=1e-11)
    assert np.allclose(gradients[0][1], gradients[1][1], rtol=0, atol=1e-11)
    products = [
        jax.jvp(lambda k, conv=conv: jax.grad(risk, argnums=1)(conv, k, x), (kernel,), (tangent,))[1]
        for conv in (ours, stock)
    ]
    assert np.allclose(products[0], products[1], rtol=0, atol=1e-10)


def test_one_pixel_by_hand() -> None:
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    kernel = np.arange(9.0).reshape(3, 3, 1, 1)
    value = float(ours(jnp.asarray(x), jnp.asarray(kernel))[0, 1, 2, 0])
    assert value == sum(x[0, 1 + i, 2 + j, 0] * kernel[1 + i, 1 + j, 0, 0] for i in (-1, 0, 1) for j in (-1, 0, 1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"strides": (2, 1)},
        {"padding": "VALID"},
        {"kernel": (2, 2)},
        {"rhs_dilation": (2, 2)},
        {"feature_group_count": 2},
    ],
)
def test_other_convolutions_are_refused(wrong: dict[str, object]) -> None:
    kernel = jnp.ones((*wrong.pop("kernel", (3, 3)), 2, 2))  # type: ignore[misc]
    strides, padding = wrong.pop("strides", (1, 1)), wrong.pop("padding", "SAME")
    with pytest.raises(ValueError, match="stride 1"):
        convolution.conv_general_dilated(jnp.ones((1, 4, 4, 2)), kernel, strides, padding, **wrong)
