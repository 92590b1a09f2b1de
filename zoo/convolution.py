# SPDX-License-Identifier: Apache-2.0
"""A convolution whose derivatives are written as convolutions that XLA's CPU compiler runs fast inside loops.

XLA on CPU rewrites the convolutions that autodiff makes (kernel gradients in odd layouts, reversed kernels) into its
fast form only at the top level of a program; inside `scan` and `fori_loop` they stay slow: 13 to 18 times slower
Hessian-vector products were measured. Here both gradients are plain NHWC/HWIO convolutions, which need no rewrite.

A `custom_vjp` would do that and block forward mode through the network, which Gauss-Newton products need. So the
convolution is a primitive of its own, bilinear in image and kernel, and says only what its two transposes are: forward
mode, reverse mode and any order of both follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core
from jax.interpreters import ad, batching, mlir

LAYOUT = ("NHWC", "HWIO", "NHWC")

FEW, WIDE, PAIRS = 16, 32, 64
"""Up to FEW output channels XLA on CPU is slow. With zeros up to WIDE a convolution of 16 channels of 28x28 is 10 times
faster in float64, one of 1 channel 4 times in float32; below PAIRS, input times output, float64 loses (by hand).
"""


def conv_general_dilated(x: jax.Array, kernel: jax.Array, strides: Any, padding: Any, **options: Any) -> jax.Array:
    """Convolves x (N, H, W, C) with kernel (h, w, C, K), h and w odd, padded by half the kernel with zeros.

    It has the signature that `flax.nnx.Conv` calls; padding and options other than those here are refused. With a
    stride, every position is computed and every stride-th kept: four times the work forward for stride 2, and still
    faster inside loops. With `rhs_dilation` the kernel is taken with zeros between its entries. With as many groups as
    channels each is convolved by itself, as a sum over the entries of the kernel (h, w, 1, K).

    Returns:
        (N, ceil(H / strides[0]), ceil(W / strides[1]), K), as `jax.lax.conv_general_dilated` of these arguments.

    Raises:
        ValueError: If the convolution asked for is of another kind.
    """
    height, width = kernel.shape[:2]
    rows, columns = options.get("rhs_dilation") or (1, 1)
    half = [(rows * (height // 2),) * 2, (columns * (width // 2),) * 2]
    plain = height % 2 == width % 2 == 1 and not isinstance(padding, str) and [tuple(p) for p in padding] == half
    groups = options.get("feature_group_count", 1)
    if not plain or any(d != 1 for d in options.get("lhs_dilation") or ()) or groups not in (1, x.shape[-1]):
        raise ValueError(
            "only convolutions with odd kernels, padded by half of them, in one group or one for each channel, are "
            "written out here"
        )
    if groups > 1:
        y = _channelwise(x, kernel, rows, columns)
    else:
        spread = (0, 0, rows - 1), (0, 0, columns - 1), (0, 0, 0), (0, 0, 0)
        y = convolve_p.bind(x, kernel if rows == columns == 1 else lax.pad(kernel, jnp.zeros((), kernel.dtype), spread))
    return y if all(s == 1 for s in strides) else y[:, :: strides[0], :: strides[1]]


def _channelwise(x: jax.Array, kernel: jax.Array, rows: int, columns: int) -> jax.Array:
    """Convolves each channel of x with its own kernels (h, w, 1, K), whose entries lie `rows` and `columns` apart."""
    (height, width), (down, across) = (
        kernel.shape[:2],
        (rows * (kernel.shape[0] // 2), columns * (kernel.shape[1] // 2)),
    )
    padded = jnp.pad(x, ((0, 0), (down, down), (across, across), (0, 0)))
    padded = jnp.repeat(padded, kernel.shape[3] // x.shape[3], axis=3)

    def seen(i: int, j: int) -> jax.Array:
        return padded[:, i * rows : i * rows + x.shape[1], j * columns : j * columns + x.shape[2]]

    return sum(seen(i, j) * kernel[i, j][None, None] for i in range(height) for j in range(width))  # type: ignore[return-value]


def _same(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves; where the kernel is larger than the image, by a product of patches and kernel.

    There XLA on CPU exchanges image and kernel, and the form that results is its slow one: 0.7 Gflop a second for 512
    channels of 2x2, by patches 120.
    """
    (height, width), (rows, columns) = kernel.shape[:2], x.shape[1:3]
    if height <= rows and width <= columns:
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)
    padded = jnp.pad(x, ((0, 0), (height // 2, height // 2), (width // 2, width // 2), (0, 0)))
    places = [(i, j) for i in range(height) for j in range(width)]
    patches = jnp.concatenate([padded[:, i : i + rows, j : j + columns] for i, j in places], axis=-1)
    return patches @ kernel.reshape(-1, kernel.shape[-1])


def _same_on_cpu(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolves with WIDE channels where that is faster, those that are missing zero."""
    given, channels = kernel.shape[2:]
    slow = given * channels >= PAIRS if kernel.dtype == "float64" else given < FEW
    return _same(x, _wide(kernel) if slow else kernel)[..., :channels]


def _wide(array: jax.Array) -> jax.Array:
    """Returns an array (..., K) with zeros to WIDE channels where it has FEW or less."""
    missing = WIDE - array.shape[-1] if array.shape[-1] <= FEW else 0
    return jnp.pad(array, ((0, 0),) * (array.ndim - 1) + ((0, missing),))


def _image_gradient(dy: jax.Array, x: Any, kernel: jax.Array) -> jax.Array:
    """Convolves dy with the kernel turned round, its channels swapped."""
    return convolve_p.bind(dy, kernel[::-1, ::-1].transpose(0, 1, 3, 2))


def _kernel_gradient(dy: jax.Array, x: jax.Array, kernel: Any) -> jax.Array:
    """Correlates x with dy: the channels of x become the batch, the batch becomes the contraction."""
    height, width = kernel.aval.shape[:2]
    pads = ((height // 2, height // 2), (width // 2, width // 2))
    channels = dy.shape[-1]
    wide = _wide(dy) if dy.dtype == "float64" and x.shape[-1] * channels >= PAIRS else dy
    dkernel = lax.conv_general_dilated(
        x.transpose(3, 1, 2, 0), wide.transpose(1, 2, 0, 3), (1, 1), pads, dimension_numbers=LAYOUT
    )
    return dkernel[..., :channels].transpose(1, 2, 0, 3)


def _batched(arguments: Sequence[jax.Array], axes: Sequence[int | None]) -> tuple[jax.Array, int]:
    """Convolves stacks: of images as one larger batch, of kernels as one kernel of more channels."""
    x, kernel = arguments
    of_x, of_kernel = axes
    if of_x is not None and of_kernel is None:
        stack = jnp.moveaxis(x, of_x, 0)
        y = convolve_p.bind(stack.reshape(-1, *stack.shape[2:]), kernel)
        return y.reshape(*stack.shape[:2], *y.shape[1:]), 0
    if of_kernel is not None and of_x is None:
        stack = jnp.moveaxis(kernel, of_kernel, 3)
        y = convolve_p.bind(x, stack.reshape(*stack.shape[:3], -1))
        return y.reshape(*y.shape[:3], *stack.shape[3:]), 3
    return jax.vmap(_same, axes)(x, kernel), 0


convolve_p = core.Primitive("convolve")
convolve_p.def_impl(jax.jit(lambda x, kernel: convolve_p.bind(x, kernel)))
convolve_p.def_abstract_eval(lambda x, kernel: x.update(shape=(*x.shape[:3], kernel.shape[3]), weak_type=False))
mlir.register_lowering(convolve_p, mlir.lower_fun(_same, multiple_results=False))
mlir.register_lowering(convolve_p, mlir.lower_fun(_same_on_cpu, multiple_results=False), platform="cpu")
ad.defbilinear(convolve_p, _image_gradient, _kernel_gradient)
batching.primitive_batchers[convolve_p] = _batched
