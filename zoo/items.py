# SPDX-License-Identifier: Apache-2.0
"""Items: how a layer is written in the list of a stack, as a word or as a mapping whose one key says what it is.

    [{convolution: 16, stride: 2}, relu, {residual: [{convolution: 16}, gelu]}, mean, {dense: outputs}]

`zoo/stack.py` makes layers of them. What is left out has its default and is left out again when an item is written
down, so that a layer can be given more options later and no configuration changes its name. Loads no jax.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import pydantic

from zoo import config

MOST = 1024
"""Layers that a stack may have, those in blocks counted, and as often as they are repeated."""

DEPTH = 6
"""Lists within lists, at most."""

RESERVED = frozenset(
    {"add_module", "children", "eval", "modules", "named_parameters", "order", "parameters", "set_attributes", "train"}
    | {"inner", "iter_children", "iter_modules", "perturb", "scale", "shortcut", "sow"}
)
"""Names that the modules of layers have a use for; a test holds the list against flax."""

_Called = Annotated[
    str, pydantic.Field(min_length=1, max_length=40, pattern=r"^[a-z0-9][a-z0-9_]*$", examples=["head"])
]

Name = Annotated[
    _Called | None,
    pydantic.Field(description="What its parameters are called; by its place if left out."),
]

Word = Literal[
    config.ActivationName,
    "activation",
    "flatten",
    "mean",
    "tokens",
    "class_token",
    "first_token",
    "last_token",
]
"""What can be said in a word: an activation, or a layer without options; `activation` is that of the stack."""


class Item(config.Config):
    """One layer with options."""

    kind: ClassVar[str]

    name: Name = None

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: pydantic.GetJsonSchemaHandler) -> dict[str, Any]:
        """Returns the schema with the key that says what the item is first and the name last."""
        schema = handler.resolve_ref_schema(handler(core))
        if "properties" in schema:
            schema["properties"]["name"] = schema["properties"].pop("name")
        return schema

    @pydantic.field_validator("name")
    @classmethod
    def _free(cls, name: str | None) -> str | None:
        if name in RESERVED:
            raise ValueError(f"{name!r} is not allowed; allowed: another name, as this one is taken")
        return name

    @pydantic.model_serializer(mode="wrap")
    def _short(self, full: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Returns the item without what has its default; what it is comes first, its name last."""
        fields = type(self).model_fields
        written = {key: value for key, value in full(self).items() if getattr(self, key) != fields[key].default}
        return {self.kind: written.pop(self.kind)} | {key: written[key] for key in (*fields, "name") if key in written}


Features = Annotated[
    Annotated[Literal["outputs"], pydantic.Tag("outputs")] | Annotated[config.Width, pydantic.Tag("width")],
    pydantic.Discriminator(lambda value: "outputs" if isinstance(value, str) else "width"),
    pydantic.Field(description="Features; `outputs` for as many as the network is to give."),
]


class Dense(Item):
    """W x + b over the last axis: at each position of an image, or token, the same."""

    kind = "dense"

    dense: Features
    bias: config.Bias = True
    gain: config.Gain = 1.0


class Convolution(Item):
    """A convolution with square kernels and zero padding: images keep their size, but for a stride."""

    kind = "convolution"

    convolution: Annotated[config.Width, pydantic.Field(description="Channels.")]
    side: Annotated[
        int, pydantic.Field(ge=1, le=31, multiple_of=1, description="Side of the kernels, an odd number of pixels.")
    ] = 3
    stride: Annotated[int, pydantic.Field(ge=1, le=64, description="Every so-many-th position is kept.")] = 1
    dilation: Annotated[
        int, pydantic.Field(ge=1, le=64, description="How many pixels the entries of a kernel lie apart.")
    ] = 1
    depthwise: Annotated[
        bool, pydantic.Field(description="Whether each channel is made of one channel of the input alone.")
    ] = False
    bias: config.Bias = True
    gain: config.Gain = 1.0

    @pydantic.field_validator("side")
    @classmethod
    def _odd(cls, side: int) -> int:
        if side % 2 == 0:
            raise ValueError(f"{side} is not allowed; allowed: an odd number, so that images keep their size")
        return side


class Attention(Item):
    """Softmax self-attention over tokens."""

    kind = "attention"

    attention: Annotated[int, pydantic.Field(ge=1, le=64, description="Heads; they divide the width of the tokens.")]
    causal: Annotated[bool, pydantic.Field(description="Whether a token sees no later ones.")] = False
    bias: config.Bias = True


class Norm(Item):
    """LayerNorm over the last axis, or GroupNorm over all positions and the channels of each group."""

    kind = "norm"

    norm: Annotated[Literal["layer", "group"], pydantic.Field(description="Which of the two.")]
    groups: Annotated[config.Width, pydantic.Field(description="Groups of channels, with `norm: group` only.")] = 1
    epsilon: Annotated[float, pydantic.Field(gt=0, le=1, description="Added to the variance.")] = 1e-6

    @pydantic.model_validator(mode="after")
    def _groups_are_for_groups(self) -> Norm:
        if self.groups != 1 and self.norm != "group":
            raise ValueError(f"groups {self.groups} goes with norm group, not with norm {self.norm}")
        return self


class Pool(Item):
    """2x2 windows, side by side; at an odd border over what is there."""

    kind = "pool"

    pool: Annotated[
        Literal["max", "average"], pydantic.Field(description="What each 2x2 window becomes: its maximum or its mean.")
    ]


class Patches(Item):
    """An image cut into square patches, row by row; each becomes a token."""

    kind = "patches"

    patches: Annotated[config.Width, pydantic.Field(description="Side of a patch, in pixels.")]


