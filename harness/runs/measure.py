# SPDX-License-Identifier: Apache-2.0
"""What is measured at a checkpoint step of a run, in float64: a pure function of cell, keys and parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness import config, diagnostics
from harness.curvature import survey as surveys
from harness.diagnostics import plan as plans
from harness.runs.keys import Keys, at_step
from harness.runtime import sharding
from harness.starts import saddles
from harness.training import problem


class Checkpoint(NamedTuple):
    """Where a run is measured.

    Attributes:
        step: The checkpoint step.
        theta: (P,) in the training precision.
        previous: theta at the checkpoint step before; None at the first.
        eta: The step size of the run, as recorded; a schedule changes it.
        reached: Whether the trainer found the loss at its target.
        above: How many eigenvalues were counted above 1/eta at the checkpoint step before; None if not known.
    """

    step: int
    theta: np.ndarray
    previous: np.ndarray | None
    eta: float
    reached: bool = False
    above: float | None = None


class Measured(NamedTuple):
    """What the records of a run follow from, besides where it is.

    Attributes:
        cell: Its cell.
        ready: The problem.
        plan: What is measured when.
        keys: Its random keys.
    """

    cell: config.Cell
    ready: problem.Problem
    plan: plans.Plan
    keys: Keys


def record_at(
    run: Measured, at: Checkpoint, surveyed: Callable[[surveys.Survey], None] = lambda survey: None
) -> dict[str, float] | None:
    """Returns the record of a run at a checkpoint step, None where something is not finite: of these arguments alone.

    Args:
        run: The run.
        at: Where it is.
        surveyed: Called with the survey of the Hessian there, if there was one.
    """
    cell, ready, plan, keys = run
    names = plan.at(at.step, cell.steps)
    earlier = [step for step in cell.checkpoint_steps if step < at.step]
    here = Where(
        theta=jnp.asarray(at.theta),
        eta=step_size_at(ready, at.eta, at.step),
        key=at_step(cell, keys, at.step),
        previous=None if at.previous is None else jnp.asarray(at.previous),
        planted=problem.planted_at(cell, ready),
        previous_eta=step_size_at(ready, at.eta, earlier[-1]) if earlier else None,
        above=at.above,
    )
    values = measure(ready, here, names, surveyed)
    late = [name for name in plan.at(at.step, at.step) if name not in names]
    if values is not None and late and (at.reached or at_target(cell, values)):  # the record turns out to be the last
        values |= measure(ready, here._replace(previous_eta=None, above=None), late) or {}
    return values


def step_size_at(ready: problem.Problem, eta: float, step: int) -> float:
    """Returns the step size at a step of a run whose recorded step size is `eta`, in the training precision."""
    return float(ready.trainer.rate(jnp.asarray(eta, ready.batch.x.dtype), step))


def at_target(cell: config.Cell, values: dict[str, float]) -> bool:
    """Says whether a record is at a cell's target."""
    target = cell.target
    if target is None:
        return False
    if target.loss_gap is not None:
        return values["loss_gap"] <= target.loss_gap
    return target.loss is not None and values["loss"] <= target.loss


class Where(NamedTuple):
    """A point at which diagnostics are asked, and what they need to know of the run there.

    Attributes:
        theta: (P,), in any precision.
        eta: Step size.
        key: Random key of Lanczos and its probes.
        previous: theta at the checkpoint step before; None at the first.
        planted: The point that the run was planted at, if it was.
        previous_eta: Step size at the checkpoint step before; `eta` unless given.
        above: Eigenvalues that were counted above 1/eta there; counted again where it is not given.
    """

    theta: jax.Array
    eta: float
    key: jax.Array
    previous: jax.Array | None = None
    planted: saddles.Saddle | None = None
    previous_eta: float | None = None
    above: float | None = None


def measure(
    ready: problem.Problem,
    at: Where,
    names: Iterable[str] = diagnostics.DEFAULT,
    surveyed: Callable[[surveys.Survey], None] = lambda survey: None,
) -> dict[str, float] | None:
    """Returns the metrics of some diagnostics at a point, in float64, or None where something is not finite.

    Args:
        ready: The problem.
        at: Where.
        names: Names in diagnostics.DIAGNOSTICS.
        surveyed: Called with the survey of the Hessian there, if one of them reads it.
    """
    names = tuple(names)
    theta = sharding.exact(at.theta)
    loss, grad_norm, accuracy = (float(v) for v in jax.block_until_ready(ready.evaluate(theta, ready.exact)))
    if not math.isfinite(loss) or not math.isfinite(grad_norm):
        return None
    before = None if at.previous is None else sharding.exact(at.previous)
    nearby = diagnostics.Nearby(theta, before, ready, at.key, at.planted, at.previous_eta, at.above)
    found = None
    try:
        asked = [diagnostics.DIAGNOSTICS[name] for name in names]
        if any(row.surveys for row in asked):
            vectors = {"vectors": True} if any(row.vectors for row in asked) else {}
            found = ready.surveyor.survey((theta, ready.exact), at.eta, at.key, **vectors)
            surveyed(found)
        known = ready.infimum, loss, grad_norm, accuracy
        point = diagnostics.Point(at.eta, *known, found, nearby, ready.constant, ready.chance)
        return diagnostics.measure(point, names)
    except FloatingPointError:
        return None
