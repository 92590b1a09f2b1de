# SPDX-License-Identifier: Apache-2.0
"""What a cell is and what would be measured of it, from shapes alone: no data are read, nothing is computed."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax

from harness import config, data, errors, starts, theory
from harness.curvature import survey
from harness.diagnostics import plan as plans
from harness.risk import networks, objective
from harness.training import problem


class Outline(NamedTuple):
    """What a cell is, found out from shapes alone: parameters P, examples N, eigenvalues, theory, what is measured."""

    parameters: int
    examples: int
    curvature: str
    theory: theory.Theory
    plan: plans.Plan


def outline(cell: config.Cell) -> Outline:
    """Traces the risk of a cell in its precision and in float64, without data and without an array.

    Cost: the tracing of one forward pass for each precision, shared by cells that differ in the optimizer alone.

    Raises:
        errors.InputError: If the given start does not fit the network, or this is too large for `curvature: dense`.
    """
    facts = data.facts(cell.data)
    parameters = _traced(facts, cell.model, cell.loss, cell.precision)
    try:
        starts.check(cell.start, parameters)
    except errors.InputError as error:
        raise errors.InputError(f"{cell.suite}/{cell.label}: {error}") from None
    problem.check_dense(cell, parameters)
    method = survey.resolve(cell.curvature, parameters)
    return Outline(parameters, facts.examples, method, theory.of(cell), plan(cell, parameters))


def plan(cell: config.Cell, parameters: int) -> plans.Plan:
    """Returns what is measured of a cell whose network has so many parameters, and what is left out and why."""
    facts = data.facts(cell.data)
    batch_size = cell.optimizer.batch_size or facts.examples
    method = survey.resolve(cell.curvature, parameters)
    size = plans.Size(parameters, facts.examples, facts.classes, batch_size, method, cell.steps, cell.checkpoints)
    return plans.plan(cell, size)


@functools.lru_cache(maxsize=64)
def _traced(facts: data.Facts, model: config.Model, loss: config.Loss, precision: str) -> int:
    """Returns the number of parameters of a network whose risk was traced."""
    network = networks.build(model, facts.shape, facts.classes)
    goal = objective.objective(network, loss)
    for dtype in {precision, "float64"}:
        examples = facts.examples
        sizes = (examples, *facts.shape), (examples, facts.classes), (examples,)
        theta, *arrays = (jax.ShapeDtypeStruct(size, dtype) for size in ((goal.size,), *sizes))
        value = jax.eval_shape(lambda theta, *batch: goal.risk(theta, objective.Batch(*batch)), theta, *arrays)
        assert (value.shape, value.dtype) == ((), dtype), f"the risk is {value}"
    return goal.size
