# SPDX-License-Identifier: Apache-2.0
"""LOSSES: per-example losses, and the infimum of the risk over all predictions.

The risk is the weighted mean of these over examples, plus `weight_decay` / 2 times the squared norm of all parameters;
every critical step size scales with that convention. With K outputs f, targets y (one-hot for labels, K numbers for
regression, probabilities for planted ones), weights w_i and decay d,

    L(theta) = sum_i w_i l(f_theta(x_i), y_i) / sum_i w_i + d/2 |theta|^2

Example:
    >>> import numpy as np
    >>> from harness import config
    >>> from harness.risk import losses
    >>> labels, weights = np.eye(2), np.ones(2)
    >>> losses.constant(config.HalfMse(name="half_mse"), labels, weights)  # predicts (1/2, 1/2) everywhere
    0.25
    >>> losses.infimum(config.HalfMse(name="half_mse"), labels, weights)
    0.0
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from harness import config

if TYPE_CHECKING:
    import jax
    import numpy as np


Kind = Literal["attained", "approached", "unknown"]
"""Of the infimum of the risk: some prediction attains it, none does, or it is not known."""


@dataclasses.dataclass(frozen=True)
class Loss:
    """One row of LOSSES.

    Attributes:
        formula: The loss of one example, in words and symbols.
        normalisation: How it is summed, and what another convention would do to critical step sizes.
        infimum: What the infimum of the risk over all predictions is without decay, and whether it is attained.
    """

    formula: str
    normalisation: str
    infimum: str


class Custom(NamedTuple):
    """A loss that no row names: a function of one example's outputs and target, for networks that no spec describes.

    Attributes:
        function: `(outputs, target) -> scalar`, traced by jax.
        name: What it is called.
        weight_decay: As in the `loss` part of a cell.
    """

    function: Callable[[Any, Any], Any]
    name: str = "custom"
    weight_decay: float = 0.0


LOSSES: dict[str, Loss] = {
    "half_mse": Loss(
        "1/2 sum_k (f_k - y_k)^2",
        "summed over outputs, mean over examples; a mean over outputs would multiply critical step sizes by K, "
        "leaving out the 1/2 would halve them",
        "0, attained by interpolation; of equal inputs with different targets the variance within, halved",
    ),
    "smoothed_ce": Loss(
        "-sum_k q_k log softmax(f)_k, q = (1 - a) y + a/K, a: `smoothing`",
        "mean over examples, natural logarithm",
        "mean entropy of q, attained at softmax(f) = q",
    ),
    "ce": Loss(
        "-sum_k y_k log softmax(f)_k",
        "mean over examples, natural logarithm",
        "0 for labels, not attained; for planted targets the mean entropy of y, attained",
    ),
    "output": Loss(
        "sum_k f_k: the network's output is the risk itself",
        "mean over examples",
        "`infimum`, where the spec gives it",
    ),
}


def smoothing(loss: config.Loss) -> float:
    """Returns the label smoothing a of a spec's `loss`; 0 for losses without one."""
    return loss.smoothing if isinstance(loss, config.SmoothedCe) else 0.0


def known(loss: config.Loss) -> bool:
    """Says whether the infimum of the risk over all predictions is known before anything is read."""
    return loss.infimum is not None if isinstance(loss, config.Output) else loss.weight_decay == 0


def kind(loss: config.Loss, *, planted: bool) -> Kind:
    """Returns what a loss near the infimum certifies (mathematics, section 4).

    Args:
        loss: The `loss` part of a cell.
        planted: Whether the targets are planted: then the infimum is attained, at the parameters they come from.
    """
    if not known(loss):
        return "unknown"
    return "approached" if loss.name == "ce" and not planted else "attained"


def infimum(loss: config.Loss, targets: np.ndarray, weights: np.ndarray, x: np.ndarray | None = None) -> float:
    """Returns the infimum of the risk over all functions of the input, in loss units (mathematics, sections 2 and 4).

    Args:
        loss: The `loss` part of a cell.
        targets: (N, K) float.
        weights: (N,) positive float.
        x: (N, ...) inputs: of equal ones no function tells the targets apart. None if all differ.

    Returns:
        NaN where it is not known: for `output` unless the spec gives it, for the others under weight decay.
    """
    import numpy as np
    from scipy import special

    if isinstance(loss, config.Output):
        return math.nan if loss.infimum is None else loss.infimum
    if not known(loss):
        return math.nan
    best = targets if x is None else _means(targets, weights, x)
    if loss.name == "half_mse":
        return 0.5 * float(np.average(np.sum((targets - best) ** 2, axis=-1), weights=weights))
    a = smoothing(loss)
    entropies = special.entr((1 - a) * best + a / best.shape[-1]).sum(axis=-1)
    return float(np.average(entropies, weights=weights))


def constant(loss: config.Loss, targets: np.ndarray, weights: np.ndarray) -> float:
    """Returns the risk of the best constant prediction, in loss units: the infimum if all inputs were equal.

    Args:
        loss: The `loss` part of a cell.
        targets: (N, K) float.
        weights: (N,) positive float.

    Returns:
        NaN for `output`, whose risk is no prediction, and under weight decay.
    """
    import numpy as np

    if loss.name == "output":
        return math.nan
    return infimum(loss, targets, weights, np.zeros((len(targets), 1)))


def chance(targets: np.ndarray, weights: np.ndarray) -> float:
    """Returns the accuracy of the best constant prediction: the weighted share of the largest class.

    Args:
        targets: (N, K) float; the class of an example is where its target is largest.
        weights: (N,) positive float.
    """
    import numpy as np

    return float(np.max(np.bincount(np.argmax(targets, axis=-1), weights)) / np.sum(weights))


def _means(targets: np.ndarray, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Returns for each example the weighted mean target (K,) of all examples with the same input."""
    import numpy as np

    places: dict[bytes, int] = {}
    group = np.array([places.setdefault(row.tobytes(), len(places)) for row in np.ascontiguousarray(x)])
    if len(places) == len(x):
        return targets
    sums, total = np.zeros((len(places), targets.shape[-1])), np.zeros(len(places))
    np.add.at(sums, group, weights[:, None] * targets)
    np.add.at(total, group, weights)
    return np.asarray((sums / total[:, None])[group])


def per_example(loss: config.Loss | Custom, outputs: jax.Array, targets: jax.Array) -> jax.Array:
    """Returns the loss of each example, without weight decay.

    Args:
        loss: The `loss` part of a cell, or a function of one's own.
        outputs: (N, K) float; for a function of one's own (N, ...).
        targets: (N, K) float; for the cross-entropies each row a probability; for a function of one's own (N, ...).

    Returns:
        (N,) float in the dtype of `outputs`.
    """
    import jax
    import jax.numpy as jnp

    if isinstance(loss, Custom):
        return jnp.asarray(jax.vmap(loss.function)(outputs, targets))
    if loss.name == "output":
        return jnp.sum(outputs, axis=-1)
    if loss.name == "half_mse":
        return 0.5 * jnp.sum((outputs - targets) ** 2, axis=-1)
    a = smoothing(loss)
    return -jnp.sum(((1 - a) * targets + a / outputs.shape[-1]) * jax.nn.log_softmax(outputs), axis=-1)
