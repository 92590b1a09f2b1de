# SPDX-License-Identifier: Apache-2.0
"""The building blocks that families are composed of: the one place that names flax layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from zoo import convolution

Layer = Callable[[jax.Array], jax.Array]


class Stack(nnx.Module):
    """Applies its named layers in order; layers without parameters are plain functions."""

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        self.order = tuple(layers)
        for name, layer in layers.items():
            setattr(self, name, layer)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps x (N, ...) through every layer."""
        for name in self.order:
            x = getattr(self, name)(x)
        return x


class Residual(nnx.Module):
    """Pre-norm residual block: x + inner(norm(x))."""

    def __init__(self, width: int, inner: Layer, *, rngs: nnx.Rngs) -> None:
        self.norm = norm(width, rngs=rngs)
        self.inner = inner

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps tokens x (N, T, width) to (N, T, width)."""
        return x + self.inner(self.norm(x))


class Position(nnx.Module):
    """Adds a learned code to each token; starts normal with standard deviation 1 / sqrt(width)."""

    def __init__(self, tokens: int, width: int, *, rngs: nnx.Rngs) -> None:
        self.code = nnx.Param(jax.random.normal(rngs.params(), (tokens, width), dtype="float32") / math.sqrt(width))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps tokens x (N, T, width) to (N, T, width)."""
        return x + self.code[...][None].astype(x.dtype)


def dense(inputs: int, outputs: int, *, bias: bool, rngs: nnx.Rngs) -> nnx.Linear:
    """Returns a dense layer (N, ..., inputs) -> (N, ..., outputs)."""
    return nnx.Linear(inputs, outputs, use_bias=bias, rngs=rngs)


def conv3x3(inputs: int, outputs: int, *, bias: bool, rngs: nnx.Rngs) -> nnx.Conv:
    """Returns a 3x3 convolution, stride 1, zero padding: (N, H, W, inputs) -> (N, H, W, outputs)."""
    return nnx.Conv(
        inputs, outputs, (3, 3), use_bias=bias, conv_general_dilated=convolution.conv_general_dilated, rngs=rngs
    )


def attention(width: int, heads: int, *, rngs: nnx.Rngs) -> nnx.MultiHeadAttention:
    """Returns softmax self-attention over tokens: (N, T, width) -> (N, T, width)."""
    return nnx.MultiHeadAttention(
        heads,
        width,
        attention_fn=softmax_attention,
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


def norm(width: int, *, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Returns LayerNorm over the last axis with epsilon 1e-6, so that it is analytic everywhere."""
    return nnx.LayerNorm(width, epsilon=1e-6, use_fast_variance=False, rngs=rngs)


def flatten(x: jax.Array) -> jax.Array:
    """Maps (N, ...) to (N, D)."""
    return x.reshape(x.shape[0], -1)


def max_pool2x2(x: jax.Array) -> jax.Array:
    """Maps (N, H, W, C) to (N, H/2, W/2, C) by the maximum of each 2x2 window; a tie splits its gradient evenly.

    Written as a reshape: flax's pooling makes a Hessian-vector product 1.16 to 1.31 times as dear on CPU.
    """
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))


def patches(side: int) -> Layer:
    """Returns the function that cuts (N, H, W, C) into tokens (N, HW/side^2, side*side*C), row by row."""

    def cut(x: jax.Array) -> jax.Array:
        n, height, width, channels = x.shape
        x = x.reshape(n, height // side, side, width // side, side, channels)
        return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, -1, side * side * channels)

    return cut


def mean_over_tokens(x: jax.Array) -> jax.Array:
    """Maps tokens (N, T, width) to their mean (N, width)."""
    return x.mean(axis=1)
