# SPDX-License-Identifier: Apache-2.0
"""Eight devices, made of the CPU's cores in a process of their own, against one: same numbers, and what travels."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import config, workspace
from harness.risk import objective
from harness.runtime import device, sharding
from tests import builders

DEVICES = 8
EXAMPLES = 84  # not a multiple of 8, and each device's 11 are more than a chunk
STEPS = 30
FAMILIES = {
    "mlp": {"hidden": [6], "activation": "tanh"},
    "vgg": {"stages": [[2]], "activation": "gelu"},
}


def problem(family: str) -> tuple[objective.Objective, np.ndarray, np.ndarray, np.ndarray]:
    model = builders.network(family, (8, 8, 1), 3, **FAMILIES[family])
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(EXAMPLES, 8, 8, 1)), random.integers(0, 3, EXAMPLES)
    goal = objective.objective(model, config.Ce(name="ce", weight_decay=0.01), chunk=4)
    return goal, x, np.eye(3)[labels], random.uniform(0.5, 2.0, EXAMPLES)


def moved(program: Any, *arguments: Any) -> list[tuple[str, int, bool]]:
    """Returns which collectives a program has: kind, how many numbers the result holds, whether for each chunk."""
    found = []
    for line in program.lower(*arguments).compile().as_text().splitlines():
        match = re.search(r" = (.*) (all-\w+|collective-\w+|reduce-scatter)(-start)?\(", line)
        if match:
            shapes = re.findall(r"\w+\[([\d,]*)\]", match[1])
            numbers = sum(int(np.prod([int(d) for d in shape.split(",") if d], dtype=int)) for shape in shapes)
            found.append((match[2], numbers, "checkpoint" in line))
    return found


def report(family: str, precision: str) -> dict[str, Any]:
    goal, *arrays = problem(family)
    batch = objective.Batch(*(sharding.place(array, precision) for array in arrays))
    theta = goal.init(jax.random.key(1)).astype(precision)
    gradient = jax.jit(jax.grad(goal.risk))
    product = jax.jit(lambda t, v, b: jax.jvp(lambda t: jax.grad(goal.risk)(t, b), (t,), (v,))[1])
    rows = jnp.asarray([3, 83, 41, 3, 0])

    @jax.jit
    def steps(theta: jax.Array, batch: objective.Batch) -> jax.Array:
        return jax.lax.fori_loop(0, STEPS, lambda _, t: t - 0.1 * jax.grad(goal.risk)(t, batch), theta)

    @jax.jit
    def drawn(theta: jax.Array, batch: objective.Batch) -> jax.Array:
        return jax.grad(goal.risk)(theta, jax.tree.map(lambda leaf: leaf[rows], batch))

    direction = jnp.cos(jnp.arange(goal.size)).astype(precision)
    end = steps(theta, batch)
    vectors = [gradient(theta, batch), product(theta, direction, batch), end, drawn(theta, batch)]
    return {
        "devices": sharding.count(),
        "size": goal.size,
        "numbers": [float(jax.jit(f)(end, batch)) for f in (goal.risk, goal.accuracy)],
        "vectors": [np.asarray(vector, "float64").tolist() for vector in vectors],
        "replicated": all(vector.sharding.is_fully_replicated for vector in vectors),
        "own": sorted({shard.data.shape[0] for shard in batch.x.addressable_shards}),
        "gradient": moved(gradient, theta, batch),
        "product": moved(product, theta, direction, batch),
        "steps": moved(steps, theta, batch),
        "accuracy": moved(jax.jit(goal.accuracy), theta, batch),
        "drawn": moved(drawn, theta, batch),
    }


@pytest.fixture(scope="module")
def eight() -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.harness.runtime.test_sharding"]  # from the root, where `tests` is found
    done = subprocess.run(command, cwd=workspace.CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


CASES = [("mlp", "float64"), ("vgg", "float64"), ("mlp", "float32")]


@pytest.mark.parametrize(("family", "precision"), CASES)
def test_eight_devices_agree_with_one(eight: dict[str, Any], family: str, precision: str) -> None:
    found, alone = eight[f"{family} {precision}"], report(family, precision)
    assert (found["devices"], alone["devices"]) == (DEVICES, 1)
    # A sum of 84 in another order, and 30 steps of it: far from the edge, where errors do not grow.
    close = 1e-12 if precision == "float64" else 1e-5
    assert np.allclose(found["numbers"], alone["numbers"], rtol=close, atol=0)
    for ours, one in zip(found["vectors"], alone["vectors"], strict=True):
        assert np.linalg.norm(np.subtract(ours, one)) <= close * np.linalg.norm(one)


@pytest.mark.parametrize(("family", "precision"), CASES)
def test_what_travels_is_one_gradient_and_never_the_data(eight: dict[str, Any], family: str, precision: str) -> None:
    found = eight[f"{family} {precision}"]
    assert found["replicated"]
    assert found["own"] == [11], "each device holds its share, made equal by rows of weight 0"
    for what in ("gradient", "product", "steps", "accuracy", "drawn"):
        assert {kind for kind, _, _ in found[what]} == {"all-reduce"}, what
        assert not any(in_chunks for _, _, in_chunks in found[what]), f"{what}: once, not for each chunk"
    for what in ("gradient", "product", "steps"):
        numbers = [numbers for _, numbers, _ in found[what]]
        assert sum(numbers) <= found["size"] + 4, f"{what}: parameters once, and the sum of the weights"
    assert sum(numbers for _, numbers, _ in found["accuracy"]) <= 2
    assert sum(numbers for _, numbers, _ in found["drawn"]) <= found["size"] + 4 + 5 * (64 + 3 + 1), "the rows drawn"


def test_one_device_has_no_mesh() -> None:
    assert sharding.count() == 1
    assert sharding.place(np.ones((3, 2)), "float32").shape == (3, 2)


if __name__ == "__main__":
    device.configure("cpu", DEVICES)
    print(json.dumps({f"{family} {precision}": report(family, precision) for family, precision in CASES}))
