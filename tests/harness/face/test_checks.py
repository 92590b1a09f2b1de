# SPDX-License-Identifier: Apache-2.0
"""What cannot be measured is refused in one sentence that says what to do."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import gdzoo

X, Y = np.arange(12.0).reshape(6, 2) / 12, np.ones((6, 3))
W = {"w": np.ones((2, 3))}


def dense(params: Any, x: jax.Array) -> jax.Array:
    return x @ params["w"]


def noisy(params: Any, x: jax.Array) -> jax.Array:
    return dense(params, x) + next(COUNT)


COUNT = itertools.count(1.0)


def normed(params: Any, x: jax.Array) -> jax.Array:
    h = dense(params, x)
    return h - h.mean(axis=0, keepdims=True)


def twice(params: Any, x: jax.Array) -> Any:
    return dense(params, x), {"mean": x.mean()}


class Stateful(nnx.Module):
    """A layer and a BatchNorm, and dropout."""

    def __init__(self, *, dropout: float = 0.0) -> None:
        rngs = nnx.Rngs(0)
        self.dense, self.drop = nnx.Linear(2, 3, rngs=rngs), nnx.Dropout(dropout, rngs=rngs)
        self.norm = nnx.BatchNorm(3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns the outputs of a batch."""
        outputs: jax.Array = self.drop(self.norm(self.dense(x)))
        return outputs


