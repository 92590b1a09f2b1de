# SPDX-License-Identifier: Apache-2.0
"""Modules: a flax module of somebody's own, NNX or Linen, as a function of its parameters. Loads flax when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jax
    from flax import linen

Apply = Callable[[Any, Any], Any]

CHANGES = (
    "the module changes its own state when it is called, as BatchNorm and Dropout do in training; put it into "
    "evaluation first (module.eval(), use_running_average=True, deterministic=True)"
)


class Unsuitable(ValueError):
    """A module is no function of its parameters and its input: one sentence that says what to do."""


def function(module: Any, params: Any = None) -> tuple[Apply, Any] | None:
    """Returns `(apply, params)` of a flax module; None of anything else.

    What a module holds beside parameters (running means, say) is taken as it is, constant.

    Args:
        module: An NNX module, with its parameters in it; or a Linen module.
        params: For an NNX module other parameters of the same shapes, or None for its own; for a Linen module its
            variables, `{"params": ..., ...}`, or those parameters alone.

    Raises:
        Unsuitable: If a Linen module comes without parameters; `apply`, if a call changes what a module holds or it
            lacks some.
    """
    from flax import linen, nnx

    if isinstance(module, nnx.Module):
        return _of_nnx(module, params)
    if isinstance(module, linen.Module):
        return _of_linen(module, params)
    return None


def of_linen(module: Any, inputs: tuple[int, ...]) -> tuple[Callable[[jax.Array], Any], Apply] | None:
    """Returns `(init, apply)` of a Linen module for examples of a shape; None of anything else.

    Raises:
        Unsuitable: `init`, if the module holds more than parameters.
    """
    import jax.numpy as jnp
    from flax import linen

    if not isinstance(module, linen.Module):
        return None

    def init(key: jax.Array) -> Any:
        variables = module.init(key, jnp.zeros((1, *inputs), "float32"))
        if set(variables) != {"params"}:
            others = ", ".join(sorted(set(variables) - {"params"}))
            raise Unsuitable(f"the module holds state beside its parameters ({others}); use a norm of one example")
        return variables["params"]

    return init, lambda params, x: module.apply({"params": params}, x)


def _of_nnx(module: Any, params: Any) -> tuple[Apply, Any]:
    import jax
    from flax import nnx

    split: Any = nnx.split
    graph, own, rest = split(module, nnx.Param, ...)
    held = nnx.to_pure_dict(own)

    def apply(tree: Any, x: jax.Array) -> Any:
        state = jax.tree.map(lambda leaf: leaf, own)
        nnx.replace_by_pure_dict(state, tree)
        merged: Any = nnx.merge(graph, state, jax.tree.map(lambda leaf: leaf, rest))
        outputs = merged(x)
        before, after = jax.tree.leaves(rest), jax.tree.leaves(split(merged, nnx.Param, ...)[2])
        if len(before) != len(after) or any(old is not new for old, new in zip(before, after, strict=True)):
            raise Unsuitable(CHANGES)
        return outputs

    return apply, held if params is None else params


def _of_linen(module: linen.Module, variables: Any) -> tuple[Apply, Any]:
    from flax import errors

    if not isinstance(variables, Mapping):
        raise Unsuitable("a Linen module holds no parameters; give its variables too: network(module, variables, ...)")
    if "params" not in variables:
        variables = {"params": variables}
    rest = {name: part for name, part in variables.items() if name != "params"}

    def apply(tree: Any, x: jax.Array) -> Any:
        try:
            return module.apply({"params": tree, **rest}, x)
        except errors.ModifyScopeVariableError as error:
            raise Unsuitable(CHANGES) from error
        except errors.ScopeCollectionNotFound as error:
            raise Unsuitable(
                "the module reads state (BatchNorm's running means, say) that was not given; give all variables that "
                "init returned, not the parameters alone"
            ) from error
        except errors.InvalidRngError as error:
            raise Unsuitable("the module draws random numbers; switch that off (deterministic=True)") from error

    return apply, variables["params"]
