# SPDX-License-Identifier: Apache-2.0
"""Model: a network as two pure functions. The one adapter between flax NNX and the rest of gdzoo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from flax import nnx

Params = dict[str, Any]
"""A nested dict of float arrays with string keys."""


class Model(NamedTuple):
    """A network.

    Attributes:
        init: `key -> params`, float32 parameters as a plain nested dict.
        apply: `(params, x) -> outputs`; x (N, H, W, C), outputs (N, K) in the dtype of params and x.
    """

    init: Callable[[jax.Array], Params]
    apply: Callable[[Params, jax.Array], jax.Array]


def from_module(
    build: Callable[[nnx.Rngs], nnx.Module], call: Callable[[Any, jax.Array], Any] = lambda module, x: module(x)
) -> Model:
    """Returns the two functions of an NNX module whose only variables are parameters.

    Args:
        build: Makes the module from random-number streams; called abstractly once here, then in each `init`.
        call: What `apply` does with the module and x.
    """

    def init(key: jax.Array) -> Params:
        return _plain(nnx.to_pure_dict(nnx.state(build(nnx.Rngs(params=key)), nnx.Param)))

    graph, abstract = nnx.split(nnx.eval_shape(lambda: build(nnx.Rngs(params=jax.random.key(0)))), nnx.Param)[:2]

    def apply(params: Params, x: jax.Array) -> jax.Array:
        state = jax.tree.map(lambda leaf: leaf, abstract)
        nnx.replace_by_pure_dict(state, params)
        outputs: jax.Array = call(nnx.merge(graph, state), x)
        return outputs

    return Model(init, apply)


def _plain(tree: Any) -> Any:
    return {str(k): _plain(v) for k, v in tree.items()} if isinstance(tree, Mapping) else tree
