# SPDX-License-Identifier: Apache-2.0
"""Several devices: each holds a share of the examples and all parameters, and sums over examples meet once.

The mesh is jax's own global one (`jax.set_mesh`), set at the front door; with one device there is none and everything
here does nothing. Rows that make the shares equal have weight 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

if TYPE_CHECKING:
    Tree = TypeVar("Tree")

EXAMPLES = "examples"
"""The name of the only axis of the mesh."""


def over(devices: Sequence[jax.Device]) -> None:
    """Shares every batch that is placed from now on among these devices."""
    if len(devices) > 1:
        jax.set_mesh(jax.make_mesh((len(devices),), (EXAMPLES,), (AxisType.Auto,), devices=devices))


def count() -> int:
    """Returns the number of devices that share a batch."""
    mesh = jax.sharding.get_abstract_mesh()
    return 1 if mesh.empty else mesh.size


def place(array: np.ndarray, precision: str) -> jax.Array:
    """Returns an array (N, ...) on the devices: all of it on one, or padded with zeros (rows, ...) and in equal shares.

    On a TPU, float64 is placed on the host's CPU. Processes that train together give the same array, and keep their own
    shares of it.
    """
    if _imitates(precision):
        return jax.device_put(np.asarray(array, precision), jax.devices("cpu")[0])
    if count() == 1:
        return jnp.asarray(array, precision)
    rows = -(-len(array) // count()) * count()
    padded = np.zeros((rows, *array.shape[1:]), precision)
    padded[: len(array)] = array
    shares = NamedSharding(jax.sharding.get_mesh(), PartitionSpec(EXAMPLES))
    return jax.make_array_from_callback(padded.shape, shares, lambda index: padded[index])


def exact(theta: jax.Array) -> jax.Array:
    """Returns parameters in float64 where float64 is computed: where they are, or on the host's CPU from a TPU."""
    if _imitates("float64"):
        return jax.device_put(np.asarray(theta, "float64"), jax.devices("cpu")[0])
    return theta.astype("float64")


def summed(total: Callable[[jax.Array, Tree], jax.Array]) -> Callable[[jax.Array, Tree], jax.Array]:
    """Returns a sum over examples as the sum of the devices' own sums.

    Each device evaluates `total` on its own rows, chunk by chunk as one device would. What travels is one number for
    the value, and P numbers for its gradient and for each Hessian-vector product, once each.

    Args:
        total: `(theta, batch) -> scalar`, the sum over the rows of a batch, 0 for rows of weight 0.
    """

    def shared(theta: jax.Array, batch: Tree) -> jax.Array:
        if count() == 1:
            return total(theta, batch)
        padded = jax.tree.map(lambda rows: _padded(rows, count()), batch)
        own: Callable[..., jax.Array] = jax.shard_map(
            lambda theta, batch: jax.lax.psum(total(start(theta), batch), EXAMPLES),
            in_specs=(PartitionSpec(), PartitionSpec(EXAMPLES)),
            out_specs=PartitionSpec(),
        )
        return own(theta, padded)

    return shared


def start(value: jax.Array) -> jax.Array:
    """Returns a value inside `summed` as each device's own, so that its gradients meet once, after a device's loop."""
    return jax.lax.pcast(value, EXAMPLES, to="varying") if count() > 1 else value


def _padded(rows: jax.Array, among: int) -> jax.Array:
    missing = -len(rows) % among
    return jnp.pad(rows, ((0, missing), *((0, 0),) * (rows.ndim - 1))) if missing else rows


def _imitates(precision: str) -> bool:
    return precision == "float64" and jax.default_backend() == "tpu"
