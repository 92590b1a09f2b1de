# SPDX-License-Identifier: Apache-2.0
"""A convolution whose gradients are written as convolutions that XLA's CPU compiler runs fast inside loops.

XLA on CPU rewrites the convolutions that autodiff makes (kernel gradients in odd layouts, reversed kernels) into its
fast form only at the top level of a program; inside `scan` and `fori_loop` they stay slow: 13 to 18 times slower
Hessian-vector products were measured. Writing both gradients as plain NHWC/HWIO convolutions avoids the rewrite. The
rule is a `custom_vjp`, so forward-over-reverse products work; forward mode through the network itself (Gauss-Newton
products) does not and needs `jax.lax.conv_general_dilated` instead.
"""

from __future__ import annotations

from typing import Any

import jax
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv_general_dilated(x: jax.Array, kernel: jax.Array, strides: Any, padding: Any, **options: Any) -> jax.Array:
    """Convolves x (N, H, W, C) with kernel (h, w, C, K), h and w odd, stride 1, zero padding, to (N, H, W, K).

    It has the signature that `flax.nnx.Conv` calls; strides, padding and options other than those above are refused.

    Raises:
        ValueError: If the convolution asked for is of another kind.
    """
    plain = all(s == 1 for s in strides) and padding == "SAME" and kernel.shape[0] % 2 == kernel.shape[1] % 2 == 1
    dilated = any(d != 1 for name in ("lhs_dilation", "rhs_dilation") for d in options.get(name) or ())
    if not plain or dilated or options.get("feature_group_count", 1) != 1:
        raise ValueError("only ungrouped convolutions with odd kernels, stride 1 and padding SAME are written out here")
    return _convolve(x, kernel)


@jax.custom_vjp
def _convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return _same(x, kernel)


def _same(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)


def _forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _same(x, kernel), (x, kernel)


def _backward(residuals: tuple[jax.Array, jax.Array], dy: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    height, width, _, _ = kernel.shape
    dx = _same(dy, kernel[::-1, ::-1].transpose(0, 1, 3, 2))
    # The kernel gradient correlates x with dy: channels of x become the batch, the batch becomes the contraction.
    pads = ((height // 2, height // 2), (width // 2, width // 2))
    dkernel = lax.conv_general_dilated(
        x.transpose(3, 1, 2, 0), dy.transpose(1, 2, 0, 3), (1, 1), pads, dimension_numbers=LAYOUT
    )
    return dx, dkernel.transpose(1, 2, 0, 3)


_convolve.defvjp(_forward, _backward)
