# SPDX-License-Identifier: Apache-2.0
"""What is built against plain numpy: pooling over odd borders, fixed codes, and whole networks written out in loops."""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import zoo
from tests import builders
from zoo import curve, layer, layers

Tree = dict[str, Any]
EPSILON = 1e-6


def one(each: layer.Layer, shape: layer.Shape) -> layers.Function:
    """Returns a layer without parameters as a function of (N, *shape)."""
    return layers.BUILDERS[type(each)](each, shape, nnx.Rngs(0))


def made(family: str, fields: Tree, shape: layer.Shape, outputs: int) -> tuple[Tree, np.ndarray, np.ndarray]:
    """Returns random parameters, random inputs (2, *shape), and what the family makes of them, in float64."""
    network = builders.network(family, shape, outputs, **fields)
    random = np.random.default_rng(0)
    abstract = jax.eval_shape(network.init, jax.random.key(0))
    params = jax.tree.map(lambda leaf: 0.5 * random.standard_normal(leaf.shape), abstract)
    x = random.standard_normal((2, *shape))
    return params, x, np.asarray(jax.jit(network.apply)(params, x))


@pytest.mark.parametrize("shape", [(4, 6), (5, 4), (3, 7), (1, 1), (1, 5)])
@pytest.mark.parametrize("each", [layer.MaxPool(), layer.AveragePool()])
def test_pooling_and_its_gradient_are_over_what_is_there(each: layer.Layer, shape: tuple[int, int]) -> None:
    random = np.random.default_rng(1)
    # Few values, so that there are ties of two, three and four.
    x = random.integers(0, 3, (2, *shape, 3)).astype("float64")
    pool = one(each, (*shape, 3))
    found = np.asarray(pool(jnp.asarray(x)))
    weights = random.standard_normal(found.shape)
    gradient = np.asarray(jax.grad(lambda x: jnp.sum(weights * pool(x)))(jnp.asarray(x)))
    expected, slopes = np.zeros_like(found), np.zeros_like(x)
    for n, i, j, c in np.ndindex(found.shape):
        inside = [
            (2 * i + a, 2 * j + b) for a in (0, 1) for b in (0, 1) if 2 * i + a < shape[0] and 2 * j + b < shape[1]
        ]
        values = [x[n, p, q, c] for p, q in inside]
        if isinstance(each, layer.MaxPool):
            expected[n, i, j, c] = max(values)
            share = [(value == max(values)) / values.count(max(values)) for value in values]
        else:
            expected[n, i, j, c] = sum(values) / len(values)
            share = [1 / len(values)] * len(values)
        for (p, q), part in zip(inside, share, strict=True):
            slopes[n, p, q, c] += part * weights[n, i, j, c]
    assert np.allclose(found, expected, rtol=0, atol=1e-15)
    assert np.allclose(gradient, slopes, rtol=0, atol=1e-15)


def test_the_fixed_code_by_hand() -> None:
    code = layers.sines(2, 3, 8)
    for (row, column), k in itertools.product(np.ndindex(2, 3), range(8)):
        place = column if k < 4 else row
        angle = place * (1.0, 1e-4)[k % 2]
        assert code[3 * row + column, k] == pytest.approx(math.cos(angle) if k % 4 >= 2 else math.sin(angle), abs=1e-15)
    assert layers.sines(1, 2, 4)[1] == pytest.approx([math.sin(1), math.cos(1), 0, 1])


def test_a_shortcut_keeps_every_second_position_and_adds_zeros() -> None:
    x = np.random.default_rng(2).standard_normal((2, 5, 4, 2))
    y = np.asarray(one(layer.Subsample(3), (5, 4, 2))(jnp.asarray(x)))
    assert y.shape == (2, 3, 2, 3)
    assert np.array_equal(y[..., :2], x[:, [0, 2, 4]][:, :, [0, 2]])
    assert not y[..., 2].any()


@pytest.mark.parametrize("gain", [1.0, 2.0])
def test_kernels_start_with_variance_gain_squared_over_fan_in(gain: float) -> None:
    for each, shape, fan_in in (
        (layer.Dense(300, gain=gain), (200,), 200),
        (layer.Convolution(64, gain=gain), (4, 4, 32), 288),
    ):
        kernel = np.asarray(nnx.state(layers.BUILDERS[type(each)](each, shape, nnx.Rngs(0)), nnx.Param)["kernel"][...])
        scaled = kernel * math.sqrt(fan_in) / gain
        # About 20,000 draws or more: the standard error of their variance is below 1 %.
        assert scaled.var() == pytest.approx(1, abs=0.03)
        assert np.abs(scaled).max() < 2 / 0.8796 + 1e-3, "truncated at two deviations, then scaled up"


