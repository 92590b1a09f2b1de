# SPDX-License-Identifier: Apache-2.0
"""Network: a function of parameters, its data and its loss, or the configuration of a spec, ready to be asked.

Example:
    >>> import jax, jax.numpy as jnp
    >>> import gdzoo
    >>> line = lambda params, x: x @ params["w"]  # half_mse of y = w x: the Hessian is X'X / N
    >>> x, y = jnp.array([[1.0], [3.0]]), jnp.array([[2.0], [6.0]])
    >>> net = gdzoo.network(line, {"w": jnp.ones((1, 1))}, (x, y))
    >>> found = gdzoo.survey(net, eta=0.1)
    >>> f"{found['sharpness']:.6f}, {found['sigma_min']:.6f}: {found.verdict}"  # 5 and |1 - 0.1 * 5|
    '5.000000, 0.500000: invertible'
"""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pydantic

from harness import config, errors, specs, theory
from harness.curvature import dense, operators, survey
from harness.face import numerics, shown
from harness.risk import checks, losses, networks, objective
from harness.runs import keys
from harness.theory import ingredients
from harness.training import problem, tracer
from zoo import model, modules

Loss = str | Mapping[str, Any] | Callable[[Any, Any], Any]
"""A name of `gdzoo list losses`, the `loss` part of a spec, or a function of one example's (outputs, target)."""

Curvature = Literal["auto", "dense", "lanczos"]


class Known(NamedTuple):
    """What is known of a network from what it is made of.

    Attributes:
        covered: What covers its map, a key of theory.COVERED; None where its ingredients are not known.
        one_piece: Whether its risk is analytic everywhere, so that one point certifies the whole map (F3).
    """

    covered: str | None = None
    one_piece: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """A network that can be surveyed and traced.

    Attributes:
        name: What it is called.
        loss: The name of its loss.
        theta: (P,) float64: the parameters that it came with, end to end in the order of jax.tree.leaves.
        abstract: The tree of its parameters, as shapes.
        batch: Its data in float64.
        evaluate: `(theta, batch) -> (risk, norm of its gradient, accuracy)`, compiled on first use.
        surveyor: The questions asked of its Hessian.
        tracer: From a number of eigenvalues to the programs that follow them.
        key: From a seed to the random key of a survey.
        known: What is known of it beforehand.
        cell: Its configuration, where it comes from a spec.
    """

    name: str
    loss: str
    theta: np.ndarray
    abstract: Any
    batch: objective.Batch
    evaluate: Callable[[jax.Array, objective.Batch], tuple[jax.Array, jax.Array, jax.Array]]
    surveyor: survey.Surveyor
    tracer: Callable[[int], tracer.Tracer]
    key: Callable[[int], jax.Array]
    known: Known
    cell: config.Cell | None = None

    @property
    def parameters(self) -> int:
        """The number of parameters P."""
        return len(self.theta)

    @property
    def examples(self) -> int:
        """The number of examples N."""
        return len(self.batch.weights)

    def flat(self, params: Any = None) -> np.ndarray:
        """Returns parameters end to end, (P,) float64; those that the network came with unless others are given.

        Args:
            params: A tree like the network's own, or a vector (P,).

        Raises:
            errors.InputError: If it is another tree, of other shapes, or not finite.
        """
        if params is None:
            return self.theta
        if np.shape(params) == (self.parameters,) if hasattr(params, "shape") else False:
            params = np.asarray(params)
            checks.parameters(params)
            return np.asarray(params, "float64")
        checks.parameters(params)
        _same(params, self.abstract)
        return _joined(params)

    def _table(self) -> shown.Table:
        rows = [
            ("parameters", f"{self.parameters:,}"),
            ("examples", f"{self.examples:,}"),
            ("loss", self.loss),
            ("Hessian", {"dense": "all eigenvalues", "lanczos": "by Lanczos"}[self.surveyor.method]),
            ("theorem", words(self.known)),
        ]
        return shown.Table(f"Network: {self.name}", (), rows)

    def __repr__(self) -> str:
        """Returns it in a few lines."""
        return shown.text(self._table())

    def _repr_html_(self) -> str:
        return shown.page(self._table())


