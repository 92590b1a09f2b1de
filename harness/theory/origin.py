# SPDX-License-Identifier: Apache-2.0
"""What a network is near theta = 0, whatever branch each of its pieces takes: the hypotheses of F5, F12 and F13.

A pattern fixes, for every example, which branch each activation takes and which entry each maximum; the network is then
analytic on the whole parameter space (docs/theorems.md). What is said here holds for every pattern, and is read off the
layer list: where it cannot be, it is taken not to hold. Loads no jax.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from zoo import activations, layer

Degree = tuple[int, bool]
"""Order to which something vanishes at theta = 0, and whether it is positively homogeneous in theta of that degree."""

PASSES = layer.Flatten | layer.Mean | layer.Pool | layer.FirstToken | layer.LastToken
"""Layers between the last hidden layer and the head that give means or picks of each channel, so keep constants."""


@dataclasses.dataclass(frozen=True)
class Near:
    """What a list of layers gives near theta = 0.

    Attributes:
        data: Whether no parameter has been met: it is a function of the example alone.
        same: Whether it is the same for every example at theta = 0.
        zero: Whether it is 0 there.
        own: Whether, but for terms of second order in all other parameters, each unit is linear in parameters of its
            own, with coefficients that do not depend on theta (`linear`), or is so to first order (`tangent`).
        alone: Whether each unit has at most one such parameter, with coefficients >= 0.
        shift: Whether one of them is added to the unit itself.
        live: Whether no branch that has been taken since can have slope 0 there.
        even: Whether all branches of an activation since then have the same slope there.
        each: How many numbers of an example belong to one unit once positions are made features.
    """

    data: bool = False
    same: bool = False
    zero: bool = False
    own: Literal["", "linear", "tangent"] = ""
    alone: bool = False
    shift: bool = False
    live: bool = False
    even: bool = False
    each: int = 1


DATA = Near(data=True)
ZERO = Near(same=True, zero=True)


def near(layers: layer.Layers, shape: layer.Shape, state: Near = DATA) -> Near:
    """Returns what layers give near theta = 0, from what they are given and the shape of one example of it."""
    for node in layers.values():
        state = _after(node, shape, state)
        shape = node.output(shape)
    return state


def _after(node: layer.Layer, shape: layer.Shape, state: Near) -> Near:
    match node:
        case layer.Dense() | layer.Convolution():
            return _shifted(node.bias, state)
        case layer.LayerNorm() | layer.GroupNorm():
            return _shifted(True, state)
        case layer.Activation():
            return _activated(activations.row(node.function), state)
        case layer.Residual():
            return _added(node, shape, state)
        case layer.Attention() | layer.Depthwise() | layer.Embedding():
            return ZERO  # of depthwise convolutions and embeddings no more is claimed
        case layer.Shared():  # no parameter in it is a unit's own
            inner = near(node.inner, shape, state)
            return inner if inner.data else Near(same=inner.same, zero=inner.zero)
        case layer.MixTokens():
            inner = near(node.inner, shape[::-1], state)
            return inner if inner.data else Near(same=inner.same, zero=inner.zero)
    if state.data:
        plain = PASSES | layer.Patches | layer.Subsample | layer.Tokens | layer.Image
        fixed = isinstance(node, layer.Position) and not node.learned
        return state if fixed or isinstance(node, plain) else Near()
    match node:
        case layer.Flatten():
            return dataclasses.replace(state, each=state.each * math.prod(shape[:-1]))
        case layer.MaxPool():
            return dataclasses.replace(state, same=state.zero)
        case layer.Mean() | layer.AveragePool() | layer.FirstToken() | layer.LastToken() | layer.Subsample():
            return state
        case layer.Tokens() | layer.Image():
            return state
        case layer.Position() if node.learned and state.own != "tangent":
            return dataclasses.replace(state, alone=False, shift=True, live=True, even=True)
        case layer.ClassToken() if state.own != "tangent":
            return dataclasses.replace(state, alone=False, shift=False)
        case layer.Patches():
            return Near(same=state.same, zero=state.zero)
        case layer.Position() | layer.ClassToken():
            return Near(same=state.same)
    return Near()


def _shifted(bias: bool, state: Near) -> Near:
    """Returns what a layer of weights, or a norm, makes of it."""
    if not (state.data or state.zero):
        return ZERO
    return Near(same=True, zero=True, own="linear", alone=not state.data, shift=bias, live=True, even=True)


def _activated(row: activations.Activation, state: Near) -> Near:
    if state.data:
        return state
    one = row.regularity == "analytic"
    if not vanishes(row):
        return Near(same=state.same and one)
    return dataclasses.replace(
        state,
        same=state.zero or (state.same and one),
        own=state.own if row.homogeneous or not state.own else "tangent",
        live=state.live and row.slope_at_0 > 0 and not row.flat,
        even=state.even and (one or bool(row.smooth)),
    )


def vanishes(row: activations.Activation) -> bool:
    """Says whether each branch of an activation, continued to 0, is 0 there: it breaks at 0 alone, if at all."""
    return row.value_at_0 == 0 and set(row.breakpoints) <= {0.0}


def _added(node: layer.Residual, shape: layer.Shape, state: Near) -> Near:
    past, inner = near(node.shortcut, shape, state), near(node.inner, shape, state)
    if past.data and inner.data:
        return state
    same, zero = past.same and inner.same, past.zero and inner.zero
    plain = all(isinstance(part, layer.Subsample) for part in node.shortcut.values())
    if not (state.own == "linear" and state.each == 1 and zero and plain and _second(node.inner) and node.scale > 0):
        return Near(same=same, zero=zero)
    shifts = shift(node.inner)
    return dataclasses.replace(
        state,
        alone=False,
        shift=shifts or state.shift,
        live=shifts or state.live,
        even=shifts or state.even,
    )


def shift(layers: layer.Layers) -> bool:
    """Says whether the last of some layers adds a parameter of its own to each channel."""
    node = list(layers.values())[-1] if layers else None
    match node:
        case layer.Dense() | layer.Convolution() | layer.Attention():
            return node.bias
        case layer.LayerNorm() | layer.GroupNorm():
            return True
        case layer.Residual():
            return shift(node.inner) and node.scale > 0
    return False


def _second(inner: layer.Layers) -> bool:
    """Says whether an inner branch is of second order in its own parameters, but for a shift at its end."""
    if not inner:
        return False
    *below, (_, last) = inner.items()
    match last:
        case layer.Attention():
            return True
        case layer.Dense() | layer.Convolution() | layer.LayerNorm() | layer.GroupNorm():
            return degree(dict(below), (0, False))[0] >= 1
    return False


def defined(layers: layer.Layers) -> bool:
    """Says whether on each pattern the network is analytic on the whole parameter space: no norm divides by 0."""
    norms = (node for node in layer.walk(layers) if isinstance(node, layer.LayerNorm | layer.GroupNorm))
    return all(node.epsilon > 0 for node in norms)


def degree(layers: layer.Layers, found: Degree = (0, True)) -> Degree:
    """Returns the degree of what a network gives, from that of its input; data have (0, True).

    The order is a lower bound that holds for every pattern.
    """
    for node in layers.values():
        order, homogeneous = found
        match node:
            case layer.Dense() | layer.Convolution() | layer.Depthwise():
                found = _sum((order + 1, homogeneous), (1, True)) if node.bias else (order + 1, homogeneous)
            case layer.Activation():
                row = activations.row(node.function)
                doubled = row.regularity == "analytic" and row.slope_at_0 == 0  # x^2: its order at 0 is twice x's
                found = (order * (1 + doubled) if vanishes(row) else 0, homogeneous and row.homogeneous)
            case (
                layer.Flatten() | layer.Mean() | layer.Pool() | layer.Patches() | layer.FirstToken() | layer.Subsample()
            ):
                pass
            case layer.LastToken() | layer.Tokens() | layer.Image():
                pass
            case layer.Embedding():
                found = (1, True)
            case layer.Shared():
                found = degree(node.inner, found)
            case layer.Position():
                found = _sum(found, (1 if node.learned else 0, True))
            case layer.ClassToken():
                found = _sum(found, (1, True))
            case layer.Residual():
                found = _sum(degree(node.inner, found), degree(node.shortcut, found))
            case layer.MixTokens():
                found = degree(node.inner, found)
            case layer.LayerNorm() | layer.GroupNorm():
                found = (1, False)
            case layer.Attention():
                found = (1 if node.bias else order + 2, False)
            case layer.QuadraticForm():
                found = (2, True)
            case _:
                found = (0, False)
    return found


def _sum(left: Degree, right: Degree) -> Degree:
    """Returns the degree of a sum of two terms, or of two things put side by side."""
    return min(left[0], right[0]), left[1] and right[1] and left[0] == right[0]


def constant(layers: layer.Layers, inputs: layer.Shape, loss: str) -> tuple[tuple[float, ...], str] | None:
    """Returns the numbers other than 0 that the data term's H can have as an eigenvalue on a set of positive measure.

    Args:
        layers: The network.
        inputs: Shape of one example.
        loss: The name of the loss.

    Returns:
        The numbers, () or (1.0,), and why there are no others; None where the statements do not speak of the network.
    """
    *body, (_, head) = layers.items()
    if not isinstance(head, layer.Dense) or not defined(layers):
        return None
    hidden = dict(body)
    if fades(hidden, inputs):
        return (), "the last activation and its slope can be taken to limits, where H is known (F13, ours)"
    if head.bias and loss in ("half_mse", "ce", "smoothed_ce") and _blank(hidden, inputs):
        return (), "at a point where all examples give the same, H is known, and shifts move its spectrum (F13, ours)"
    return _counted(near(hidden, inputs), head, loss)


def _counted(end: Near, head: layer.Dense, loss: str) -> tuple[tuple[float, ...], str] | None:
    """Returns F12, from what the last hidden layer gives near theta = 0."""
    thin = end.own == "linear" and end.each == 1
    alone = bool(end.own) and end.alone and head.bias
    if end.data or not (thin or alone):
        return None
    if loss in ("ce", "smoothed_ce"):
        return (), "near θ = 0, H on each pattern is known, and the output moves every eigenvalue (F12, ours)"
    if loss != "half_mse":
        return None
    if not head.bias:
        return (), "near θ = 0, H on each pattern is known, and θ moves every eigenvalue (F12, ours)"
    if end.shift and end.live and (end.own == "linear" or end.even):
        return (), "near θ = 0, H on each pattern is known, and no unit can be dead (F12, ours)"
    return (1.0,), "near θ = 0, H on each pattern is known, and every eigenvalue but 0 and 1 moves (F12, ours)"


def _ending(hidden: layer.Layers) -> tuple[list[tuple[str, layer.Layer]], list[layer.Layer]]:
    """Returns what comes before the pools, means and picks that end some layers, and these."""
    body = list(hidden.items())
    passed: list[layer.Layer] = []
    while body and isinstance(body[-1][1], PASSES):
        passed.insert(0, body.pop()[1])
    return body, passed


def fades(hidden: layer.Layers, inputs: layer.Shape) -> bool:
    """Says whether a network ends as F13 (a) asks: a shift, an activation that fades, pools or means, the head."""
    body, passed = _ending(hidden)
    last = body.pop()[1] if body else None
    if not body or not isinstance(last, layer.Activation) or not activations.row(last.function).fades:
        return False
    if not shift({"": body[-1][1]}) or isinstance(body[-1][1], layer.Attention):
        return False
    if not isinstance(body[-1][1], layer.Residual):
        return True
    return near(dict(body), inputs).same and not any(isinstance(node, layer.MaxPool) for node in passed)


def _blank(hidden: layer.Layers, inputs: layer.Shape) -> bool:
    """Says whether a network ends as F13 (b) asks: what is below the last layer with shifts can be made the same."""
    body, passed = _ending(hidden)
    if body and isinstance(body[-1][1], layer.Activation):
        if activations.row(body[-1][1].function).regularity != "analytic":
            return False
        body.pop()
    weights = layer.Dense | layer.Convolution | layer.LayerNorm | layer.GroupNorm
    if not body or not isinstance(body[-1][1], weights) or not shift({"": body[-1][1]}):
        return False
    below = near(dict(body[:-1]), inputs)
    return below.zero or (below.same and not any(isinstance(node, layer.MaxPool) for node in passed))