class Linen(linen.Module):
    """The same in Linen."""

    train: bool

    @linen.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns the outputs of a batch."""
        outputs: jax.Array = linen.BatchNorm(use_running_average=not self.train)(linen.Dense(3)(x))
        return outputs


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "not deterministic": (lambda: (noisy, W, (X, Y)), "apply gives other numbers when it is called again"),
    "float32 at the end": (
        lambda: (lambda p, x: dense(p, x).astype("float32"), W, (X, Y)),
        "apply gives float32 for float64 parameters and data; take away what fixes a dtype",
    ),
    "float32 on the way": (
        lambda: (lambda p, x: jax.jit(lambda h: h.astype("float32"))(dense(p, x)).astype("float64"), W, (X, Y)),
        "apply rounds to float32 on the way",
    ),
    "NaN outputs": (
        lambda: (lambda p, x: jnp.log(dense(p, x) - 0.5), W, (X, Y)),
        "the outputs of 2 of 6 examples are NaN or infinite, the first that of example 0; give parameters",
    ),
    "NaN data": (lambda: (dense, W, (X * np.nan, Y)), "data: x of 6 of 6 examples are NaN"),
    "NaN parameters": (lambda: (dense, {"w": np.full((2, 3), np.nan)}, (X, Y)), "params['w'] is not finite"),
    "integer parameters": (
        lambda: (dense, {"w": np.ones((2, 3)), "step": np.array(3)}, (X, Y)),
        "params['step'] is int64, and gradient descent moves floats only; keep it out of params",
    ),
    "another input shape": (
        lambda: (dense, {"w": np.ones((5, 3))}, (X, Y)),
        "apply(params, x) fails for x of shape (6, 2): TypeError",
    ),
    "no batch axis": (
        lambda: (lambda p, x: dense(p, x).mean(axis=0), W, (X, Y)),
        "apply gives shape (3,) for 6 examples; return one row for each, (N, K)",
    ),
    "other targets": (
        lambda: (dense, W, (X, Y[:, :2])),
        "data: y has shape (6, 2) and the outputs (6, 3); give one target for each output",
    ),
    "too many classes": (lambda: (dense, W, (X, np.arange(6)), "ce"), "data: y has classes from 0 to 5, and"),
    "no probabilities": (lambda: (dense, W, (X, Y), "ce"), "data: the rows of y are no probabilities"),
    "other numbers of examples": (lambda: (dense, W, (X, Y[:4])), "data: x has 6 examples and y 4"),
    "state beside the outputs": (
        lambda: (twice, W, (X, Y)),
        "apply returns 2 things, as one that keeps state (BatchNorm) does; return the outputs alone",
    ),
    "a norm over the batch": (lambda: (normed, W, (X, Y)), "the outputs of an example change with the others in its"),
    "BatchNorm of NNX in training": (
        lambda: (Stateful(), None, (X, Y)),
        "the module changes its own state when it is called, as BatchNorm and Dropout do in training; put it",
    ),
    "BatchNorm of Linen in training": (
        lambda: (Linen(True), Linen(False).init(jax.random.key(0), X), (X, Y)),
        "the module changes its own state when it is called",
    ),
    "Linen without its state": (
        lambda: (Linen(False), Linen(False).init(jax.random.key(0), X)["params"], (X, Y)),
        "the module reads state (BatchNorm's running means, say) that was not given; give all variables",
    ),
    "Linen without parameters": (lambda: (Linen(False), None, (X, Y)), "a Linen module holds no parameters"),
    "no parameters": (lambda: (dense, None, (X, Y)), "a function holds no parameters; give them"),
    "no function": (lambda: (3, W, (X, Y)), "network takes a function (params, x) -> outputs, a flax module or"),
    "no loss": (lambda: (dense, W, (X, Y), "mse"), "loss: 'mse' is not known; allowed: half_mse, smoothed_ce"),
    "a loss of many numbers": (
        lambda: (dense, W, (X, Y), lambda outputs, target: outputs - target),
        "the loss of one example is float64 of shape (3,); give a function that returns one float",
    ),
    "an infinite loss": (
        lambda: (dense, W, (X, Y), lambda outputs, target: jnp.log(target[0] - 1 + 0 * outputs[0])),
        "the losses of 6 of 6 examples are NaN or infinite, the first that of example 0; give parameters, targets",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.filterwarnings("ignore:scatter inputs have incompatible types")  # flax's own, in training
def test_what_cannot_be_measured_is_refused_in_one_sentence(kind: str) -> None:
    given, message = REFUSED[kind]
    apply, params, data, *loss = given()
    with pytest.raises(gdzoo.InputError) as refused:
        gdzoo.network(apply, params, data, **({"loss": loss[0]} if loss else {}))
    said = str(refused.value)
    assert said.startswith(message), said
    assert "\n" not in said


def test_a_module_in_evaluation_is_measured_with_its_state_as_it_is() -> None:
    module = Stateful(dropout=0.5)
    module.eval()
    module.norm.mean[...] = jnp.array([1.0, 2.0, 3.0], "float32")
    net = gdzoo.network(module, data=(X, Y))
    assert (net.name, net.parameters) == ("Stateful", 2 * 3 + 3 + 3 + 3)
    outputs = np.asarray(module(X), "float64")
    assert gdzoo.survey(net, 0.1)["loss"] == pytest.approx(0.5 * np.mean(np.sum((outputs - Y) ** 2, axis=1)), rel=1e-5)
    variables = Linen(False).init(jax.random.key(0), X)
    linen_net = gdzoo.network(Linen(False), variables, (X, Y))
    outputs = np.asarray(Linen(False).apply(variables, X), "float64")
    found = gdzoo.survey(linen_net, 0.1)
    assert found["loss"] == pytest.approx(0.5 * np.mean(np.sum((outputs - Y) ** 2, axis=1)), rel=1e-5)


def test_targets_that_are_one_number_or_a_class_mean_what_they_say() -> None:
    one = gdzoo.network(dense, {"w": np.ones((2, 1))}, (X, X[:, 0]))
    column = gdzoo.network(dense, {"w": np.ones((2, 1))}, (X, X[:, :1]))
    assert gdzoo.survey(one, 0.1).values == gdzoo.survey(column, 0.1).values
    classes, one_hot = (gdzoo.network(dense, W, (X, y)) for y in (np.arange(6) % 3, np.eye(3)[np.arange(6) % 3]))
    assert gdzoo.survey(classes, 0.1).values == gdzoo.survey(one_hot, 0.1).values
