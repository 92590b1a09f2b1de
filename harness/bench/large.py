# SPDX-License-Identifier: Apache-2.0
"""`gdzoo bench large`: VGG-16 at its full width, 15 million parameters, 1,024 images of 32x32 pixels, on a CPU.

Not a comparison: it shows that the engine fits, how many products a second it makes, and what it finds.
"""

from __future__ import annotations

import resource
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp

import zoo
from harness import config as configs
from harness import data
from harness.bench import row
from harness.bench.curvature import Unit
from harness.curvature import lanczos, operators
from harness.curvature import spectrum as spectra
from harness.risk import objective

STEPS = 16
"""Products of the run; each takes 40 to 50 seconds of one core."""

PATIENCE = 1200.0
"""Seconds of wall time after which no further block of products is begun."""

CHUNK = 32
"""Images at once."""

LIMIT = row.Target(24.0)
"""GiB that it may take."""


def units(quick: bool) -> list[Unit]:
    """Returns its one part; `quick` for an eighth of the width and 64 images."""
    return [Unit("VGG-16", lambda: rows(0.125, 64) if quick else rows(1.0, 1024))]


def rows(width: float, examples: int) -> list[row.Row]:
    """Runs Lanczos on the Hessian at the start, in float32, and tells time, memory and the largest eigenvalue."""
    fields: dict[str, Any] = {**zoo.FAMILIES["vgg"].settings["vgg16"].fields, "dense": [512], "width": width}
    config = zoo.FAMILIES["vgg"].config.model_validate({"family": "vgg", **fields, "gain": 2**0.5})
    model = zoo.build("vgg", config, inputs=(32, 32, 1), outputs=10)
    goal = objective.objective(model, configs.Ce(name="ce"), chunk=CHUNK)
    arrays = data.load(configs.Images(name="digits", examples=examples, resize=32))
    batch = objective.Batch(*(jnp.asarray(part, "float32") for part in (arrays.x, arrays.targets, arrays.weights)))
    point = (goal.init(jax.random.key(0)), batch)
    operator = operators.hessian(goal.risk)
    program = lanczos.lanczos(operator, goal.size, capacity=STEPS)
    began, cpu_began = time.monotonic(), time.process_time()

    def enough(_known: spectra.Spectrum) -> bool:
        return time.monotonic() - began > PATIENCE

    known, basis, pairs = lanczos.run(program, program.at(point), jax.random.key(1), enough)
    wall, cpu = time.monotonic() - began, time.process_time() - cpu_began
    top = jnp.asarray(pairs.weights[:, -1], "float32") @ basis.rows[: len(pairs.values)]
    residual = jax.jit(lambda point, u: _residual(operator(point)(u), u))(point, top)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    group = f"VGG-16, P = {goal.size:,}, N = {examples:,}, 32x32, float32, {CHUNK} images at once"
    count = f"{known.products} products, compilation included, in"
    found = f"residual |Hu - λu| = {float(residual):.2g}, of one more product, after {known.products}"
    return [
        row.Row(group, "products a second of wall time", known.products / wall, note=f"{count} {wall:.4g} s"),
        row.Row(group, "products a CPU second", known.products / cpu, note=f"{count} {cpu:.4g} CPU seconds"),
        row.Row(group, "peak memory of the process, GiB", peak / 2**30, target=LIMIT),
        row.Row(group, "largest eigenvalue", float(known.values[-1]), note=found),
    ]


def _residual(product: jax.Array, u: jax.Array) -> jax.Array:
    """Returns |Hu - (u Hu) u| for a unit vector u and its product Hu."""
    return jnp.linalg.norm(product - (u @ product) * u)
