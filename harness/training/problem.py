# SPDX-License-Identifier: Apache-2.0
"""The experiment: a cell made ready to run, and what is measured at a point of its runs."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import zoo
from harness import data, diagnostics, errors, specs, starts, theory
from harness.curvature import counting, dense, lanczos, operators, survey
from harness.curvature import spectrum as spectra
from harness.diagnostics import plan as plans
from harness.risk import jacobian, losses, objective, trace
from harness.runtime import device as devices
from harness.runtime import memory, sharding
from harness.starts import saddles
from harness.training import loop, optimizers
from zoo import layer, pattern
from zoo import model as models


class Problem(NamedTuple):
    """A cell made ready to run: data on the device and programs that compile on first use.

    Attributes:
        facts: What is known of the training set without reading it.
        arrays: The training set and its provenance, planted targets in place.
        objective: Risk and outputs of the network.
        batch: The training set in the training precision.
        exact: The training set in float64.
        rule: What a step does.
        trainer: The training programs.
        surveyor: The questions asked of the Hessian.
        evaluate: `(theta, batch) -> (risk, norm of its gradient, accuracy)`.
        infimum: Infimum of the risk; NaN where it is not known.
        constant: Risk of the best constant prediction; NaN where it is not known.
        chance: Accuracy of the best constant prediction; NaN for regression.
        probe: What diagnostics ask that look around a point.
        planted: From a `start` that is planted to its point; the last few are kept.
    """

    facts: data.Facts
    arrays: data.Arrays
    objective: objective.Objective
    batch: objective.Batch
    exact: objective.Batch
    rule: optimizers.Rule
    trainer: loop.Trainer
    surveyor: survey.Surveyor
    evaluate: Callable[[jax.Array, objective.Batch], tuple[jax.Array, jax.Array, jax.Array]]
    infimum: float
    constant: float
    chance: float
    probe: diagnostics.Probe
    planted: Callable[[Any], saddles.Saddle]


def problem(cell: specs.Cell) -> Problem:
    """Builds the problem of a cell; cells that differ in step size or length alone share one, and its programs.

    Raises:
        errors.InputError: If the data set cannot be had, or the network is too large for `curvature: dense`.
    """
    rule = optimizers.rule(cell)
    ready = _problem(cell.data, cell.model, cell.loss, rule, cell.precision, cell.curvature)
    _check_dense(cell, ready.objective.size)
    return ready


@functools.lru_cache(maxsize=1)
def _problem(data_: Any, model: Any, loss: Any, rule: optimizers.Rule, precision: str, curvature: str) -> Problem:
    devices.check(precision)
    facts = data.facts(data_)
    network = zoo.build(model.family, model, inputs=facts.shape, outputs=facts.classes)
    layers = zoo.FAMILIES[model.family].layers(model, facts.shape, facts.classes)
    activity = layer.activity(layers, facts.shape)
    goal = objective.fitting(network, loss, activity, facts.examples)
    arrays = planted(data_, data.load(data_), goal, loss)
    exact_trace = trace.gauss_newton(goal.outputs, loss) if pattern.affine_in_each_weight(layers) else None
    method = survey.resolve(curvature, goal.size)
    surveyor = survey.surveyor(operators.hessian(goal.risk), goal.size, method, trace=exact_trace)

    @jax.jit
    def evaluate(theta: jax.Array, batch: objective.Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
        value, gradient = jax.value_and_grad(goal.risk)(theta, batch)
        accuracy = goal.accuracy(theta, batch) if facts.task == "classification" else jnp.asarray(math.nan)
        return value, jnp.linalg.norm(gradient), accuracy

    exact = batch(arrays, "float64")
    place = saddles.Place(data_, model, loss, layers, facts.shape, goal, exact)
    return Problem(
        facts=facts,
        arrays=arrays,
        objective=goal,
        batch=batch(arrays, precision),
        exact=exact,
        trainer=loop.trainer(goal.risk, rule, facts.examples),
        rule=rule,
        surveyor=surveyor,
        evaluate=evaluate,
        infimum=losses.infimum(loss, arrays.targets, arrays.weights, arrays.x),
        constant=losses.constant(loss, arrays.targets, arrays.weights),
        chance=losses.chance(arrays.targets, arrays.weights) if facts.task == "classification" else math.nan,
        probe=_probe(goal, network, model, loss, facts, exact, rule, surveyor),
        planted=functools.lru_cache(maxsize=4)(lambda start: saddles.planted(start, place)),
    )


def _probe(
    goal: objective.Objective,
    network: models.Model,
    fields: Any,
    loss: Any,
    facts: data.Facts,
    exact: objective.Batch,
    rule: optimizers.Rule,
    surveyor: survey.Surveyor,
) -> diagnostics.Probe:
    """Returns the functions that diagnostics ask around a point; nothing compiles before one is called."""
    layers = zoo.FAMILIES[fields.family].layers(fields, facts.shape, facts.classes)
    unflatten = objective.flattening(jax.eval_shape(network.init, jax.random.key(0)))
    gradient = jax.jit(lambda theta, batch: jax.grad(goal.risk)(theta, batch))
    product = jax.jit(lambda theta, v, batch: operators.single(goal.risk)((theta, batch), v))
    margins = pattern.margins(layers, facts.shape)
    hessian = operators.hessian(goal.risk)
    return diagnostics.Probe(
        size=goal.size,
        risk=goal.risk,
        margins=lambda theta, x: margins(unflatten(theta), x),
        batch=exact,
        rule=rule,
        examples=facts.examples,
        method=surveyor.method,
        gradient=lambda theta: gradient(theta, exact),
        product=lambda theta, v: product(theta, v, exact),
        survey=surveyor.survey,
        outputs=goal.outputs,
        loss=loss,
        factor=jacobian.remembering(goal.outputs, loss, exact),
        counter=counting.counter(surveyor.program or lanczos.lanczos(hessian, goal.size, capacity=survey.PRODUCTS)),
    )


def batch(arrays: data.Arrays, precision: str) -> objective.Batch:
    """Returns a training set on the device, or in shares on several, in a precision."""
    return objective.Batch(*(sharding.place(array, precision) for array in (arrays.x, arrays.targets, arrays.weights)))


def planted(data_: Any, arrays: data.Arrays, goal: objective.Objective, loss: Any) -> data.Arrays:
    """Returns a training set with its targets replaced where the spec plants them.

    Planted targets are what the network gives at a parameter vector theta* drawn from a seed of its own: the outputs
    themselves, or their softmax for cross-entropy. theta* then is a global minimum (mathematics, section 2).
    """
    wanted = getattr(data_, "targets", "labels")
    if isinstance(wanted, str):
        return arrays
    theta = goal.init(jax.random.key(wanted.planted)).astype("float64")
    forward = jax.jit(lambda batch: jax.lax.map(lambda piece: goal.outputs(theta, piece.x), batch))
    pieces = forward(objective.chunks(batch(arrays, "float64"), objective.CHUNK))
    outputs = pieces.reshape(-1, pieces.shape[-1])[: len(arrays.x)]
    targets = np.asarray(jax.nn.softmax(outputs) if loss.name == "ce" else outputs)
    return arrays._replace(targets=targets, sha256=data.fingerprint(arrays.x, targets, arrays.weights))


def explaining(ready: Problem) -> contextlib.AbstractContextManager[None]:
    """Returns what says of a block that did not fit into memory what would: a spectrum, or examples at a time."""
    dense_ = ready.surveyor.method == "dense"
    return memory.explaining(
        parameters=ready.objective.size,
        examples=len(ready.arrays.x),
        chunk=ready.objective.chunk,
        rows=0 if dense_ else survey.capacity(ready.objective.size) + 1,
    )


def measure(
    ready: Problem,
    theta: jax.Array,
    eta: float,
    key: jax.Array,
    previous: jax.Array | None = None,
    names: Iterable[str] = diagnostics.DEFAULT,
    surveyed: Callable[[spectra.Spectrum], None] = lambda spectrum: None,
    planted: saddles.Saddle | None = None,
    previous_eta: float | None = None,
    above: float | None = None,
) -> dict[str, float] | None:
    """Returns the metrics of some diagnostics at theta, in float64, or None where something is not finite.

    Args:
        ready: The problem.
        theta: Where.
        eta: Step size.
        key: Random key of Lanczos and its probes.
        previous: theta at the checkpoint step before; None at the first.
        names: Names in diagnostics.DIAGNOSTICS.
        surveyed: Called with the spectrum of the Hessian at theta, if one of them reads it.
        planted: The point that the run was planted at, if it was.
        previous_eta: Step size at the checkpoint step before; `eta` unless given.
        above: Eigenvalues that were counted above 1/eta there; counted again where it is not given.
    """
    names = tuple(names)
    theta = sharding.exact(theta)
    loss, grad_norm, accuracy = (float(v) for v in jax.block_until_ready(ready.evaluate(theta, ready.exact)))
    if not math.isfinite(loss) or not math.isfinite(grad_norm):
        return None
    before = None if previous is None else sharding.exact(previous)
    nearby = diagnostics.Nearby(theta, before, ready.probe, key, planted, previous_eta, above)
    found = None
    try:
        if any(diagnostics.DIAGNOSTICS[name].surveys for name in names):
            found = ready.surveyor.survey((theta, ready.exact), eta, key)
            surveyed(found.spectrum)
        known = ready.infimum, loss, grad_norm, accuracy
        point = diagnostics.Point(eta, *known, found, nearby, ready.constant, ready.chance)
        return diagnostics.measure(point, names)
    except FloatingPointError:
        return None


def start(cell: specs.Cell, ready: Problem, key: jax.Array) -> jax.Array:
    """Returns where a run begins (P,), from its key.

    Raises:
        errors.InputError: What starts.start raises, with the cell's name.
    """
    try:
        return starts.start(cell.start, ready.objective, ready.planted, key)
    except errors.InputError as error:
        raise errors.InputError(f"{cell.suite}/{cell.label}: {error}") from None


def planted_at(cell: specs.Cell, ready: Problem) -> saddles.Saddle | None:
    """Returns the point that a cell's runs are planted at, or None."""
    return ready.planted(cell.start) if cell.start.name in starts.PLANTED else None


