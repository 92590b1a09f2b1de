# SPDX-License-Identifier: Apache-2.0
"""INGREDIENTS: what a cell is made of, and what covers each: the paper, our extension F7 of it, or nothing.

The paper is Craciun & Ghoshdastidar, NeurIPS 2025, arXiv 2510.24466; its Theorem 1, corollaries and remarks are meant
where no other source is named. F7 is among `theory.STATEMENTS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from harness import config, errors
from zoo import activations, layer
from zoo import config as zoo_config

Status = Literal["theorem 1", "extension F7", "extension F11", "outside"]


@dataclasses.dataclass(frozen=True)
class Ingredient:
    """One ingredient of a cell.

    Attributes:
        name: What it is called.
        status: What covers it.
        why: Why, in a sentence with its source.
        analytic: Whether it is analytic everywhere, and not only in pieces.
    """

    name: str
    status: Status
    why: str
    analytic: bool = True


INGREDIENTS: dict[str, Ingredient] = {
    row.name: row
    for row in (
        Ingredient("dense", "theorem 1", "a fully connected layer; Theorem 1"),
        Ingredient(
            "dense on each token",
            "theorem 1",
            "weights shared over positions, as a convolution with kernels of one pixel; Theorem 1, whose proof "
            "(Proposition 16) assumes generic data, an assumption that F7 does without",
        ),
        Ingredient(
            "convolution",
            "theorem 1",
            "Theorem 1; its proof (Proposition 16) assumes generic data, an assumption that F7 does without",
        ),
        Ingredient("attention", "theorem 1", "softmax attention; Theorem 1, Proposition 17"),
        Ingredient("bias", "theorem 1", "the paper's Remark 15"),
        Ingredient("flatten", "theorem 1", "only rearranges numbers; the paper's layers act on vectors"),
        Ingredient("patches", "theorem 1", "only rearranges the input, and Theorem 1 takes any data"),
        Ingredient("causal attention", "extension F7", "softmax over some of the tokens; the paper names all of them"),
        Ingredient("depthwise convolution", "extension F7", "a convolution with entries held at 0; not named"),
        Ingredient("dilation", "extension F7", "entries of a kernel held at 0, which is linear; not named"),
        Ingredient("tokens", "theorem 1", "only rearranges numbers; the paper's layers act on vectors"),
        Ingredient("image", "theorem 1", "only rearranges numbers; the paper's layers act on vectors"),
        Ingredient("embedding", "extension F7", "a dense layer on one-hot codes, shared over positions; not named"),
        Ingredient("last_token", "extension F7", "linear; the paper does not name it"),
        Ingredient(
            "shared weights",
            "extension F7",
            "the same parameters in several places of the graph; F7 takes any",
        ),
        Ingredient("stride", "extension F7", "leaving out positions is linear; the paper does not name it"),
        Ingredient("average_pool", "extension F7", "linear; the paper does not name it"),
        Ingredient("mean", "extension F7", "linear; the paper does not name it"),
        Ingredient("first_token", "extension F7", "linear; the paper does not name it"),
        Ingredient("subsample", "extension F7", "linear; the paper does not name it"),
        Ingredient(
            "max_pool",
            "extension F7",
            "max(u, v) = v + relu(u - v) is piecewise linear; the paper does not name it",
            analytic=False,
        ),
        Ingredient("learned position", "extension F7", "adds parameters, as a bias does; the paper does not name it"),
        Ingredient("fixed position", "extension F7", "adds constants; the paper does not name it"),
        Ingredient("class_token", "extension F7", "a token made of parameters, linear; the paper does not name it"),
        Ingredient(
            "layer_norm",
            "extension F7",
            "analytic, since the root is of something positive; the paper does not name it",
        ),
        Ingredient(
            "group_norm",
            "extension F7",
            "analytic, since the root is of something positive; the paper does not name it",
        ),
        Ingredient(
            "norm without epsilon",
            "outside",
            "not defined where the variance is 0, which can be reached",
            analytic=False,
        ),
        Ingredient("residual", "extension F7", "a sum; the paper expects a routine extension and does not prove it"),
        Ingredient(
            "mix_tokens", "extension F7", "layers with weights shared across channels; the paper does not name it"
        ),
        Ingredient("quadratic_form", "extension F7", "no layer of a network, but analytic in theta"),
        Ingredient(
            "curve",
            "extension F7",
            "no layer of a network, but a scalar function of theta that is analytic between its breakpoints",
            analytic=False,
        ),
        Ingredient("analytic activation", "theorem 1", "analytic on the whole line; Theorem 1"),
        Ingredient(
            "piecewise analytic activation",
            "theorem 1",
            "analytic between its breakpoints; Theorem 1 asks no more",
            analytic=False,
        ),
        Ingredient(
            "piecewise linear activation",
            "theorem 1",
            "linear between its breakpoints; Theorem 1 asks no more",
            analytic=False,
        ),
        Ingredient(
            "half_mse",
            "theorem 1",
            "analytic in the outputs; Theorem 1. Summed over the K outputs: with a mean over them the bad step sizes "
            "would be K times as large, without the 1/2 half as large (those of the data term)",
        ),
        Ingredient("smoothed_ce", "theorem 1", "analytic in the outputs; Theorem 1"),
        Ingredient("ce", "theorem 1", "analytic in the outputs; Theorem 1"),
        Ingredient("output", "theorem 1", "linear in the outputs, so analytic; Theorem 1"),
        Ingredient(
            "weight_decay",
            "theorem 1",
            "an analytic term more, and Corollary 12 asks only for a risk that is analytic almost everywhere",
        ),
        Ingredient("gd", "theorem 1", "the map of the whole risk; Theorem 1"),
        Ingredient(
            "sgd",
            "theorem 1",
            "Theorem 1 for each of finitely many mini-batches; one drawn with replacement is a risk with repeated "
            "examples. What is said below holds for the map of every mini-batch",
        ),
        Ingredient("heavy_ball", "extension F11", "a map of (theta, v), which the paper does not speak of"),
        Ingredient("nesterov", "extension F11", "a map of (theta, v), which the paper does not speak of"),
    )
}


def of(layers: layer.Layers, loss: config.Loss, optimizer: config.Optimizer) -> tuple[Ingredient, ...]:
    """Returns every ingredient of a cell once, in the order of its first use; an activation under its own name.

    Args:
        layers: The network.
        loss: The `loss` part of a cell: `name` and `weight_decay`.
        optimizer: The `optimizer` part of a cell: `name`.
    """
    return tuple(dict.fromkeys(_all(layers, loss, optimizer)))


def named(names: Sequence[str]) -> tuple[Ingredient, ...]:
    """Returns the ingredients that somebody names of a network of their own: names of INGREDIENTS, or activations.

    Raises:
        errors.InputError: If there is no such name.
    """
    found: dict[Ingredient, None] = {}
    for name in names:
        row = known(name)
        if row is None:
            there = [*INGREDIENTS, *activations.ACTIVATIONS]
            raise errors.InputError(
                f"ingredients: {name!r} is not known; allowed: {', '.join(there)}{errors.nearest(name, there)}"
            )
        found[row] = None
    return tuple(found)


def known(name: Any) -> Ingredient | None:
    """Returns the ingredient of a name of INGREDIENTS or of an activation; None where it is neither."""
    if name in activations.ACTIVATIONS:
        return _activation(name)
    return INGREDIENTS.get(name)


def unheard(name: str) -> Ingredient:
    """Returns what is known of an ingredient that somebody names and we do not know: nothing."""
    return Ingredient(name, "outside", "no ingredient of gdzoo's; nothing is known of it", analytic=False)


def _activation(function: zoo_config.Activation) -> Ingredient:
    """Returns the ingredient of an activation, under its own name."""
    row = INGREDIENTS[f"{activations.row(function).regularity} activation"]
    name = function if isinstance(function, str) else f"leaky_relu of slope {function.leaky_relu:g}"
    return dataclasses.replace(row, name=f"{name}: {row.name}")


def of_layers(layers: layer.Layers) -> dict[tuple[str, ...], tuple[Ingredient, ...]]:
    """Returns the ingredients of each layer by the names that lead to it, those within another after that one."""
    return {path: tuple(_own(node, spread)) for path, node, spread in _walk(layers, True)}


def _all(layers: layer.Layers, loss: config.Loss, optimizer: config.Optimizer) -> Iterator[Ingredient]:
    for found in of_layers(layers).values():
        yield from found
    yield INGREDIENTS[loss.name]
    if loss.weight_decay:
        yield INGREDIENTS["weight_decay"]
    yield INGREDIENTS[optimizer.name]


def _own(node: layer.Layer, spread: bool) -> Iterator[Ingredient]:
    """Yields the ingredients of one layer.

    Args:
        node: The layer.
        spread: Whether it is given features at several positions or tokens.
    """
    if isinstance(node, layer.Activation):
        yield _activation(node.function)
        return
    shared = spread and isinstance(node, layer.Dense)
    own = ("dense on each token" if shared and name == "dense" else name for name in names(node))
    yield from (INGREDIENTS[name] for name in own)


def _walk(
    layers: layer.Layers, spread: bool, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], layer.Layer, bool]]:
    """Yields names, every layer and whether it works at several positions; those inside another after that one."""
    for name, node in layers.items():
        yield (*path, name), node, spread
        for part in ("inner", "shortcut"):
            yield from _walk(getattr(node, part, {}), spread, (*path, name, part))
        spread = _spreads(node, spread)


def _spreads(node: layer.Layer, spread: bool) -> bool:
    """Says whether a layer gives features at several positions, from whether it is given such."""
    if isinstance(node, layer.Patches | layer.Tokens | layer.Embedding | layer.Image):
        return True
    if isinstance(node, layer.Residual | layer.Shared):
        for inner in node.inner.values():
            spread = _spreads(inner, spread)
    return spread and not isinstance(node, layer.FirstToken | layer.LastToken | layer.Mean | layer.Flatten)


def names(node: layer.Layer) -> list[str]:
    """Returns the names in INGREDIENTS of a layer that is no activation."""
    match node:
        case layer.Dense():
            return ["dense", "bias"] if node.bias else ["dense"]
        case layer.Attention():
            return ["causal attention" if node.causal else "attention", *["bias"] * node.bias]
        case layer.Convolution() | layer.Depthwise():
            kind = "convolution" if isinstance(node, layer.Convolution) else "depthwise convolution"
            far = [*["stride"] * (node.stride > 1), *["dilation"] * (node.dilation > 1)]
            return [kind, *["bias"] * node.bias, *far]
        case layer.LayerNorm() | layer.GroupNorm() if node.epsilon <= 0:
            return ["norm without epsilon"]
        case layer.Position():
            return ["learned position" if node.learned else "fixed position"]
    return [NAMES[type(node)]]


NAMES: dict[type[layer.Layer], str] = {
    layer.LayerNorm: "layer_norm",
    layer.GroupNorm: "group_norm",
    layer.MaxPool: "max_pool",
    layer.AveragePool: "average_pool",
    layer.Flatten: "flatten",
    layer.Mean: "mean",
    layer.Patches: "patches",
    layer.ClassToken: "class_token",
    layer.FirstToken: "first_token",
    layer.LastToken: "last_token",
    layer.Tokens: "tokens",
    layer.Image: "image",
    layer.Embedding: "embedding",
    layer.Shared: "shared weights",
    layer.Residual: "residual",
    layer.MixTokens: "mix_tokens",
    layer.Subsample: "subsample",
    layer.QuadraticForm: "quadratic_form",
    layer.Curve: "curve",
}
