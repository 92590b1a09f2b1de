# SPDX-License-Identifier: Apache-2.0
"""Networks: a cell's network as two pure functions, that of code of one's own checked before anything rests on it."""

from __future__ import annotations

import jax
import jax.numpy as jnp

import zoo
from harness import config, errors
from harness.risk import checks
from zoo import code, layer
from zoo import model as models


def build(model: config.Model, inputs: tuple[int, ...], outputs: int) -> models.Model:
    """Returns a network.

    Args:
        model: The `model` part of a cell.
        inputs: Shape of one example, (height, width, channels).
        outputs: Number of outputs K.

    Raises:
        errors.InputError: If it is code of one's own that cannot be had, or that cannot be measured.
    """
    try:
        network = zoo.build(model.family, model, inputs=inputs, outputs=outputs)
        if isinstance(model, code.Config):
            _check(network, inputs, outputs)
    except (code.Unsuitable, errors.InputError) as error:
        if not isinstance(model, code.Config):
            raise
        raise errors.InputError(f"model.build: {model.build}: {error}") from error
    return network


def _check(network: models.Model, inputs: tuple[int, ...], outputs: int) -> None:
    """Refuses a network that is no function of (params, x), or has other outputs. Cost: three passes of 4 examples."""
    params = jax.tree.map(lambda leaf: leaf.astype("float64"), network.init(jax.random.key(0)))
    checks.parameters(params)
    x = jax.random.uniform(jax.random.key(1), (checks.FEW, *inputs), "float64")
    shape = checks.outputs(network.apply, params, x).shape
    if shape != (checks.FEW, outputs):
        raise errors.InputError(f"apply gives shape {shape} for {checks.FEW} examples; return {(checks.FEW, outputs)}")
    checks.behaviour(network.apply, params, x)


def activity(network: models.Model, layers: layer.Layers, inputs: tuple[int, ...]) -> int:
    """Returns how many numbers a network gives on the way for one example: of its layers, or counted in its program."""
    if layers:
        return layer.activity(layers, inputs)
    params = jax.eval_shape(network.init, jax.random.key(0))
    return checks.activity(network.apply, params, jnp.zeros((1, *inputs), "float32"))
