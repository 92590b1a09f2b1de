# SPDX-License-Identifier: Apache-2.0
"""`gdzoo bench curvature`: the curvature engine against its peers, in one table of ratios from one run."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable
from typing import NamedTuple

from harness.bench import checkpoint, eigenvalues, instructions, memory, problems, products, row

NAMES = ("MLP", "VGG", "ViT")

CHUNKED = {"MLP": 1024, "VGG": 1024, "ViT": 128}
"""Examples of the products that are cut into chunks; 1,024 images of the ViT take ten seconds each time."""

BEYOND = 4
"""Vectors that a run of m steps may hold beside its m."""


class Unit(NamedTuple):
    """A part of a bench: what the progress bar calls it, and what makes its rows."""

    title: str
    rows: Callable[[], list[row.Row]]


def units(quick: bool) -> list[Unit]:
    """Returns the parts of the bench; `quick` for small networks and few rounds, in minutes."""
    size: problems.Size = "small" if quick else "full"
    rounds = 3 if quick else 5
    found: list[Unit] = []

    def add(title: str, rows: Callable[..., list[row.Row]], *arguments: object) -> None:
        found.append(Unit(title, functools.partial(rows, *arguments)))

    for precision in ("float64", "float32"):
        for name in NAMES:
            add(f"one product, {name}, {precision}", products.one, name, size, precision, rounds)
    for name in NAMES:
        add(f"chunk size, {name}", products.chunks, name, size, 64 if quick else CHUNKED[name])
    add("PyTorch's kept graph", products.against_torch, size, 64 if quick else 1024)
    if not quick:
        add("PyTorch's kept graph, held to AVX2", instructions.again, "kept graph", size, 1024)
    for name in NAMES if quick else ("VGG", "ViT"):
        add(f"diagnostics, {name}", checkpoint.rows, name, size)
    for name in NAMES:
        for question in ("top 10", "nearest 1/η"):
            add(f"{question}, {name}", eigenvalues.rows, question, name, size)
    for name in NAMES:
        add(f"accuracy, {name}", eigenvalues.accuracy, name)
    for precision in ("float64", "float32"):
        for steps in (16,) if quick else (16, 48):
            add(f"memory, {steps} steps", held, memory.Case(300 if quick else 1000, steps, precision))
    return found


def held(case: memory.Case) -> list[row.Row]:
    """Returns the row of a memory case."""
    group = "memory of a Lanczos run at its peak, in vectors"
    if not pathlib.Path("/proc/self/clear_refs").exists():
        return [
            row.absent(group, f"m = {case.steps}, {case.precision}", "only Linux tells the peak of a part of a run")
        ]
    found = memory.measured(case)
    what = f"P = {found.size:,}, m = {case.steps}, {case.precision}"
    note = f"{found.above / 2**20:.4g} MiB above what was resident"
    return [row.Row(group, what, found.vectors, target=row.Target(case.steps + BEYOND), note=note)]
