# SPDX-License-Identifier: Apache-2.0
"""OPTIMIZERS: the maps that move theta, made of optax transformations, and the batches they see.

SCHEDULES: step sizes that change from step to step; SAMPLINGS: which examples a mini-batch has. A run iterates one map
for each step, and the composition of non-singular maps is non-singular (Corollary 12 of the paper).
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from harness import config

if TYPE_CHECKING:
    import jax
    import numpy as np
    import optax

Sampling = Literal["replacement", "reshuffling", "cyclic"]


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """One row of OPTIMIZERS.

    Attributes:
        map: The map of theta (and v, where there is one) that one step applies; v is 0 at the start.
        batch: Which examples its gradient is taken over.
        determinant: |det| of the derivative of that map, with H the Hessian of the risk that the step sees.
        source: Where it comes from.
        never_singular: Whether that |det| is not 0 at any step size and point (theory.STATEMENTS, F11).
    """

    map: str
    batch: str
    determinant: str
    source: str
    never_singular: bool = False


OPTIMIZERS: dict[str, Optimizer] = {
    "gd": Optimizer(
        "theta - eta grad L(theta)", "all examples, every step", "|det(I - eta H)|", "Cauchy, C. R. Acad. Sci. 1847"
    ),
    "sgd": Optimizer(
        "theta - eta grad L_B(theta)",
        "B: `batch_size` examples, by `sampling`",
        "|det(I - eta H)|",
        "Robbins & Monro, Ann. Math. Stat. 1951",
    ),
    "heavy_ball": Optimizer(
        "v' = momentum v + grad L(theta), theta' = theta - eta v'",
        "all examples, or `batch_size` of them, by `sampling`",
        "momentum^P: never 0",
        "Polyak, USSR Comput. Math. Math. Phys. 1964",
        never_singular=True,
    ),
    "nesterov": Optimizer(
        "v' = momentum v + grad L(theta), theta' = theta - eta (grad L(theta) + momentum v'); theta is the look-ahead "
        "point",
        "all examples, or `batch_size` of them, by `sampling`",
        "momentum^P |det(I - eta H)|",
        "Nesterov, Soviet Math. Dokl. 1983; in this form Sutskever et al., ICML 2013",
    ),
}

SCHEDULES: dict[str, str] = {
    "constant": "eta at every step",
    "piecewise": "eta times the last of `factors` whose step in `at` is reached, 1 before",
    "linear": "from eta / (warmup + 1) up to eta in `warmup` steps, then straight down to `to` times eta",
    "cosine": "from eta / (warmup + 1) up to eta in `warmup` steps, then along half a cosine to `to` times eta",
}

SAMPLINGS: dict[str, str] = {
    "replacement": "drawn with replacement, a function of (seed, step) alone",
    "reshuffling": "the next in an order drawn anew, from (seed, epoch), for each of the N // batch_size steps of an "
    "epoch; what is left over waits for another epoch",
    "cyclic": "the next in the order of the data set, from its end on to its beginning",
}


class Rule(NamedTuple):
    """What the steps of a cell do, but for the step size: what its programs are compiled for.

    Attributes:
        name: A name in OPTIMIZERS.
        momentum: Of heavy_ball and nesterov; None for the others.
        schedule: The `schedule` part of the cell.
        steps: Steps of a run where the schedule depends on it; 0 where it does not.
        batch_size: Examples that a step sees; None for all.
        sampling: A name in SAMPLINGS.
        first: Which of the batches of a seed the first step sees: those of a branch go on from its step.
    """

    name: str
    momentum: float | None
    schedule: config.Schedule
    steps: int
    batch_size: int | None
    sampling: Sampling
    first: int = 0


def rule(cell: config.Recipe) -> Rule:
    """Returns the rule of a cell (or of anything with its `optimizer`, `start` and `steps`)."""
    part = cell.optimizer
    steps = cell.steps if part.schedule.name in ("linear", "cosine") else 0
    return Rule(
        part.name,
        part.momentum,
        part.schedule,
        steps,
        part.batch_size,
        part.sampling,
        cell.start.step if part.batch_size and isinstance(cell.start, config.Branch) else 0,
    )


def factor(rule: Rule) -> Callable[[Any], jax.Array]:
    """Returns what the step size is multiplied by at a step, as a function of the step (scalar int array)."""
    import optax

    schedule = rule.schedule
    if schedule.name == "constant":
        return optax.constant_schedule(1.0)
    if schedule.name == "piecewise":
        return optax.join_schedules([optax.constant_schedule(f) for f in (1.0, *schedule.factors)], list(schedule.at))
    warmup = schedule.warmup
    rise = optax.linear_schedule(1 / (warmup + 1), 1.0, warmup)
    falling = max(rule.steps - warmup, 1)
    fall = (
        optax.linear_schedule(1.0, schedule.to, falling)
        if schedule.name == "linear"
        else optax.cosine_decay_schedule(1.0, falling, schedule.to)
    )
    return optax.join_schedules([rise, fall], [warmup]) if warmup else fall


def rate(rule: Rule, eta: jax.Array, step: Any) -> jax.Array:
    """Returns the step size of a step, in the dtype of `eta`; the factor is computed in float64 first."""
    import jax.numpy as jnp

    if rule.schedule.name == "constant":
        return eta
    return eta * jnp.asarray(factor(rule)(jnp.asarray(step, "float64")), eta.dtype)


class StepSizes(NamedTuple):
    """The distinct step sizes of a run.

    Attributes:
        values: (k,) float64, increasing.
        first: (k,) int, the first step that has each.
    """

    values: np.ndarray
    first: np.ndarray


def step_sizes(cell: config.Recipe, eta: float, made: int | None = None) -> StepSizes:
    """Returns the distinct step sizes of a run, each as the trainer computes it, in the training precision.

    Args:
        cell: Its cell (or anything with its `optimizer`, `steps` and `precision`).
        eta: Its learning rate, as a number.
        made: How many steps it made, for a run that ended early; that of step 0 counts even if it made none.
    """
    import numpy as np

    factors, first = _factors(rule(cell), max(cell.steps if made is None else made, 1))
    with np.errstate(over="ignore", under="ignore"):
        sizes = np.asarray(eta, cell.precision) * factors.astype(cell.precision)
    values, at = np.unique(sizes, return_index=True)
    return StepSizes(values.astype("float64"), first[at])


@functools.lru_cache(maxsize=64)
def _factors(rule: Rule, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct factors of the first `steps` steps, and the first step of each, in its order.

    Where a factor is computed, the trainer's own program gives it: numpy's differ in the last bit.
    """
    import numpy as np

    schedule = rule.schedule
    if schedule.name == "constant":
        return np.ones(1), np.zeros(1, int)
    if schedule.name == "piecewise":
        found = [(1.0, 0), *((f, at) for f, at in zip(schedule.factors, schedule.at, strict=True) if at < steps)]
        factors, first = (np.array(column) for column in zip(*found, strict=True))
    else:
        import jax

        with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
            factors = np.asarray(jax.jit(factor(rule))(np.arange(steps, dtype="float64")))
        first = np.arange(steps)
    values, at = np.unique(factors, return_index=True)
    order = np.argsort(first[at])
    return values[order], first[at][order]


def transformation(rule: Rule, eta: jax.Array) -> optax.GradientTransformation:
    """Returns the optax transformation of a rule with the step size `eta` (scalar array)."""
    import optax

    size = eta if rule.schedule.name == "constant" else lambda count: rate(rule, eta, count)
    return optax.sgd(size, momentum=rule.momentum, nesterov=rule.name == "nesterov")
