# SPDX-License-Identifier: Apache-2.0
"""The text of a new spec: every field written out, each with what it means and what it may be."""

from __future__ import annotations

import functools
import json
import operator
import textwrap
from collections.abc import Iterator
from typing import Any

from harness import allowed, grid

HEADER = """\
# yaml-language-server: $schema=../schema.json
# What this spec claims, in a sentence or two. Write it here.
"""

OPTIONAL = """\
# Two fields that may be left out: take away their # to use them.
# {source}
# source: "a paper, a table, a run"
# {grid}
# grid:
#   model.activation: [relu, gelu]
#   optimizer.learning_rate: [0.1, {{eta_lambda: 1.0}}]
"""

MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": [16, 16], "activation": "relu"},
    "vgg": {"stages": [[4, 4], [8, 8]], "activation": "relu"},
    "vit": {"patch": 2, "width": 12, "depth": 1, "heads": 2, "mlp_width": 24, "activation": "relu"},
}
"""For each family a network that is small enough to try: seconds on a CPU."""


def fields(name: str, family: str) -> dict[str, Any]:
    """Returns the fields of a new spec, as they would stand in the file.

    Args:
        name: Name of the spec.
        family: A key of MODELS.
    """
    return {
        "schema": 1,
        "title": f"{name}: {family} on digits, full-batch gradient descent",
        "data": {"name": "digits", "examples": 512},
        "model": {"family": family, **MODELS[family]},
        "loss": {"name": "half_mse"},
        "start": {"name": "random"},
        "optimizer": {"name": "gd", "learning_rate": {"eta_lambda": 1.0}},
        "steps": 300,
        "checkpoints": 16,
        "precision": "float32",
        "curvature": "auto",
        "seeds": 3,
    }


def text(mapping: dict[str, Any], schema: allowed.Schema) -> str:
    """Returns the YAML of a spec, a comment above each line.

    Args:
        mapping: The fields of the spec.
        schema: The JSON Schema of spec files.
    """
    lines = [line for key in mapping for line in _lines((key,), mapping, schema)]
    tail = OPTIONAL.format(**{key: allowed.description(schema, (key,), mapping) for key in ("source", "grid")})
    return HEADER + "\n".join(lines) + "\n" + tail


def _lines(path: tuple[str, ...], mapping: dict[str, Any], schema: allowed.Schema) -> Iterator[str]:
    """Yields the line of one field, after its comment, and those of the fields inside it."""
    value = functools.reduce(operator.getitem, path, mapping)
    indent = "  " * (len(path) - 1)
    block = isinstance(value, dict) and len(path) == 1
    for comment in _comments(path, mapping, schema, block=block):
        yield from textwrap.wrap(
            comment, 110, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   ", break_on_hyphens=False
        )
    if block:
        yield f"{indent}{path[-1]}:"
        for key in value:
            yield from _lines((*path, key), mapping, schema)
    else:
        quoted = path == ("title",)
        yield f"{indent}{path[-1]}: {json.dumps(value, ensure_ascii=False) if quoted else grid.flow(value)}"


def _comments(path: tuple[str, ...], mapping: dict[str, Any], schema: allowed.Schema, *, block: bool) -> Iterator[str]:
    variants = allowed.variants(schema, path[:-1], mapping) if path[-1] in ("family", "name") else {}
    for name, variant in variants.items():
        others = [key for key in variant["properties"] if key != path[-1]]
        takes = f" It takes {', '.join(others)}." if others else ""
        yield f"{name}: {variant['description']}{takes}"
    if not variants:
        allows = "" if block else f" Allowed: {allowed.values(schema, path, mapping)}."
        yield f"{allowed.description(schema, path, mapping)}{allows}".strip()
