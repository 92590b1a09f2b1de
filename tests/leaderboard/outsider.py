# SPDX-License-Identifier: Apache-2.0
"""What docs/bundle.md says, in NumPy and SciPy alone: an outsider's program, which knows no other file of gdzoo.

The sections are those of the page: files and theta, random numbers, data, networks, losses. Derivatives: gradients in
reverse through a tape, Hessian-vector products as their complex step, H v = Im grad L(theta + i h v) / h, which is
exact to rounding since h^2 vanishes beside 1. All arrays are complex therefore; branches go by real parts.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import pathlib
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import special

STEP = 1e-30
Array = np.ndarray[Any, Any]
Tree = dict[str, Any]


# Files, and theta


def states(path: pathlib.Path) -> tuple[dict[int, Array], list[dict[str, Any]]]:
    """Returns theta by step, and the layout, of a `states.safetensors`."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    said = json.loads(header.pop("__metadata__", {}).get("layout", "[]"))
    types = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4", "U32": "<u4"}
    arrays = {
        name: np.frombuffer(body[slice(*one["data_offsets"])], types[one["dtype"]]).reshape(one["shape"])
        for name, one in header.items()
    }
    return dict(zip(arrays["step"].tolist(), arrays["theta"].astype("f8"), strict=True)), said


def layout(shapes: dict[str, tuple[int, ...]]) -> list[dict[str, Any]]:
    """Returns the layout of named shapes: sorted by path, name by name as strings."""
    found, offset = [], 0
    for name in sorted(shapes, key=lambda name: name.split("/")):
        found.append({"name": name, "shape": list(shapes[name]), "offset": offset})
        offset += math.prod(shapes[name])
    return found


# Random numbers


def threefry(key: tuple[int, int], high: Array, low: Array) -> tuple[Array, Array]:
    """Returns Threefry-2x32 with 20 rounds of counters (uint32 each) under a key."""
    keys = [np.uint32(key[0]), np.uint32(key[1]), np.uint32(key[0] ^ key[1] ^ 0x1BD11BDA)]
    with np.errstate(over="ignore"):
        a, b = high + keys[0], low + keys[1]
        for i in range(5):
            for turn in ((13, 15, 26, 6), (17, 29, 16, 24))[i % 2]:
                a = a + b
                b = ((b << np.uint32(turn)) | (b >> np.uint32(32 - turn))) ^ a
            a, b = a + keys[(i + 1) % 3], b + keys[(i + 2) % 3] + np.uint32(i + 1)
    return a, b


def pairs(key: tuple[int, int], count: int) -> tuple[Array, Array]:
    """Returns the pairs of words of counters 0, 1, ..., count - 1."""
    counters = np.arange(count, dtype=np.uint64)
    return threefry(key, (counters >> np.uint64(32)).astype(np.uint32), counters.astype(np.uint32))


def seeded(seed: int) -> tuple[int, int]:
    """Returns the key of a seed."""
    return seed >> 32, seed & 0xFFFFFFFF


def split(key: tuple[int, int], count: int) -> list[tuple[int, int]]:
    """Returns so many keys of a key."""
    return [(int(a), int(b)) for a, b in zip(*pairs(key, count), strict=True)]


def fold(key: tuple[int, int], number: int) -> tuple[int, int]:
    """Returns the key of a key and a number below 2^32."""
    a, b = threefry(key, np.zeros(1, np.uint32), np.array([number], np.uint32))
    return int(a[0]), int(b[0])


def uniform(key: tuple[int, int], count: int) -> Array:
    """Returns numbers in [0, 1), float64."""
    a, b = pairs(key, count)
    bits = (a.astype(np.uint64) << np.uint64(32)) | b.astype(np.uint64)
    return ((bits >> np.uint64(12)) | np.uint64(0x3FF0000000000000)).view("f8") - 1


def uniform32(key: tuple[int, int], count: int, low: float, high: float) -> Array:
    """Returns numbers in [low, high), from 23 bits each as float32 has them, then in float64."""
    a, b = pairs(key, count)
    floats = (((a ^ b) >> np.uint32(9)) | np.uint32(0x3F800000)).view("f4") - np.float32(1)
    return np.maximum(low, floats.astype("f8") * (high - low) + low)


def normal(key: tuple[int, int], count: int, edge: float | None = None) -> Array:
    """Returns standard normal numbers, cut off at +-edge if there is one; to about 1e-6, since gdzoo rounds to f4."""
    limit = special.erf(edge / math.sqrt(2)) if edge else float(np.nextafter(np.float32(1), np.float32(0)))
    return math.sqrt(2) * special.erfinv(uniform32(key, count, -limit, limit if edge else 1.0))


def permutation(key: tuple[int, int], count: int) -> Array:
    """Returns a permutation of 0, ..., count - 1."""
    order = np.arange(count)
    for _ in range(math.ceil(3 * math.log(max(1, count)) / math.log(2**32 - 1))):
        key, own = split(key, 2)
        a, b = pairs(own, count)
        order = order[np.argsort(a ^ b, kind="stable")]
    return order