def network(
    apply: Any,
    params: Any = None,
    data: tuple[Any, Any] | None = None,
    *,
    loss: Loss = "half_mse",
    ingredients: Sequence[str] | None = None,
    curvature: Curvature = "auto",
    label: str | None = None,
) -> Network:
    """Returns a network that can be surveyed and traced.

    Args:
        apply: A function `(params, x) -> outputs (N, ...)` that jax can trace; or a flax module, NNX or Linen; or the
            path of a spec (`str` or `Path`), of whose configurations `label` picks one.
        params: The tree of its parameters, float arrays; for an NNX module its own unless others are given; for a
            spec where the run of seed 0 begins.
        data: `(x, y)`: inputs (N, ...), and targets (N, K) or (N,), classes for the cross-entropies; a spec has its
            own.
        loss: Its loss; the risk is the mean over examples. A function is called with one example's outputs and target.
        ingredients: What the network is made of, as `harness.theory.ingredients.INGREDIENTS` and `gdzoo list
            activations` name it, where you answer for it: `["dense", "bias", "gelu"]`. Without it the theorem's column
            says "not known".
        curvature: How eigenvalues are found; auto: all of them up to 2,000 parameters, Lanczos above.
        label: Which configuration of a spec, as `gdzoo check` names it.

    Raises:
        errors.InputError: If it cannot be measured, in one sentence that says what to do.
    """
    with numerics.exact():
        if isinstance(apply, str | os.PathLike):
            _only_for_functions(data=data, ingredients=ingredients)
            return _of_cell(_cell(pathlib.Path(apply), label), params)
        if isinstance(apply, config.Cell):
            return _of_cell(apply, params)
        if data is None:
            raise errors.InputError("network needs data: network(apply, params, (x, y))")
        function, tree = _function(apply, params)
        made = _of_function(function, tree, data, loss, ingredients, curvature)
        return dataclasses.replace(made, name=getattr(apply, "__name__", type(apply).__name__))


def words(known: Known) -> str:
    """Returns what is known of a network in a few words."""
    return "not known" if known.covered is None else known.covered


def _only_for_functions(**given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise errors.InputError(f"{name} is given by the spec; leave it out, or give a function instead")


def _cell(path: pathlib.Path, label: str | None) -> config.Cell:
    """Returns one configuration of a spec."""
    cells = specs.read(path).cells
    labels = [cell.label for cell in cells]
    if label is None and len(cells) > 1:
        raise errors.InputError(f"{path} has {len(cells)} configurations; say which: label={labels[0]!r}, ...")
    if label is not None and label not in labels:
        raise errors.InputError(
            f"{path}: there is no {label!r}; allowed: {', '.join(labels)}{errors.nearest(label, labels)}"
        )
    return cells[0 if label is None else labels.index(label)]


def _of_cell(cell: config.Cell, params: Any) -> Network:
    """Returns the network of a configuration; its survey is that of a run's first record."""
    ready = problem.problem(cell)
    says = theory.of(cell)
    built = networks.build(cell.model, ready.facts.shape, ready.facts.classes)
    start = problem.start(cell, ready, keys.of_run(0).start).astype(cell.precision)
    made = Network(
        name=f"{cell.suite}/{cell.label}",
        loss=cell.loss.name,
        theta=np.asarray(start, "float64"),
        abstract=jax.eval_shape(built.init, jax.random.key(0)),
        batch=ready.exact,
        evaluate=ready.evaluate,
        surveyor=ready.surveyor,
        tracer=ready.tracer,
        key=lambda seed: keys.at_step(cell, keys.of_run(seed), 0),
        known=Known(says.covered, says.one_piece),
        cell=cell,
    )
    return made if params is None else dataclasses.replace(made, theta=made.flat(params))


def _function(apply: Any, params: Any) -> tuple[checks.Apply, Any]:
    """Returns a function and its parameters, of a flax module too."""
    if "flax" in sys.modules:
        try:
            found = modules.function(apply, params)
        except modules.Unsuitable as error:
            raise errors.InputError(str(error)) from None
        if found is not None:
            return found
    if not callable(apply):
        raise errors.InputError(
            f"network takes a function (params, x) -> outputs, a flax module or the path of a spec, not a "
            f"{type(apply).__name__}"
        )
    if params is None:
        raise errors.InputError("a function holds no parameters; give them: network(apply, params, (x, y))")
    return apply, params


def _of_function(
    apply: checks.Apply,
    params: Any,
    data: tuple[Any, Any],
    loss: Loss,
    named: Sequence[str] | None,
    curvature: Curvature,
) -> Network:
    checks.parameters(params)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, "float64"), params)
    x, y = _pair(data)
    outputs = checks.outputs(apply, params, x)
    checks.behaviour(apply, params, x)
    made, given = _loss(loss), jnp.asarray(y)
    targets = given if isinstance(made, losses.Custom) else _targets(made.name, given, outputs)
    abstract = jax.eval_shape(lambda: params)
    rebuilt = objective.flattening(abstract)
    theta = _joined(params)
    whole = model.Model(lambda key: {"theta": jnp.asarray(theta)}, lambda tree, x: apply(rebuilt(tree["theta"]), x))
    goal = objective.fitting(whole, made, checks.activity(apply, params, x), len(x))
    batch = objective.Batch(x, targets, jnp.ones(len(x)))
    _check_loss(goal, made, theta, batch)
    if curvature == "dense" and len(theta) > dense.limit():
        raise errors.InputError(
            f"curvature='dense' is for at most {dense.limit():,} parameters on this device, and there are "
            f"{len(theta):,}; leave it out"
        )
    operator = operators.hessian(goal.risk)
    return Network(
        name="",
        loss=made.name,
        theta=theta,
        abstract=abstract,
        batch=batch,
        evaluate=problem.evaluation(goal, classification=False),
        surveyor=survey.surveyor(operator, len(theta), survey.resolve(curvature, len(theta))),
        tracer=lambda top: tracer.tracer(goal.risk, len(theta), top),
        key=jax.random.key,
        known=_known(named, made),
    )


