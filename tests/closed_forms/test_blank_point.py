# SPDX-License-Identifier: Apache-2.0
"""Points that speak of every piece: blank ones, and closed ones with nothing below, against dense float64 Hessians."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness.risk import objective
from harness.starts import blank_point, closed_point, heads
from harness.theory import evidence, origin
from tests import builders
from tests.closed_forms.test_closed_point import IMAGE, K, data, loss
from zoo import layer, model
from zoo import layers as modules

QUICK = {"xla_backend_optimization_level": 0}  # compiled fast, run once
family = functools.partial(builders.layers, outputs=K)
RESNET = {"channels": [2, 3], "blocks": 1, "activation": "gelu", "norm": "group"}


def dense(layers: layer.Layers, name: str, theta: jax.Array, decay: float = 0.0) -> np.ndarray:
    """Returns the eigenvalues of the Hessian at a point, on seven random examples."""
    goal = objective.objective(model.from_module(lambda rngs: modules.network(layers, IMAGE, rngs)), loss(name, decay))
    hessian = jax.jit(jax.hessian(lambda theta: goal.risk(theta, data(IMAGE, name))), compiler_options=QUICK)
    return np.linalg.eigvalsh(np.asarray(hessian(theta)))


def flat(params: model.Params) -> jax.Array:
    """Returns the parameters of a network as one vector."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(params)])


def moved(params: model.Params, seed: int) -> model.Params:
    """Returns parameters plus 1e-9 times normal numbers."""
    drawn = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + 1e-9 * drawn.standard_normal(leaf.shape), params)


def distance(found: np.ndarray, truth: np.ndarray) -> float:
    """Returns how far one set of eigenvalues is from another, each to its nearest, both ways."""
    apart = np.abs(found[:, None] - truth[None, :])
    return float(max(apart.min(0).max(), apart.min(1).max()))


@pytest.mark.parametrize(("name", "decay", "shift"), [("half_mse", 0.0, 0.7), ("ce", 0.1, -0.4)])
def test_a_blank_residual_network_has_the_spectrum_that_its_features_say(name: str, decay: float, shift: float) -> None:
    layers = family("resnet", IMAGE, **RESNET)
    place = closed_point.ClosedPoint(3, shift, 0.5)
    found = blank_point.spectrum(layers, IMAGE, loss(name, decay), data(IMAGE, name), place)
    truth = dense(layers, name, flat(blank_point.params(layers, IMAGE, K, place)), decay)
    assert found.size == len(truth)
    assert distance(found.values, truth) < 1e-12
    assert len(np.unique(truth.round(9))) > 5, "and not a trivial one"


def test_where_examples_move_differently_there_is_no_blank_point() -> None:
    layers = family("resnet", IMAGE, **{**RESNET, "norm": "none"})  # the first weights meet the data themselves
    with pytest.raises(ValueError, match="move differently"):
        blank_point.spectrum(layers, IMAGE, loss("ce"), data(IMAGE, "ce"), closed_point.ClosedPoint(0))


PIECES = {
    "max-pool": family("vgg", IMAGE, stages=[[2], [2]], activation="gelu", dense=[4, 5]),
    "vit": family(
        "vit", IMAGE, patch=2, width=4, depth=1, heads=2, mlp_width=3, activation="relu", pooling="class_token"
    ),
    "mixer": family("mixer", IMAGE, patch=2, width=4, depth=1, tokens_width=3, channels_width=3, activation="relu"),
}


@pytest.mark.parametrize("name", PIECES)
def test_with_nothing_below_the_spectrum_is_that_of_every_pattern(name: str) -> None:
    layers = PIECES[name]
    head, why = heads.find(layers)
    assert head is not None, why
    assert origin.near(head.body, IMAGE).zero
    place = closed_point.ClosedPoint(2, 0.3, 0.5, bare=True, zero=True)
    about, batch = loss("half_mse"), data(IMAGE, "half_mse")
    found = closed_point.spectrum(head, IMAGE, about, batch, place)
    slow = closed_point.spectrum(head, IMAGE, about, batch, place._replace(zero=False))
    assert distance(found.values, slow.values) < 1e-14, "nothing below needs to be computed"
    at = closed_point.params(head, IMAGE, K, place)
    for seed in range(2):  # inside two pieces that meet there
        below = {part: leaves for part, leaves in at.items() if part in head.body}
        near = {**at, **moved(below, seed)}
        assert distance(found.values, dense(layers, "half_mse", flat(near))) < 1e-5


def test_what_is_not_zero_below_is_not_taken_for_it() -> None:
    one = {"family": "vgg", "stages": [[2]], "dense": [3], "pool": "max"}

    def points(activation: str) -> tuple[evidence.Evidence, ...]:
        made = builders.cell(model={**one, "activation": activation}, data=builders.classes(shape=[4, 4, 1]))
        return evidence.every_piece(evidence.Landscape(made.data, made.model, made.loss), 2)

    assert [point.piece for point in points("gelu")] == ["", ""]
    assert points("sigmoid") == (), "it is 1/2 at 0"
    assert points("relu") == (), "its last activation breaks where the point is"
