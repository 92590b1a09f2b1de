# SPDX-License-Identifier: Apache-2.0
"""Heads: how a network ends, read from its layers; what closed points and planted saddles stand on. Loads no jax."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from zoo import activations, layer

AVERAGES = layer.Flatten | layer.Mean | layer.AveragePool | layer.FirstToken | layer.LastToken
"""Layers that act on each channel by itself, and keep what is constant."""


@dataclasses.dataclass(frozen=True)
class Head:
    """The end of a network, as far as F8 speaks of it.

    Attributes:
        body: What lies below B.
        inner: Name of B, a layer with one row of parameters for each unit.
        activation: phi; None for the identity.
        averages: What lies between phi and C.
        outer: Name of C, the last layer.
        layers: All layers.
        shifts: Whether B adds a parameter of its own to each unit.
    """

    body: layer.Layers
    inner: str
    activation: layer.Activation | None
    averages: layer.Layers
    outer: str
    layers: layer.Layers
    shifts: bool

    @property
    def own(self) -> bool:
        """Whether each unit sees numbers of its own: B is the scale and shift of a norm."""
        return isinstance(self.layers[self.inner], layer.LayerNorm | layer.GroupNorm)


def find(layers: layer.Layers) -> tuple[Head | None, str]:
    """Returns the head of a network and no words, or None and why F8 does not speak of it. Pure and cheap."""
    *rest, (outer, last) = layers.items()
    if not isinstance(last, layer.Dense):
        return None, "it does not end in a dense layer"
    averages: list[tuple[str, layer.Layer]] = []
    while rest and isinstance(rest[-1][1], AVERAGES):
        averages.insert(0, rest.pop())
    activation = rest.pop()[1] if rest and isinstance(rest[-1][1], layer.Activation) else None
    assert activation is None or isinstance(activation, layer.Activation)
    if not rest or not isinstance(rest[-1][1], layer.Dense | layer.Convolution | layer.LayerNorm | layer.GroupNorm):
        return None, "before its last layer there is no dense layer, convolution or norm to set to zero"
    inner, node = rest.pop()
    norm = isinstance(node, layer.LayerNorm | layer.GroupNorm)
    row = activations.row(activation.function) if activation else activations.ACTIVATIONS["identity"]
    if row.regularity != "analytic":
        return None, "its last activation is not analytic, and the point would lie on a kink"
    if norm and row.value_at_0 != 0:
        return None, "its last activation is not 0 at 0, and what it acts on is normalised"
    shifts = True if norm else bool(getattr(node, "bias", False))
    return Head(dict(rest), inner, activation, dict(averages), outer, layers, shifts), ""


class Units(NamedTuple):
    """The end of a network: h -> inner -> activation -> averages or pools -> outer.

    Attributes:
        body: What lies below `inner`.
        inner: Name of the layer whose units they are.
        tail: From `inner`, with one unit, to what `outer` takes.
        outer: Name of the last layer.
    """

    body: layer.Layers
    inner: str
    tail: layer.Layers
    outer: str


def units(layers: layer.Layers) -> Units | None:
    """Returns the last hidden layer of a network, if it ends in one and a dense layer. Pure and cheap."""
    *rest, (outer, last) = layers.items()
    averages: list[tuple[str, layer.Layer]] = []
    while rest and isinstance(rest[-1][1], AVERAGES | layer.MaxPool):
        averages.insert(0, rest.pop())
    if not isinstance(last, layer.Dense) or len(rest) < 2 or not isinstance(rest[-1][1], layer.Activation):
        return None
    activation = rest.pop()
    inner, node = rest.pop()
    if isinstance(node, layer.Dense):
        one: layer.Layer = dataclasses.replace(node, features=1)
    elif isinstance(node, layer.Convolution):
        one = dataclasses.replace(node, channels=1)
    else:
        return None
    return Units(dict(rest), inner, {inner: one, activation[0]: activation[1], **dict(averages)}, outer)


def attention(layers: layer.Layers) -> tuple[str, ...]:
    """Returns the names that lead to the parameters of a network's last attention; none if it has none. Pure."""
    for name, node in reversed(list(layers.items())):
        if isinstance(node, layer.Attention):
            return (name,)
        if isinstance(node, layer.Shared):  # one of its uses alone is no critical point of the others
            continue
        for part in ("inner", "shortcut"):
            below = attention(getattr(node, part, {}))
            if below:
                return (name, part, *below)
    return ()