def _pair(data: tuple[Any, Any]) -> tuple[jax.Array, Any]:
    """Returns x and y, floats in float64, of equal and positive numbers of examples."""
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise errors.InputError("data is a pair (x, y) of inputs and targets")
    x, y = (np.asarray(part) for part in data)
    for name, part in (("x", x), ("y", y)):
        if part.ndim == 0 or (part.dtype.kind not in "fiub" and not jnp.issubdtype(part.dtype, jnp.floating)):
            raise errors.InputError(f"data: {name} is {part.dtype} of shape {part.shape}; give numbers (N, ...)")
    if len(x) != len(y) or not len(x):
        raise errors.InputError(f"data: x has {len(x)} examples and y {len(y)}; give as many, at least one")
    exact = [jnp.asarray(part if part.dtype.kind in "iub" else part.astype("float64")) for part in (x, y)]
    for name, one in zip(("x", "y"), exact, strict=True):
        checks.finite(one, f"data: {name}", "leave these examples out")
    return exact[0], exact[1]


def _loss(loss: Loss) -> config.Loss | losses.Custom:
    """Returns the `loss` part of a cell, or a function of one's own."""
    if callable(loss):
        return losses.Custom(loss, getattr(loss, "__name__", "custom"))
    plain = {"name": loss} if isinstance(loss, str) else dict(loss)
    if plain.get("name") not in losses.LOSSES:
        allowed = ", ".join(losses.LOSSES)
        hint = errors.nearest(str(plain.get("name")), losses.LOSSES)
        raise errors.InputError(
            f"loss: {loss!r} is not known; allowed: {allowed}, or a function (outputs, target){hint}"
        )
    try:
        adapter: pydantic.TypeAdapter[config.Loss] = pydantic.TypeAdapter(config.Loss)
        return adapter.validate_python(plain)
    except pydantic.ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(str(part) for part in ("loss", *wrong["loc"][1:]))
        raise errors.InputError(f"{where}: {wrong['msg']}") from None


