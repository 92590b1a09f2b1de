# SPDX-License-Identifier: Apache-2.0
"""The text of a new spec: every field written out, each with what it means and what it may be."""

from __future__ import annotations

import functools
import json
import operator
import textwrap
from collections.abc import Iterator
from typing import Any

import pydantic

import zoo
from harness.config import data
from harness.specs import allowed, grid

HEADER = """\
# yaml-language-server: $schema=../schema.json
# What this spec claims, in a sentence or two. Write it here.
"""

OPTIONAL = """\
# Three fields that may be left out: take away their # to use them.
# {source}
# source: "a paper, a table, a run"
# {grid}
# grid:
#   loss.weight_decay: [0.0, 0.001]
#   optimizer.learning_rate: [0.1, {{eta_lambda: 1.5}}]
# The loss at every step, and the `top` largest eigenvalues of H and the least one at many: each `every` steps, or at
# so many `points`, or at as many as a `budget` of the training's gradients pays for. `gdzoo check` says what it costs.
# trace: {{top: 8, every: 10}}    # or {{top: 8, points: 200}}, or {{top: 8, budget: 25 %}}
"""

DATA: dict[tuple[int, ...], dict[str, Any]] = {
    (1, 1, 1): {"name": "point"},
    (1, 3, 1): {"name": "modular_addition", "examples": 1024, "modulus": 97},
    (28, 28, 1): {"name": "fashion_mnist", "examples": 1024},
    (32, 32, 3): {"name": "cifar10", "examples": 1024},
    (224, 224, 3): {"name": "imagenette", "examples": 1024, "resize": 224},
}
"""What a new spec trains on, by the shape of the images that the setting was published for; else digits."""


def fields(name: str, family: str, setting: str) -> dict[str, Any]:
    """Returns the fields of a new spec, as they would stand in the file.

    Args:
        name: Name of the spec.
        family: A name in zoo.FAMILIES.
        setting: One of its settings.
    """
    chosen = zoo.FAMILIES[family].settings[setting]
    model = zoo.FAMILIES[family].config.model_validate({"family": family, **chosen.fields})
    dataset = DATA.get(chosen.inputs, {"name": "digits", "examples": 512})
    paper = family == "paper_net"  # three quarters of its random starts are dead
    size = "" if setting == "tiny" else f" ({setting})"
    return {
        "schema": 1,
        "title": f"{name}: {family}{size} on {dataset['name']}, full-batch gradient descent",
        "data": pydantic.TypeAdapter(data.Data).validate_python(dataset).model_dump(mode="json"),
        "model": model.model_dump(mode="json"),
        "loss": {"name": "output" if family in ("quadratic", "curve") else "half_mse"},
        "start": {"name": "given", "theta": [1.48, 0.776]} if paper else {"name": "random"},
        "optimizer": {"name": "gd", "learning_rate": 0.25 if paper else {"eta_lambda": 1.5}},
        "steps": 300,
        "checkpoints": 16,
        "precision": "float32",
        "curvature": "auto",
        "diagnostics": "auto",
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
    elif path == ("model", "layers"):
        yield f"{indent}{path[-1]}:"
        yield from (f"{indent}  - {grid.flow(item)}" for item in value)
    else:
        quoted = path == ("title",)
        yield f"{indent}{path[-1]}: {json.dumps(value, ensure_ascii=False) if quoted else grid.flow(value)}"


def _comments(path: tuple[str, ...], mapping: dict[str, Any], schema: allowed.Schema, *, block: bool) -> Iterator[str]:
    variants = allowed.variants(schema, path[:-1], mapping) if path[-1] in ("family", "name") else {}
    if path == ("model", "layers"):
        variants = allowed.kinds(schema, (*path, 0), mapping)
        words = ", ".join(allowed.names(schema, (*path, 0), mapping))
        yield f"{allowed.description(schema, path, mapping)} The words: {words}."
    alike: dict[str, list[str]] = {}
    for name, variant in variants.items():
        others = [key for key in variant["properties"] if key not in (path[-1], name)]
        takes = f" It takes {', '.join(others)}." if others else ""
        alike.setdefault(f"{variant['description']}{takes}", []).append(name)
    for text, names in alike.items():
        yield f"{', '.join(names)}: {text}"
    if not variants:
        allows = "" if block else f" Allowed: {allowed.values(schema, path, mapping)}."
        yield f"{allowed.description(schema, path, mapping)}{allows}".strip()
