# SPDX-License-Identifier: Apache-2.0
"""Random stacks keep the contract of families: what is claimed of a list of layers is so, whatever the list."""

from __future__ import annotations

import functools
import random
from typing import Any

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies

import zoo
from harness import config as configs
from harness import theory
from harness.curvature import operators
from harness.risk import objective
from zoo import activations, items, layer, model, pattern, stack

INPUTS, OUTPUTS, N = (4, 4, 2), 3, 4
GD = configs.Gd(name="gd", learning_rate=0.1)
ACTIVATIONS: tuple[Any, ...] = (*activations.ACTIVATIONS, {"leaky_relu": 0.3}, "activation")
SEEDS = strategies.integers(0, 2**20)
quick = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
same = functools.partial(hypothesis.settings, derandomize=True, database=None, deadline=None)


class Writer:
    """Writes a random stack: images first, then perhaps tokens, then a head. Widths are 2 or 4, so that heads fit."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.nested = seed % 2 == 0
        self.labels = 0

    def stack(self) -> stack.Config:
        """Returns the stack; every second one has lists within lists."""
        pick = self.random.choice
        layers = self.blocks("image", self.random.randint(1, 3))
        if pick((True, False)):
            layers += [pick(("tokens", {"patches": 1})), *pick(([], ["class_token"], [{"position": "learned"}]))]
            layers += self.blocks("tokens", self.random.randint(1, 3))
        if self.nested:
            layers += [{"residual": [pick(("tanh", "gelu")), {"dense": 2}], "shortcut": [{"dense": 2}]}]
        layers += [pick(("mean", "flatten")), *pick(([], [{"dense": 4}, self.activation()])), {"dense": "outputs"}]
        fields = {"family": "stack", "activation": pick(("silu", "relu")), "layers": layers}
        return stack.Config.model_validate(fields)

    def activation(self) -> Any:
        """Returns the word of an activation."""
        return self.random.choice(ACTIVATIONS)

    def blocks(self, kind: str, count: int) -> list[Any]:
        """Returns a list that takes images of two channels, or tokens of two features, and gives such again."""
        plain = {"image": self.image, "tokens": self.token}[kind]
        found: list[Any] = []
        for _ in range(count):
            block = plain()
            if self.nested and (way := self.random.choice(("", "residual", "repeat", "shared"))):
                self.labels += 1
                again = [{"shared": f"block_{self.labels}"}] * (way == "shared")
                wrapped = {"residual": block, "scale": 0.5} if way == "residual" else {"repeat": 2, "layers": block}
                block = [{"shared": f"block_{self.labels}", "layers": block} if again else wrapped, *again]
            found += block
        return found

    def image(self) -> list[Any]:
        """Returns a convolution with what follows it; norms are smooth enough for finite differences."""
        pick = self.random.choice
        options = {"dilation": pick((1, 2)), "depthwise": pick((True, False)), "bias": pick((True, False))}
        norm = pick(([], [{"norm": "group", "groups": 2, "epsilon": 0.5}], [{"norm": "layer", "epsilon": 0.5}]))
        return [{"convolution": 2, "side": pick((1, 3)), **options}, *norm, self.activation()]

    def token(self) -> list[Any]:
        """Returns an attention or two dense layers."""
        pick = self.random.choice
        mixing: list[Any] = [{"attention": pick((1, 2)), "causal": pick((True, False))}]
        dense = [{"dense": 4, "bias": pick((True, False))}, self.activation(), {"dense": 2}]
        return pick((mixing, dense, [{"norm": "layer", "epsilon": 0.5}, *mixing]))


def built(seed: int) -> tuple[stack.Config, layer.Layers, model.Model]:
    config = Writer(seed).stack()
    layers = stack.layers(config, INPUTS, OUTPUTS)
    return config, layers, zoo.build("stack", config, inputs=INPUTS, outputs=OUTPUTS)


def claims(seed: int) -> None:
    """Holds what a random stack says of itself against what is traced."""
    config, layers, network = built(seed)
    assert (items.depth(config.layers) > 1) == (seed % 2 == 0), "every second one is nested"
    assert stack.Config.model_validate_json(config.model_dump_json()) == config
    again = {"family": "stack", "layers": stack.written(layers)}
    assert stack.layers(stack.Config.model_validate(again), INPUTS, OUTPUTS) == layers
    params = jax.eval_shape(network.init, jax.random.key(0))
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    wide = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, "float64"), params)
    x = jax.ShapeDtypeStruct((N, *INPUTS), "float64")

    traced = jax.make_jaxpr(network.apply)(wide, x)
    assert [out.shape for out in traced.out_avals] == [(N, OUTPUTS)]
    program = str(traced)
    assert "f64[" in program and "f32[" not in program
    margins = jax.eval_shape(pattern.margins(layers, INPUTS), wide, x)
    broken = any(
        activations.row(node.function).breakpoints for node in layer.walk(layers) if isinstance(node, layer.Activation)
    )
    assert bool(margins) == broken
    says = theory.says(layers, INPUTS, configs.HalfMse(name="half_mse"), GD)
    assert says.one_piece == (not broken)
    rows = {row.path for row in stack.rows(config, INPUTS, OUTPUTS)}
    assert rows <= set(theory.ingredients.of_layers(layers))


def numbers(seed: int) -> None:
    """Holds a random stack's products against finite differences, and that examples do not see each other."""
    network = built(seed)[2]
    goal = objective.objective(network, configs.SmoothedCe(name="smoothed_ce"))
    x = jax.random.uniform(jax.random.key(2), (N, *INPUTS), "float64")
    targets = jax.nn.one_hot(jnp.arange(N) % OUTPUTS, OUTPUTS, dtype="float64")
    batch = objective.Batch(x, targets, jnp.arange(1.0, N + 1))
    theta = goal.init(jax.random.key(0)).astype("float64")
    theta += 0.1 * jax.random.normal(jax.random.key(1), theta.shape, "float64")
    v, w = (jax.random.normal(jax.random.key(s), theta.shape, "float64") for s in (3, 4))
    step = 1e-6

    @quick
    def asked() -> tuple[jax.Array, ...]:
        product = operators.hessian(goal.risk)((theta, batch))
        gradients = [jax.grad(goal.risk)(theta + sign * step * v, batch) for sign in (1, -1)]
        others = x.at[1:].set(1 - 3 * x[1:])
        alone = (goal.outputs(theta, one)[0] for one in (x, others))
        return product(v), product(w), (gradients[0] - gradients[1]) / (2 * step), *alone

    along, other, difference, one, two = map(np.asarray, asked())
    assert np.array_equal(one, two), "examples must not see each other"
    scale = 1 + np.linalg.norm(along) + np.linalg.norm(other)
    assert float(w @ along) == pytest.approx(float(v @ other), abs=1e-11 * theta.size * scale)
    assert np.allclose(along, difference, rtol=0, atol=1e-6 * scale)


@hypothesis.given(seed=SEEDS)
@same(max_examples=8)
def test_a_random_stack_is_what_its_list_says(seed: int) -> None:
    claims(seed)


@pytest.mark.thorough
@hypothesis.given(seed=SEEDS)
@same(max_examples=100)
def test_a_hundred_random_stacks_are_what_their_lists_say(seed: int) -> None:
    claims(seed)


@hypothesis.given(seed=SEEDS)
@same(max_examples=3, phases=[hypothesis.Phase.generate])
def test_products_of_a_random_stack_are_those_of_finite_differences(seed: int) -> None:
    numbers(seed)


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(100))
def test_products_of_a_hundred_random_stacks_are_those_of_finite_differences(seed: int) -> None:
    numbers(seed)
