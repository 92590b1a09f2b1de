# SPDX-License-Identifier: Apache-2.0
"""The canary: a hash of what this machine computes, so that two machines know whether to compare bits.

Two small networks, dense and convolutional, take STEPS steps of gradient descent in float32, and the eigenvalues of a
float64 matrix are found as dense spectra are. Machines of one canary and one profile (harness/runtime/device.py) are
expected to give the same bits of every run; machines of two are compared by the tolerances of
leaderboard/bundles/tolerance.py.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

STEPS = 200


def sha256() -> str:
    """Returns the canary of this process, 64 hex digits; cost: two compilations and 400 small steps."""
    found = hashlib.sha256()
    for array in (*map(_trained, (_dense, _convolutional)), _eigenvalues()):
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _waves(*shape: int) -> np.ndarray:
    """Returns numbers in (-1, 1) that every machine makes alike: by whole numbers, not by a library's sine."""
    count = int(np.prod(shape))
    return ((np.arange(1, count + 1) * 7919 % 4001) / 2000.5 - 1).reshape(shape)


def _dense(theta: jax.Array, x: jax.Array) -> jax.Array:
    hidden = jnp.tanh(x.reshape(len(x), 64) @ theta[:1024].reshape(64, 16))
    return hidden @ theta[1024:1184].reshape(16, 10)


def _convolutional(theta: jax.Array, x: jax.Array) -> jax.Array:
    kernel = theta[:72].reshape(8, 1, 3, 3)
    hidden = jax.nn.relu(jax.lax.conv(x[:, None], kernel, (1, 1), "SAME"))
    return hidden.mean((2, 3)) @ theta[72:152].reshape(8, 10)


def _trained(network: Callable[[jax.Array, jax.Array], jax.Array]) -> np.ndarray:
    x = jnp.asarray(_waves(96, 8, 8), "float32")
    y = jnp.asarray(_waves(96, 10), "float32")

    def risk(theta: jax.Array) -> jax.Array:
        return jnp.mean((network(theta, x) - y) ** 2)

    def step(_: int, theta: jax.Array) -> jax.Array:
        return theta - 0.1 * jax.grad(risk)(theta)

    start = jnp.asarray(0.3 * _waves(1184), "float32")
    return np.asarray(jax.block_until_ready(jax.jit(lambda theta: jax.lax.fori_loop(0, STEPS, step, theta))(start)))


def _eigenvalues() -> np.ndarray:
    from harness.curvature import dense

    return dense.spectrum(_waves(300, 300)).values


if __name__ == "__main__":
    from harness.runtime import device

    device.configure("cpu")
    sys.stdout.write(json.dumps(sha256()) + "\n")
