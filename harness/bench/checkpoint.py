# SPDX-License-Identifier: Apache-2.0
"""Checkpoint: all diagnostics of a checkpoint step, as runs compute them, in units of their Hessian-vector products.

And what a cell compiles: the first of its shapes, and a second one with another step size.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jax

from harness import config, specs
from harness.bench import problems, products, row, timing
from harness.curvature import operators, survey
from harness.runs import measure
from harness.training import problem as training_problem

OVERHEAD = row.Target(1.10)
"""What all diagnostics may cost, in products."""


def cells(name: str, size: problems.Size) -> tuple[config.Cell, config.Cell]:
    """Returns two cells of a network that differ in their step size alone."""
    network = problems.NETWORKS[size][name]
    eta = problems.ETA_LAMBDA / problems.sharpness(name, size)
    fields = {
        "schema": 1,
        "title": name,
        "data": {"name": "digits", "examples": network.examples, "resize": network.resize},
        "model": network.fields,
        "loss": {"name": "ce"},
        "optimizer": {"name": "gd", "learning_rate": eta},
        "steps": 1,
        "checkpoints": 2,
        "curvature": "lanczos",
        "seeds": 1,
        "grid": {"optimizer.learning_rate": [eta, eta / 2]},
    }
    first, second = specs.parse(json.dumps(fields), file="bench", suite="bench", name=name.lower()).cells
    return first, second


def rows(name: str, size: problems.Size, rounds: int = 3) -> list[row.Row]:
    """Times a checkpoint's diagnostics against their products, and counts compilations."""
    first, second = cells(name, size)
    eta = problems.ETA_LAMBDA / problems.sharpness(name, size)
    spent: list[survey.Survey] = []
    measure = _measuring(first, name, size, spent, eta)
    with timing.compilations() as compiled:
        compiling = timing.cpu_seconds(measure)
    with timing.compilations() as again:
        _measuring(second, name, size, spent, eta / 2)()
    count = spent[0].spectrum.products + spent[0].log_det.products
    problem = problems.problem(name, size)
    point, v = problem.point("float64"), products.vector(problem, "float64")
    risk = training_problem.problem(first).objective.risk
    found = timing.interleaved(
        {
            "product": products.alone(risk, point, v),
            "loop": products.looped(operators.hessian(risk), point, v),
            "all": measure,
        },
        rounds=rounds,
    )
    inside = timing.ratio(found["all"], found["loop"], count / products.LOOP)
    target = OVERHEAD if problem.goal.size >= 100_000 else None
    note = (
        f"{found['all'].median:.3g} s for {count} products of {found['product'].median:.3g} s; {inside.value:.2f} "
        "times as many products in a compiled loop"
    )
    group = "a checkpoint's diagnostics, float64"
    compiled_note = f"{sum(compiled):.3g} wall seconds; the first checkpoint {compiling:.3g} CPU seconds"
    return [
        row.ratio(
            group,
            f"{problem.title}: / (products x one product)",
            timing.ratio(found["all"], found["product"], count),
            target,
            note,
        ),
        row.Row(
            "compilation", f"{name}: programs compiled by a first configuration", len(compiled), note=compiled_note
        ),
        row.Row("compilation", f"{name}: by a second configuration, other step size", len(again), target=row.Target(0)),
    ]


def _measuring(
    cell: config.Cell, name: str, size: problems.Size, spent: list[survey.Survey], eta: float
) -> Callable[[], Any]:
    """Returns the diagnostics of a cell at the problem's point; the surveys they make go to `spent`."""
    ready = training_problem.problem(cell)

    def surveyed(*arguments: Any) -> survey.Survey:
        spent.append(ready.surveyor.survey(*arguments))
        return spent[-1]

    watched = ready._replace(surveyor=ready.surveyor._replace(survey=surveyed))
    theta, _ = problems.problem(name, size).point("float32")
    return lambda: measure.measure(watched, measure.Where(theta, eta, jax.random.key(7)))