def step_size(cell: specs.Cell, ready: Problem, theta: jax.Array, key: jax.Array) -> float:
    """Returns the step size, rounded to the training precision so that the recorded number is the one that is used.

    Raises:
        errors.InputError: If it rounds to zero or infinity, or no eigenvalue at the start is positive or finite.
    """
    rate = cell.optimizer.learning_rate
    if not isinstance(rate, int | float):
        try:
            top = ready.surveyor.top((theta.astype("float64"), ready.exact), key)[0]
        except FloatingPointError:
            raise errors.InputError(
                f"{cell.suite}/{cell.label}: optimizer.learning_rate: eta_lambda needs the largest eigenvalue of the "
                "Hessian at the start, and the Hessian is not finite there; give a number, or another start"
            ) from None
        if not top > 0:
            raise errors.InputError(
                f"{cell.suite}/{cell.label}: optimizer.learning_rate: eta_lambda needs a positive eigenvalue of the "
                f"Hessian at the start, and the largest is {top:.3g}; give a number, or another start"
            )
        rate = rate.eta_lambda / top
    with np.errstate(over="ignore", under="ignore"):
        eta = float(np.asarray(rate, theta.dtype))
    if not 0 < eta < math.inf:
        raise errors.InputError(
            f"{cell.suite}/{cell.spec}: optimizer.learning_rate: the step size is {eta:g} in {cell.precision}; "
            "choose another, or `precision: float64`"
        )
    return eta


