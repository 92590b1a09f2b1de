# SPDX-License-Identifier: Apache-2.0
"""`gdzoo bench training`: what the training loop and a whole start cost, in one table of ratios from one run."""

from __future__ import annotations

import functools

from harness.bench import instructions, problems, start, steps
from harness.bench.curvature import NAMES, Unit


def units(quick: bool) -> list[Unit]:
    """Returns the parts of the bench; `quick` for small networks and few rounds, in minutes."""
    size: problems.Size = "small" if quick else "full"
    rounds = 3 if quick else 5
    found = [Unit(f"steps, {name}", functools.partial(steps.rows, name, size, rounds)) for name in NAMES]
    if not quick:
        held = functools.partial(instructions.again, "steps", "VGG", size, rounds)
        found += [Unit("steps, VGG, PyTorch held to AVX2", held)]
    found += [Unit(f"PyTorch's compiler, {name}", functools.partial(steps.compiled, name, size)) for name in NAMES]
    found += [Unit("seeds side by side", functools.partial(steps.company, rounds))]
    found += [Unit("start", start.rows)]
    return found if quick else [*found, Unit("MLflow", start.points)]
