# SPDX-License-Identifier: Apache-2.0
"""At which steps the runs of a cell have trace points, and what one costs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from harness import config
from harness.training import optimizers

if TYPE_CHECKING:
    from harness.diagnostics import plan


class TracePlan(NamedTuple):
    """The trace of a cell's runs.

    Attributes:
        steps: The steps that have a trace point, increasing: all checkpoint steps are among them, as far as a budget
            pays for them.
        price: What a trace point costs, in gradients of the whole risk.
    """

    steps: tuple[int, ...]
    price: float

    @property
    def cost(self) -> float:
        """What all trace points of a run cost, in gradients."""
        return len(self.steps) * self.price


def plan_trace(cell: config.Recipe, size: plan.Size) -> TracePlan | None:
    """Returns the trace of a cell's runs; None where it asks for none.

    A budget pays for the trace points at checkpoint steps first, and then for as many evenly spaced ones as it can.
    """
    trace = cell.trace
    if trace is None:
        return None
    price = _price(cell, size)
    steps = scheduled(cell)
    if steps is None:
        assert trace.budget is not None, "one of every, points and budget is given"
        steps = _affordable(cell, int(trace.budget / 100 * size.training / price))
    return TracePlan(steps, price)


def scheduled(cell: config.Recipe) -> tuple[int, ...] | None:
    """Returns the steps of the trace points of a cell's runs; None where that is left to a budget, or to nobody."""
    trace = cell.trace
    if trace is None or (trace.points is None and trace.every is None):
        return None
    if trace.every is not None:
        return _with(cell, range(0, cell.steps + 1, trace.every))
    assert trace.points is not None, "one of both is given"
    spaced = config.checkpoint_steps if trace.spacing == "log" else _even
    return _with(cell, spaced(cell.steps, trace.points))


def _affordable(cell: config.Recipe, points: int) -> tuple[int, ...]:
    """Returns so many steps at most: the checkpoint steps, or the last of them, and evenly spaced ones beside them."""
    own = cell.checkpoint_steps
    spare = min(points, config.MOST_TRACE_POINTS) - len(own)
    if spare <= 0:
        return own[len(own) - max(points, 0) :]
    return _with(cell, range(0, cell.steps + 1, math.ceil(cell.steps / spare)))


def batches(cell: config.Recipe, examples: int) -> int:
    """Returns how many mini-batches are drawn at a trace point: none where each step sees all examples."""
    from harness.training import batch_sharpness

    rule = optimizers.rule(cell)
    if cell.trace is None or rule.batch_size is None:
        return 0
    given = cell.trace.batches
    return batch_sharpness.drawn(rule, examples) if given is None else given


def _price(cell: config.Recipe, size: plan.Size) -> float:
    """Returns what a trace point costs: a gradient, the tracked eigenvalues, and for SGD the drawn mini-batches."""
    from harness.curvature import tracked
    from harness.training import batch_sharpness

    assert cell.trace is not None, "who has no trace pays nothing for it"
    price = 1.0 + tracked.price(cell.trace.top, size.parameters)
    count = batches(cell, size.examples)
    return price + (batch_sharpness.gradients(optimizers.rule(cell), size.examples, count) if count else 0.0)


def spent(cell: config.Recipe, examples: int, points: int, products: int) -> float:
    """Returns about how many gradients some trace points of a run took, as counted.

    A gradient and a linearisation for each point, PRODUCT for each product with the Hessian, and for SGD the drawn
    mini-batches.

    Args:
        cell: The cell of the run.
        examples: N.
        points: Trace points.
        products: Hessian-vector products that they took together.
    """
    from harness.diagnostics import plan
    from harness.training import batch_sharpness

    count = batches(cell, examples)
    drawn = batch_sharpness.gradients(optimizers.rule(cell), examples, count) if count else 0.0
    return points * (2.0 + drawn) + plan.PRODUCT * products


def _even(steps: int, points: int) -> tuple[int, ...]:
    """Returns so many evenly spaced steps, the first 0, the last `steps`; never more than there are."""
    count = min(points, steps + 1)
    return tuple(round(steps * i / (count - 1)) for i in range(count))


def _with(cell: config.Recipe, steps: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted({*steps, *cell.checkpoint_steps}))
