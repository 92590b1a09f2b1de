# SPDX-License-Identifier: Apache-2.0
"""STARTS: where a run begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jax

    from harness import objective

STARTS: dict[str, str] = {
    "random": "the family's own random initialisation, from the run's seed",
}


def start(spec: Any, problem: objective.Objective, key: jax.Array) -> jax.Array:
    """Returns the start point theta_0 (P,) float32 of a spec's `start`, from a random key."""
    makers = {"random": problem.init}
    return makers[spec.name](key)
