# SPDX-License-Identifier: Apache-2.0
"""Which diagnostics a cell gets, when, what they cost, and what is left out and why.

A spec's `diagnostics` is `auto`, a list of names, or `{budget: 10 %}` of the training. Costs are in gradients of the
whole risk and are upper bounds: methods that stop by themselves are counted at their caps. The survey of the Hessian is
shared by all diagnostics that read it, so the first of them pays for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from harness import config, diagnostics
from harness.diagnostics import trace_plan

PRODUCT = 2.0
"""Gradients that one more product with a Hessian costs, linearised at its point (numerics: 2 to 2.2, CPU)."""

FIRST = 3.0
"""Gradients that a single product costs, its linearisation included."""

FORWARD = 1 / 3
"""Gradients that one forward pass costs."""


class Size(NamedTuple):
    """What a cost depends on.

    Attributes:
        parameters: P.
        examples: N.
        outputs: K.
        batch: Examples that a step sees; N for full-batch descent.
        method: How the spectrum is found.
        steps: Optimizer steps of a run.
        checkpoints: Checkpoint steps of a run.
    """

    parameters: int
    examples: int
    outputs: int
    batch: int
    method: Literal["dense", "lanczos"]
    steps: int
    checkpoints: int

    @property
    def training(self) -> float:
        """The cost of a run's training, in gradients."""
        return self.steps * self.batch / self.examples


class Plan(NamedTuple):
    """What is measured of a cell's runs.

    Attributes:
        taken: The diagnostics, in the order of the table.
        left_out: For each of the others, why it is; and for each metric that one of those taken does not give.
        prices: What each adds to the cost of a run beyond those taken before it, in gradients; for one that is left
            out, what it would.
        training: The cost of a run's training, in gradients.
        trace: At which steps its runs have trace points, if the cell asks for any.
    """

    taken: tuple[str, ...]
    left_out: dict[str, str]
    prices: dict[str, float]
    training: float
    trace: trace_plan.TracePlan | None = None

    def at(self, step: int, last: int) -> tuple[str, ...]:
        """Returns what is measured at a checkpoint step of a run whose last step is `last`."""
        return tuple(name for name in self.taken if diagnostics.DIAGNOSTICS[name].due(step, last))


def plan(cell: config.Recipe, size: Size) -> Plan:
    """Returns what is measured of a cell.

    Rows are taken in the order of the table: those that the spec names, or those that are cheap (`auto`), or each that
    still fits (`budget`). `fit` is taken always, and nothing that says nothing of the cell ever.
    """
    taken: list[str] = []
    left_out: dict[str, str] = {}
    prices: dict[str, float] = {}
    for name, row in diagnostics.DIAGNOSTICS.items():
        spent, after = cost(taken, size), cost([*taken, name], size)
        prices[name] = after - spent
        reason = row.why_not(cell) or ("" if name == "fit" else _unwanted(cell.diagnostics, name, after, size))
        if reason:
            left_out[name] = reason
        else:
            taken.append(name)
            left_out |= row.withheld(cell, size)
    return Plan(tuple(taken), left_out, prices, size.training, trace_plan.plan_trace(cell, size))


def _unwanted(wanted: config.Diagnostics, name: str, cost_with: float, size: Size) -> str:
    """Returns why a spec's `diagnostics` does not take a row with which it would cost so much; empty if it does."""
    if wanted == "auto":
        return "" if diagnostics.DIAGNOSTICS[name].auto else "auto takes the cheap ones"
    if isinstance(wanted, tuple):
        return "" if name in wanted else "not named"
    return "" if cost_with <= wanted.budget / 100 * size.training else "beyond the budget"


def cost(names: Iterable[str], size: Size) -> float:
    """Returns what some diagnostics cost together over a whole run, in gradients."""
    rows = [diagnostics.DIAGNOSTICS[name] for name in names]
    own = sum(row.times(size.checkpoints) * row.gradients(size) for row in rows)
    return own + max((row.times(size.checkpoints) for row in rows if row.surveys), default=0) * survey(size)


def survey(size: Size) -> float:
    """Returns what a survey of the Hessian costs at most, in gradients; the exact trace is one for each output."""
    from harness.curvature import exclusion, logdet, rounding
    from harness.curvature import survey as surveys

    rounded = 2 * rounding.PROBES * rounding.GRADIENTS
    if size.method == "dense" or size.parameters <= surveys.PRODUCTS:
        return PRODUCT * size.parameters + rounded
    return PRODUCT * (surveys.PRODUCTS + exclusion.STEPS + logdet.PROBES * logdet.STEPS) + size.outputs + rounded
