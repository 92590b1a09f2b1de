# SPDX-License-Identifier: Apache-2.0
"""Stacks: any network that a list of layers describes, in the order of their application.

Nested lists are residual branches and token mixers. Layers that have no name of their own are called by their place in
their list, so that parameters stand in that order. Hypotheses of the theorem: those of each layer
(`harness/theory/ingredients.py`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import pydantic

from zoo import config, items, layer

Place = tuple[str | int, ...]
"""Keys and indices that lead to a layer in a configuration: `layers[5].residual[1]`."""


DEEP = f"lists within lists; allowed: {items.DEPTH} within one another at most"


class Config(config.Config):
    """A stack: a list of layers, and the activation that the word `activation` in it stands for."""

    family: Literal["stack"]
    activation: Annotated[
        config.Activation | None,
        pydantic.Field(description="What the word `activation` in the list stands for; null where it has none."),
    ] = None
    layers: Annotated[
        items.Items,
        pydantic.Field(
            description="The layers, in the order of their application: a word, or a mapping whose one key says which."
        ),
    ]

    @pydantic.field_validator("layers", mode="before")
    @classmethod
    def _finite(cls, layers: Any) -> Any:
        if _bottomless(layers):
            raise ValueError(DEEP)
        return layers

    @pydantic.field_validator("layers")
    @classmethod
    def _few(cls, layers: Any) -> Any:
        if items.depth(layers) > items.DEPTH:
            raise ValueError(DEEP)
        if (count := items.count(layers)) > items.MOST:
            raise ValueError(f"{count:,} layers; allowed: {items.MOST:,} at most, each as often as it is repeated")
        return layers


def _bottomless(value: Any) -> bool:
    """Says whether plain lists and mappings are nested deeper than items can be; walks no deeper than that."""
    inside = [value]
    for _ in range(2 * items.DEPTH + 1):
        inside = [
            below
            for each in inside
            if isinstance(each, list | tuple | dict)
            for below in (each.values() if isinstance(each, dict) else each)
        ]
    return any(isinstance(each, list | tuple | dict) for each in inside)


class Row(NamedTuple):
    """One layer of a stack.

    Attributes:
        place: Where it is written.
        path: The names that lead to it and to its parameters.
        layer: The layer.
        shape: Shape of what it gives for one example.
    """

    place: Place
    path: tuple[str, ...]
    layer: layer.Layer
    shape: layer.Shape


def layers(config: Config, inputs: layer.Shape, outputs: int) -> layer.Layers:
    """Returns the layers of a stack.

    Raises:
        layer.Misfit: If one does not take the shape it is given, or the last gives another one than is asked for.
    """
    return _Making(config, outputs).whole(inputs)


def rows(config: Config, inputs: layer.Shape, outputs: int) -> tuple[Row, ...]:
    """Returns every layer of a stack with its place, those within another before the one that holds them.

    Raises:
        layer.Misfit: As `layers` does.
    """
    making = _Making(config, outputs)
    making.whole(inputs)
    return tuple(making.rows)


class _Making:
    """Makes layers of items, one after the other, and keeps shapes, places and names."""

    def __init__(self, config: Config, outputs: int) -> None:
        self.config = config
        self.outputs = outputs
        self.rows: list[Row] = []

    def whole(self, inputs: layer.Shape) -> layer.Layers:
        """Returns all layers."""
        found, shape = self.listed(self.config.layers, inputs, ("layers",), ())
        if shape != (self.outputs,):
            text = f"the last layer gives an array of shape {shape}, but {(self.outputs,)} is asked for"
            raise layer.Misfit(("layers", len(self.config.layers) - 1), text)
        return found

    def listed(
        self, written: tuple[Any, ...], shape: layer.Shape, place: Place, path: tuple[str, ...]
    ) -> tuple[dict[str, layer.Layer], layer.Shape]:
        """Returns the layers of a list and the shape that they give.

        Args:
            written: The items.
            shape: Of what they are given.
            place: Where the list stands.
            path: Names that lead to what holds it.
        """
        found: dict[str, layer.Layer] = {}
        for i, item in enumerate(written):
            here = (*place, i)
            name = getattr(item, "name", None) or f"{i:02d}_{getattr(item, 'kind', item)}"
            if name in found:
                raise layer.Misfit(here, f"two layers of a list are called {name}; give one another name")
            try:
                made = self.made(item, shape, here, (*path, name))
                shape = made.output(shape)
            except layer.Misfit:
                raise
            except ValueError as error:
                raise layer.Misfit(here, str(error)) from None
            found[name] = made
            self.rows.append(Row(here, (*path, name), made, shape))
        return found, shape

    def made(self, item: Any, shape: layer.Shape, here: Place, path: tuple[str, ...]) -> layer.Layer:
        """Returns the layer of an item that is given arrays of a shape."""
        match item:
            case items.Residual():
                inner = self.listed(item.residual, shape, (*here, "residual"), (*path, "inner"))[0]
                shortcut = self.listed(item.shortcut, shape, (*here, "shortcut"), (*path, "shortcut"))[0]
                return layer.Residual(inner, shortcut, item.scale)
            case items.MixTokens():
                turned = layer.tokens_of(shape)[::-1]
                return layer.MixTokens(self.listed(item.mix_tokens, turned, (*here, "mix_tokens"), (*path, "inner"))[0])
            case items.Dense():
                features = self.outputs if isinstance(item.dense, str) else item.dense
                return layer.Dense(features, item.bias, item.gain)
            case items.Named():
                return self.word(item.layer)
            case str():
                return self.word(item)
        return _plain(item, shape)

    def word(self, word: str) -> layer.Layer:
        """Returns the layer of a word."""
        if word in WORDS:
            return WORDS[word]
        if word != "activation":
            return layer.Activation(word)  # type: ignore[arg-type]
        if self.config.activation is None:
            raise ValueError(
                "the stack has no activation; write `activation:` beside `layers:`, or one of its own here"
            )
        return layer.Activation(self.config.activation)


WORDS: dict[str, layer.Layer] = {
    "flatten": layer.Flatten(),
    "mean": layer.Mean(),
    "class_token": layer.ClassToken(),
    "first_token": layer.FirstToken(),
}
"""Layers without options, which are no activations, by their words."""


def _plain(item: items.Item, shape: layer.Shape) -> layer.Layer:
    """Returns the layer of an item that holds no others."""
    match item:
        case items.Leaky():
            return layer.Activation(config.LeakyRelu(leaky_relu=item.leaky_relu))
        case items.Convolution():
            return layer.Convolution(item.convolution, item.side, item.stride, item.bias, item.gain)
        case items.Attention():
            return layer.Attention(item.attention, item.bias)
        case items.Norm():
            return layer.LayerNorm(item.epsilon) if item.norm == "layer" else layer.GroupNorm(item.groups, item.epsilon)
        case items.Pool():
            return layer.MaxPool() if item.pool == "max" else layer.AveragePool()
        case items.Patches():
            return layer.Patches(item.patches)
        case items.Position():
            if item.position == "learned":
                return layer.Position()
            rows, columns = item.grid or (1, shape[0])
            return layer.Position((rows, columns))
        case items.Subsample():
            return layer.Subsample(item.subsample)
        case items.Quadratic():
            return layer.QuadraticForm(item.quadratic)
        case items.Curve():
            return layer.Curve(item.curve)
    raise AssertionError(f"{item} is no item")


def written(found: layer.Layers) -> list[Any]:
    """Returns layers as plain items of a stack, with the names they have: the list from which `layers` makes them."""
    return [_item(each) | {"name": name} for name, each in found.items()]


def _item(each: layer.Layer) -> dict[str, Any]:
    """Returns a layer as a plain item without a name."""
    match each:
        case layer.Activation(config.LeakyRelu(leaky_relu=slope)):
            return {"leaky_relu": slope}
        case layer.Activation():
            return {"layer": each.function}
        case layer.Dense():
            return {"dense": each.features, "bias": each.bias, "gain": each.gain}
        case layer.Convolution():
            size = {"convolution": each.channels, "side": each.side, "stride": each.stride}
            return size | {"bias": each.bias, "gain": each.gain}
        case layer.Attention():
            return {"attention": each.heads, "bias": each.bias}
        case layer.LayerNorm():
            return {"norm": "layer", "epsilon": each.epsilon}
        case layer.GroupNorm():
            return {"norm": "group", "groups": each.groups, "epsilon": each.epsilon}
        case layer.Pool():
            return {"pool": "max" if isinstance(each, layer.MaxPool) else "average"}
        case layer.Patches():
            return {"patches": each.side}
        case layer.Position():
            return {"position": "learned"} if each.grid is None else {"position": "fixed", "grid": list(each.grid)}
        case layer.Subsample():
            return {"subsample": each.channels}
        case layer.QuadraticForm():
            return {"quadratic": list(each.eigenvalues)}
        case layer.Curve():
            return {"curve": each.function}
        case layer.Residual():
            branches = {"residual": written(each.inner), "shortcut": written(each.shortcut)}
            return branches | {"scale": each.scale}
        case layer.MixTokens():
            return {"mix_tokens": written(each.inner)}
    return {"layer": next(word for word, row in WORDS.items() if row == each)}


SETTINGS = {
    "tiny": config.tiny(
        714,
        {
            "activation": "relu",
            "layers": [
                {"convolution": 4, "stride": 2},
                "activation",
                {"residual": [{"convolution": 4}, "activation", {"convolution": 4}]},
                {"pool": "max"},
                {"patches": 1},
                {"residual": [{"norm": "layer"}, {"attention": 2}]},
                "mean",
                {"dense": "outputs"},
            ],
        },
    ),
}
