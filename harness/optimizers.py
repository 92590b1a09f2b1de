# SPDX-License-Identifier: Apache-2.0
"""OPTIMIZERS: the maps that move theta, made of optax transformations, and the batches they see."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jax
    import optax


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """One row of OPTIMIZERS.

    Attributes:
        map: The map of theta that one step applies.
        batch: Which examples its gradient is taken over.
        source: Where it comes from.
    """

    map: str
    batch: str
    source: str


OPTIMIZERS: dict[str, Optimizer] = {
    "gd": Optimizer("theta - eta grad L(theta)", "all examples, every step", "Cauchy, 1847"),
    "sgd": Optimizer(
        "theta - eta grad L_B(theta)",
        "B: `batch_size` examples drawn with replacement, a function of (seed, step) alone",
        "Robbins & Monro, Ann. Math. Stat. 1951",
    ),
}


def transformation(name: str, eta: jax.Array) -> optax.GradientTransformation:
    """Returns the optax transformation of a name in OPTIMIZERS with the resolved step size `eta` (scalar array)."""
    import optax

    transformations = {"gd": optax.sgd, "sgd": optax.sgd}
    return transformations[name](eta)
