# SPDX-License-Identifier: Apache-2.0
"""The settings of a run in a few words."""

from __future__ import annotations

import types
from typing import Any

import pytest

from leaderboard.board import settings

NESTED = [
    {"convolution": 4},
    "activation",
    {"residual": ["tanh", {"layer": "silu", "name": "one"}], "shortcut": [{"leaky_relu": 0.3}]},
    {"repeat": 2, "layers": ["tanh", "mean"]},
]


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"activation": "relu"}, "relu"),
        ({"activation": {"leaky_relu": 0.2}}, "leaky_relu 0.2"),
        ({"eigenvalues": [1.0]}, ""),
        ({"activation": None, "layers": ["flatten", {"dense": 3}]}, ""),
        ({"activation": "gelu", "layers": NESTED}, "gelu, tanh, silu, leaky_relu 0.3"),
    ],
)
def test_the_activations_of_a_network_are_named_once_each(model: dict[str, Any], words: str) -> None:
    run: Any = types.SimpleNamespace(part=lambda name: model)
    assert settings.activation(run) == words


def test_each_activation_of_a_stack_is_written_as_people_write_it() -> None:
    parts = {"model": {"family": "stack", "activation": "gelu", "layers": NESTED}, "loss": {"name": "ce"}}
    run: Any = types.SimpleNamespace(part=parts.__getitem__)
    assert settings.network(run) == "stack · GELU, tanh, SiLU, leaky_relu 0.3 · cross-entropy"
