# SPDX-License-Identifier: Apache-2.0
"""From layers as data to layers that compute: `network` builds what `zoo.layer` describes.

`BUILDERS` has one row for each class of layer: a function of the layer, the shape of one example before it, and the
random-number streams. Layers without parameters become plain functions. Every function keeps the dtype it is given.
This is the one place that names flax layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from zoo import activations, convolution, curve, layer

Function: TypeAlias = Callable[[jax.Array], jax.Array]


class Stack(nnx.Module):
    """Named layers, applied in order."""

    def __init__(self, layers: layer.Layers, shape: layer.Shape, rngs: nnx.Rngs) -> None:
        self.order = tuple(layers)
        for name, each in layers.items():
            setattr(self, name, BUILDERS[type(each)](each, shape, rngs))
            shape = each.output(shape)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x (N, ...) through every layer."""
        for name in self.order:
            x = getattr(self, name)(x)
        return x


class Residual(nnx.Module):
    """shortcut(x) + scale inner(x)."""

    def __init__(self, row: layer.Residual, shape: layer.Shape, rngs: nnx.Rngs) -> None:
        self.inner = Stack(row.inner, shape, rngs)
        self.shortcut = Stack(row.shortcut, shape, rngs)
        self.scale = row.scale

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x (N, ...) to the sum."""
        inner = self.inner(x)
        return self.shortcut(x) + (inner if self.scale == 1 else self.scale * inner)


class MixTokens(nnx.Module):
    """Inner layers applied across tokens."""

    def __init__(self, row: layer.MixTokens, shape: layer.Shape, rngs: nnx.Rngs) -> None:
        self.inner = Stack(row.inner, shape[::-1], rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps tokens x (N, T, width) to (N, T', width)."""
        return self.inner(x.swapaxes(1, 2)).swapaxes(1, 2)


