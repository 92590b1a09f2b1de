# SPDX-License-Identifier: Apache-2.0
"""F8: the spectrum at a closed point, from one forward pass, against the dense float64 Hessian of the same network."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import config
from harness.curvature import spectrum as spectra
from harness.risk import objective
from harness.starts import closed_point, heads
from harness.theory import step_sizes
from tests import builders
from zoo import layer, model
from zoo import layers as modules

N, K = 7, 3
family = functools.partial(builders.layers, outputs=K)
ROW, IMAGE = (1, 1, 4), (4, 4, 1)


LOSSES = {"half_mse": config.HalfMse, "smoothed_ce": config.SmoothedCe, "ce": config.Ce, "output": config.Output}


def loss(name: str, decay: float = 0.0) -> Any:
    """Returns the `loss` part of a cell."""
    return LOSSES[name](name=name, weight_decay=decay)


def data(inputs: layer.Shape, name: str) -> objective.Batch:
    """Returns seven random examples with weights of their own."""
    drawn = np.random.default_rng(0)
    targets = drawn.normal(size=(N, K)) if name == "half_mse" else np.eye(K)[np.arange(N) % K]
    x, weights = drawn.normal(size=(N, *inputs)), drawn.uniform(0.5, 1.5, N)
    return objective.Batch(jnp.asarray(x), jnp.asarray(targets), jnp.asarray(weights))


VIT = {"patch": 2, "width": 4, "depth": 1, "heads": 2, "mlp_width": 3, "activation": "gelu"}
MIXER = {"patch": 2, "width": 4, "depth": 1, "tokens_width": 3, "channels_width": 3, "activation": "tanh"}
TAIL = {"average": layer.AveragePool(), "flatten": layer.Flatten(), "head": layer.Dense(K)}
CASES: dict[str, tuple[layer.Layers, layer.Shape, Any]] = {
    "mlp": (family("mlp", ROW, hidden=[5, 4], activation="tanh"), ROW, loss("half_mse")),
    "sigmoid": (family("mlp", ROW, hidden=[3, 4], activation="sigmoid"), ROW, loss("smoothed_ce", 0.1)),
    "no biases": (family("mlp", ROW, hidden=[3, 4], activation="softplus", bias=False), ROW, loss("half_mse")),
    "deep linear": (family("deep_linear", ROW, hidden=[3, 3]), ROW, loss("ce")),
    "vgg": (
        family("vgg", IMAGE, stages=[[2], [2]], activation="gelu", pool="average", dense=[5]),
        IMAGE,
        loss("half_mse"),
    ),
    "vgg without dense layers": (
        family("vgg", IMAGE, stages=[[2, 3]], activation="sigmoid", pool="average"),
        IMAGE,
        loss("half_mse", 0.2),
    ),
    "stride": (
        {"conv": layer.Convolution(3, stride=2), "phi": layer.Activation("silu"), **TAIL},
        IMAGE,
        loss("ce"),
    ),
    "vit": (family("vit", IMAGE, **VIT), IMAGE, loss("half_mse")),
    "vit, class token": (family("vit", IMAGE, **VIT, pooling="class_token", bias=False), IMAGE, loss("ce")),
    "mixer": (family("mixer", IMAGE, **MIXER), IMAGE, loss("smoothed_ce")),
    "group norm": (
        {"conv": layer.Convolution(4), "norm": layer.GroupNorm(2), "phi": layer.Activation("tanh"), **TAIL},
        IMAGE,
        loss("half_mse"),
    ),
}


SLOW = ("vgg", "vit, class token", "group norm")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES])
def test_the_whole_spectrum_follows_from_one_forward_pass(name: str) -> None:
    layers, inputs, about = CASES[name]
    head, why = heads.find(layers)
    assert head is not None, why
    goal = objective.objective(model.from_module(lambda rngs: modules.network(layers, inputs, rngs)), about)
    batch = data(inputs, about.name)
    quick = {"xla_backend_optimization_level": 0}  # compiled fast, run once
    hessian = jax.jit(jax.hessian(lambda theta: goal.risk(theta, batch)), compiler_options=quick)
    shift = 0.3 if head.shifts else 0.0
    for place in (closed_point.ClosedPoint(0), closed_point.ClosedPoint(1, shift, 0.5)):
        found = closed_point.spectrum(head, inputs, about, batch, place)
        params = closed_point.params(head, inputs, K, place)
        theta = jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(params)])
        assert found.size == theta.size == goal.size
        exact = np.linalg.eigvalsh(np.asarray(hessian(theta)))
        gaps = np.abs(exact[:, None] - found.values[None])
        rounding = goal.size * np.finfo(np.float64).eps * np.abs(exact).max()
        assert gaps.min(axis=1).max() <= found.errors[0] + rounding, "every eigenvalue is in the list"
        assert gaps.min(axis=0).max() <= found.errors[0] + rounding, "all in the list are eigenvalues"
        assert found.errors[0] < 1e-12
        assert np.sum(np.abs(found.values - about.weight_decay) > 1e-3) >= 2, "not all of them are trivial"


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        (family("mlp", ROW, hidden=[4], activation="relu"), "kink"),
        (family("mlp", ROW, hidden=[], activation="tanh"), "to set to zero"),
        (family("vit", IMAGE, **VIT, norm_epsilon=None), "to set to zero"),
        (family("vgg", IMAGE, stages=[[2]], activation="tanh", pool="max"), "to set to zero"),
        (family("resnet", IMAGE, channels=[2], blocks=1, activation="tanh"), "to set to zero"),
        ({"norm": layer.LayerNorm(), "phi": layer.Activation("sigmoid"), **TAIL}, "not 0 at 0"),
        ({"flatten": layer.Flatten(), "phi": layer.Activation("tanh")}, "dense layer"),
    ],
)
def test_where_there_is_no_such_head_none_is_found(layers: layer.Layers, why: str) -> None:
    head, words = heads.find(layers)
    assert head is None
    assert why in words


def test_a_shift_moves_the_eigenvalues_of_the_last_bias() -> None:
    # Without a shift all closed points share the eigenvalue 1 of half_mse: eta = 1 would be left over for ever.
    layers, inputs, about = CASES["mlp"]
    head = heads.find(layers)[0]
    assert head is not None
    batch = data(inputs, about.name)

    def at(place: closed_point.ClosedPoint) -> spectra.Spectrum:
        return closed_point.spectrum(head, inputs, about, batch, place)

    plain = step_sizes.certified([at(closed_point.ClosedPoint(0)), at(closed_point.ClosedPoint(1))])
    assert [round(0.5 * (one.low + one.high), 9) for one in plain.candidates] == [1.0]
    assert (
        step_sizes.certified([at(closed_point.ClosedPoint(0)), at(closed_point.ClosedPoint(1, 0.5))]).candidates == ()
    )


def test_a_shift_needs_a_bias() -> None:
    layers, inputs, about = CASES["no biases"]
    head = heads.find(layers)[0]
    assert head is not None
    with pytest.raises(ValueError, match="no shift"):
        closed_point.spectrum(head, inputs, about, data(inputs, about.name), closed_point.ClosedPoint(0, 0.5))


def test_data_that_are_not_finite_are_said() -> None:
    layers, inputs, about = CASES["mlp"]
    head = heads.find(layers)[0]
    assert head is not None
    batch = data(inputs, about.name)
    with pytest.raises(FloatingPointError):
        closed_point.spectrum(
            head, inputs, about, batch._replace(x=batch.x.at[0].set(jnp.inf)), closed_point.ClosedPoint(0)
        )