class Outline(NamedTuple):
    """What a cell is, found out from shapes alone: parameters P, examples N, eigenvalues, theory, what is measured."""

    parameters: int
    examples: int
    curvature: str
    theory: theory.Theory
    plan: plans.Plan


def _check_dense(cell: specs.Cell, parameters: int) -> None:
    """Raises errors.InputError if a cell asks for the dense method and has more parameters than its limit."""
    if cell.curvature == "dense" and parameters > dense.limit():
        raise errors.InputError(
            f"{cell.suite}/{cell.label}: curvature: dense is not allowed for {parameters:,} parameters; allowed: at "
            f"most {dense.limit():,} on this device; write `curvature: lanczos`, or leave it out"
        )


def outline(cell: specs.Cell) -> Outline:
    """Traces the risk of a cell in its precision and in float64, without data and without an array.

    Cost: the tracing of one forward pass for each precision, shared by cells that differ in the optimizer alone.

    Raises:
        errors.InputError: If the given start does not fit the network, or this is too large for `curvature: dense`.
    """
    facts = data.facts(cell.data)
    size = _traced(facts.shape, facts.classes, facts.examples, cell.model, cell.loss, cell.precision)
    try:
        starts.check(cell.start, size)
    except errors.InputError as error:
        raise errors.InputError(f"{cell.suite}/{cell.label}: {error}") from None
    _check_dense(cell, size)
    method = survey.resolve(cell.curvature, size)
    return Outline(size, facts.examples, method, theory.of(cell), plan(cell, size))


