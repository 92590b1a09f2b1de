# SPDX-License-Identifier: Apache-2.0
"""The written-out convolution against jax's own, and against a sum by hand."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zoo import convolution

HALF = [(1, 1), (1, 1)]


def stock(x: jax.Array, kernel: jax.Array, strides: tuple[int, int] = (1, 1)) -> jax.Array:
    pads = [(side // 2, side // 2) for side in kernel.shape[:2]]
    return jax.lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=convolution.LAYOUT)


def ours(x: jax.Array, kernel: jax.Array, strides: tuple[int, int] = (1, 1)) -> jax.Array:
    pads = [(side // 2, side // 2) for side in kernel.shape[:2]]
    return convolution.conv_general_dilated(x, kernel, strides, pads, lhs_dilation=(1, 1), rhs_dilation=(1, 1))


def arrays(kernel_shape: tuple[int, int] = (3, 3)) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns images, a kernel and a direction for the kernel."""
    random = np.random.default_rng(0)
    shapes = ((3, 6, 5, 2), (*kernel_shape, 2, 4), (*kernel_shape, 2, 4))
    return tuple(jnp.asarray(random.standard_normal(shape)) for shape in shapes)  # type: ignore[return-value]


def features(conv: Any, kernel: jax.Array, x: jax.Array, strides: tuple[int, int]) -> jax.Array:
    """A network of two convolutions."""
    return jnp.tanh(conv(jnp.tanh(conv(x, kernel, strides)), jnp.swapaxes(kernel, 2, 3)))


def both(program: Callable[[Any], Any]) -> None:
    """Compares a program of our convolution with the same of jax's."""
    found, expected = (jax.tree.leaves(program(conv)) for conv in (ours, stock))
    for a, b in zip(found, expected, strict=True):
        assert float(jnp.abs(b).max()) > 1e-3
        assert np.allclose(a, b, rtol=0, atol=1e-12 * (1 + float(jnp.abs(b).max())))


@pytest.mark.parametrize(
    ("side", "strides"),
    [
        ((3, 3), (1, 1)),
        ((1, 1), (1, 1)),
        ((5, 3), (1, 1)),
        ((3, 3), (2, 2)),
        ((7, 3), (1, 1)),  # larger than the image
        ((3, 7), (2, 1)),
    ],
)
def test_every_order_of_derivatives_is_that_of_the_stock_convolution(
    side: tuple[int, int], strides: tuple[int, int]
) -> None:
    x, kernel, v = arrays(side)

    def risk(conv: Any, k: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.sum(features(conv, k, x, strides) ** 2)

    both(lambda conv: features(conv, kernel, x, strides))
    both(lambda conv: jax.grad(risk, argnums=(1, 2))(conv, kernel, x))
    both(lambda conv: jax.jvp(lambda k: features(conv, k, x, strides), (kernel,), (v,)))
    both(lambda conv: jax.jvp(lambda k: jax.grad(risk, 1)(conv, k, x), (kernel,), (v,))[1])
    both(lambda conv: jax.linearize(lambda k: jax.grad(risk, 1)(conv, k, x), kernel)[1](v))
    both(lambda conv: jax.grad(lambda k: jnp.vdot(jax.grad(risk, 1)(conv, k, x), v))(kernel))


@pytest.mark.parametrize(("dtype", "given"), [("float32", 1), ("float32", 4), ("float64", 16)])
def test_channels_that_were_added_for_speed_change_no_derivative(dtype: str, given: int) -> None:
    random = np.random.default_rng(1)
    x, kernel, dy = (
        jnp.asarray(random.standard_normal(shape), dtype)
        for shape in ((3, 6, 5, given), (3, 3, given, 4), (3, 6, 5, 4))
    )
    found, expected = (jax.vjp(jax.jit(conv), x, kernel) for conv in (ours, stock))
    for a, b in zip((found[0], *found[1](dy)), (expected[0], *expected[1](dy)), strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype == dtype
        assert np.allclose(a, b, rtol=0, atol=200 * np.finfo(dtype).eps)
    assert ("32]" in jax.jit(ours).lower(x, kernel).compile().as_text().split("ENTRY")[1]) == (
        jax.default_backend() == "cpu"
    )


def test_gauss_newton_products_pass_through_both_modes() -> None:
    x, kernel, v = arrays()

    def product(conv: Any) -> jax.Array:
        outputs = lambda k: features(conv, k, x, (1, 1))  # noqa: E731
        return jax.vjp(outputs, kernel)[1](jax.jvp(outputs, (kernel,), (v,))[1])

    both(product)
    assert np.allclose(jax.jit(product, static_argnums=0)(ours), product(stock), rtol=1e-12)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (3, None), (None, 2), (1, 4)])