@pytest.mark.parametrize("shape", [(7, 5), (3, 3, 4, 6)])
def test_gain_one_is_lecun_normal_to_the_bit(shape: tuple[int, ...]) -> None:
    draws = [
        start(jax.random.key(3), shape, "float32") for start in (layers.start(1.0), nnx.initializers.lecun_normal())
    ]
    assert draws[0].shape == shape
    assert np.array_equal(*draws)


# Networks in plain numpy, one example at a time.


def affine(x: np.ndarray, p: Tree) -> np.ndarray:
    """Maps (..., D) to (..., K)."""
    return x @ p["kernel"] + p.get("bias", 0.0)


def normal(x: np.ndarray, p: Tree, groups: int | None = None) -> np.ndarray:
    """Normalises over the last axis; with `groups`, over all positions and the channels of each group."""
    y = np.empty_like(x)
    if groups is None:
        for place in np.ndindex(x.shape[:-1]):
            y[place] = (x[place] - x[place].mean()) / math.sqrt(x[place].var() + EPSILON)
    else:
        for part in np.split(np.arange(x.shape[-1]), groups):
            y[..., part] = (x[..., part] - x[..., part].mean()) / math.sqrt(x[..., part].var() + EPSILON)
    return y * p["scale"] + p["bias"]


def tokens_of(image: np.ndarray, side: int) -> np.ndarray:
    """Cuts an image (H, W, C) into tokens, row by row."""
    height, width, _ = image.shape
    corners = itertools.product(range(0, height, side), range(0, width, side))
    return np.array([image[i : i + side, j : j + side].reshape(-1) for i, j in corners])


def attention(x: np.ndarray, p: Tree, *, causal: bool = False) -> np.ndarray:
    """Softmax attention over tokens (T, width), one head and one query at a time."""
    heads, size = p["query"]["kernel"].shape[1:]
    y = np.zeros_like(x)
    for h in range(heads):
        q, k, v = (
            x @ p[name]["kernel"][:, h] + (p[name]["bias"][h] if "bias" in p[name] else 0.0)
            for name in ("query", "key", "value")
        )
        for t in range(len(x)):
            seen = range(t + 1 if causal else len(x))
            weights = np.exp([q[t] @ k[s] / math.sqrt(size) for s in seen])
            y[t] += (
                sum(w * row for w, row in zip(weights / weights.sum(), v[: len(weights)], strict=True))
                @ p["out"]["kernel"][h]
            )
    return y + p["out"].get("bias", 0.0)


def convolution(x: np.ndarray, p: Tree, stride: int = 1) -> np.ndarray:
    """A 3x3 convolution of an image (H, W, C), padded by one, at every stride-th position."""
    height, width, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    places = [[(i, j) for j in range(0, width, stride)] for i in range(0, height, stride)]
    window = lambda i, j: np.einsum("abc,abck->k", padded[i : i + 3, j : j + 3], p["kernel"])  # noqa: E731
    return np.array([[window(i, j) for i, j in row] for row in places]) + p.get("bias", 0.0)