def plan(cell: specs.Cell, parameters: int) -> plans.Plan:
    """Returns what is measured of a cell whose network has so many parameters, and what is left out and why."""
    facts = data.facts(cell.data)
    batch_size = getattr(cell.optimizer, "batch_size", None) or facts.examples
    method = survey.resolve(cell.curvature, parameters)
    size = plans.Size(parameters, facts.examples, facts.classes, batch_size, method, cell.steps, cell.checkpoints)
    return plans.plan(cell, size)


@functools.lru_cache(maxsize=64)
def _traced(shape: tuple[int, ...], classes: int, examples: int, model: Any, loss: Any, precision: str) -> int:
    """Returns the number of parameters of a network whose risk was traced."""
    network = zoo.build(model.family, model, inputs=shape, outputs=classes)
    goal = objective.objective(network, loss)
    for dtype in {precision, "float64"}:
        sizes = (examples, *shape), (examples, classes), (examples,)
        theta, *arrays = (jax.ShapeDtypeStruct(size, dtype) for size in ((goal.size,), *sizes))
        value = jax.eval_shape(lambda theta, *batch: goal.risk(theta, objective.Batch(*batch)), theta, *arrays)
        assert (value.shape, value.dtype) == ((), dtype), f"the risk is {value}"
    return goal.size


def trial(cell: specs.Cell) -> tuple[float, float]:
    """Takes one step of a cell from seed 0, of size 1e-3 or the cell's own if that is less; the risk before and after.

    Cost: two risks and one gradient, and their compilation.

    Raises:
        errors.InputError: If the data set cannot be had.
        errors.OutOfMemory: If it does not fit into memory.
    """
    ready = problem(cell)
    rate = cell.optimizer.learning_rate
    goal = ready.objective
    with memory.explaining(parameters=goal.size, examples=len(ready.arrays.x), chunk=goal.chunk, rows=1):
        theta = start(cell, ready, jax.random.key(0)).astype(ready.batch.x.dtype)
        eta = jnp.asarray(min(rate, 1e-3) if isinstance(rate, int | float) else 1e-3, theta.dtype)
        risk = jax.jit(goal.risk)
        before = jax.block_until_ready(risk(theta, ready.batch))
        state = ready.trainer.begin(theta[None], eta[None], jnp.zeros(1, int))
        after = ready.trainer.advance(state, eta[None], jax.random.key(1)[None], ready.batch, 1)
        moved = jax.block_until_ready(risk(after.theta[0], ready.batch))
    return float(before), float(moved)
