# SPDX-License-Identifier: Apache-2.0
"""Layers as data: what a network is made of, before an array exists.

A family is a function from its configuration to named layers; `zoo/layers.py` builds them, and whoever asks what a
network is made of (the theorem's hypotheses, the shapes) reads the same list. Importing this module is light. Shapes
are those of one example, without the batch axis: (height, width, channels) for images, (tokens, features), (features,).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import TypeAlias

from zoo import config

Shape: TypeAlias = tuple[int, ...]


class Misfit(ValueError):
    """A layer of a stack does not fit.

    Attributes:
        place: Where in its configuration the layer is written: keys and indices.
    """

    def __init__(self, place: tuple[str | int, ...], text: str) -> None:
        super().__init__(text)
        self.place = place


@dataclasses.dataclass(frozen=True)
class Layer:
    """One step of a network; subclasses say which."""

    def output(self, shape: Shape) -> Shape:
        """Returns the shape of what the layer gives for an example of `shape`.

        Raises:
            ValueError: If it does not take that shape.
        """
        return shape


Layers: TypeAlias = Mapping[str, Layer]
"""Named layers in the order of their application; the names become those of the parameters."""


def image_of(shape: Shape) -> Shape:
    """Returns `shape` if it is that of an image, (height, width, channels)."""
    if len(shape) != 3:
        raise ValueError(f"an image (height, width, channels) is needed here, not an array of shape {shape}")
    return shape


def tokens_of(shape: Shape) -> Shape:
    """Returns `shape` if it is that of tokens, (tokens, features)."""
    if len(shape) != 2:
        raise ValueError(f"tokens (tokens, features) are needed here, not an array of shape {shape}")
    return shape


@dataclasses.dataclass(frozen=True)
class Dense(Layer):
    """W x + b over the last axis; kernels start with variance gain^2 / fan-in, biases at zero."""

    features: int
    bias: bool = True
    gain: float = 1.0

    def output(self, shape: Shape) -> Shape:
        """(..., D) becomes (..., features)."""
        return (*shape[:-1], self.features)


@dataclasses.dataclass(frozen=True)
class Convolution(Layer):
    """A convolution with square kernels of odd side and zero padding; `stride` keeps every so-many-th position.

    With `dilation` d the entries of a kernel lie d pixels apart.
    """

    channels: int
    side: int = 3
    stride: int = 1
    bias: bool = True
    gain: float = 1.0
    dilation: int = 1

    def output(self, shape: Shape) -> Shape:
        """(H, W, C) becomes (ceil(H / stride), ceil(W / stride), channels)."""
        height, width, _ = image_of(shape)
        return (-(-height // self.stride), -(-width // self.stride), self.channels)


@dataclasses.dataclass(frozen=True)
class Depthwise(Layer):
    """The same, but each channel is made of one channel of the input: of its own, or of that which it shares."""

    channels: int
    side: int = 3
    stride: int = 1
    bias: bool = True
    gain: float = 1.0
    dilation: int = 1

    def output(self, shape: Shape) -> Shape:
        """(H, W, C) becomes (ceil(H / stride), ceil(W / stride), channels); the channels are a multiple of C."""
        height, width, channels = image_of(shape)
        if self.channels % channels:
            raise ValueError(f"{self.channels} channels are no multiple of the {channels} of the input {shape}")
        return (-(-height // self.stride), -(-width // self.stride), self.channels)


@dataclasses.dataclass(frozen=True)
class Attention(Layer):
    """Softmax self-attention over tokens, with queries, keys, values and an output projection.

    Where it is causal a token sees itself and those before it.
    """

    heads: int
    bias: bool = True
    causal: bool = False

    def output(self, shape: Shape) -> Shape:
        """(T, width) stays; the heads must divide the width."""
        _, width = tokens_of(shape)
        if width % self.heads:
            raise ValueError(f"width {width} is not divisible by heads {self.heads}")
        return shape


@dataclasses.dataclass(frozen=True)
class Activation(Layer):
    """A scalar function, elementwise."""

    function: config.Activation


@dataclasses.dataclass(frozen=True)
class LayerNorm(Layer):
    """(x - mean) / sqrt(variance + epsilon) over the last axis, times a scale plus a shift."""

    epsilon: float = 1e-6


@dataclasses.dataclass(frozen=True)
class GroupNorm(Layer):
    """The same over all positions and the channels of each of `groups` groups; one scale and shift for each channel."""

    groups: int
    epsilon: float = 1e-6

    def output(self, shape: Shape) -> Shape:
        """The shape stays; the groups must divide the channels."""
        if shape[-1] % self.groups:
            raise ValueError(f"{shape[-1]} channels are not divisible by groups {self.groups}")
        return shape


@dataclasses.dataclass(frozen=True)
class Pool(Layer):
    """What max- and average-pooling share: 2x2 windows, side by side; at an odd border over what is there."""

    def output(self, shape: Shape) -> Shape:
        """(H, W, C) becomes (ceil(H / 2), ceil(W / 2), C)."""
        height, width, channels = image_of(shape)
        return (-(-height // 2), -(-width // 2), channels)


@dataclasses.dataclass(frozen=True)
class MaxPool(Pool):
    """The maximum of each window; a tie splits its gradient evenly."""


@dataclasses.dataclass(frozen=True)
class AveragePool(Pool):
    """The mean of each window."""


@dataclasses.dataclass(frozen=True)
class Flatten(Layer):
    """All axes made one."""

    def output(self, shape: Shape) -> Shape:
        """(...) becomes (D,), D the product."""
        return (math.prod(shape),)


@dataclasses.dataclass(frozen=True)
class Mean(Layer):
    """The mean over all axes but the last: over tokens, or over positions."""

    def output(self, shape: Shape) -> Shape:
        """(..., D) becomes (D,)."""
        return shape[-1:]


@dataclasses.dataclass(frozen=True)
class Patches(Layer):
    """An image cut into square patches, row by row; each becomes a token."""

    side: int

    def output(self, shape: Shape) -> Shape:
        """(H, W, C) becomes (H W / side^2, side^2 C); the side must divide H and W."""
        height, width, channels = image_of(shape)
        if height % self.side or width % self.side:
            raise ValueError(f"patches of side {self.side} do not tile a {height}x{width} image")
        return (height // self.side * (width // self.side), self.side**2 * channels)


@dataclasses.dataclass(frozen=True)
class Tokens(Layer):
    """The positions of an image, row by row, as tokens."""

    def output(self, shape: Shape) -> Shape:
        """(H, W, C) becomes (H W, C)."""
        height, width, channels = image_of(shape)
        return (height * width, channels)


@dataclasses.dataclass(frozen=True)
class Image(Layer):
    """Tokens as the positions of an image, row by row."""

    rows: int
    columns: int

    def output(self, shape: Shape) -> Shape:
        """(T, width) becomes (rows, columns, width); there must be a place for each token, and no more."""
        tokens, width = tokens_of(shape)
        if tokens != self.rows * self.columns:
            raise ValueError(f"an image of {self.rows}x{self.columns} positions is not made of {tokens} tokens")
        return (self.rows, self.columns, width)


@dataclasses.dataclass(frozen=True)
class Embedding(Layer):
    """A learned vector for each integer 0, ..., vocabulary - 1; they start normal, of deviation 1 / sqrt(width)."""

    vocabulary: int
    width: int

    def output(self, shape: Shape) -> Shape:
        """(..., 1) becomes (T, width), T the number of integers."""
        if shape[-1] != 1:
            raise ValueError(f"an embedding takes one integer at each position, not an array of shape {shape}")
        return (math.prod(shape), self.width)


@dataclasses.dataclass(frozen=True)
class Position(Layer):
    """A code added to each token: learned, or, on a grid of (rows, columns), fixed sines and cosines of both."""

    grid: tuple[int, int] | None = None

    @property
    def learned(self) -> bool:
        """Whether the code is a parameter."""
        return self.grid is None

    def output(self, shape: Shape) -> Shape:
        """(T, width) stays; a fixed code must have a place for each token, and four equal parts."""
        tokens, width = tokens_of(shape)
        if self.grid is not None and tokens != math.prod(self.grid):
            raise ValueError(f"a grid of {self.grid[0]}x{self.grid[1]} has no place for {tokens} tokens")
        if self.grid is not None and width % 4:
            raise ValueError(f"a fixed positional code needs a width divisible by 4, not {width}")
        return shape


@dataclasses.dataclass(frozen=True)
class ClassToken(Layer):
    """A learned token put before the others."""

    def output(self, shape: Shape) -> Shape:
        """(T, width) becomes (T + 1, width)."""
        tokens, width = tokens_of(shape)
        return (tokens + 1, width)


@dataclasses.dataclass(frozen=True)
class FirstToken(Layer):
    """The first token alone."""

    def output(self, shape: Shape) -> Shape:
        """(T, width) becomes (width,)."""
        return tokens_of(shape)[1:]


@dataclasses.dataclass(frozen=True)
class LastToken(Layer):
    """The last token alone."""

    def output(self, shape: Shape) -> Shape:
        """(T, width) becomes (width,)."""
        return tokens_of(shape)[1:]


@dataclasses.dataclass(frozen=True)
class Shared(Layer):
    """Inner layers whose parameters are those of every other block of that label.

    Attributes:
        label: What the block is called.
        inner: Its layers, the same at each use.
        again: Whether it was used before: the parameters then stand where it was used first.
    """

    label: str
    inner: Layers
    again: bool = False

    def output(self, shape: Shape) -> Shape:
        """What the inner layers give."""
        return output(self.inner, shape)


@dataclasses.dataclass(frozen=True)
class Residual(Layer):
    """shortcut(x) + scale inner(x); no shortcut layers mean the identity."""

    inner: Layers
    shortcut: Layers = dataclasses.field(default_factory=dict)
    scale: float = 1.0

    def output(self, shape: Shape) -> Shape:
        """What inner and shortcut layers give, which must be the same."""
        through, past = output(self.inner, shape), output(self.shortcut, shape)
        if through != past:
            raise ValueError(f"the residual sum adds {past} and {through}")
        return through


@dataclasses.dataclass(frozen=True)
class MixTokens(Layer):
    """Inner layers applied across tokens: transposed, inner, transposed back."""

    inner: Layers

    def output(self, shape: Shape) -> Shape:
        """(T, width) becomes (T', width), where the inner layers take (width, T) to (width, T')."""
        return output(self.inner, tokens_of(shape)[::-1])[::-1]


@dataclasses.dataclass(frozen=True)
class Subsample(Layer):
    """Every second position, with zero channels added: the shortcut without parameters of He et al., option A."""

    channels: int

    def output(self, shape: Shape) -> Shape:
        """(H, W, C) becomes (ceil(H / 2), ceil(W / 2), channels); channels may not fall."""
        height, width, channels = image_of(shape)
        if channels > self.channels:
            raise ValueError(f"a shortcut drops no channels: {channels} cannot become {self.channels}")
        return (-(-height // 2), -(-width // 2), self.channels)


@dataclasses.dataclass(frozen=True)
class QuadraticForm(Layer):
    """1/2 sum_i lambda_i theta_i^2, whatever the input; theta starts standard normal."""

    eigenvalues: tuple[float, ...]

    def output(self, shape: Shape) -> Shape:
        """Any shape becomes (1,)."""
        return (1,)


@dataclasses.dataclass(frozen=True)
class Curve(Layer):
    """L(theta) of one parameter, whatever the input: a row of `curve.CURVES`; theta starts standard normal."""

    function: str

    def output(self, shape: Shape) -> Shape:
        """Any shape becomes (1,)."""
        return (1,)


def output(layers: Layers, shape: Shape) -> Shape:
    """Returns the shape after all layers.

    Raises:
        ValueError: If one does not take the shape it is given.
    """
    for layer in layers.values():
        shape = layer.output(shape)
    return shape


def activity(layers: Layers, shape: Shape) -> int:
    """Returns how many numbers all layers together give for one example, inner layers included.

    Raises:
        ValueError: If one does not take the shape it is given.
    """
    total = 0
    for layer in layers.values():
        for name in ("inner", "shortcut"):
            turned = shape[::-1] if isinstance(layer, MixTokens) else shape
            total += activity(getattr(layer, name, {}), turned)
        shape = layer.output(shape)
        total += math.prod(shape)
    return total


def walk(layers: Layers) -> Iterator[Layer]:
    """Yields every layer, those inside residual sums and token mixers after the one that holds them."""
    for layer in layers.values():
        yield layer
        for name in ("inner", "shortcut"):
            yield from walk(getattr(layer, name, {}))
