# SPDX-License-Identifier: Apache-2.0
"""Small networks, configurations and problems for tests: a base, of which a test replaces the parts it is about.

A module that replaces the same parts in every test says so once: `cell = functools.partial(builders.cell, ...)`.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Sequence
from typing import Any

import jax
import pytest

import zoo
from harness import config, specs
from harness.runs import measure
from harness.training import problem as problems
from zoo import layer, model

Part = dict[str, Any]


def tiers(cases: Iterable[Any], quick: Container[Any]) -> list[Any]:
    """Returns cases as parameters of a test; `make test` runs the quick ones, `make test-all` the others too."""
    return [pytest.param(case, marks=() if case in quick else pytest.mark.thorough) for case in cases]


def classes(**fields: Any) -> Part:
    """Returns the data of nine examples in three Gaussian classes, with some fields replaced."""
    base = {"name": "gaussian_classes", "examples": 9, "shape": [1, 1, 3], "classes": 3, "separation": 2.0}
    return base | fields


def digits(examples: int, **fields: Any) -> Part:
    """Returns the data of the first digits."""
    return {"name": "digits", "examples": examples, **fields}


def mlp(*hidden: int, activation: str = "tanh") -> Part:
    """Returns a multilayer perceptron with these numbers of units."""
    return {"family": "mlp", "hidden": list(hidden), "activation": activation}


def gd(learning_rate: Any, **fields: Any) -> Part:
    """Returns gradient descent."""
    return {"name": "gd", "learning_rate": learning_rate, **fields}


def sgd(learning_rate: Any, batch_size: int, **fields: Any) -> Part:
    """Returns stochastic gradient descent."""
    return {"name": "sgd", "learning_rate": learning_rate, "batch_size": batch_size, **fields}


def quadratic(*eigenvalues: float) -> dict[str, Part]:
    """Returns the data, model and loss whose risk has these eigenvalues everywhere."""
    diagonal = {"family": "quadratic", "eigenvalues": list(eigenvalues)}
    return {"data": {"name": "point"}, "model": diagonal, "loss": {"name": "output"}}


def layers(family: str, inputs: layer.Shape, outputs: int, **fields: Any) -> layer.Layers:
    """Returns the layers of a family with these fields, for examples of a shape."""
    row = zoo.FAMILIES[family]
    return row.layers(row.config.model_validate({"family": family, **fields}), inputs, outputs)


def network(family: str, inputs: layer.Shape, outputs: int, **fields: Any) -> model.Model:
    """Returns the network of a family with these fields, for examples of a shape."""
    row = zoo.FAMILIES[family]
    return zoo.build(family, row.config.model_validate({"family": family, **fields}), inputs=inputs, outputs=outputs)


BASE: Part = {
    "schema": 1,
    "title": "a test",
    "data": classes(),
    "model": mlp(4),
    "loss": {"name": "half_mse"},
    "optimizer": gd(0.1),
    "steps": 3,
    "seeds": 1,
}
"""A spec of one configuration whose run takes no time."""


def spec_text(**parts: Any) -> str:
    """Returns the text of the base spec with some parts replaced or added, a line for each."""
    return "".join(f"{name}: {json.dumps(part)}\n" for name, part in (BASE | parts).items())


def parse(text: str) -> specs.Spec:
    """Returns the spec of a text, named tests/t."""
    return specs.parse(text, file="t.yaml", suite="tests", name="t")


def cells(**parts: Any) -> tuple[config.Cell, ...]:
    """Returns the configurations of the base spec with some parts replaced or added, such as `grid`."""
    return parse(spec_text(**parts)).cells


def cell(**parts: Any) -> config.Cell:
    """Returns the one configuration of the base spec with some parts replaced or added."""
    (only,) = cells(**parts)
    return only


def problem(**parts: Any) -> problems.Problem:
    """Returns the problem of that configuration."""
    return problems.problem(cell(**parts))


def measured(
    ready: problems.Problem,
    theta: jax.Array,
    eta: float,
    *,
    names: Sequence[str],
    key: int = 0,
    previous: jax.Array | None = None,
    **known: Any,
) -> dict[str, float]:
    """Returns what some diagnostics measure at theta, where everything is finite.

    Args:
        ready: The problem.
        theta: Where.
        eta: Step size.
        names: Names of diagnostics.
        key: Seed of what is drawn.
        previous: theta at the checkpoint step before.
        known: What else is known of the run there (harness.runs.measure.Where).
    """
    found = measure.measure(ready, measure.Where(theta, eta, jax.random.key(key), previous, **known), names)
    assert found is not None
    return found
