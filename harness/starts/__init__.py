# SPDX-License-Identifier: Apache-2.0
"""STARTS: where a run begins."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import zoo
from harness import config, errors
from harness.starts import heads
from zoo import activations, deep_linear, mlp

if TYPE_CHECKING:
    import jax

    from harness import data
    from harness.risk import objective
    from harness.starts import saddles

STARTS: dict[str, str] = {
    "random": "the family's own random initialisation, from the run's seed",
    "given": "the parameters that the spec gives, for every seed",
    "branch": "where another run was at one of its checkpoint steps; the batches of its seed go on from there",
    "planted_minimum": "the parameters that planted targets come from: an exact global minimum, for every family",
    "head_saddle": "the last two layers zero, output bias optimal, what lies below drawn: a strict saddle of any "
    "network that ends in a smooth hidden layer and a dense head, a ViT's norm included",
    "origin": "all zero but the output bias: a strict saddle of two layers, a flat point of more",
    "deep_linear_saddle": "`rank` directions of the regression learned and balanced; deep_linear without biases",
    "zero_unit_saddle": "units of the last hidden layer, or the last attention head, that reach no output and are "
    "pulled by none; for ReLU too",
    "split_saddle": "a critical point of an MLP with one unit less, one unit of which is split; smooth activations",
}

SADDLES = ("head_saddle", "origin", "deep_linear_saddle", "zero_unit_saddle", "split_saddle")
"""Those that are saddles (harness/starts/saddles.py)."""

PLANTED = ("branch", "planted_minimum", *SADDLES)
"""Those that are points known beforehand, from which a run may be displaced."""


def check(start: config.Start, size: int) -> None:
    """Raises errors.InputError if a given start does not have the `size` parameters of the network."""
    if isinstance(start, config.Given) and len(start.theta) != size:
        raise errors.InputError(f"start.theta: {len(start.theta)} numbers; the network has {size} parameters")


def refusal(recipe: config.Recipe, facts: data.Facts) -> str:
    """Says why the start of a recipe cannot be planted in its network, or nothing if it can. Pure and cheap."""
    start, fields, loss = recipe.start, recipe.model, recipe.loss
    if start.name not in SADDLES:
        return ""
    layers = zoo.made_of(fields, facts.shape, facts.classes)
    if not layers:
        return "the layers of code of one's own are not known"
    if loss.name == "output":
        return "its risk is not one of outputs and targets"
    if loss.weight_decay:
        return "under weight decay the point is not critical"
    if isinstance(start, config.DeepLinearSaddle):
        if not isinstance(fields, deep_linear.Config) or fields.bias or loss.name != "half_mse":
            return "it is for family deep_linear without biases, under half_mse"
        least = min(fields.hidden, default=10**9)
        return f"rank {start.rank} does not pass a layer of width {least}" if start.rank > least else ""
    if start.name == "split_saddle":
        if not isinstance(fields, mlp.Config) or not fields.hidden or fields.hidden[-1] < 2:
            return "it is for family mlp with two units or more in its last hidden layer"
        smooth = activations.row(fields.activation).regularity == "analytic"
        return "" if smooth else "the activation is not smooth, and a split unit lies in a valley that is flat"
    if start.name == "zero_unit_saddle":
        if heads.units(layers) or heads.attention(layers):
            return ""
        return "it needs a dense layer or convolution, an activation and a dense head, or attention"
    head, missing = heads.find(layers)
    if head is None:
        other = heads.units(layers) or heads.attention(layers)
        return f"{missing}; zero_unit_saddle is for such networks" if other else missing
    value = activations.row(head.activation.function).value_at_0 if head.activation else 0.0
    outer = layers[head.outer]
    if value and not getattr(outer, "bias", False):
        return "its activation is not 0 at 0 and its head has no bias: the point is not critical"
    return ""


def start(
    start: config.Start,
    goal: objective.Objective,
    planted: Callable[[config.Start], saddles.Saddle],
    key: jax.Array,
) -> jax.Array:
    """Returns the start point theta_0 (P,) float of a spec's `start`, from a random key.

    Args:
        start: The `start` part of a cell.
        goal: The risk of its network.
        planted: From a start that is one of PLANTED to the point it is planted at.
        key: Draws a random start, or the direction of a displacement.

    Raises:
        errors.InputError: If a given point has another number of parameters than the network, or no saddle is found.
    """
    import jax
    import jax.numpy as jnp

    check(start, goal.size)
    if start.name == "random":
        return goal.init(key)
    if start.name == "given":
        return jnp.asarray(start.theta, "float64")
    theta = planted(start).theta
    if not start.perturbation:
        return theta
    drawn = jax.random.normal(key, theta.shape, "float64")
    return theta + start.perturbation * drawn / jnp.linalg.norm(drawn)
