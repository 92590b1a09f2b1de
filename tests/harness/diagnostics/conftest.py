# SPDX-License-Identifier: Apache-2.0
"""Small problems that more than one diagnostic is asked of."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from harness import specs
from harness.training import problem as problems


def _problem(**fields: object) -> problems.Problem:
    text: dict[str, object] = {
        "schema": 1,
        "title": "a test",
        "data": {"name": "digits", "examples": 30},
        "model": {"family": "mlp", "hidden": [1], "activation": "tanh"},
        "loss": {"name": "half_mse"},
        "optimizer": {"name": "gd", "learning_rate": 0.5},
        "steps": 3,
        "seeds": 1,
    }
    return problems.problem(specs.parse(json.dumps(text | fields), file="t.yaml", suite="tests", name="t").cells[0])


@pytest.fixture
def problem() -> Callable[..., problems.Problem]:
    """A function from fields of a spec to an MLP of one unit on digits with them."""
    return _problem


@pytest.fixture
def quadratic() -> Callable[..., problems.Problem]:
    """A function from eigenvalues to a risk with that diagonal Hessian."""

    def made(*eigenvalues: float) -> problems.Problem:
        model = {"family": "quadratic", "eigenvalues": list(eigenvalues)}
        return _problem(data={"name": "point"}, model=model, loss={"name": "output"})

    return made
