# SPDX-License-Identifier: Apache-2.0
"""A cell: one fully resolved configuration, and the hash that names it."""

from __future__ import annotations

import functools
from typing import Any

from harness.config import canonical
from harness.config.expected import Expected
from harness.config.recipe import Recipe

SCHEMA = 1
DOMAIN = "gdzoo-cell-v1\n"
ADDED: dict[tuple[str, str], dict[str, Any]] = {
    ("data", ""): {
        "split": "train",
        "subset": "first",
        "resize": None,
        "channels": None,
        "standardise": False,
        "outputs": None,
        "targets": "labels",
    },
    ("model", "mlp"): {"gain": 1.0},
    ("model", "vgg"): {"pool": "max", "width": 1.0, "gain": 1.0},
    ("model", "vit"): {"positions": "learned", "pooling": "mean", "norm_epsilon": 1e-6, "bias": True},
    ("loss", ""): {"weight_decay": 0.0},
    ("optimizer", ""): {"sampling": "replacement", "schedule": {"name": "constant"}},
    ("", ""): {"diagnostics": "auto", "target": None, "trace": None},
}
"""Fields that came after the first cells had been named, by part (empty for the recipe itself) and family, and the
value that means what was meant before: at that value a field is left out of the hash, so that a cell keeps its name
when a field is added."""


class Cell(Recipe):
    """One fully resolved configuration: a spec at one grid point, with what it takes to name it.

    Attributes:
        suite: The suite of its spec.
        spec: The name of its spec.
        title: The title of its spec.
        source: The source of its spec.
        seeds: How many seeds its spec asks for.
        label: How it differs inside its spec: `mlp · activation=relu`.
        expected: What its runs are expected to show.
    """

    suite: str
    spec: str
    title: str
    source: str | None
    seeds: int
    label: str
    expected: tuple[Expected, ...] = ()

    @functools.cached_property
    def spec_hash(self) -> str:
        """64 hex digits that name everything that changes a number."""
        return hash_of(self.resolved())

    @property
    def cell_id(self) -> str:
        """The first 12 hex digits of the hash."""
        return self.spec_hash[:12]

    def run_id(self, seed: int) -> str:
        """Returns the name of the run of one seed."""
        return f"{self.cell_id}-s{seed}"


def hash_of(resolved: dict[str, Any]) -> str:
    """Returns the name, 64 hex digits, of a resolved recipe in plain values; fields of ADDED count when they differ."""
    named: dict[str, Any] = {"schema": SCHEMA, **resolved}
    if named["data"]["name"] == "file":  # where a file lies changes no number
        named["data"] = {key: value for key, value in named["data"].items() if key != "path"}
    for (part, family), fields in ADDED.items():
        holder = named[part] if part else named
        if family in ("", holder.get("family")):
            kept = {key: value for key, value in holder.items() if key not in fields or value != fields[key]}
            named = {**named, part: kept} if part else kept
    return canonical.sha256(named, DOMAIN)