def test_stacks_of_images_and_of_kernels(axes: tuple[int | None, int | None]) -> None:
    x, kernel, _ = arrays()
    scales = jnp.arange(1.0, 4.0)
    stacks = [
        a if axis is None else jnp.stack([s * a**2 for s in scales], axis)
        for a, axis in zip((x, kernel), axes, strict=True)
    ]
    both(lambda conv: jax.vmap(conv, axes)(*stacks))
    both(lambda conv: jax.grad(lambda *a: jnp.sum(jnp.tanh(jax.vmap(conv, axes)(*a))), (0, 1))(*stacks))
    both(lambda conv: jax.vmap(jax.grad(lambda *a: jnp.sum(jnp.tanh(conv(*a))), (0, 1)), axes)(*stacks))


def test_all_convolutions_of_a_hessian_product_are_plain() -> None:
    x, kernel, v = arrays()

    def layouts(conv: Any) -> set[str]:
        def product(kernel: jax.Array, v: jax.Array) -> jax.Array:
            risk = lambda k: jnp.sum(features(conv, k, x, (1, 1)) ** 2)  # noqa: E731
            return jax.jvp(jax.grad(risk), (kernel,), (v,))[1]

        text = jax.jit(product).lower(kernel, v).as_text()
        assert "stablehlo.convolution" in text
        return set(re.findall(r"dim_numbers = (\S+->\[[^]]*\])", text.replace(", ", ",")))

    assert layouts(ours) == {"[b,0,1,f]x[0,1,i,o]->[b,0,1,f]"}
    assert len(layouts(stock)) > 1, "autodiff's own are what this file avoids"


def test_one_pixel_by_hand() -> None:
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    kernel = np.arange(9.0).reshape(3, 3, 1, 1)
    value = float(ours(jnp.asarray(x), jnp.asarray(kernel))[0, 1, 2, 0])
    assert value == sum(x[0, 1 + i, 2 + j, 0] * kernel[1 + i, 1 + j, 0, 0] for i in (-1, 0, 1) for j in (-1, 0, 1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_stays(dtype: str) -> None:
    x, kernel, _ = (a.astype(dtype) for a in arrays())
    assert ours(x, kernel).dtype == jax.grad(lambda k: jnp.sum(ours(x, k)))(kernel).dtype == dtype


@pytest.mark.parametrize(
    "wrong",
    [
        {"padding": "SAME"},
        {"padding": [(0, 0), (0, 0)]},
        {"kernel": (2, 2)},
        {"rhs_dilation": (2, 2)},
        {"feature_group_count": 3},
    ],
)
def test_other_convolutions_are_refused(wrong: dict[str, object]) -> None:
    kernel = jnp.ones((*wrong.pop("kernel", (3, 3)), 2, 2))  # type: ignore[misc]
    padding = wrong.pop("padding", HALF)
    with pytest.raises(ValueError, match="only convolutions with odd kernels, padded by half of them"):
        convolution.conv_general_dilated(jnp.ones((1, 4, 4, 2)), kernel, (1, 1), padding, **wrong)
