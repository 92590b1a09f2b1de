# SPDX-License-Identifier: Apache-2.0
"""Crossover: what a survey costs by the dense method and by Lanczos, at sizes around survey.DENSE_UP_TO.

The networks of specs/quickstart, narrower and wider, after some steps of gradient descent. Both answers are certified
to the same end, but the dense one knows every eigenvalue.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import jax
import jax.numpy as jnp

from harness import specs
from harness.bench import row, timing
from harness.bench.curvature import Unit
from harness.curvature import operators, survey
from harness.training import problem

STEPS = 60
"""Steps of gradient descent from the start to where is measured."""

ETA_LAMBDA = 1.5
"""The step size times the largest eigenvalue at the start."""

SIZES: dict[str, list[dict[str, Any]]] = {
    "mlp": [{"hidden": [width, 12], "activation": "relu"} for width in (6, 12, 24, 34, 66)],
    "vgg": [{"stages": [[width], [2 * width] * 2], "activation": "relu"} for width in (2, 4, 5, 8)],
    "vit": [
        {"patch": 4, "width": width, "depth": 1, "heads": 2, "mlp_width": 2 * width, "activation": "relu"}
        for width in (6, 12, 18, 22)
    ],
}
"""Of each family, from some 500 to some 5,000 parameters."""


def ready(family: str, fields: dict[str, Any]) -> problem.Problem:
    """Returns the problem of a network on 256 digits, as specs/quickstart has it."""
    spec = {
        "schema": 1,
        "title": family,
        "data": {"name": "digits", "examples": 256},
        "model": {"family": family, **fields},
        "loss": {"name": "half_mse"},
        "optimizer": {"name": "gd", "learning_rate": 0.1},
        "steps": 1,
        "checkpoints": 2,
        "seeds": 1,
    }
    (cell,) = specs.parse(json.dumps(spec), file="bench", suite="bench", name=family).cells
    return problem.problem(cell)


def rows(family: str, fields: dict[str, Any]) -> list[row.Row]:
    """Times a survey of a network by both methods at the same point."""
    made = ready(family, fields)
    operator, size = operators.hessian(made.objective.risk), made.size
    dense, lanczos = (survey.surveyor(operator, size, method) for method in ("dense", "lanczos"))
    theta = made.objective.init(jax.random.key(0)).astype(made.batch.x.dtype)
    top, _ = lanczos.top((theta.astype("float64"), made.exact), jax.random.key(1))
    eta = jnp.asarray(ETA_LAMBDA / top, theta.dtype)
    state = made.trainer.begin(theta[None], eta[None], jnp.zeros(1, int))
    end = made.trainer.advance(state, eta[None], jax.random.split(jax.random.key(2), 1), made.batch, STEPS)
    point = end.theta[0].astype("float64"), made.exact
    cases = {
        "dense": lambda: dense.survey(point, float(eta), jax.random.key(3)).spectrum.values,
        "lanczos": lambda: lanczos.survey(point, float(eta), jax.random.key(3)).spectrum.values,
    }
    found = timing.interleaved(cases, rounds=3)
    ratio = timing.ratio(found["lanczos"], found["dense"])
    words = (f"{name} {one.median:.3g} s, compiled {one.first - one.median:.3g}" for name, one in found.items())
    which = "Lanczos is cheaper" if ratio.value < 1 else "dense is cheaper"
    group = f"a survey by Lanczos / by the dense method, CPU (`curvature: auto` is dense up to {survey.DENSE_UP_TO:,})"
    return [row.Row(group, f"{family}, P = {size:,}: {which}", ratio.value, ratio.spread, note="; ".join(words))]


def units(quick: bool) -> list[Unit]:
    """Returns the parts of `gdzoo bench crossover`; `quick` for the two sizes of each family around 1,000 and 2,000."""
    return [
        Unit(f"{family} {place + 1}", functools.partial(rows, family, fields))
        for family, sizes in SIZES.items()
        for place, fields in enumerate(sizes)
        if not quick or place in (1, 2)
    ]
