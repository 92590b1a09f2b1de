# SPDX-License-Identifier: Apache-2.0
"""STARTS: where a run begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness import errors

if TYPE_CHECKING:
    import jax

    from harness import objective

STARTS: dict[str, str] = {
    "random": "the family's own random initialisation, from the run's seed",
    "given": "the parameters that the spec gives, for every seed",
}


def check(spec: Any, size: int) -> None:
    """Raises errors.InputError if a given start does not have the `size` parameters of the network."""
    if spec.name == "given" and len(spec.theta) != size:
        raise errors.InputError(f"start.theta: {len(spec.theta)} numbers; the network has {size} parameters")


def start(spec: Any, problem: objective.Objective, key: jax.Array) -> jax.Array:
    """Returns the start point theta_0 (P,) float of a spec's `start`, from a random key.

    Raises:
        errors.InputError: If a given point has another number of parameters than the network.
    """
    import jax.numpy as jnp

    check(spec, problem.size)
    return problem.init(key) if spec.name == "random" else jnp.asarray(spec.theta, "float64")