def _targets(loss: str, y: jax.Array, outputs: jax.ShapeDtypeStruct) -> jax.Array:
    """Returns targets (N, K) of outputs (N, K): one-hot for classes (N,), numbers as they are.

    Raises:
        errors.InputError: If the shapes do not meet, or targets are no classes or probabilities where they must be.
    """
    if len(outputs.shape) != 2:
        raise errors.InputError(
            f"apply gives shape {outputs.shape}, and loss {loss!r} is of outputs (N, K); reshape them, or give the "
            "loss as a function of one example's (outputs, target)"
        )
    width = outputs.shape[1]
    classes = y.ndim == 1 and not jnp.issubdtype(y.dtype, jnp.floating)
    if loss == "output":
        return jnp.zeros(outputs.shape)
    if classes and (width > 1 or loss in ("ce", "smoothed_ce")):
        if int(y.min()) < 0 or int(y.max()) >= width:
            raise errors.InputError(
                f"data: y has classes from {int(y.min())} to {int(y.max())}, and the network {width} outputs; classes "
                f"are 0 to {width - 1}"
            )
        return jax.nn.one_hot(y, width, dtype="float64")
    numbers = y.astype("float64")[:, None] if y.ndim == 1 and width == 1 else y.astype("float64")
    if numbers.shape != outputs.shape:
        raise errors.InputError(
            f"data: y has shape {tuple(y.shape)} and the outputs {outputs.shape}; give one target for each output"
        )
    if loss in ("ce", "smoothed_ce") and not (
        bool(jnp.all(numbers >= 0)) and bool(jnp.allclose(numbers.sum(axis=1), 1, rtol=0, atol=1e-6))
    ):
        raise errors.InputError(f"data: the rows of y are no probabilities; loss {loss!r} needs these, or classes (N,)")
    return numbers


def _check_loss(
    goal: objective.Objective, loss: config.Loss | losses.Custom, theta: np.ndarray, batch: objective.Batch
) -> None:
    """Refuses outputs and losses that are not finite, and a loss that is no number for each example."""
    at = jnp.asarray(theta)
    pieces = objective.chunks(batch, goal.chunk)
    outputs = jax.lax.map(lambda piece: goal.outputs(at, piece.x), pieces)
    outputs = outputs.reshape(-1, *outputs.shape[2:])[: len(batch.weights)]
    checks.finite(outputs, "the outputs", "give parameters at which the network is finite, and inputs of its scale")
    try:
        each = losses.per_example(loss, outputs, batch.targets)
    except Exception as error:
        raise errors.InputError(
            f"the loss fails for one example's outputs {outputs.shape[1:]} and target {batch.targets.shape[1:]}: "
            f"{errors.first_line(error)[:200]}; give a function of these two that jax can trace"
        ) from error
    if each.shape != (len(batch.weights),) or each.dtype != jnp.float64:
        raise errors.InputError(
            f"the loss of one example is {each.dtype} of shape {tuple(each.shape[1:])}; give a function that returns "
            "one float in the dtype of the outputs"
        )
    checks.finite(each, "the losses", "give parameters, targets and a loss that are finite together")


def _known(names: Sequence[str] | None, loss: config.Loss | losses.Custom) -> Known:
    if names is None:
        return Known()
    found = ingredients.named(names)
    if isinstance(loss, losses.Custom):
        return Known()
    more = [loss.name, *(["weight_decay"] if loss.weight_decay else []), "gd"]
    found += tuple(ingredients.INGREDIENTS[name] for name in more)
    return Known(theory.covered(found), all(row.analytic for row in found))


def _joined(tree: Any) -> np.ndarray:
    """Returns the leaves of a tree end to end, (P,) float64."""
    return np.concatenate([np.asarray(leaf, "float64").ravel() for leaf in jax.tree.leaves(tree)])


def _same(params: Any, abstract: Any) -> None:
    """Refuses a tree of another structure or of other shapes."""
    given, own = (
        {
            jax.tree_util.keystr(path): tuple(np.shape(leaf))
            for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
        }
        for tree in (params, abstract)
    )
    if given != own:
        differ = [name for name in {**own, **given} if given.get(name) != own.get(name)]
        name = differ[0]
        raise errors.InputError(
            f"params{name} has shape {given.get(name, 'none')}, and the network's own {own.get(name, 'none')}; give a "
            f"tree like that of the network, or a vector of its {sum(map(math.prod, own.values())):,} parameters"
        )
