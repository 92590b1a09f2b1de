# SPDX-License-Identifier: Apache-2.0
"""`gdzoo bench scaling`: seconds of a step against examples, parameters and seeds, and a picture of them.

An MLP with two hidden layers on random images of 8x8 pixels, full-batch descent in float32 on one core; the other two
are held fixed at EXAMPLES, WIDTH and one seed.
"""

from __future__ import annotations

import functools
import math
import pathlib

import jax
import jax.numpy as jnp

import zoo
from harness import config, workspace
from harness.bench import row, steps, timing
from harness.bench.curvature import Unit
from harness.risk import objective
from harness.training import loop

EXAMPLES, WIDTH = 256, 16

SCALES: dict[str, tuple[int, ...]] = {
    "examples": (64, 256, 1024, 4096, 16384),
    "parameters": (8, 32, 128, 512),
    "seeds": (1, 4, 16, 64, 128),
}
"""What is varied: N; the width of both hidden layers; seeds side by side."""

PICTURE = pathlib.Path("harness/bench/scaling.svg")
"""Where the picture goes, in the checkout."""

WORK = 3e8
"""Multiplications of a reading, about."""


def units(quick: bool) -> list[Unit]:
    """Returns its one part; `quick` without the largest of each."""
    return [Unit("scaling", functools.partial(rows, -1 if quick else None))]


def rows(last: int | None) -> list[row.Row]:
    """Measures all scales, draws them, and returns the exponents between the two largest of each."""
    found = {what: measured(what, values[:last]) for what, values in SCALES.items()}
    if last is None:
        draw(found, workspace.CHECKOUT / PICTURE)
    made = []
    for what, pairs in found.items():
        (a, s), (b, t) = pairs[-2:]
        told = ", ".join(f"{x:,.0f}: {1e6 * seconds:.3g} µs" for x, seconds in pairs)
        slope = math.log(t / s) / math.log(b / a)
        made.append(row.Row("a step grows with the power of", what, slope, note=told))
    return made


def measured(what: str, values: tuple[int, ...]) -> list[tuple[float, float]]:
    """Returns pairs of N, P or seeds, and CPU seconds of a step, the least of three readings."""
    found = []
    for value in values:
        examples = value if what == "examples" else EXAMPLES
        width = value if what == "parameters" else WIDTH
        lanes = value if what == "seeds" else 1
        fields = {"family": "mlp", "hidden": [width, width], "activation": "relu"}
        model = zoo.build("mlp", zoo.FAMILIES["mlp"].config.model_validate(fields), inputs=(8, 8, 1), outputs=10)
        goal = objective.objective(model, config.Ce(name="ce"))
        keys = jax.random.split(jax.random.key(0), lanes)
        x = jax.random.normal(jax.random.key(1), (examples, 8, 8, 1), "float32")
        targets = jnp.eye(10, dtype="float32")[jnp.arange(examples) % 10]
        batch = objective.Batch(x, targets, jnp.ones(examples, "float32"))
        trainer = loop.trainer(goal.risk, steps.rule("gd", None), examples)
        thetas, etas = jax.vmap(goal.init)(keys), jnp.full(lanes, steps.RATE, "float32")
        count = max(3, int(WORK / (examples * goal.size * lanes)))
        case = functools.partial(_steps, trainer, (thetas, etas, keys), batch, count)
        case()
        seconds = min(timing.cpu_seconds(case) for _ in range(3)) / count
        found.append((float({"examples": examples, "parameters": goal.size, "seeds": lanes}[what]), seconds))
    return found


def _steps(
    trainer: loop.Trainer, lanes: tuple[jax.Array, jax.Array, jax.Array], batch: objective.Batch, count: int
) -> jax.Array:
    thetas, etas, keys = lanes
    state = trainer.begin(thetas, etas, jnp.zeros(len(thetas), int))
    return trainer.advance(state, etas, keys, batch, count).theta


def draw(found: dict[str, list[tuple[float, float]]], path: pathlib.Path) -> None:
    """Draws seconds of a step against each of what is varied, on logarithmic axes."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "gdzoo"  # the same numbers give the same file
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(found), figsize=(9, 3), sharey=True, layout="constrained")
    for axis, (what, pairs) in zip(axes, found.items(), strict=True):
        x, seconds = zip(*pairs, strict=True)
        axis.loglog(x, seconds, "o-", color="#1f6feb")
        axis.loglog(x, [seconds[-1] * value / x[-1] for value in x], ":", color="0.6", label="proportional")
        axis.set_xlabel(what)
        axis.grid(visible=True, which="major", alpha=0.3)
    axes[0].set_ylabel("CPU seconds of a step")
    axes[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
