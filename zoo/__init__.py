# SPDX-License-Identifier: Apache-2.0
"""The zoo: families of networks, and nothing else.

`FAMILIES` is the list of what exists. `build("vgg", config, inputs=(8, 8, 1), outputs=10)` gives a `Model`: two pure
functions. Importing this package loads neither jax nor flax; building a network does.

Example:
    >>> import jax, zoo
    >>> config = zoo.FAMILIES["mlp"].config(family="mlp", hidden=(4,), activation="relu")
    >>> network = zoo.build("mlp", config, inputs=(1, 1, 2), outputs=3)
    >>> theta = network.init(jax.random.key(0))
    >>> sorted(theta)
    ['dense_0', 'head']
    >>> network.apply(theta, jax.numpy.ones((5, 1, 1, 2))).shape
    (5, 3)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import pydantic

from zoo import code, curve, deep_linear, layer, mixer, mlp, paper_net, quadratic, resnet, stack, vgg, vit
from zoo.config import Setting

if TYPE_CHECKING:
    from zoo.model import Model


@dataclasses.dataclass(frozen=True)
class Family:
    """One family of networks: its title, its configuration, its layers and its settings.

    Attributes:
        title: What it is, in a line.
        config: The pydantic model that its part of a spec must satisfy.
        layers: `(config, inputs, outputs) -> layers`: what the network is made of, as data. Raises ValueError when the
            configuration cannot fit the inputs at all.
        source: Paper that introduced it.
        settings: Configurations by name: `tiny`, which tests and new specs use, then those that were published.
    """

    title: str
    config: type[pydantic.BaseModel]
    layers: Callable[..., layer.Layers]
    source: str
    settings: dict[str, Setting]


FAMILIES: dict[str, Family] = {
    "mlp": Family(
        "fully connected network", mlp.Config, mlp.layers, "Rumelhart, Hinton & Williams, 1986", mlp.SETTINGS
    ),
    "deep_linear": Family(
        "product of matrices",
        deep_linear.Config,
        deep_linear.layers,
        "Baldi & Hornik, Neural Networks 1989",
        deep_linear.SETTINGS,
    ),
    "vgg": Family("VGG: 3x3 convolutions with 2x2 pooling", vgg.Config, vgg.layers, "arXiv 1409.1556", vgg.SETTINGS),
    "vit": Family(
        "vision transformer with softmax attention", vit.Config, vit.layers, "arXiv 2010.11929", vit.SETTINGS
    ),
    "resnet": Family(
        "residual network, norm-free or with GroupNorm or LayerNorm",
        resnet.Config,
        resnet.layers,
        "arXiv 1512.03385",
        resnet.SETTINGS,
    ),
    "mixer": Family("MLP-Mixer", mixer.Config, mixer.layers, "arXiv 2105.01601", mixer.SETTINGS),
    "paper_net": Family(
        "the two-parameter network of the paper's figures",
        paper_net.Config,
        paper_net.layers,
        "arXiv 2510.24466, appendix C",
        paper_net.SETTINGS,
    ),
    "quadratic": Family(
        "quadratic of given spectrum",
        quadratic.Config,
        quadratic.layers,
        "closed-form control",
        quadratic.SETTINGS,
    ),
    "stack": Family(
        "any list of layers, written in the spec",
        stack.Config,
        stack.layers,
        "arXiv 2510.24466, Theorem 1: any stack of its layers in any order",
        stack.SETTINGS,
    ),
    "curve": Family(
        "risk of one parameter, written down", curve.Config, curve.layers, "closed-form controls", curve.SETTINGS
    ),
}


def made_of(config: pydantic.BaseModel, inputs: tuple[int, ...], outputs: int) -> layer.Layers:
    """Returns what a network is made of, as data; nothing of code of one's own, whose layers are not known.

    Args:
        config: The configuration of a family, or of code of one's own.
        inputs: Shape of one example, (height, width, channels).
        outputs: Number of outputs K.

    Raises:
        ValueError: If the configuration cannot fit the inputs at all.
    """
    if isinstance(config, code.Config):
        return {}
    family: str = getattr(config, "family")  # noqa: B009
    return FAMILIES[family].layers(config, inputs, outputs)


def check(family: str, config: pydantic.BaseModel, inputs: tuple[int, ...], outputs: int) -> None:
    """Infers every shape of a family's network; needs no jax and no memory. Code of one's own is not run: it passes.

    Args:
        family: A name in FAMILIES.
        config: An instance of that family's `config`.
        inputs: Shape of one example, (height, width, channels).
        outputs: Number of outputs K.

    Raises:
        ValueError: If the configuration does not fit the input shape or has another number of outputs.
    """
    if isinstance(config, code.Config):
        return
    shape = layer.output(FAMILIES[family].layers(config, inputs, outputs), inputs)
    if shape != (outputs,):
        raise ValueError(f"{family} has an output of shape {shape}, but {(outputs,)} is asked for")


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
        ValueError: If the configuration does not fit the input shape or has another number of outputs;
            code.Unsuitable where it is code of one's own that cannot be had, or builds no network.
    """
    from zoo import layers, model

    if isinstance(config, code.Config):
        return code.model(config, inputs, outputs)
    check(family, config, inputs, outputs)
    found = FAMILIES[family].layers(config, inputs, outputs)
    return model.from_module(lambda rngs: layers.network(found, inputs, rngs))
