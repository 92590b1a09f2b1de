# SPDX-License-Identifier: Apache-2.0
"""LOSSES: per-example losses and the infimum of the risk over all predictions.

The risk is always the mean over examples of these; every critical step size scales with that convention. With K
classes, f the outputs and y the one-hot label of one example:

    half_mse      1/2 sum_k (f_k - y_k)^2; infimum 0, attained where the network interpolates
    smoothed_ce   -sum_k q_k log softmax(f)_k, q = (1 - a) y + a/K; infimum the entropy of q, attained at softmax(f) = q
    ce            smoothed_ce with a = 0; infimum 0, never attained
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jax


@dataclasses.dataclass(frozen=True)
class Loss:
    """One row of LOSSES.

    Attributes:
        formula: The loss of one example, in words and symbols.
        infimum: What the infimum of the risk is, and whether it is attained.
    """

    formula: str
    infimum: str


LOSSES: dict[str, Loss] = {
    "half_mse": Loss("1/2 sum_k (f_k - y_k)^2 against the one-hot label", "0, attained by interpolation"),
    "smoothed_ce": Loss(
        "cross-entropy against labels smoothed by `smoothing`", "entropy of the smoothed label, attained"
    ),
    "ce": Loss("cross-entropy against the one-hot label", "0, not attained"),
}


def smoothing(loss: Any) -> float:
    """Returns the label smoothing a of a spec's `loss`; 0 for losses without one."""
    return float(getattr(loss, "smoothing", 0.0))


def infimum(loss: Any, classes: int) -> float:
    """Returns the infimum of the risk over all predictions, in loss units (mathematics, section 2).

    Args:
        loss: The `loss` part of a cell.
        classes: Number of classes K, at least 2.
    """
    a = smoothing(loss)
    if loss.name == "half_mse" or a == 0:
        return 0.0
    own, other = 1 - a + a / classes, a / classes
    return -own * math.log(own) - (classes - 1) * other * math.log(other)


def per_example(loss: Any, outputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Returns the loss of each example.

    Args:
        loss: The `loss` part of a cell.
        outputs: (N, K) float.
        labels: (N,) int in [0, K).

    Returns:
        (N,) float in the dtype of `outputs`.
    """
    import jax
    import jax.numpy as jnp

    classes = outputs.shape[-1]
    target = jax.nn.one_hot(labels, classes, dtype=outputs.dtype)
    if loss.name == "half_mse":
        return 0.5 * jnp.sum((outputs - target) ** 2, axis=-1)
    a = smoothing(loss)
    return -jnp.sum(((1 - a) * target + a / classes) * jax.nn.log_softmax(outputs), axis=-1)