def batch(cell: Tree, seed: int, step: int, weights: Array) -> Array:
    """Returns which examples a run's step of SGD sees; `minibatches` asks those of the key of seed 10 itself."""
    return drawn(cell["optimizer"], split(seeded(seed), 4)[1], step, weights)


def drawn(optimizer: Tree, key: tuple[int, int], step: int, weights: Array) -> Array:
    """Returns which examples a key draws at a step."""
    size, count = optimizer["batch_size"], len(weights)
    match optimizer.get("sampling", "replacement"):
        case "replacement":
            ends = np.cumsum(weights)
            places = uniform(fold(key, step), size) * ends[-1]
            return np.minimum(np.searchsorted(ends, places, side="right"), count - 1)
        case "cyclic":
            return (step * size + np.arange(size)) % count
        case _:
            epoch = count // size
            return permutation(fold(key, step // epoch), count)[step % epoch * size :][:size]


# Data


def data(cell: Tree) -> tuple[Array, Array, Array]:
    """Returns x (N, H, W, C), targets (N, K) and weights (N,), float64; planted targets are labels here still."""
    part = cell["data"]
    match part["name"]:
        case "digits":
            x, labels, classes = *_digits(part["split"], part["examples"], part.get("subset", "first")), 10
            if part["standardise"]:
                x = (x - x.mean(axis=(0, 1, 2))) / x.std(axis=(0, 1, 2))
            targets = np.eye(classes)[labels]
        case "point":
            x, targets = np.full((1, 1, 1, 1), part["x"]), np.full((1, 1), part["target"])
        case "points":
            x, targets = np.reshape(part["x"], (-1, 1, 1, 1)), np.reshape(part["values"], (-1, 1))
        case "paper_pair":
            x, targets = np.reshape([0.9, 2.5], (2, 1, 1, 1)), np.reshape([0.9, 2.5], (2, 1))
        case "random_labels":
            shape, count = part["shape"], part["examples"]
            x = _stream(part, 2).standard_normal((count, math.prod(shape))).reshape(-1, *shape)
            targets = np.eye(part["classes"])[_stream(part, 3).integers(part["classes"], size=count)]
        case "modular_addition":
            p = part["modulus"]
            a, b = np.divmod(_stream(part, 2).permutation(p * p)[: part["examples"]], p)
            x, targets = np.stack([a, b, 0 * a + p], axis=1).reshape(-1, 1, 3, 1), np.eye(p)[(a + b) % p]
        case "parity":
            bits = _stream(part, 2).integers(2, size=(part["examples"], part["length"]))
            x, targets = bits.reshape(-1, 1, part["length"], 1), np.eye(2)[bits.sum(axis=1) % 2]
        case "gaussian_classes":
            shape, count, classes = part["shape"], part["examples"], part["classes"]
            labels, size = np.arange(count) % classes, math.prod(shape)
            means = part["separation"] * _frame(_stream(part, 0), size, classes).T
            x = (means[labels] + _stream(part, 1).standard_normal((count, size))).reshape(-1, *shape)
            targets = np.eye(classes)[labels]
        case "linear_teacher":
            shape, count, values = part["shape"], part["examples"], np.array(part["singular_values"])
            size = math.prod(shape)
            flat = math.sqrt(count) * _frame(_stream(part, 2), count, size)
            left, right = (
                _frame(_stream(part, 4), len(values), len(values)),
                _frame(_stream(part, 5), size, len(values)),
            )
            x, targets = flat.reshape(-1, *shape), flat @ ((left * values) @ right.T).T
    weights = np.array(part.get("weights") or np.ones(len(x)), float)
    return np.asarray(x, float), np.asarray(targets, float), weights


def _digits(split: str, examples: int | None, subset: str | dict[str, int]) -> tuple[Array, Array]:
    from sklearn import datasets

    found = datasets.load_digits()
    keys = range(1500) if split == "train" else range(1500, 1797)
    order = sorted(keys, key=lambda key: hashlib.md5(f"{split}{key}".encode()).digest())
    if isinstance(subset, dict):
        assert examples is not None
        wanted = [examples // 10 + (label < examples % 10) for label in range(10)]
        there = [np.flatnonzero(found.target[order] == label) for label in range(10)]
        drawn = [np.random.Generator(np.random.PCG64([subset["balanced"], j])).permutation(there[j]) for j in range(10)]
        places = np.sort(np.concatenate([one[:count] for one, count in zip(drawn, wanted, strict=True)]))
        order = [order[place] for place in places]
    order = order[:examples]
    return found.images[order][..., None] / 16, found.target[order]


def _stream(part: Tree, place: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([part["seed"], place]))


def _frame(stream: np.random.Generator, rows: int, columns: int) -> Array:
    q, r = np.linalg.qr(stream.standard_normal((rows, columns)))
    return np.asarray(q * np.sign(np.diag(r)))


def fingerprint(*arrays: Array) -> str:
    """Returns the SHA-256 of arrays: of each its shape in ASCII, then its values, little-endian float64 in C order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str(tuple(array.shape)).encode() + np.ascontiguousarray(array, "<f8").tobytes())
    return digest.hexdigest()


# A tape of operations


class Node:
    """A value on the tape, the nodes it came from, and what takes its gradient to theirs."""

    def __init__(self, tape: list[Node], value: Array, *parents: tuple[Node, Callable[[Array], Array]]) -> None:
        self.tape, self.value, self.parents = tape, value, parents
        self.gradient: Array | None = None
        tape.append(self)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its value."""
        return self.value.shape

    def then(self, value: Array, back: Callable[[Array], Array]) -> Node:
        """Returns a linear or elementwise step from this node."""
        return Node(self.tape, value, (self, back))

    def __add__(self, other: Any) -> Node:
        """Returns the sum, broadcast."""
        if not isinstance(other, Node):
            return self.then(self.value + other, lambda g: _like(g, self.shape))
        return Node(
            self.tape,
            self.value + other.value,
            (self, lambda g: _like(g, self.shape)),
            (other, lambda g: _like(g, other.shape)),
        )

    def __mul__(self, other: Any) -> Node:
        """Returns the product of entries, broadcast."""
        if not isinstance(other, Node):
            return self.then(self.value * other, lambda g: _like(g * other, self.shape))
        return Node(
            self.tape,
            self.value * other.value,
            (self, lambda g: _like(g * other.value, self.shape)),
            (other, lambda g: _like(g * self.value, other.shape)),
        )

    def __matmul__(self, other: Node) -> Node:
        """Returns the product of matrices, broadcast over leading axes."""
        return Node(
            self.tape,
            self.value @ other.value,
            (self, lambda g: _like(g @ other.value.swapaxes(-1, -2), self.shape)),
            (other, lambda g: _like(self.value.swapaxes(-1, -2) @ g, other.shape)),
        )

    def __getitem__(self, place: Any) -> Node:
        """Returns a part."""

        def back(g: Array) -> Array:
            whole = np.zeros(self.shape, complex)
            whole[place] = g
            return whole

        return self.then(self.value[place], back)

    def reshape(self, *shape: int) -> Node:
        """Returns the same numbers in another shape."""
        return self.then(self.value.reshape(shape), lambda g: g.reshape(self.shape))

    def transpose(self, *axes: int) -> Node:
        """Returns the axes in another order."""
        return self.then(self.value.transpose(axes), lambda g: g.transpose(np.argsort(axes)))

    def mean(self, *axes: int) -> Node:
        """Returns the mean over some axes, which stay with length 1."""
        count = math.prod(self.shape[axis] for axis in axes)
        value = self.value.mean(axis=axes, keepdims=True)
        return self.then(value, lambda g: np.broadcast_to(g / count, self.shape))

    def each(self, function: Callable[[Array], Array], slope: Callable[[Array], Array]) -> Node:
        """Returns a function of each entry, given with its derivative."""
        return self.then(function(self.value), lambda g: g * slope(self.value))


def _like(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sums a gradient over the axes that broadcasting added."""
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    axes = tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1)
    return np.asarray(gradient.sum(axis=axes, keepdims=True) if axes else gradient)


def _erf(z: Array) -> Array:
    return np.asarray(special.erf(z.real) + 1j * z.imag * 2 / math.sqrt(math.pi) * np.exp(-(z.real**2)))


def _phi(z: Array) -> Array:
    return (1 + _erf(z / math.sqrt(2))) / 2


def _density(z: Array) -> Array:
    return np.asarray(np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi))


def _sigmoid(z: Array) -> Array:
    return 0.5 * (1 + np.tanh(z / 2))


def _tanh_gelu(z: Array) -> tuple[Array, Array]:
    t = np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))
    return t, (1 - t**2) * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2)


def _softplus(z: Array) -> Array:
    return np.where(z.real > 0, z, 0) + np.log(1 + np.exp(np.where(z.real > 0, -z, z)))


def _between(z: Array, low: float, high: float) -> Array:
    return np.where(z.real > low, np.where(z.real < high, z, high), low)


Function = Callable[[Array], Array]
ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "relu": (lambda z: np.where(z.real > 0, z, 0), lambda z: (z.real > 0) + 0j),
    "leaky_relu": (lambda z: np.where(z.real >= 0, z, 0.01 * z), lambda z: np.where(z.real >= 0, 1, 0.01) + 0j),
    "gelu": (lambda z: z * _phi(z), lambda z: _phi(z) + z * _density(z)),
    "gelu_tanh": (
        lambda z: z / 2 * (1 + _tanh_gelu(z)[0]),
        lambda z: (1 + _tanh_gelu(z)[0]) / 2 + z / 2 * _tanh_gelu(z)[1],
    ),
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * (1 - _sigmoid(z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "silu": (lambda z: z * _sigmoid(z), lambda z: _sigmoid(z) * (1 + z * (1 - _sigmoid(z)))),
    "softplus": (_softplus, _sigmoid),
    "elu": (
        lambda z: np.where(z.real > 0, z, np.exp(np.where(z.real > 0, 0, z)) - 1),
        lambda z: np.where(z.real > 0, 1, np.exp(np.where(z.real > 0, 0, z))),
    ),
    "relu6": (lambda z: _between(z, 0, 6), lambda z: ((z.real > 0) & (z.real < 6)) + 0j),
    "hard_tanh": (lambda z: _between(z, -1, 1), lambda z: ((z.real > -1) & (z.real < 1)) + 0j),
    "identity": (lambda z: z, np.ones_like),
    "square": (lambda z: z * z, lambda z: 2 * z),
}


# Networks

OPTIONS = (
    *("name", "bias", "gain", "side", "stride", "dilation", "depthwise", "causal", "vocabulary", "groups", "epsilon"),
    *("grid", "shortcut", "scale", "layers"),
)
"""Keys of the items of a stack that do not say what an item is."""


class Network:
    """A family's map from theta and x to outputs, as the page writes it down layer by layer.

    Without a theta it finds the shapes: every parameter that is asked for is made, zero, and noted in `shapes` in the
    order in which gdzoo draws their starts.
    """

    def __init__(self, cell: Tree, outputs: int, theta: Node | None, places: list[dict[str, Any]]) -> None:
        self.model, self.outputs, self.theta = cell["model"], outputs, theta
        self.places = {one["name"]: one for one in places}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.tape: list[Node] = [] if theta is None else theta.tape
        self.blocks: dict[str, tuple[str, list[Any]]] = {}

    def parameter(self, name: str, *shape: int) -> Node:
        """Returns the parameter of a path."""
        self.shapes[name] = shape
        if self.theta is None:
            return Node(self.tape, np.zeros(shape, complex))
        place = self.places[name]
        assert tuple(place["shape"]) == shape, name
        return self.theta[place["offset"] : place["offset"] + math.prod(shape)].reshape(*shape)

    def activation(self, x: Node, which: Any = None) -> Node:
        """Applies an activation, the model's unless another is given."""
        which = which or self.model["activation"]
        if isinstance(which, dict):
            slope = which["leaky_relu"]
            return x.each(lambda z: np.where(z.real >= 0, z, slope * z), lambda z: np.where(z.real >= 0, 1, slope) + 0j)
        return x.each(*ACTIVATIONS[which])

    def dense(self, x: Node, name: str, width: int, bias: bool = True) -> Node:
        """Multiplies the last axis by the kernel and adds the bias."""
        x = x @ self.parameter(f"{name}/kernel", x.shape[-1], width)
        return x + self.parameter(f"{name}/bias", width) if bias else x

    def convolution(
        self, x: Node, name: str, channels: int, bias: bool, stride: int = 1, side: int = 3, dilation: int = 1
    ) -> Node:
        """A convolution, zero outside."""
        given = x.shape[-1]
        kernel = self.parameter(f"{name}/kernel", side, side, given, channels)
        x = _neighbours(x, side, dilation) @ kernel.reshape(side**2 * given, channels)
        x = x[:, ::stride, ::stride]
        return x + self.parameter(f"{name}/bias", channels) if bias else x

    def depthwise(self, x: Node, name: str, channels: int, bias: bool, stride: int, side: int, dilation: int) -> Node:
        """A convolution of each channel by itself, zero outside."""
        n, height, width, given = x.shape
        kernel = self.parameter(f"{name}/kernel", side, side, 1, channels).reshape(side**2, given, -1)
        near = _neighbours(x, side, dilation).reshape(n, height, width, side**2, given, 1)
        x = (near * kernel).mean(3).reshape(n, height, width, channels) * side**2
        x = x[:, ::stride, ::stride]
        return x + self.parameter(f"{name}/bias", channels) if bias else x

    def norm(self, x: Node, name: str, epsilon: float = 1e-6) -> Node:
        """Layer norm over the last axis."""
        x = _standard(x, (-1,), epsilon) * self.parameter(f"{name}/scale", x.shape[-1])
        return x + self.parameter(f"{name}/bias", x.shape[-1])

    def group_norm(self, x: Node, name: str, groups: int, epsilon: float = 1e-6) -> Node:
        """Group norm over positions and the channels of a group."""
        whole, channels = x.shape, x.shape[-1]
        x = _standard(x.reshape(whole[0], -1, groups, channels // groups), (1, 3), epsilon)
        x = x.reshape(*whole) * self.parameter(f"{name}/scale", channels)
        return x + self.parameter(f"{name}/bias", channels)

    def attention(self, x: Node, name: str, heads: int, bias: bool, causal: bool = False) -> Node:
        """Softmax attention of tokens (N, T, D)."""
        n, tokens, width = x.shape
        size = width // heads

        def projected(which: str) -> Node:
            kernel = self.parameter(f"{name}/{which}/kernel", width, heads, size).reshape(width, width)
            y = x @ kernel
            if bias:
                y = y + self.parameter(f"{name}/{which}/bias", heads, size).reshape(width)
            return y.reshape(n, tokens, heads, size).transpose(0, 2, 1, 3)

        query, key, value = map(projected, ("query", "key", "value"))
        scores = (query @ key.transpose(0, 1, 3, 2)) * (1 / math.sqrt(size))
        mixed = _softmax(scores + np.triu(np.full((tokens, tokens), -1e300), 1) if causal else scores) @ value
        kernel = self.parameter(f"{name}/out/kernel", heads, size, width).reshape(width, width)
        y = mixed.transpose(0, 2, 1, 3).reshape(n, tokens, width) @ kernel
        return y + self.parameter(f"{name}/out/bias", width) if bias else y

    def __call__(self, x: Array) -> Node:
        """Returns the outputs (N, K)."""
        return getattr(self, self.model["family"])(Node(self.tape, x.astype(complex)))  # type: ignore[no-any-return]

    def mlp(self, x: Node) -> Node:
        """The family mlp."""
        x = _flat(x)
        for i, width in enumerate(self.model["hidden"]):
            x = self.activation(self.dense(x, f"dense_{i}", width, self.model["bias"]))
        return self.dense(x, "head", self.outputs, self.model["bias"])

    def deep_linear(self, x: Node) -> Node:
        """The family deep_linear."""
        self.model = {**self.model, "activation": "identity"}
        return self.mlp(x)

    def paper_net(self, x: Node) -> Node:
        """The family paper_net."""
        x = _flat(x)
        for i in range(2):
            x = self.activation(self.dense(x, f"dense_{i}", 1, bias=False))
        return x

    def quadratic(self, x: Node) -> Node:
        """The family quadratic."""
        values = np.array(self.model["eigenvalues"])
        theta = self.parameter("form/theta", len(values))
        half = (theta * theta * (values / 2)).reshape(1, -1) @ Node(self.tape, np.ones((len(values), 1), complex))
        return half + np.zeros((len(x.value), 1))

    def curve(self, x: Node) -> Node:
        """The family curve."""
        functions = {"figure_1": _figure_1, "plateaus": _plateaus}[self.model["function"]]
        return self.parameter("curve/theta", 1).each(*functions).reshape(1, 1) + np.zeros((len(x.value), 1))

    def vgg(self, x: Node) -> Node:
        """The family vgg."""
        model, factor = self.model, self.model["width"]

        def scaled(width: int) -> int:
            return max(1, math.floor(factor * width + 0.5))

        for s, stage in enumerate(model["stages"]):
            for c, channels in enumerate(stage):
                x = self.activation(self.convolution(x, f"conv_{s}_{c}", scaled(channels), model["bias"]))
            x = _pool(x, model["pool"])
        x = _flat(x)
        for d, width in enumerate(model["dense"]):
            x = self.activation(self.dense(x, f"dense_{d}", scaled(width), model["bias"]))
        return self.dense(x, "head", self.outputs, model["bias"])

    def resnet(self, x: Node) -> Node:
        """The family resnet."""
        model, kind = self.model, self.model["norm"]
        scale = 1.0 if kind != "none" else 1 / math.sqrt(len(model["channels"]) * model["blocks"])

        def conv(x: Node, prefix: str, number: str, channels: int, stride: int) -> Node:
            x = self.convolution(x, f"{prefix}conv{number}", channels, model["bias"] and kind == "none", stride)
            if kind == "layer":
                return self.norm(x, f"{prefix}norm{number}")
            return self.group_norm(x, f"{prefix}norm{number}", model["groups"]) if kind == "group" else x

        x = self.activation(conv(x, "", "", model["channels"][0], 1))
        for s, channels in enumerate(model["channels"]):
            for b in range(model["blocks"]):
                stride = 2 if s > 0 and b == 0 else 1
                prefix = f"block_{s}_{b}/inner/"
                inner = conv(self.activation(conv(x, prefix, "_0", channels, stride)), prefix, "_1", channels, 1)
                if stride == 2:
                    x = _widened(x[:, ::2, ::2], channels)
                x = self.activation(x + inner * scale)
        return self.dense(x.mean(1, 2).reshape(-1, x.shape[-1]), "head", self.outputs, model["bias"])

    def vit(self, x: Node) -> Node:
        """The family vit."""
        model, width = self.model, self.model["width"]
        rows, columns = (side // model["patch"] for side in x.shape[1:3])
        x = self.dense(_tokens(x, model["patch"]), "embed", width, model["bias"])
        if model["positions"] == "fixed":
            x = x + _code(rows, columns, width)
        if model["pooling"] == "class_token":
            x = _before(self.parameter("class_token/token", width), x)
        if model["positions"] == "learned":
            x = x + self.parameter("position/code", *x.shape[1:])
        for b in range(model["depth"]):
            x = x + self.attention(
                self.maybe_norm(x, f"attention_{b}/inner/norm"),
                f"attention_{b}/inner/attention",
                model["heads"],
                model["bias"],
            )
            x = x + self.two_dense(self.maybe_norm(x, f"mlp_{b}/inner/norm"), f"mlp_{b}/inner", model["mlp_width"])
        x = self.maybe_norm(x, "norm")
        x = x[:, 0] if model["pooling"] == "class_token" else x.mean(1).reshape(-1, width)
        return self.dense(x, "head", self.outputs, model["bias"])

    def mixer(self, x: Node) -> Node:
        """The family mixer."""
        model = self.model
        x = self.dense(_tokens(x, model["patch"]), "embed", model["width"])
        for b in range(model["depth"]):
            across = self.maybe_norm(x, f"tokens_{b}/inner/norm").transpose(0, 2, 1)
            x = x + self.two_dense(across, f"tokens_{b}/inner/mix/inner", model["tokens_width"]).transpose(0, 2, 1)
            x = x + self.two_dense(
                self.maybe_norm(x, f"channels_{b}/inner/norm"), f"channels_{b}/inner", model["channels_width"]
            )
        x = self.maybe_norm(x, "norm")
        return self.dense(x.mean(1).reshape(-1, model["width"]), "head", self.outputs)

    def stack(self, x: Node) -> Node:
        """The family stack."""
        return self.items(self.model["layers"], x, "")

    def items(self, items: list[Any], x: Node, prefix: str, times: tuple[int, ...] = ()) -> Node:
        """A list of a stack, its parameters under a prefix; `times` are the places and times of its repetition."""
        for i, item in enumerate(items):
            part = item if isinstance(item, dict) else {item: True}
            kind = next(key for key in part if key not in OPTIONS)
            if kind == "repeat":
                for time in range(part["repeat"]):
                    x = self.items(part["layers"], x, prefix, (*times, i, time))
                continue
            name = "_".join([*(f"{number:02d}" for number in (*times, i)), kind])
            if "name" in part:
                name = "_".join([part["name"], *(str(time) for time in times[1::2])])
            x = self.item(x, kind, part, prefix + name)
        return x

    def item(self, x: Node, kind: str, part: Tree, name: str) -> Node:
        """One item of a stack."""
        value, bias = part[kind], part.get("bias", True)
        match kind:
            case "layer":
                return self.item(x, value, {value: True}, name)
            case "dense":
                return self.dense(x, name, self.outputs if value == "outputs" else value, bias)
            case "convolution":
                size = part.get("stride", 1), part.get("side", 3), part.get("dilation", 1)
                return (self.depthwise if part.get("depthwise") else self.convolution)(x, name, value, bias, *size)
            case "attention":
                return self.attention(x, name, value, bias, part.get("causal", False))
            case "embedding":
                codes = np.eye(part["vocabulary"])[x.value.real.reshape(len(x.value), -1).astype(int)]
                return Node(self.tape, codes + 0j) @ self.parameter(f"{name}/code", part["vocabulary"], value)
            case "image":
                return x.reshape(len(x.value), *value, x.shape[-1])
            case "tokens":
                return x.reshape(len(x.value), -1, x.shape[-1])
            case "last_token":
                return x[:, -1]
            case "shared":
                where, layers = self.blocks.setdefault(value, (f"{name}/inner/", part.get("layers", [])))
                return self.items(layers, x, where)
            case "norm":
                epsilon = part.get("epsilon", 1e-6)
                group = value == "group"
                return (
                    self.group_norm(x, name, part.get("groups", 1), epsilon) if group else self.norm(x, name, epsilon)
                )
            case "pool":
                return _pool(x, value)
            case "patches":
                return _tokens(x, value)
            case "position":
                if value == "fixed":
                    return x + _code(*part.get("grid", (1, x.shape[1])), x.shape[2])
                return x + self.parameter(f"{name}/code", *x.shape[1:])
            case "subsample":
                return _widened(x[:, ::2, ::2], value)
            case "residual":
                inner = self.items(value, x, f"{name}/inner/") * part.get("scale", 1.0)
                return self.items(part.get("shortcut", []), x, f"{name}/shortcut/") + inner
            case "mix_tokens":
                return self.items(value, x.transpose(0, 2, 1), f"{name}/inner/").transpose(0, 2, 1)
            case "flatten":
                return _flat(x)
            case "mean":
                return x.mean(*range(1, len(x.shape) - 1)).reshape(len(x.value), x.shape[-1])
            case "first_token":
                return x[:, 0]
            case "class_token":
                return _before(self.parameter(f"{name}/token", x.shape[-1]), x)
            case "leaky_relu" if value is not True:
                return self.activation(x, part)
        return self.activation(x, None if kind == "activation" else kind)

    def maybe_norm(self, x: Node, name: str) -> Node:
        """Layer norm, where the model has it."""
        epsilon = self.model["norm_epsilon"]
        return x if epsilon is None else self.norm(x, name, epsilon)

    def two_dense(self, x: Node, name: str, width: int) -> Node:
        """Two dense layers with an activation between them, back to the width of x."""
        bias = self.model.get("bias", True)
        inner = self.activation(self.dense(x, f"{name}/dense_0", width, bias))
        return self.dense(inner, f"{name}/dense_1", x.shape[-1], bias)


def _flat(x: Node) -> Node:
    return x.reshape(len(x.value), -1)


def _neighbours(x: Node, side: int, apart: int = 1) -> Node:
    """The side x side neighbourhoods of every position, zero outside: (N, H, W, side^2 C), by row, column, channel."""
    _, height, width, channels = x.shape
    half = apart * (side // 2)
    places = [(apart * i, apart * j) for i in range(side) for j in range(side)]
    padded = np.pad(x.value, ((0, 0), (half, half), (half, half), (0, 0)))
    value = np.concatenate([padded[:, i : i + height, j : j + width] for i, j in places], axis=-1)

    def back(g: Array) -> Array:
        whole = np.zeros(padded.shape, complex)
        for k, (i, j) in enumerate(places):
            whole[:, i : i + height, j : j + width] += g[..., k * channels : (k + 1) * channels]
        return whole[:, half : half + height, half : half + width]

    return x.then(value, back)


def _pool(x: Node, kind: str) -> Node:
    """2x2 windows side by side, an odd border repeated: their maximum or mean."""
    n, height, width, channels = x.shape
    rows, columns = (np.minimum(np.arange(-(-side // 2) * 2), side - 1) for side in (height, width))
    windows = x.value[:, rows][:, :, columns].reshape(n, len(rows) // 2, 2, len(columns) // 2, 2, channels)
    if kind == "average":
        share = np.full(windows.shape, 0.25 + 0j)
    else:
        top = windows.real == windows.real.max(axis=(2, 4), keepdims=True)
        share = top / top.sum(axis=(2, 4), keepdims=True)

    def back(g: Array) -> Array:
        spread = (g[:, :, None, :, None] * share).reshape(n, len(rows), len(columns), channels)
        whole = np.zeros(x.shape, complex)
        np.add.at(whole, (slice(None), rows[:, None], columns[None]), spread)
        return whole

    return x.then((windows * share).sum(axis=(2, 4)), back)


def _widened(x: Node, channels: int) -> Node:
    given = x.shape[-1]
    return x.then(np.pad(x.value, ((0, 0), (0, 0), (0, 0), (0, channels - given))), lambda g: g[..., :given])


def _tokens(x: Node, side: int) -> Node:
    n, height, width, channels = x.shape
    x = x.reshape(n, height // side, side, width // side, side, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(n, -1, side * side * channels)


def _code(rows: int, columns: int, width: int) -> Array:
    frequencies = 10000.0 ** -np.linspace(0, 1, width // 4)
    row, column = np.divmod(np.arange(rows * columns), columns)
    angles = column[:, None] * frequencies, row[:, None] * frequencies
    return np.concatenate([f(angle) for angle in angles for f in (np.sin, np.cos)], axis=1)


def _before(token: Node, x: Node) -> Node:
    first = np.broadcast_to(token.value, (len(x.value), 1, x.shape[-1]))
    value = np.concatenate([first, x.value], axis=1)
    return Node(x.tape, value, (token, lambda g: g[:, 0].sum(axis=0)), (x, lambda g: g[:, 1:]))


def _standard(x: Node, axes: tuple[int, ...], epsilon: float) -> Node:
    axes = tuple(axis % len(x.shape) for axis in axes)
    centred = x + x.mean(*axes) * -1
    variance = (centred * centred).mean(*axes) + epsilon
    return centred * variance.each(lambda z: z**-0.5, lambda z: -0.5 * z**-1.5)


def _softmax(x: Node) -> Node:
    e = (x + -x.value.real.max(axis=-1, keepdims=True)).each(np.exp, np.exp)
    total = e.mean(-1) * e.shape[-1]
    return e * total.each(lambda z: 1 / z, lambda z: -1 / z**2)


def _inside(z: Array) -> Array:
    return np.abs(z.real) <= 2


_figure_1: tuple[Function, Function] = (
    lambda z: np.where(_inside(z), z**4 / 2 - 3 * z**2 + 8, z**2),
    lambda z: np.where(_inside(z), 2 * z**3 - 6 * z, 2 * z),
)


def _bend(x: Array) -> tuple[Array, Array]:
    """s(x) and s'(x) of the step 1/(1 + exp(1/x - 1/(1 - x))) on (0, 1), 0 below and 1 above."""
    y = np.where((x.real > 0) & (x.real < 1), x, 0.5)
    s = _sigmoid(1 / (1 - y) - 1 / y)
    slope = s * (1 - s) * (1 / (1 - y) ** 2 + 1 / y**2)
    outside = (x.real <= 0) | (x.real >= 1)
    return np.where(outside, (x.real >= 1) + 0j, s), np.where(outside, 0, slope)


def _plateau(z: Array) -> Array:
    return (z**2 + sum(_bend(2 * z - 2 * k + 1)[0] * (z - k + 0.25) ** 2 for k in (1, 2, 3))) / 2


def _plateau_slope(z: Array) -> Array:
    total = 2 * z
    for k in (1, 2, 3):
        s, slope = _bend(2 * z - 2 * k + 1)
        total = total + 2 * slope * (z - k + 0.25) ** 2 + 2 * s * (z - k + 0.25)
    return total / 2


_plateaus: tuple[Function, Function] = (_plateau, _plateau_slope)


# Losses, and what is asked of them


class Problem:
    """The risk of a cell on its data."""

    def __init__(self, cell: Tree) -> None:
        self.cell = cell
        self.x, self.targets, self.weights = data(cell)
        shaped = Network(cell, self.targets.shape[1], None, [])
        shaped(self.x[:1])
        self.shapes = shaped.shapes
        self.places = layout(self.shapes)
        self.size = sum(math.prod(shape) for shape in self.shapes.values())
        planted = cell["data"].get("targets", "labels")
        if isinstance(planted, dict):
            outputs = self._network(Node([], self.start(seeded(planted["planted"])).astype(complex)))(self.x).value.real
            soft = cell["loss"]["name"] == "ce"
            self.targets = special.softmax(outputs, axis=1) if soft else outputs

    def start(self, key: tuple[int, int]) -> Array:
        """Returns a random start (P,): for kernels truncated normal, see the page; to about 1e-6 of their size."""
        gain, theta = self.cell["model"].get("gain", 1.0), np.zeros(self.size)
        offsets = {one["name"]: one["offset"] for one in self.places}
        for number, (name, shape) in enumerate(self.shapes.items()):
            own, count = fold(key, number), math.prod(shape)
            match name.rpartition("/")[2]:
                case "kernel":
                    fan_in = math.prod(shape[:2]) if name.endswith("out/kernel") else shape[0]
                    fan_in = math.prod(shape[:-1]) if len(shape) == 4 else fan_in
                    values = gain / math.sqrt(fan_in) / 0.87962566103423978 * normal(own, count, edge=2.0)
                case "scale":
                    values = np.ones(count)
                case "bias":
                    values = np.zeros(count)
                case "code" | "token":
                    values = normal(own, count) / math.sqrt(shape[-1])
                case _:
                    values = normal(own, count)
            theta[offsets[name] : offsets[name] + count] = values
        return theta

    def _network(self, theta: Node) -> Network:
        return Network(self.cell, self.targets.shape[1], theta, self.places)

    def risk(self, theta: Array) -> tuple[complex, Array]:
        """Returns L and its gradient at theta (P,), complex."""
        tape: list[Node] = []
        at = Node(tape, theta.astype(complex))
        outputs = self._network(at)(self.x)
        each, slope = self._losses(outputs.value)
        share = (self.weights / self.weights.sum())[:, None]
        outputs.gradient = share * slope
        for node in reversed(tape):
            if node.gradient is not None:
                for parent, back in node.parents:
                    given = back(node.gradient)
                    parent.gradient = given if parent.gradient is None else parent.gradient + given
        assert at.gradient is not None
        decay = self.cell["loss"]["weight_decay"]
        value = complex((share[:, 0] * each).sum() + decay / 2 * (theta @ theta))
        return value, at.gradient + decay * theta

    def _losses(self, f: Array) -> tuple[Array, Array]:
        """Returns the loss of each example (N,) and its derivative by the outputs (N, K)."""
        loss = self.cell["loss"]
        if loss["name"] == "output":
            return f.sum(axis=1), np.ones_like(f)
        if loss["name"] == "half_mse":
            return ((f - self.targets) ** 2).sum(axis=1) / 2, f - self.targets
        a = loss.get("smoothing", 0.0)
        q = (1 - a) * self.targets + a / f.shape[1]
        shifted = f - f.real.max(axis=1, keepdims=True)
        log_softmax = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return -(q * log_softmax).sum(axis=1), np.exp(log_softmax) * q.sum(axis=1, keepdims=True) - q

    def product(self, theta: Array, v: Array) -> Array:
        """Returns H v."""
        return np.asarray(self.risk(theta + 1j * STEP * v)[1].imag / STEP)

    def eigenvalues(self, theta: Array) -> Array:
        """Returns all eigenvalues of H, increasing."""
        hessian = np.array([self.product(theta, column) for column in np.eye(self.size)])
        return np.linalg.eigvalsh((hessian + hessian.T) / 2)

    def largest(self, theta: Array) -> float:
        """Returns the largest eigenvalue of H, by SciPy's Lanczos method."""
        from scipy.sparse import linalg

        operator = linalg.LinearOperator(
            (self.size, self.size), matvec=functools.partial(self.product, theta), dtype=float
        )
        start = np.random.default_rng(0).standard_normal(self.size)
        return float(linalg.eigsh(operator, 1, which="LA", tol=1e-10, v0=start, return_eigenvectors=False)[0])


def bundle(folder: pathlib.Path) -> Iterator[tuple[int, Tree, Tree, Array]]:
    """Yields step, `run.json`, record and theta of each state of seed 0 of a bundle."""
    seed = folder / "seed-0"
    said = json.loads((seed / "run.json").read_text())
    lines = [json.loads(line) for line in (seed / "records.jsonl").read_text().splitlines()]
    records = {one["step"]: {name: float(value) for name, value in one["values"].items()} for one in lines}
    for step, theta in states(seed / "states.safetensors")[0].items():
        yield step, said, records[step], theta
