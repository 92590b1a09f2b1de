# SPDX-License-Identifier: Apache-2.0
"""The exact trace against the diagonal of the dense Hessian, on networks where it is one and where it is not."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import config
from harness.curvature import dense, operators
from harness.risk import objective, trace
from tests import builders
from zoo import pattern

LOSSES = {
    "half_mse": config.HalfMse(name="half_mse"),
    "smoothed_ce": config.SmoothedCe(name="smoothed_ce", smoothing=0.2),
    "ce with decay": config.Ce(name="ce", weight_decay=0.3),
    "output with decay": config.Output(name="output", weight_decay=0.3),
}
NETS: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("mlp", {"hidden": [4, 3], "activation": "relu"}),
    "vgg": ("vgg", {"stages": [[2], [3]], "activation": "leaky_relu"}),
    "resnet": ("resnet", {"channels": [2, 3], "blocks": 1, "activation": "relu6"}),
    "mixer": (
        "mixer",
        {"patch": 2, "width": 3, "depth": 1, "tokens_width": 3, "channels_width": 4, "activation": "hard_tanh",
         "norm_epsilon": None},
    ),
}  # fmt: skip
SHAPE, K = (4, 4, 1), 3


def trace_and_diagonal(family: str, fields: dict[str, Any], loss: Any) -> tuple[float, float]:
    goal = objective.objective(builders.network(family, SHAPE, K, **fields), loss)
    drawn = np.random.default_rng(0)
    batch = objective.Batch(
        jnp.asarray(drawn.standard_normal((5, *SHAPE))),
        jax.nn.softmax(jnp.asarray(drawn.standard_normal((5, K)))),
        jnp.asarray(drawn.uniform(0.5, 2, 5)),
    )
    theta = goal.init(jax.random.key(1)).astype("float64") + 0.1 * drawn.standard_normal(goal.size)
    hessian = dense.matrix(operators.hessian(goal.risk), goal.size)((theta, batch))
    return float(trace.gauss_newton(goal.outputs, loss)((theta, batch))), float(jnp.trace(hessian))


@pytest.mark.parametrize(
    ("net", "loss"),
    [
        *(("mlp", loss) for loss in LOSSES),
        ("vgg", "smoothed_ce"),
        pytest.param("resnet", "half_mse", marks=pytest.mark.thorough),
        pytest.param("mixer", "ce with decay", marks=pytest.mark.thorough),
    ],
)
def test_the_trace_is_that_of_the_dense_hessian(net: str, loss: str) -> None:
    family, fields = NETS[net]
    assert pattern.affine_in_each_weight(builders.layers(family, SHAPE, K, **fields))
    found, exact = trace_and_diagonal(family, fields, LOSSES[loss])
    assert found == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("mlp", {"hidden": [4, 3], "activation": "tanh"}),
        ("mixer", NETS["mixer"][1] | {"norm_epsilon": 1e-6}),
    ],
)
def test_it_is_not_claimed_where_it_is_another(family: str, fields: dict[str, Any]) -> None:
    assert not pattern.affine_in_each_weight(builders.layers(family, SHAPE, K, **fields))
    found, exact = trace_and_diagonal(family, fields, LOSSES["half_mse"])
    assert abs(found - exact) > 1e-6 * abs(exact)
