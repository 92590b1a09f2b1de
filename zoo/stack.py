# SPDX-License-Identifier: Apache-2.0
"""Stacks: any network that a list of layers describes, in the order of their application.

Nested lists are residual branches and token mixers. Layers that have no name of their own are called by their place in
their list, so that parameters stand in that order. Hypotheses of the theorem: those of each layer
(`harness/theory/ingredients.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
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
    def _shallow(cls, layers: Any) -> Any:
        if items.depth(layers) > items.DEPTH:
            raise ValueError(DEEP)
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


class _Block(NamedTuple):
    """A shared block where it was first met: its items, the shape it takes, its layers."""

    items: tuple[Any, ...]
    takes: layer.Shape
    layers: layer.Layers


class _Where(NamedTuple):
    """Where a list of items stands.

    Attributes:
        place: In the configuration.
        path: Names that lead to what holds its layers.
        number: What the names of its layers begin with, and those that are given end with: how often it was repeated.
    """

    place: Place
    path: tuple[str, ...] = ()
    number: tuple[int, ...] = ()

    def inside(self, i: int, key: str, name: str, part: str = "inner") -> _Where:
        """Returns where a list within item i stands, which holds layers of its own."""
        return _Where((*self.place, i, key), (*self.path, name, part))


class _Making:
    """Makes layers of items, one after the other, and keeps shapes, places, names and shared blocks."""

    def __init__(self, config: Config, outputs: int) -> None:
        self.config = config
        self.outputs = outputs
        self.rows: list[Row] = []
        self.blocks: dict[str, _Block] = {}

    def whole(self, inputs: layer.Shape) -> layer.Layers:
        """Returns all layers."""
        found, shape = self.listed(self.config.layers, inputs, _Where(("layers",)))
        if shape != (self.outputs,):
            text = f"the last layer gives an array of shape {shape}, but {(self.outputs,)} is asked for"
            raise layer.Misfit(("layers", len(self.config.layers) - 1), text)
        return found

    def listed(
        self, written: tuple[Any, ...], shape: layer.Shape, where: _Where
    ) -> tuple[dict[str, layer.Layer], layer.Shape]:
        """Returns the layers of a list of items that is given arrays of a shape, and the shape that they give."""
        found: dict[str, layer.Layer] = {}
        for i, item in enumerate(written):
            here = (*where.place, i)
            for name, made in self.of_item(item, shape, where, i):
                if name in found:
                    raise layer.Misfit(here, f"two layers of a list are called {name}; give one another name")
                if len(self.rows) == items.MOST:
                    text = f"more than {items.MOST:,} layers, each as often as it is repeated"
                    raise layer.Misfit(here, text)
                try:
                    shape = made.output(shape)
                except ValueError as error:
                    raise layer.Misfit(here, str(error)) from None
                found[name] = made
                if not isinstance(item, items.Repeat):
                    self.rows.append(Row(here, (*where.path, name), made, shape))
        return found, shape

    def of_item(self, item: Any, shape: layer.Shape, where: _Where, i: int) -> Iterator[tuple[str, layer.Layer]]:
        """Yields names and layers of item i of a list: one, or those of a repeated block."""
        auto = "_".join([*(f"{number:02d}" for number in (*where.number, i)), getattr(item, "kind", item)])
        given = getattr(item, "name", None)
        name = auto if given is None else "_".join([given, *map(str, where.number[1::2])])
        if isinstance(item, items.Repeat):
            for time in range(item.repeat):
                inside = _Where((*where.place, i, "layers"), where.path, (*where.number, i, time))
                made, shape = self.listed(item.layers, shape, inside)
                yield from made.items()
            return
        try:
            yield name, self.made(item, shape, where, i, name)
        except layer.Misfit:
            raise
        except ValueError as error:
            raise layer.Misfit((*where.place, i), str(error)) from None

    def made(self, item: Any, shape: layer.Shape, where: _Where, i: int, name: str) -> layer.Layer:
        """Returns the layer of item i of a list."""
        match item:
            case items.Residual():
                inner = self.listed(item.residual, shape, where.inside(i, "residual", name))[0]
                shortcut = self.listed(item.shortcut, shape, where.inside(i, "shortcut", name, "shortcut"))[0]
                return layer.Residual(inner, shortcut, item.scale)
            case items.MixTokens():
                turned = layer.tokens_of(shape)[::-1]
                return layer.MixTokens(self.listed(item.mix_tokens, turned, where.inside(i, "mix_tokens", name))[0])
            case items.Shared():
                return self.shared(item, shape, where.inside(i, "layers", name))
            case items.Dense():
                features = self.outputs if isinstance(item.dense, str) else item.dense
                return layer.Dense(features, item.bias, item.gain)
            case items.Embedding() if where.place != ("layers",) or i or where.number:
                raise ValueError("an embedding takes the integers of the data, so it comes first in the stack")
            case items.Named():
                return self.word(item.layer)
            case str():
                return self.word(item)
        return _plain(item, shape)

    def shared(self, item: items.Shared, shape: layer.Shape, inside: _Where) -> layer.Shared:
        """Returns a shared block: the first of its label, or one of its kind."""
        block = self.blocks.get(item.shared)
        if block is None:
            if not item.layers:
                raise ValueError(f"no block before is called {item.shared}; the first needs its `layers:`")
            inner = self.listed(item.layers, shape, inside)[0]
            self.blocks[item.shared] = _Block(item.layers, shape, inner)
            return layer.Shared(item.shared, inner)
        if item.layers and item.layers != block.items:
            raise ValueError(f"the block {item.shared} has other layers than before; leave `layers:` out")
        if shape != block.takes:
            raise ValueError(f"the block {item.shared} takes arrays of shape {block.takes}, not {shape}")
        return layer.Shared(item.shared, block.layers, again=True)

    def word(self, word: str) -> layer.Layer:
        """Returns the layer of a word."""
        if word in WORDS:
            return WORDS[word]
        if word != "activation":
            return layer.Activation(word)  # type: ignore[arg-type]
        if self.config.activation is None:
            raise ValueError("the stack has no activation; write `activation:` beside `layers:`, or another word here")
        return layer.Activation(self.config.activation)


WORDS: dict[str, layer.Layer] = {
    "flatten": layer.Flatten(),
    "mean": layer.Mean(),
    "tokens": layer.Tokens(),
    "class_token": layer.ClassToken(),
    "first_token": layer.FirstToken(),
    "last_token": layer.LastToken(),
}
"""Layers without options, which are no activations, by their words."""


def _plain(item: items.Item, shape: layer.Shape) -> layer.Layer:
    """Returns the layer of an item that holds no others."""
    match item:
        case items.Leaky():
            return layer.Activation(config.LeakyRelu(leaky_relu=item.leaky_relu))
        case items.Convolution():
            kind = layer.Depthwise if item.depthwise else layer.Convolution
            return kind(item.convolution, item.side, item.stride, item.bias, item.gain, item.dilation)
        case items.Attention():
            return layer.Attention(item.attention, item.bias, item.causal)
        case items.Image():
            return layer.Image(*item.image)
        case items.Embedding():
            return layer.Embedding(item.vocabulary, item.embedding)
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
        case layer.Convolution() | layer.Depthwise():
            size = {"convolution": each.channels, "side": each.side, "stride": each.stride, "dilation": each.dilation}
            return size | {"depthwise": isinstance(each, layer.Depthwise), "bias": each.bias, "gain": each.gain}
        case layer.Attention():
            return {"attention": each.heads, "causal": each.causal, "bias": each.bias}
        case layer.Image():
            return {"image": [each.rows, each.columns]}
        case layer.Embedding():
            return {"embedding": each.width, "vocabulary": each.vocabulary}
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
        case layer.Shared():
            return {"shared": each.label, "layers": [] if each.again else written(each.inner)}
    return {"layer": next(word for word, row in WORDS.items() if row == each)}


def _gpt(width: int, parameters: int, source: str) -> config.Setting:
    """Returns a decoder of depth 2 for sequences a, b, = of integers modulo 97; pre-norm, as GPT-2."""
    norm = {"norm": "layer"}
    attention = {"residual": [norm, {"attention": 4, "causal": True}], "name": "attention"}
    mlp = {"residual": [norm, {"dense": 4 * width}, "activation", {"dense": width}], "name": "mlp"}
    layers = [
        {"embedding": width, "vocabulary": 98},
        {"position": "learned"},
        {"repeat": 2, "layers": [attention, mlp]},
        norm,
        "last_token",
        {"dense": "outputs"},
    ]
    return config.Setting({"activation": "gelu", "layers": layers}, (1, 3, 1), 97, parameters, source)


_GROKKING = "Power et al., 2022, arXiv 2201.02177: decoder of depth 2 on equations modulo 97"

SETTINGS = {
    "tiny": config.tiny(
        474,
        {
            "activation": "relu",
            "layers": [
                {"convolution": 4, "stride": 2},
                "activation",
                {"residual": [{"convolution": 4}, "activation", {"convolution": 4}]},
                {"pool": "max"},
                "tokens",
                {"residual": [{"norm": "layer"}, {"attention": 2}]},
                "mean",
                {"dense": "outputs"},
            ],
        },
    ),
    "gpt": _gpt(32, 31_905, f"{_GROKKING}, at width 32 instead of 128 and with a LayerNorm before each part"),
    "gpt-128": _gpt(128, 422_241, f"{_GROKKING}, width 128, 4 heads; here with a LayerNorm before each part"),
}
