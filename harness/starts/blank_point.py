# SPDX-License-Identifier: Apache-2.0
"""Blank points: parameters at which a network gives every example the same, and H is known whatever its pattern is.

At C = 0, C the last layer, the output is its bias c, and nothing below is seen to second order: H is 0 on the
parameters below, and couples them with C alone. Let all of them be 0 but the last shift, b in every channel of the sum
that a residual network ends in. Then the features a are the same for all examples (docs/theorems.md, F13 (a), its
residual case), and where each layer of weights meets a norm so is their derivative J in the parameters below: to first
order only shifts are seen. With g = sum_i w_i g_i(c) and A the mean Hessian of the loss in the outputs, H is

    [[0, J' (x) g', 0], [J (x) g, aa' (x) A, a (x) A], [0, a' (x) A, A]]

over the parameters below, C and c. Its eigenvalues but 0 are those of the same matrix with U S in place of J = U S V'.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harness import config
from harness.curvature import spectrum as spectra
from harness.risk import objective
from harness.starts import closed_point
from zoo import layer, model
from zoo import layers as builders

MOST = 4096
"""Most products F K of features and outputs for which the matrix is made."""


def spectrum(
    layers: layer.Layers,
    inputs: layer.Shape,
    loss: config.Loss,
    batch: objective.Batch,
    place: closed_point.ClosedPoint,
) -> spectra.Spectrum:
    """Returns the distinct eigenvalues of H at a blank point, on every pattern; `size` is the number of parameters.

    That F13 (a) speaks of the network's end is the caller's to know (theory.origin.fades).

    Args:
        layers: The network: it ends in a residual sum with a shift, an activation, means, and a dense layer.
        inputs: Shape of one example.
        loss: The `loss` part of a cell.
        batch: The training set, float64.
        place: Shift and c of the point.

    Returns:
        All eigenvalues without their multiplicities; the error bar is that of rounding, as of closed_point.spectrum.

    Cost: one gradient of one example for each feature, and an eigenvalue problem of F K + F + K rows.

    Raises:
        ValueError: If that problem would be too large, or the derivative of the features is not the same for all
            examples (asked in one random direction, in which different ones agree with probability 0).
        FloatingPointError: If something is not finite.
    """
    outer, weights = list(layers)[-1], batch.weights / jnp.sum(batch.weights)
    outputs = batch.targets.shape[-1]
    at = params(layers, inputs, outputs, place)
    hidden = {name: node for name, node in layers.items() if name != outer}
    features = math.prod(layer.output(hidden, inputs))
    if features * outputs > MOST:
        raise ValueError(f"{features} features times {outputs} outputs are too many for a matrix")
    network = model.from_module(lambda rngs: builders.network(hidden, inputs, rngs))
    below = {name: leaf for name, leaf in at.items() if name != outer}

    @jax.jit
    def of_features(below: model.Params, x: jax.Array) -> tuple[jax.Array, Any]:
        return network.apply(below, x)[0], jax.jacrev(lambda below: network.apply(below, x)[0])(below)

    values, slopes = jax.block_until_ready(of_features(below, batch.x[:1]))
    a = np.asarray(values)
    rows = np.concatenate([np.asarray(leaf).reshape(features, -1) for leaf in jax.tree.leaves(slopes)], axis=1)
    seen = rows[:, np.abs(rows).max(axis=0) > 0]
    _require_alike(network, below, batch.x)
    left, singular, _ = np.linalg.svd(seen, full_matrices=False)
    bias = "bias" in at[outer]
    c = at[outer]["bias"] if bias else jnp.zeros(outputs)
    slope_of = jax.grad(functools.partial(closed_point.of_one, loss))
    g = np.asarray(weights @ jax.vmap(slope_of, (None, 0))(c, batch.targets))
    curvature = np.asarray(jax.hessian(functools.partial(closed_point.of_one, loss))(c, weights @ batch.targets))
    if not all(np.isfinite(part).all() for part in (a, rows, g, curvature)):
        raise FloatingPointError("a blank point is not finite")
    extended = np.append(a, 1.0) if bias else a
    coupling = np.zeros((len(extended) * outputs, len(singular)))
    coupling[: features * outputs] = np.kron(left * singular, g[:, None])
    known = np.kron(np.outer(extended, extended), curvature)
    matrix = np.block([[np.zeros((len(singular),) * 2), coupling.T], [coupling, known]])
    found = np.unique(np.append(np.linalg.eigvalsh(matrix), 0.0)) + loss.weight_decay
    terms = len(batch.x) + len(matrix) + 16 * len(list(layer.walk(layers)))
    error = np.finfo(np.float64).eps * terms * float(np.abs(found).max())
    size = closed_point.parameters(layers, inputs)
    return spectra.Spectrum(found, np.full(len(found), error), complete=True, size=size, products=0)


def _require_alike(network: model.Model, below: model.Params, x: jax.Array) -> None:
    """Makes sure that the features of all examples move alike in a random direction.

    Raises:
        ValueError: They do not.
    """
    drawn = np.random.default_rng(0)
    direction = jax.tree.map(lambda leaf: jnp.asarray(drawn.standard_normal(leaf.shape)), below)

    @jax.jit
    def moved(below: model.Params, direction: model.Params, x: jax.Array) -> jax.Array:
        return jax.jvp(lambda below: network.apply(below, x), (below,), (direction,))[1]

    found = np.asarray(jax.block_until_ready(moved(below, direction, x)))
    if np.ptp(found, axis=0).max() > 1e-9 * np.abs(found).max():
        raise ValueError("the features of different examples move differently at a blank point")


def params(layers: layer.Layers, inputs: layer.Shape, outputs: int, place: closed_point.ClosedPoint) -> model.Params:
    """Returns the blank point itself, as float64 parameters of the whole network."""
    built = model.from_module(lambda rngs: builders.network(layers, inputs, rngs))
    found = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, "float64"), jax.eval_shape(built.init, jax.random.key(0)))
    last = next(name for name, node in reversed(list(layers.items())) if isinstance(node, layer.Residual))
    node = layers[last]
    assert isinstance(node, layer.Residual)
    shift = found[last]["inner"][list(node.inner)[-1]]
    shift["bias"] = jnp.full_like(shift["bias"], place.shift / node.scale)
    outer = list(layers)[-1]
    if "bias" in found[outer]:
        drawn = np.random.default_rng([place.seed, 8]).standard_normal(outputs)
        found[outer]["bias"] = jnp.asarray(place.offset * drawn)
    return found
