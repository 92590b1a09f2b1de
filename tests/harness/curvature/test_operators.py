# SPDX-License-Identifier: Apache-2.0
"""Operators against dense matrices made of Jacobians, finite differences and each other; on several devices too."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import config, workspace
from harness.curvature import dense, lanczos, operators  # noqa: F401 # lanczos: SHARDED
from harness.risk import gauss_newton, objective
from tests import builders

SHAPE, K, N = (4, 4, 1), 3, 7
HALF_MSE = config.HalfMse(name="half_mse")
LOSSES = {
    "half_mse": HALF_MSE,
    "smoothed_ce": config.SmoothedCe(name="smoothed_ce"),
    "ce with decay": config.Ce(name="ce", weight_decay=0.2),
}
NETS: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": [4], "activation": "tanh"},
    "vgg": {"stages": [[2], [2]], "activation": "gelu"},
}


def made(net: str, loss: Any, chunk: int = objective.CHUNK) -> tuple[objective.Objective, objective.Batch, jax.Array]:
    goal = objective.objective(builders.network(net, SHAPE, K, **NETS[net]), loss, chunk=chunk)
    drawn = np.random.default_rng(0)
    batch = objective.Batch(
        jnp.asarray(drawn.standard_normal((N, *SHAPE))),
        jax.nn.softmax(jnp.asarray(drawn.standard_normal((N, K)))),
        jnp.asarray(drawn.uniform(0.5, 2, N)),
    )
    return goal, batch, goal.init(jax.random.key(0)).astype("float64")


def jacobian(goal: objective.Objective, theta: jax.Array, batch: objective.Batch) -> np.ndarray:
    return np.asarray(jax.jacrev(lambda t: goal.outputs(t, batch.x).ravel())(theta))


@pytest.mark.parametrize("chunk", [N, 3])
@pytest.mark.parametrize(("net", "loss"), [("mlp", "half_mse"), ("mlp", "smoothed_ce"), ("vgg", "ce with decay")])
def test_gauss_newton_is_the_product_of_jacobians(net: str, loss: str, chunk: int) -> None:
    goal, batch, theta = made(net, LOSSES[loss])
    j = jacobian(goal, theta, batch).reshape(N, K, -1)
    p = np.asarray(jax.nn.softmax(goal.outputs(theta, batch.x)))
    curvature = np.eye(K)[None] if loss == "half_mse" else p[:, :, None] * np.eye(K) - p[:, :, None] * p[:, None]
    weights = np.asarray(batch.weights) / float(batch.weights.sum())
    exact = np.einsum("n,nkp,nkl,nlq->pq", weights, j, np.broadcast_to(curvature, (N, K, K)), j)
    exact += LOSSES[loss].weight_decay * np.eye(goal.size)
    operator = gauss_newton.gauss_newton(goal.outputs, LOSSES[loss], chunk=chunk)
    found = np.asarray(dense.matrix(operator, goal.size)((theta, batch)))
    assert np.abs(found - exact).max() < 1e-13 * max(1, np.abs(exact).max())


@pytest.mark.parametrize("chunk", [N, 3])
def test_the_gram_operator_lives_in_data_space(chunk: int) -> None:
    goal, batch, theta = made("vgg", HALF_MSE)
    j = jacobian(goal, theta, batch)
    found = np.asarray(dense.matrix(gauss_newton.gram(goal.outputs, chunk=chunk), N * K)((theta, batch)))
    assert np.abs(found - j @ j.T).max() < 1e-13 * np.abs(found).max()


def test_at_a_planted_minimum_hessian_gauss_newton_and_gram_agree() -> None:
    goal, batch, theta = made("mlp", HALF_MSE)
    batch = batch._replace(targets=goal.outputs(theta, batch.x), weights=jnp.ones(N))
    hessian = dense.spectrum(np.asarray(dense.matrix(operators.hessian(goal.risk), goal.size)((theta, batch))))
    gauss = dense.matrix(gauss_newton.gauss_newton(goal.outputs, HALF_MSE), goal.size)((theta, batch))
    kernel = dense.spectrum(np.asarray(dense.matrix(gauss_newton.gram(goal.outputs), N * K)((theta, batch))))
    top = min(goal.size, N * K)
    assert np.abs(hessian.values - dense.spectrum(np.asarray(gauss)).values).max() < 1e-12
    assert np.abs(hessian.values[-top:] - kernel.values[-top:] / N).max() < 1e-12


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_linear_is_its_operator_at_every_point_of_one_program(dtype: str) -> None:
    goal, batch, theta = made("vgg", HALF_MSE)
    operator = operators.hessian(goal.risk)
    at = operators.linearised(operator, goal.size)
    v = jnp.asarray(np.random.default_rng(4).standard_normal(goal.size), dtype)
    product = jax.jit(lambda at, v: at(v))
    for scale in (1.0, 0.5):
        point = (scale * theta.astype(dtype), jax.tree.map(lambda a: a.astype(dtype), batch))
        found, expected = product(at(point), v), operator(point)(v)
        assert found.dtype == at(point).dtype == dtype
        assert np.allclose(found, expected, rtol=0, atol=50 * np.finfo(dtype).eps * float(jnp.abs(expected).max()))
    assert product._cache_size() == 1


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(("net", "chunk"), [("mlp", N), ("mlp", 3), ("vgg", 3)])
def test_a_single_product_is_the_derivative_of_the_gradient(net: str, chunk: int, keep: bool) -> None:
    _, batch, theta = made(net, LOSSES["ce with decay"])
    model = builders.network(net, SHAPE, K, **NETS[net])
    risk = objective.objective(model, LOSSES["ce with decay"], chunk=chunk, keep=keep).risk
    v = jax.random.normal(jax.random.key(1), theta.shape, "float64")
    gradient = jax.jit(jax.grad(risk))
    difference = (gradient(theta + 1e-5 * v, batch) - gradient(theta - 1e-5 * v, batch)) / 2e-5
    found = jax.jit(operators.single(risk))((theta, batch), v)
    np.testing.assert_allclose(found, difference, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found, operators.hessian(risk)((theta, batch))(v), rtol=1e-11, atol=1e-14)


def test_the_hessian_in_pieces_is_the_hessian() -> None:
    whole, batch, theta = made("vgg", HALF_MSE)
    pieces, _, _ = made("vgg", HALF_MSE, chunk=3)
    v = jnp.asarray(np.random.default_rng(3).standard_normal(whole.size))
    one, other = (operators.hessian(goal.risk)((theta, batch))(v) for goal in (whole, pieces))
    assert np.allclose(one, other, rtol=1e-12, atol=1e-14)


SHARDED = """
import jax, numpy as np, sys
jax.config.update("jax_enable_x64", True)
sys.path.insert(0, {folder!r})
import test_operators as t
from jax.sharding import Mesh, NamedSharding, PartitionSpec
assert len(jax.devices()) == 8
goal, batch, theta = t.made("mlp", t.HALF_MSE)
batch = jax.tree.map(lambda a: jax.numpy.concatenate([a, a[:1]]), batch)
placed = jax.device_put(batch, NamedSharding(Mesh(np.array(jax.devices()), "data"), PartitionSpec("data")))
for operator, size in ((t.operators.hessian(goal.risk), goal.size),
                       (t.gauss_newton.gauss_newton(goal.outputs, t.HALF_MSE), goal.size),
                       (t.gauss_newton.gram(goal.outputs), 8 * t.K)):
    product = jax.jit(lambda point, v: operator(point)(v))
    v = jax.numpy.arange(1.0, size + 1) / size
    one, eight = product((theta, batch), v), product((theta, placed), v)
    assert np.allclose(one, eight, rtol=1e-12, atol=1e-13), abs(one - eight).max()
program = t.lanczos.lanczos(t.operators.hessian(goal.risk), goal.size, capacity=40)
runs = [t.lanczos.run(program, program.at((theta, b)), jax.random.key(0), lambda s: False)[0] for b in (batch, placed)]
assert np.allclose(runs[0].values[[0, -1]], runs[1].values[[0, -1]], rtol=1e-10)
"""


def test_the_same_code_runs_on_data_split_over_eight_devices() -> None:
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    program = SHARDED.format(folder=os.path.dirname(__file__))
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **flags, "PYTHONPATH": str(workspace.CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