class Image(Item):
    """Tokens as the positions of an image, row by row: back from the word `tokens`."""

    kind = "image"

    image: Annotated[
        tuple[config.Width, ...],
        pydantic.Field(strict=False, min_length=2, max_length=2, description="Rows and columns."),
    ]


class Embedding(Item):
    """A learned vector for each integer of a sequence; it comes first."""

    kind = "embedding"

    embedding: Annotated[config.Width, pydantic.Field(description="Features of the vectors.")]
    vocabulary: Annotated[config.Width, pydantic.Field(description="How many integers there are: 0, 1, 2, ...")]


class Position(Item):
    """A code added to each token."""

    kind = "position"

    position: Annotated[
        Literal["learned", "fixed"],
        pydantic.Field(description="The positional code: learned, or sines and cosines (width divisible by 4)."),
    ]
    grid: Annotated[
        Annotated[tuple[config.Width, ...], pydantic.Field(strict=False, min_length=2, max_length=2)] | None,
        pydantic.Field(description="Rows and columns of the tokens, with `position: fixed` only; one row if left out."),
    ] = None

    @pydantic.model_validator(mode="after")
    def _grids_are_fixed(self) -> Position:
        if self.grid is not None and self.position != "fixed":
            raise ValueError("a grid goes with position fixed, not with position learned")
        return self


class Subsample(Item):
    """Every second position, with zero channels added: the shortcut without parameters of He et al., option A."""

    kind = "subsample"

    subsample: Annotated[config.Width, pydantic.Field(description="Channels, not fewer than there are.")]


class Quadratic(Item):
    """1/2 sum_i lambda_i theta_i^2, whatever the input: the family `quadratic`."""

    kind = "quadratic"

    quadratic: Annotated[
        tuple[Annotated[float, pydantic.Field(ge=-1e30, le=1e30)], ...],
        pydantic.Field(strict=False, min_length=1, max_length=10000, description="The eigenvalues, one per parameter."),
    ]


class Curve(Item):
    """L(theta) of one parameter, whatever the input: the family `curve`."""

    kind = "curve"

    curve: Annotated[Literal["figure_1", "plateaus"], pydantic.Field(description="The risk.")]


class Residual(Item):
    """shortcut(x) + scale inner(x)."""

    kind = "residual"

    residual: Annotated[Items, pydantic.Field(description="The layers of the inner branch, in order.")]
    shortcut: Annotated[Some, pydantic.Field(description="The layers of the other branch; none for the identity.")] = ()
    scale: Annotated[float, pydantic.Field(gt=0, le=100, description="What the inner branch is multiplied by.")] = 1.0


class MixTokens(Item):
    """Layers applied across tokens: transposed, the layers, transposed back."""

    kind = "mix_tokens"

    mix_tokens: Annotated[Items, pydantic.Field(description="The layers, in order.")]


class Repeat(Item):
    """Layers so many times one after the other, each time with parameters of their own."""

    kind = "repeat"

    repeat: Annotated[int, pydantic.Field(ge=1, le=256, description="How often.")]
    layers: Annotated[Items, pydantic.Field(description="The layers, in order; names get the number of the time.")]


class Shared(Item):
    """Layers whose parameters are the same wherever a block of this label stands."""

    kind = "shared"

    shared: Annotated[_Called, pydantic.Field(description="The label of the block.")]
    layers: Annotated[
        Some, pydantic.Field(description="Its layers, in order; those of the first block of this label if left out.")
    ] = ()


class Named(Item):
    """A layer that could be a word, with a name."""

    kind = "layer"

    layer: Annotated[Word, pydantic.Field(description="Which.")]


class Leaky(Item):
    """A leaky ReLU with a slope of its own."""

    kind = "leaky_relu"

    leaky_relu: Annotated[float, pydantic.Field(gt=0, lt=1, description="The slope below zero.")]


KINDS: dict[str, type[Item]] = {cls.kind: cls for cls in Item.__subclasses__()}
"""Every mapping by the key that says what it is."""


def _kind(value: Any) -> str | None:
    """Returns which of the variants of an item a value is meant to be; None for a mapping that says nothing."""
    if isinstance(value, Item):
        return value.kind
    if isinstance(value, dict):
        return next((key for key in value if key in KINDS), None)
    return "word"


def _canonical(item: Any) -> Any:
    """Returns the plainest item that says the same."""
    if isinstance(item, Leaky) and item.leaky_relu == config.SLOPE:
        item = Named(layer="leaky_relu", name=item.name)
    return item.layer if isinstance(item, Named) and item.name is None else item


def _any() -> Any:
    """Returns the type of one element of a list."""
    variants: Any = Annotated[Word, pydantic.Tag("word")]
    for cls in KINDS.values():
        variants |= Annotated[cls, pydantic.Tag(cls.kind)]
    chosen = pydantic.Discriminator(_kind, custom_error_type="no_layer", custom_error_message="this is no layer")
    return Annotated[variants, chosen, pydantic.AfterValidator(_canonical)]


if TYPE_CHECKING:
    Some = tuple[Word | Item, ...]
    Items = Some
else:  # the variants come from the table
    Some = Annotated[tuple[_any(), ...], pydantic.Field(strict=False, max_length=256)]
    Items = Annotated[tuple[_any(), ...], pydantic.Field(strict=False, min_length=1, max_length=256)]
    """A list of layers, in the order of their application."""

for _cls in KINDS.values():
    _cls.model_rebuild()


def lists(item: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yields the key and the items of each list within an item."""
    for key in ("residual", "shortcut", "mix_tokens", "layers"):
        found = getattr(item, key, None)
        if found:
            yield key, found


def depth(items: tuple[Any, ...]) -> int:
    """Returns how many lists are within one another, this one counted."""
    return 1 + max((depth(inner) for item in items for _, inner in lists(item)), default=0)
