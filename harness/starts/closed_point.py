# SPDX-License-Identifier: Apache-2.0
"""Closed points: parameters at which the whole spectrum of H follows from one forward pass and a small SVD (F8, ours).

A network that ends in  h -> B -> phi -> averages -> C  is taken at B = 0, C = 0. Its output is then the constant c
whatever lies below, and H couples each unit of B to its own row of C, and the rows of C to the bias c, and nothing
else. With N examples of weight w_i (their sum 1), g_i the gradient of the loss of example i in the outputs and A the
mean of its Hessian there, let

    M = sum_i w_i [h_i; 1] g_i'        v = phi(b), s = phi'(b) at the shift b, the same for all n units.

Take an orthonormal frame of the n units that begins with (1, ..., 1) / sqrt(n). In each of the other n - 1 directions
H is [[0, s M], [s M', 0]], with eigenvalues +-s sigma_j(M); in the first it is

    [[0, s M, 0], [s M', n v^2 A, sqrt(n) v A], [0, sqrt(n) v A, A]]

over B, C and c; everything else is 0. With v = 0 the last block is A alone. Where averages leave Q positions, h_i and M
have a column for each, and v A becomes v 1 (x) A. Where B is a norm's scale and shift (one of each per channel: the end
of a transformer), each channel j has an M_j of its own from its normalised values; then the shift may differ from 0 in
the first channel only, and phi(0) must be 0. Weight decay w adds w to every eigenvalue. Nothing depends on what lies
below B but through h, so the point is as good for a vision transformer of any depth as for two layers.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness import config
from harness.curvature import spectrum as spectra
from harness.risk import losses, objective
from harness.starts import heads
from zoo import activations, layer, model
from zoo import layers as builders

POSITIONS = 4096
"""Most products Q K of positions and outputs for which M is made."""


class ClosedPoint(NamedTuple):
    """One closed point.

    Attributes:
        seed: Draws the parameters below B, and c.
        shift: b, of every unit, or of the first if B is a norm.
        offset: Standard deviation of c; 0 for c = 0, and always where the head has no bias.
        c: c itself, in place of one that is drawn; empty to draw it.
        bare: Whether all parameters below B are 0 instead of drawn.
        zero: Whether what lies below B is then 0 for every example, as the layers say (theory.origin): it is not
            computed, and its parameters, however many, are not made.
    """

    seed: int
    shift: float = 0.0
    offset: float = 0.0
    c: tuple[float, ...] = ()
    bare: bool = False
    zero: bool = False


class Values(NamedTuple):
    """Eigenvalues of H at a closed point, those that are 0 whatever M is left out.

    Attributes:
        single: Each once.
        paired: Each of them and its negative, `times` over.
        times: How often.
        error: Rounding of all, as `spectrum` says.
    """

    single: np.ndarray
    paired: np.ndarray
    times: int
    error: float


def spectrum(
    head: heads.Head, inputs: layer.Shape, loss: config.Loss, batch: objective.Batch, place: ClosedPoint
) -> spectra.Spectrum:
    """Returns the distinct eigenvalues of H at a closed point; `size` is the number of parameters.

    0 is among them whether or not it is one, as it is unless the network is tiny: one more excludes less, never more.

    Args:
        head: The end of the network.
        inputs: Shape of one example.
        loss: The `loss` part of a cell.
        batch: The training set, float64.
        place: Which point.

    Returns:
        All eigenvalues without their multiplicities. The error bar is that of rounding: what a sum of so many terms of
        such a size may be off by, 16 roundings for each layer below (a model, not a bound), and the backward error of
        the small eigenproblem.

    Cost: one forward pass, and an SVD of M.

    Raises:
        ValueError: If the place has a shift that B has not, or M would be too large.
        FloatingPointError: If something is not finite.
    """
    known = eigenvalues(head, inputs, loss, batch, place)
    paired = known.paired if known.times else np.zeros(0)
    found = np.unique(np.concatenate([known.single, paired, -paired, np.zeros(1)])) + loss.weight_decay
    size = parameters(head.layers, inputs)
    return spectra.Spectrum(found, np.full(len(found), known.error), complete=True, size=size, products=0)


def eigenvalues(
    head: heads.Head, inputs: layer.Shape, loss: config.Loss, batch: objective.Batch, place: ClosedPoint
) -> Values:
    """Returns what `spectrum` does with multiplicities, without weight decay; raises what it does."""
    if place.shift and not head.shifts:
        raise ValueError("the units have no shift")
    outer = head.layers[head.outer]
    assert isinstance(outer, layer.Dense)
    weights = batch.weights / jnp.sum(batch.weights)
    outputs = batch.targets.shape[-1]
    c = offset(head, place, outputs)
    gradients = weights[:, None] * jax.vmap(jax.grad(functools.partial(of_one, loss)), (None, 0))(c, batch.targets)
    curvature = np.asarray(jax.hessian(functools.partial(of_one, loss))(c, weights @ batch.targets))
    moments, scale, units = _moments(head, inputs, batch.x, gradients, place)
    slope, value = activation(head, place.shift)
    slope_0 = activation(head, 0.0)[0]
    if not (math.isfinite(scale) and np.isfinite(moments).all() and np.isfinite(curvature).all()):
        raise FloatingPointError("a closed point is not finite")
    positions = moments.shape[-1] // outputs
    terms = len(batch.x) + moments.shape[-2] + moments.shape[-1] + 16 * len(list(layer.walk(head.body)))
    if place.zero and not head.own:
        kept = np.any(moments != 0, axis=1)  # but the row of the shift all are exactly 0
        moments = moments[kept if kept.any() else slice(1)]
    free = outer.bias
    if head.own:
        first = _coupled(moments[0], slope, value, 1, curvature, positions, bias=free)
        others, times = slope_0 * np.linalg.svd(moments[1:], compute_uv=False).ravel(), 1
    else:
        first = _coupled(moments, slope, value, units, curvature, positions, bias=free)
        others, times = slope * np.linalg.svd(moments, compute_uv=False), units - 1
    eps = np.finfo(np.float64).eps
    largest = max((float(np.abs(part).max()) for part in (first, others) if len(part)), default=0.0) + loss.weight_decay
    error = eps * (terms * max(abs(slope), abs(slope_0)) * scale + (len(first) + 8) * largest)
    return Values(first, np.abs(others), times, error)


def parameters(layers: layer.Layers, inputs: layer.Shape) -> int:
    """Returns the number of parameters of a network, from shapes alone."""
    abstract = jax.eval_shape(_model(layers, inputs).init, jax.random.key(0))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(abstract))


def params(head: heads.Head, inputs: layer.Shape, outputs: int, place: ClosedPoint) -> model.Params:
    """Returns the closed point itself, as float64 parameters of the whole network."""
    whole = jax.eval_shape(_model(head.layers, inputs).init, jax.random.key(0))
    found: model.Params = {**_below(head, inputs, place)}
    for name in (head.inner, head.outer):
        found[name] = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, "float64"), whole[name])
    if head.shifts:
        bias = found[head.inner]["bias"]
        found[head.inner]["bias"] = bias.at[0].set(place.shift) if head.own else jnp.full_like(bias, place.shift)
    if "bias" in found[head.outer]:
        found[head.outer]["bias"] = offset(head, place, outputs)
    return found


def offset(head: heads.Head, place: ClosedPoint, outputs: int) -> jax.Array:
    """Returns c (K,) float64: what the network gives at the point for every example."""
    outer = head.layers[head.outer]
    assert isinstance(outer, layer.Dense)
    if place.c:
        return jnp.asarray(place.c)
    drawn = np.random.default_rng([place.seed, 8]).standard_normal(outputs)
    return jnp.asarray(place.offset * drawn if outer.bias else np.zeros(outputs))


def of_one(loss: config.Loss, outputs: jax.Array, target: jax.Array) -> jax.Array:
    """Returns the loss of one example: outputs (K,), target (K,), a scalar."""
    return losses.per_example(loss, outputs[None], target[None])[0]


def _model(layers: layer.Layers, inputs: layer.Shape) -> model.Model:
    return model.from_module(lambda rngs: builders.network(layers, inputs, rngs))


def _below(head: heads.Head, inputs: layer.Shape, place: ClosedPoint) -> model.Params:
    """Returns the parameters below B, float64: a start of the family's, moved a little so that none is 0."""
    drawn = _model(head.body, inputs).init(jax.random.key(place.seed))
    moves = np.random.default_rng([place.seed, 1])
    if place.bare:
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, "float64"), drawn)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, "float64") + 0.1 * moves.standard_normal(leaf.shape), drawn)