def vit(p: Tree, image: np.ndarray, *, patch: int, depth: int, fixed: bool, token: bool, norm: bool) -> np.ndarray:
    def normed(x: np.ndarray, part: Tree) -> np.ndarray:
        return normal(x, part["norm"]) if norm else x

    x = affine(tokens_of(image, patch), p["embed"])
    if fixed:
        x = x + layers.sines(image.shape[0] // patch, image.shape[1] // patch, x.shape[1])
    if token:
        x = np.concatenate([p["class_token"]["token"][None], x])
    if not fixed:
        x = x + p["position"]["code"]
    for b in range(depth):
        inner = p[f"attention_{b}"]["inner"]
        x = x + attention(normed(x, inner), inner["attention"])
        inner = p[f"mlp_{b}"]["inner"]
        x = x + affine(np.tanh(affine(normed(x, inner), inner["dense_0"])), inner["dense_1"])
    x = normed(x, p)
    return affine(x[0] if token else x.mean(0), p["head"])


@pytest.mark.parametrize(
    ("fixed", "token", "norm"), [(False, False, True), (False, True, True), (True, False, True), (True, True, False)]
)
def test_a_vit_is_what_the_paper_says(fixed: bool, token: bool, norm: bool) -> None:
    fields = {"patch": 2, "width": 8, "depth": 1, "heads": 2, "mlp_width": 5, "activation": "tanh"}
    fields |= {"positions": "fixed" if fixed else "learned", "pooling": "class_token" if token else "mean"}
    fields |= {"norm_epsilon": EPSILON if norm else None, "bias": norm}
    params, x, found = made("vit", fields, (4, 6, 2), 3)
    expected = [vit(params, image, patch=2, depth=1, fixed=fixed, token=token, norm=norm) for image in x]
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_gpt_is_what_its_list_says() -> None:
    fields = zoo.FAMILIES["stack"].settings["gpt"].fields | {"activation": "tanh"}
    params, _, _ = made("stack", fields, (1, 3, 1), 97)
    sequences = np.array([[5, 96, 97], [0, 1, 97]])
    x = sequences.reshape(2, 1, 3, 1).astype(float)
    found = np.asarray(builders.network("stack", (1, 3, 1), 97, **fields).apply(params, x))
    for sequence, outputs in zip(sequences, found, strict=True):
        y = params["00_embedding"]["code"][sequence] + params["01_position"]["code"]
        for b in range(2):
            inner = params[f"attention_{b}"]["inner"]
            y = y + attention(normal(y, inner["00_norm"]), inner["01_attention"], causal=True)
            inner = params[f"mlp_{b}"]["inner"]
            y = y + affine(np.tanh(affine(normal(y, inner["00_norm"]), inner["01_dense"])), inner["03_dense"])
        known = affine(normal(y, params["03_norm"])[-1], params["05_dense"])
        assert np.allclose(outputs, known, rtol=1e-11, atol=1e-11)


def resnet(p: Tree, image: np.ndarray, *, channels: tuple[int, ...], blocks: int, groups: int | None) -> np.ndarray:
    def relu(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    def convolved(x: np.ndarray, part: Tree, name: str, stride: int = 1) -> np.ndarray:
        y = convolution(x, part[f"conv{name}"], stride)
        return y if groups == 0 else normal(y, part[f"norm{name}"], groups)

    x = relu(convolved(image, p, ""))
    for s, b in itertools.product(range(len(channels)), range(blocks)):
        inner = p[f"block_{s}_{b}"]["inner"]
        shrinks = s > 0 and b == 0
        y = convolved(relu(convolved(x, inner, "_0", 2 if shrinks else 1)), inner, "_1")
        if shrinks:
            more = channels[s] - channels[s - 1]
            x = np.concatenate([x[::2, ::2], np.zeros((*x[::2, ::2].shape[:2], more))], axis=-1)
        x = relu(x + (y / math.sqrt(len(channels) * blocks) if groups == 0 else y))
    return affine(x.mean((0, 1)), p["head"])


@pytest.mark.parametrize(
    ("norm", "groups", "bias", "blocks"),
    [("none", 0, True, 2), ("none", 0, False, 1), ("layer", None, True, 1), ("group", 2, True, 1)],
)
def test_a_resnet_is_what_the_paper_says(norm: str, groups: int | None, bias: bool, blocks: int) -> None:
    fields = {"channels": [2, 4], "blocks": blocks, "activation": "relu", "norm": norm, "groups": groups or 1}
    params, x, found = made("resnet", fields | {"bias": bias}, (7, 6, 2), 3)
    assert ("bias" in params["conv"]) == (bias and norm == "none")
    assert ("bias" in params["head"]) == bias
    expected = [resnet(params, image, channels=(2, 4), blocks=blocks, groups=groups) for image in x]
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-12)


def mixer(p: Tree, image: np.ndarray, *, patch: int, depth: int) -> np.ndarray:
    x = affine(tokens_of(image, patch), p["embed"])
    for b in range(depth):
        inner = p[f"tokens_{b}"]["inner"]
        y, mlp = normal(x, inner["norm"]), inner["mix"]["inner"]
        columns = [affine(np.tanh(affine(y[:, c], mlp["dense_0"])), mlp["dense_1"]) for c in range(x.shape[1])]
        x = x + np.stack(columns, axis=1)
        inner = p[f"channels_{b}"]["inner"]
        x = x + affine(np.tanh(affine(normal(x, inner["norm"]), inner["dense_0"])), inner["dense_1"])
    return affine(normal(x, p["norm"]).mean(0), p["head"])


def test_a_mixer_is_what_the_paper_says() -> None:
    fields = {"patch": 2, "width": 5, "depth": 1, "tokens_width": 4, "channels_width": 7, "activation": "tanh"}
    params, x, found = made("mixer", fields, (4, 6, 2), 3)
    assert np.allclose(found, [mixer(params, image, patch=2, depth=1) for image in x], rtol=1e-12, atol=1e-12)


def vgg(p: Tree, image: np.ndarray, *, average: bool) -> np.ndarray:
    x = image
    for stage in ((0,), (0, 1)):
        s = len(stage) - 1
        for c in stage:
            x = np.tanh(convolution(x, p[f"conv_{s}_{c}"]))
        rows, columns = (range(0, side, 2) for side in x.shape[:2])
        pool = np.mean if average else np.max
        x = np.array([[pool(x[i : i + 2, j : j + 2], axis=(0, 1)) for j in columns] for i in rows])
    return affine(np.tanh(affine(x.reshape(-1), p["dense_0"])), p["head"])


@pytest.mark.parametrize("pool", ["max", "average"])
def test_a_vgg_is_what_the_paper_says(pool: str) -> None:
    fields = {"stages": [[2], [4, 4]], "dense": [5], "activation": "tanh", "pool": pool, "width": 1.3}
    params, x, found = made("vgg", fields, (7, 6, 2), 3)
    assert [params[name]["kernel"].shape[-1] for name in ("conv_0_0", "conv_1_0", "conv_1_1", "dense_0", "head")] == [
        3,
        5,
        5,
        7,
        3,
    ]
    assert np.allclose(found, [vgg(params, image, average=pool == "average") for image in x], rtol=1e-12, atol=1e-12)


def test_the_small_networks_are_their_formulas() -> None:
    params, x, found = made("mlp", {"hidden": [4], "activation": "tanh"}, (2, 3, 1), 3)
    flat = x.reshape(2, -1)
    assert np.allclose(found, affine(np.tanh(affine(flat, params["dense_0"])), params["head"]), rtol=1e-13)
    params, x, found = made("deep_linear", {"hidden": [4, 5]}, (2, 3, 1), 3)
    product = params["dense_0"]["kernel"] @ params["dense_1"]["kernel"] @ params["head"]["kernel"]
    assert np.allclose(found, x.reshape(2, -1) @ product, rtol=1e-12)
    params, x, found = made("paper_net", {"activation": "tanh"}, (1, 1, 1), 1)
    first, second = (params[f"dense_{i}"]["kernel"] for i in (0, 1))
    assert np.allclose(found, np.tanh(second * np.tanh(first * x.reshape(2, 1))), rtol=1e-13)
    params, x, found = made("quadratic", {"eigenvalues": [4, 2.0, -0.5]}, (2, 3, 1), 1)
    assert np.allclose(found, np.full((2, 1), [4, 2, -0.5] @ params["form"]["theta"] ** 2 / 2), rtol=1e-14)


def test_the_curves_are_their_formulas_and_their_plateaus_are_what_they_claim() -> None:
    def figure_1(t: float) -> float:
        return t**4 / 2 - 3 * t**2 + 8 if abs(t) <= 2 else t**2

    def step(x: float) -> float:
        return float(x >= 1) if not 0 < x < 1 else 1 / (1 + math.exp(1 / x - 1 / (1 - x)))

    def plateaus(t: float) -> float:
        return (t**2 + sum(step(2 * t - 2 * k + 1) * (t - k + 1 / 4) ** 2 for k in (1, 2, 3))) / 2

    grid = np.linspace(-4, 4, 161)
    for name, formula in (("figure_1", figure_1), ("plateaus", plateaus)):
        row = curve.CURVES[name]
        function = curve.function(name)
        assert np.asarray(function(jnp.asarray(grid))) == pytest.approx(
            [formula(t) for t in grid], rel=1e-14, abs=1e-14
        )
        bend = jax.jit(jax.vmap(jax.grad(jax.grad(function))))
        inside = sorted([-6.0, *row.breakpoints, 6.0])
        constant = set()
        for low, high in itertools.pairwise(inside):
            values = np.asarray(bend(jnp.linspace(low, high, 41)[1:-1]))
            if np.ptp(values) == 0:
                constant.add(float(values[0]))
        assert constant == set(row.plateaus)
        left, right = (jax.vmap(jax.grad(function))(jnp.asarray(row.breakpoints) + d) for d in (-1e-9, 1e-9))
        assert np.asarray(left) == pytest.approx(np.asarray(right), abs=1e-7), "the derivative is continuous"
        params, _, found = made("curve", {"function": name}, (2, 3, 1), 1)
        assert np.allclose(found, np.full((2, 1), formula(float(params["curve"]["theta"][0]))), rtol=1e-14)


def test_three_quarters_of_the_starts_of_the_paper_net_are_dead() -> None:
    network = builders.network("paper_net", (1, 1, 1), 1, activation="relu")
    x = jnp.full((1, 1, 1, 1), 0.9)
    outputs = jax.vmap(lambda key: network.apply(network.init(key), x))(jax.random.split(jax.random.key(0), 4000))
    # The standard error of the share is 0.007.
    assert float((outputs == 0).mean()) == pytest.approx(0.75, abs=0.03)