class Shared(nnx.Module):
    """Inner layers; where they were used before `network` puts those of the first use in their place."""

    def __init__(self, row: layer.Shared, shape: layer.Shape, rngs: nnx.Rngs) -> None:
        if not row.again:
            self.inner = Stack(row.inner, shape, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x (N, ...) through the inner layers."""
        return self.inner(x)


class Embedding(nnx.Module):
    """A learned vector for each integer, as the product of its one-hot code; starts as a learned positional code."""

    def __init__(self, row: layer.Embedding, shape: layer.Shape, rngs: nnx.Rngs) -> None:
        drawn = jax.random.normal(rngs.params(), (row.vocabulary, row.width), "float32")
        self.code = nnx.Param(drawn / math.sqrt(row.width))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps integers x (N, ..., 1), of any dtype, to (N, T, width); those beyond the vocabulary to 0."""
        code = self.code[...]
        whole = x.reshape(x.shape[0], -1).astype("int32")
        return jax.nn.one_hot(whole, code.shape[0], dtype=jnp.promote_types(code.dtype, x.dtype)) @ code


class Code(nnx.Module):
    """Adds a learned code to each token; starts normal with standard deviation 1 / sqrt(width)."""

    def __init__(self, shape: layer.Shape, rngs: nnx.Rngs) -> None:
        self.code = nnx.Param(jax.random.normal(rngs.params(), shape, "float32") / math.sqrt(shape[-1]))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps tokens x (N, T, width) to (N, T, width)."""
        return x + self.code[...][None].astype(x.dtype)


class ClassToken(nnx.Module):
    """Puts a learned token before the others; it starts as a learned positional code does."""

    def __init__(self, row: layer.ClassToken, shape: layer.Shape, rngs: nnx.Rngs) -> None:
        self.token = nnx.Param(jax.random.normal(rngs.params(), shape[-1:], "float32") / math.sqrt(shape[-1]))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps tokens x (N, T, width) to (N, 1 + T, width)."""
        token = self.token[...].astype(x.dtype)
        return jnp.concatenate([jnp.broadcast_to(token, (x.shape[0], 1, x.shape[2])), x], axis=1)


class QuadraticForm(nnx.Module):
    """1/2 sum_i lambda_i theta_i^2 for every example; theta starts standard normal."""

    def __init__(self, row: layer.QuadraticForm, shape: layer.Shape, rngs: nnx.Rngs) -> None:
        self.eigenvalues = row.eigenvalues
        self.theta = nnx.Param(jax.random.normal(rngs.params(), (len(row.eigenvalues),), "float32"))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps any x (N, ...) to (N, 1)."""
        theta = self.theta[...]
        theta = theta.astype(jnp.promote_types(theta.dtype, x.dtype))
        value = jnp.sum(jnp.asarray(self.eigenvalues, theta.dtype) * theta**2) / 2
        return jnp.broadcast_to(value, (x.shape[0], 1))


class Curve(nnx.Module):
    """L(theta) of one parameter for every example; theta starts standard normal."""

    def __init__(self, row: layer.Curve, shape: layer.Shape, rngs: nnx.Rngs) -> None:
        self.function = row.function
        self.theta = nnx.Param(jax.random.normal(rngs.params(), (1,), "float32"))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps any x (N, ...) to (N, 1)."""
        theta = self.theta[...]
        value = curve.function(self.function)(theta.astype(jnp.promote_types(theta.dtype, x.dtype)))
        return jnp.broadcast_to(value, (x.shape[0], 1))


def network(layers: layer.Layers, inputs: layer.Shape, rngs: nnx.Rngs) -> nnx.Module:
    """Builds a network that maps x (N, *inputs) to its outputs.

    Args:
        layers: What it is made of; they fit `inputs`.
        inputs: Shape of one example.
        rngs: Where the starts of its float32 parameters come from; drawn layer by layer.
    """
    found = Stack(layers, inputs, rngs)
    _tie(layers, found, {})
    return found


def _tie(layers: layer.Layers, stack: Any, first: dict[str, Any]) -> None:
    """Puts the modules of the first use of each shared block in the place of the later ones."""
    for name, row in layers.items():
        node = getattr(stack, name)
        if isinstance(row, layer.Shared) and row.again:
            node.inner = first[row.label]
            continue
        if isinstance(row, layer.Shared):
            first[row.label] = node.inner
        for part in ("inner", "shortcut"):
            _tie(getattr(row, part, {}), getattr(node, part, None), first)


def start(gain: float) -> nnx.Initializer:
    """Returns the start of kernels (..., C, K): truncated normal, variance gain^2 / fan-in; LeCun's for gain 1.

    Drawn as one long vector, which has the same bits: XLA takes 10 times as long to compile draws of four axes on CPU.
    """
    scaled = nnx.initializers.variance_scaling(gain**2, "fan_in", "truncated_normal")

    def draw(key: jax.Array, shape: layer.Shape, dtype: Any = "float32", out_sharding: Any = None) -> jax.Array:
        return scaled(key, (math.prod(shape[:-1]), shape[-1]), dtype).reshape(shape)

    return draw


def dense(row: layer.Dense, shape: layer.Shape, rngs: nnx.Rngs) -> nnx.Linear:
    """Returns a dense layer (N, ..., D) -> (N, ..., features)."""
    return nnx.Linear(shape[-1], row.features, use_bias=row.bias, kernel_init=start(row.gain), rngs=rngs)


def convolve(row: layer.Convolution, shape: layer.Shape, rngs: nnx.Rngs) -> nnx.Conv:
    """Returns a convolution with zero padding: (N, H, W, C) -> (N, ceil(H/stride), ceil(W/stride), channels)."""
    return _convolution(row, shape, rngs, 1)


def depthwise(row: layer.Depthwise, shape: layer.Shape, rngs: nnx.Rngs) -> nnx.Conv:
    """Returns a convolution of each channel by itself: shapes as of `convolve`."""
    return _convolution(row, shape, rngs, shape[-1])


def _convolution(row: layer.Convolution | layer.Depthwise, shape: layer.Shape, rngs: nnx.Rngs, groups: int) -> nnx.Conv:
    return nnx.Conv(
        shape[-1],
        row.channels,
        (row.side, row.side),
        strides=row.stride,
        padding=row.dilation * (row.side // 2),
        kernel_dilation=row.dilation,
        feature_group_count=groups,
        use_bias=row.bias,
        kernel_init=start(row.gain),
        conv_general_dilated=convolution.conv_general_dilated,
        rngs=rngs,
    )


def attend(row: layer.Attention, shape: layer.Shape, rngs: nnx.Rngs) -> nnx.MultiHeadAttention:
    """Returns softmax self-attention over tokens: (N, T, width) -> (N, T, width)."""
    return nnx.MultiHeadAttention(
        row.heads,
        shape[-1],
        use_bias=row.bias,
        attention_fn=causal_attention if row.causal else softmax_attention,
        decode=False,
        deterministic=True,
        dropout_rate=0.0,
        keep_rngs=False,
        rngs=rngs,
    )


def softmax_attention(query: jax.Array, key: jax.Array, value: jax.Array, **_options: Any) -> jax.Array:
    """Maps queries, keys and values (N, T, heads, d) to softmax(q k / sqrt(d)) v, in their own dtype throughout.

    Flax's default computes the softmax in float32 whatever the inputs, which leaves a float64 Hessian asymmetric
    far above its rounding; every certificate rests on float64 being float64.
    """
    scores = jnp.einsum("nqhd,nkhd->nhqk", query, key) / math.sqrt(query.shape[-1])
    return jnp.einsum("nhqk,nkhd->nqhd", jax.nn.softmax(scores), value)


def causal_attention(query: jax.Array, key: jax.Array, value: jax.Array, **_options: Any) -> jax.Array:
    """Maps queries, keys and values (N, T, heads, d) to softmax(q k / sqrt(d)) v over the keys up to each query."""
    scores = jnp.einsum("nqhd,nkhd->nhqk", query, key) / math.sqrt(query.shape[-1])
    past = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    return jnp.einsum("nhqk,nkhd->nqhd", jax.nn.softmax(jnp.where(past, scores, -jnp.inf)), value)


def layer_norm(row: layer.LayerNorm, shape: layer.Shape, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Returns LayerNorm over the last axis."""
    return nnx.LayerNorm(shape[-1], epsilon=row.epsilon, use_fast_variance=False, rngs=rngs)


def group_norm(row: layer.GroupNorm, shape: layer.Shape, rngs: nnx.Rngs) -> nnx.GroupNorm:
    """Returns GroupNorm over all positions and the channels of a group."""
    return nnx.GroupNorm(shape[-1], row.groups, epsilon=row.epsilon, use_fast_variance=False, rngs=rngs)


def position(row: layer.Position, shape: layer.Shape, rngs: nnx.Rngs) -> Function:
    """Returns the addition of a learned or fixed code to tokens (N, T, width)."""
    if row.grid is None:
        return Code(shape, rngs)
    code = sines(*row.grid, shape[-1])
    return lambda x: x + jnp.asarray(code, x.dtype)[None]


def sines(rows: int, columns: int, width: int) -> np.ndarray:
    """Returns the fixed code (rows * columns, width) float64: sines and cosines of column and of row, a quarter each.

    Frequencies fall from 1 to 1/10000 (Beyer, Zhai & Kolesnikov, arXiv 2205.01580).
    """
    frequencies = 10000.0 ** -np.linspace(0.0, 1.0, width // 4)
    row, column = (place.reshape(-1, 1) * frequencies[None] for place in np.mgrid[:rows, :columns])
    return np.concatenate([np.sin(column), np.cos(column), np.sin(row), np.cos(row)], axis=1)


def windows(x: jax.Array) -> jax.Array:
    """Maps (N, H, W, C) to its 2x2 windows (N, ceil(H/2), 2, ceil(W/2), 2, C); an odd border is repeated.

    Repeating the border leaves maximum and mean of a window those of what is there, and their gradients too. Written as
    a reshape: flax's pooling makes a Hessian-vector product 1.16 to 1.31 times as dear on CPU.
    """
    n, height, width, channels = x.shape
    if height % 2 or width % 2:
        x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return x.reshape(n, -(-height // 2), 2, -(-width // 2), 2, channels)


def patches(side: int) -> Function:
    """Returns the function that cuts (N, H, W, C) into tokens (N, HW/side^2, side*side*C), row by row."""

    def cut(x: jax.Array) -> jax.Array:
        n, height, width, channels = x.shape
        x = x.reshape(n, height // side, side, width // side, side, channels)
        return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, -1, side * side * channels)

    return cut


def subsample(channels: int) -> Function:
    """Returns the function that keeps every second position of (N, H, W, C) and appends zeros up to `channels`."""

    def shortcut(x: jax.Array) -> jax.Array:
        return jnp.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (0, channels - x.shape[-1])))

    return shortcut


BUILDERS: dict[type[layer.Layer], Callable[[Any, layer.Shape, nnx.Rngs], Function]] = {
    layer.Dense: dense,
    layer.Convolution: convolve,
    layer.Depthwise: depthwise,
    layer.Attention: attend,
    layer.Activation: lambda row, shape, rngs: activations.function(row.function),
    layer.LayerNorm: layer_norm,
    layer.GroupNorm: group_norm,
    layer.MaxPool: lambda row, shape, rngs: lambda x: windows(x).max(axis=(2, 4)),
    layer.AveragePool: lambda row, shape, rngs: lambda x: windows(x).mean(axis=(2, 4)),
    layer.Flatten: lambda row, shape, rngs: lambda x: x.reshape(x.shape[0], -1),
    layer.Mean: lambda row, shape, rngs: lambda x: x.mean(axis=tuple(range(1, x.ndim - 1))),
    layer.Patches: lambda row, shape, rngs: patches(row.side),
    layer.Tokens: lambda row, shape, rngs: lambda x: x.reshape(x.shape[0], -1, x.shape[-1]),
    layer.Image: lambda row, shape, rngs: lambda x: x.reshape(x.shape[0], row.rows, row.columns, x.shape[-1]),
    layer.Embedding: Embedding,
    layer.Position: position,
    layer.ClassToken: ClassToken,
    layer.FirstToken: lambda row, shape, rngs: lambda x: x[:, 0],
    layer.LastToken: lambda row, shape, rngs: lambda x: x[:, -1],
    layer.Shared: Shared,
    layer.Residual: Residual,
    layer.MixTokens: MixTokens,
    layer.Subsample: lambda row, shape, rngs: subsample(row.channels),
    layer.QuadraticForm: QuadraticForm,
    layer.Curve: Curve,
}
"""How each class of layer is built."""