def activation(head: heads.Head, shift: float) -> tuple[float, float]:
    """Returns slope and value of phi at a number."""
    phi = activations.function(head.activation.function if head.activation else "identity")
    at = jnp.asarray(shift, "float64")
    return float(jax.grad(lambda x: phi(x))(at)), float(phi(at))


def _moments(
    head: heads.Head, inputs: layer.Shape, x: jax.Array, gradients: jax.Array, place: ClosedPoint
) -> tuple[np.ndarray, float, int]:
    """Returns M, a bound of the sum of the moduli of its terms, and the number of units n.

    M is (D + 1, Q K), or (D, Q K) without a shift; for a norm (n, 2, Q K).

    Raises:
        ValueError: If Q K exceeds POSITIONS.
    """
    below = {} if place.zero else _below(head, inputs, place)
    middle = layer.output(head.body, inputs)
    node = head.layers[head.inner]
    units = node.output(middle)[-1]
    if isinstance(node, layer.Dense):
        node = dataclasses.replace(node, features=1)
    elif isinstance(node, layer.Convolution):
        node = dataclasses.replace(node, channels=1)
    tail = {head.inner: node, **head.averages}
    positions = math.prod(layer.output(tail, middle)) // (units if head.own else 1)
    if positions * gradients.shape[-1] > POSITIONS:
        raise ValueError(f"{positions} positions times {gradients.shape[-1]} outputs are too many for an SVD")
    body, end = _model(head.body, inputs), _model(tail, middle)
    shape = jax.eval_shape(end.init, jax.random.key(0))

    def given(below: model.Params, x: jax.Array) -> jax.Array:
        return jnp.zeros((len(x), *middle), x.dtype) if place.zero else body.apply(below, x)

    def norms(below: model.Params, x: jax.Array, gradients: jax.Array) -> tuple[jax.Array, jax.Array]:
        plain = {head.inner: {"scale": jnp.ones(units, x.dtype), "bias": jnp.zeros(units, x.dtype)}}
        values = end.apply(plain, given(below, x)).reshape(len(x), positions, units)
        stacked = jnp.stack([values, jnp.ones_like(values)])
        moments = jnp.einsum("anqu,nk->uaqk", stacked, gradients)
        bound = jnp.sum(jnp.sqrt(jnp.sum(stacked**2, axis=(0, 2)).max(axis=-1)) * jnp.linalg.norm(gradients, axis=-1))
        return moments.reshape(units, 2, -1), bound

    def shared(below: model.Params, x: jax.Array, gradients: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = given(below, x)
        zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, x.dtype), shape)

        def weighed(row: Any) -> jax.Array:
            return jnp.einsum("nq,nk->qk", end.apply(row, h).reshape(len(x), positions), gradients).ravel()

        rows = jax.jacrev(weighed)(zero)
        moments = jnp.concatenate([leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(rows)], axis=1).T
        side = node.side**2 if isinstance(node, layer.Convolution) else 1  # a patch repeats a position at most so often
        reach = jnp.sqrt(side * jnp.sum(h**2, axis=tuple(range(1, h.ndim))) + positions)
        return moments, jnp.sum(reach * jnp.linalg.norm(gradients, axis=-1))

    made = jax.jit(norms if head.own else shared)
    total: np.ndarray | float = 0.0
    scale = 0.0
    for start in range(0, len(x), objective.CHUNK):
        part = slice(start, start + objective.CHUNK)
        moments, bound = jax.block_until_ready(made(below, x[part], gradients[part]))  # see curvature/dense.py
        total = total + np.asarray(moments)
        scale += float(bound)
    return np.asarray(total), scale, units


def _coupled(
    moments: np.ndarray, slope: float, value: float, units: int, curvature: np.ndarray, positions: int, *, bias: bool
) -> np.ndarray:
    """Returns the eigenvalues of H on B, C and c in the direction in which the units move alike."""
    columns = moments.shape[-1]
    triangle = np.linalg.qr(moments)[1]  # the eigenvalues are those of the same matrix with R in place of M
    rows, outputs = len(triangle), len(curvature)
    spread = math.sqrt(units) * value * np.kron(np.ones((positions, 1)), np.eye(outputs))
    matrix = np.zeros((rows + columns + outputs * bias,) * 2)
    middle = slice(rows, rows + columns)
    matrix[:rows, middle] = slope * triangle
    matrix[middle, :rows] = slope * triangle.T
    matrix[middle, middle] = spread @ curvature @ spread.T
    if bias:
        last = slice(rows + columns, None)
        matrix[middle, last] = spread @ curvature
        matrix[last, middle] = matrix[middle, last].T
        matrix[last, last] = curvature
    found: np.ndarray = np.linalg.eigvalsh(matrix)
    return found
