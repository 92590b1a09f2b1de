# SPDX-License-Identifier: Apache-2.0
"""On which piece of a piecewise-analytic network a parameter vector lies, and how far it is from the next.

A margin is a number whose sign says on which side of a kink one is: of an activation with breakpoints b, x - b for each
preactivation x; of a curve, theta - b; of a max-pool, each entry of a window minus the largest of the others. All signs
together are the pattern. Every activation of the zoo continues analytically beyond its breakpoints, so on all
parameters of one pattern the network is one analytic function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from zoo import activations, curve, layer, layers, model

Margins = dict[str, jax.Array]
"""For the path of each layer with kinks, its margins (N, ...); ties are 0."""


def margins(found: layer.Layers, inputs: layer.Shape) -> Callable[[model.Params, jax.Array], Margins]:
    """Returns the function `(params, x) -> margins` of a network; nothing for one that is analytic.

    Args:
        found: The network.
        inputs: Shape of one example.

    Cost of a call: a forward pass.
    """

    def watch(module: Any, x: jax.Array) -> Margins:
        seen: Margins = {}
        _watch(found, module, x, "", seen)
        return seen

    return model.from_module(lambda rngs: layers.network(found, inputs, rngs), watch).apply  # type: ignore[return-value]


def affine_in_each_weight(found: layer.Layers) -> bool:
    """Says whether on each piece every output is an affine function of any single parameter, all others held fixed.

    So it is where activations are piecewise linear and no parameter is met twice on the way from input to output.
    """
    plain = (
        layer.Dense | layer.Convolution | layer.Pool | layer.Flatten | layer.Mean | layer.Patches | layer.Position
        | layer.ClassToken | layer.FirstToken | layer.Residual | layer.MixTokens | layer.Subsample
        | layer.Depthwise | layer.Embedding | layer.LastToken | layer.Tokens | layer.Image
    )  # fmt: skip
    return all(
        activations.row(node.function).regularity == "piecewise linear" or node.function == "identity"
        if isinstance(node, layer.Activation)
        else isinstance(node, plain)
        for node in layer.walk(found)
    )


def _watch(found: layer.Layers, stack: Any, x: jax.Array, path: str, seen: Margins) -> jax.Array:
    """Maps x through a stack of layers as the stack itself would, and notes the margins on the way."""
    for name, row in found.items():
        node, here = getattr(stack, name), f"{path}{name}"
        match row:
            case layer.Activation():
                breaks = activations.row(row.function).breakpoints
                if breaks:
                    seen[here] = jnp.stack([x - at for at in breaks], axis=-1)
                x = node(x)
            case layer.Curve():
                edges = jnp.asarray(curve.CURVES[row.function].breakpoints, node.theta.dtype)
                seen[here] = jnp.broadcast_to(node.theta[...] - edges, (x.shape[0], len(edges)))
                x = node(x)
            case layer.MaxPool():
                seen[here] = _ahead(layers.windows(x))
                x = node(x)
            case layer.Residual():
                inner = _watch(row.inner, node.inner, x, f"{here}/inner/", seen)
                x = _watch(row.shortcut, node.shortcut, x, f"{here}/shortcut/", seen) + row.scale * inner
            case layer.Shared():
                x = _watch(row.inner, node.inner, x, f"{here}/inner/", seen)
            case layer.MixTokens():
                x = _watch(row.inner, node.inner, x.swapaxes(1, 2), f"{here}/inner/", seen).swapaxes(1, 2)
            case _:
                x = node(x)
    return x


def _ahead(windows: jax.Array) -> jax.Array:
    """Maps windows (N, H, 2, W, 2, C) to (N, H, W, C, 4): each entry minus the largest of the other three.

    Equal entries give 0. One entry after the other, for what a loop reads is held as rounded numbers. XLA would fuse
    the differences with the activation before them, and x Phi(x) - max(...) becomes one multiply-add that does not
    round the product: 1e-20 where equal numbers tie. (It removes optimization_barrier on CPU.)
    """
    n, height, _, width, _, channels = windows.shape
    entries = windows.transpose(2, 4, 0, 1, 3, 5).reshape(4, n, height, width, channels)

    def ahead(i: jax.Array) -> jax.Array:
        others = jnp.where(jnp.arange(4).reshape(4, 1, 1, 1, 1) == i, -jnp.inf, entries)
        return entries[i] - jnp.max(others, axis=0)

    return jnp.moveaxis(jax.lax.map(ahead, jnp.arange(4)), 0, -1)
