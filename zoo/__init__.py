# SPDX-License-Identifier: Apache-2.0
"""The zoo: families of networks, and nothing else.

`FAMILIES` is the list of what exists. `build("vgg", config, inputs=(8, 8, 1), outputs=10)` gives a `Model`: two pure
functions. Importing this package loads neither jax nor flax; building a network does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pydantic

from zoo import mlp, vgg, vit

if TYPE_CHECKING:
    from zoo.model import Model


@dataclasses.dataclass(frozen=True)
class Family:
    """One family of networks: its title, its configuration and its builder.

    Attributes:
        title: What it is, in a line.
        config: The pydantic model that its part of a spec must satisfy.
        network: `(config, inputs, outputs, rngs) -> nnx.Module`.
        check: `(config, inputs) -> None`; raises ValueError when the configuration does not fit the input shape.
    """

    title: str
    config: type[pydantic.BaseModel]
    network: Callable[..., Any]
    check: Callable[..., None]


FAMILIES: dict[str, Family] = {
    "mlp": Family("fully connected network", mlp.Config, mlp.network, mlp.check),
    "vgg": Family("VGG-style convolutional network with 2x2 max-pooling", vgg.Config, vgg.network, vgg.check),
    "vit": Family("vision transformer with softmax attention", vit.Config, vit.network, vit.check),
}


def build(family: str, config: pydantic.BaseModel, *, inputs: tuple[int, ...], outputs: int) -> Model:
    """Builds a family's network as two pure functions.

    Args:
        family: A name in FAMILIES.
        config: An instance of that family's `config`.
        inputs: Shape of one example, (height, width, channels).
        outputs: Number of outputs K.

    Returns:
        The model; no array exists before its `init` is called.

    Raises:
        ValueError: If the configuration does not fit the input shape.
    """
    from zoo import model

    row = FAMILIES[family]
    row.check(config, inputs)
    return model.from_module(lambda rngs: row.network(config, inputs, outputs, rngs))
