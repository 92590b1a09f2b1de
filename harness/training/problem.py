# SPDX-License-Identifier: Apache-2.0
"""The experiment: a cell made ready to run, and what is measured at a point of its runs.

Example:
    >>> import jax
    >>> from harness import specs, workspace
    >>> from harness.training import problem
    >>> cell = specs.read(workspace.CHECKOUT / "specs" / "controls" / "c1-quadratic.yaml").cells[0]
    >>> ready = problem.problem(cell)
    >>> ready.size, ready.examples, ready.infimum
    (4, 1, nan)
    >>> problem.start(cell, ready, jax.random.key(0)).shape
    (4,)
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import zoo
from harness import config, data, errors, starts
from harness.curvature import counting, dense, lanczos, operators, survey
from harness.curvature import spectrum as spectra
from harness.risk import jacobian, losses, networks, norm, objective, trace
from harness.runtime import device as devices
from harness.runtime import memory, sharding
from harness.starts import saddles
from harness.training import batch_sharpness, branch, loop, optimizers, shared, tracer
from zoo import pattern


class Problem(NamedTuple):
    """A cell made ready to train and to be measured: data on the device, and programs that compile on first use.

    Diagnostics read it too: what they ask of a point, in float64, stands here once.

    Attributes:
        facts: What is known of the training set without reading it.
        arrays: The training set and its provenance, planted targets in place.
        loss: The `loss` part of the cell.
        objective: Risk and outputs of the network.
        batch: The training set in the training precision.
        exact: The training set in float64.
        rule: What a step does.
        trainer: The training programs.
        surveyor: The questions asked of the Hessian.
        evaluate: `(theta, batch) -> (risk, norm of its gradient, accuracy)`.
        gradient: `theta -> (P,)`, of the whole risk. Cost: one gradient.
        product: `(theta, v) -> H v`, of the whole risk. Cost: about three gradients.
        margins: `(theta, x) -> {path: (N, ...)}`, as zoo.pattern gives them; empty for an analytic network.
        factor: `theta -> jacobian.Factor`, of the whole batch; the last one is kept.
        tracer: From a number of eigenvalues to the programs that follow them; the last few are kept.
        noise: From a number of mini-batches to `(theta, batch, key) -> BatchSharpness`; the last few are kept.
        counter: `((theta, batch), level, key) -> Spectrum`, in which the eigenvalues above a level are known.
        infimum: Infimum of the risk; NaN where it is not known.
        constant: Risk of the best constant prediction; NaN where it is not known.
        chance: Accuracy of the best constant prediction; NaN for regression.
        planted: From a `start` that is planted to its point; the last few are kept.
    """

    facts: data.Facts
    arrays: data.Arrays
    loss: config.Loss
    objective: objective.Objective
    batch: objective.Batch
    exact: objective.Batch
    rule: optimizers.Rule
    trainer: loop.Trainer
    surveyor: survey.Surveyor
    evaluate: Callable[[jax.Array, objective.Batch], tuple[jax.Array, jax.Array, jax.Array]]
    gradient: Callable[[jax.Array], jax.Array]
    product: Callable[[jax.Array, jax.Array], jax.Array]
    margins: Callable[[jax.Array, jax.Array], dict[str, jax.Array]]
    factor: Callable[[jax.Array], jacobian.Factor]
    tracer: Callable[[int], tracer.Tracer]
    noise: Callable[[int], Callable[..., batch_sharpness.BatchSharpness]]
    counter: Callable[..., spectra.Spectrum]
    infimum: float
    constant: float
    chance: float
    planted: Callable[[config.Start], saddles.Saddle]

    @property
    def size(self) -> int:
        """The number of parameters P."""
        return self.objective.size

    @property
    def examples(self) -> int:
        """The number of examples N."""
        return self.facts.examples


def problem(cell: config.Cell) -> Problem:
    """Builds the problem of a cell; cells that differ in step size or length alone share one, and its programs.

    Raises:
        errors.InputError: If the data set cannot be had, or the network is too large for `curvature: dense`.
    """
    ready = _problem(shared.of(cell))
    check_dense(cell, ready.objective.size)
    return ready


@functools.lru_cache(maxsize=1)
def _problem(of: shared.Shared) -> Problem:
    """Returns the problem of what a cell's programs and data depend on."""
    data_, model, loss, rule, precision, curvature = of
    devices.check(precision)
    facts = data.facts(data_)
    network = networks.build(model, facts.shape, facts.classes)
    layers = zoo.made_of(model, facts.shape, facts.classes)
    activity = networks.activity(network, layers, facts.shape)
    goal = objective.fitting(network, loss, activity, facts.examples)
    arrays = planted(data_, data.load(data_), goal, loss)
    hessian = operators.hessian(goal.risk)
    affine = layers and pattern.affine_in_each_weight(layers)
    exact_trace = trace.gauss_newton(goal.outputs, loss) if affine else None
    surveyor = survey.surveyor(hessian, goal.size, survey.resolve(curvature, goal.size), trace=exact_trace)
    classification = facts.task == "classification"

    exact = batch(arrays, "float64")
    gradient = jax.jit(lambda theta, batch: jax.grad(goal.risk)(theta, batch))
    product = jax.jit(lambda theta, v, batch: operators.single(goal.risk)((theta, batch), v))
    unflatten = objective.flattening(jax.eval_shape(network.init, jax.random.key(0)))
    margins = pattern.margins(layers, facts.shape)
    place = saddles.Setting(data_, model, loss, layers, facts.shape, goal, exact)
    return Problem(
        facts=facts,
        arrays=arrays,
        loss=loss,
        objective=goal,
        batch=batch(arrays, precision),
        exact=exact,
        rule=rule,
        trainer=loop.trainer(goal.risk, rule, facts.examples),
        surveyor=surveyor,
        evaluate=evaluation(goal, classification=classification),
        gradient=lambda theta: gradient(theta, exact),
        product=lambda theta, v: product(theta, v, exact),
        margins=lambda theta, x: margins(unflatten(theta), x),
        factor=jacobian.remembering(goal.outputs, loss, exact),
        tracer=functools.lru_cache(maxsize=4)(lambda top: tracer.tracer(goal.risk, goal.size, top)),
        noise=functools.lru_cache(maxsize=4)(
            lambda count: batch_sharpness.batch_sharpness(goal.risk, rule, facts.examples, batches=count)
        ),
        counter=counting.counter(surveyor.program or lanczos.lanczos(hessian, goal.size, capacity=survey.PRODUCTS)),
        infimum=losses.infimum(loss, arrays.targets, arrays.weights, arrays.x),
        constant=losses.constant(loss, arrays.targets, arrays.weights),
        chance=losses.chance(arrays.targets, arrays.weights) if classification else math.nan,
        planted=functools.lru_cache(maxsize=4)(lambda start: point(start, place)),
    )


def evaluation(
    goal: objective.Objective, *, classification: bool
) -> Callable[[jax.Array, objective.Batch], tuple[jax.Array, jax.Array, jax.Array]]:
    """Returns the compiled function `(theta, batch) -> (risk, norm of its gradient, accuracy)`.

    Args:
        goal: The risk.
        classification: Whether there is an accuracy; else it is NaN.
    """

    @jax.jit
    def evaluate(theta: jax.Array, batch: objective.Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
        value, gradient = jax.value_and_grad(goal.risk)(theta, batch)
        accuracy = goal.accuracy(theta, batch) if classification else jnp.asarray(math.nan)
        return value, norm.norm(gradient), accuracy

    return evaluate


def batch(arrays: data.Arrays, precision: str) -> objective.Batch:
    """Returns a training set on the device, or in shares on several, in a precision."""
    return objective.Batch(*(sharding.place(array, precision) for array in (arrays.x, arrays.targets, arrays.weights)))


def planted(data_: config.Data, arrays: data.Arrays, goal: objective.Objective, loss: config.Loss) -> data.Arrays:
    """Returns a training set with its targets replaced where the spec plants them.

    Planted targets are what the network gives at a parameter vector theta* drawn from a seed of its own: the outputs
    themselves, or their softmax for cross-entropy. theta* then is a global minimum (mathematics, section 2).
    """
    wanted = data_.targets
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


def start(cell: config.Cell, ready: Problem, key: jax.Array) -> jax.Array:
    """Returns where a run begins (P,), from its key.

    Raises:
        errors.InputError: What starts.start raises, with the cell's name.
    """
    try:
        return starts.start(cell.start, ready.objective, ready.planted, key)
    except errors.InputError as error:
        raise errors.InputError(f"{cell.suite}/{cell.label}: {error}") from None


def point(start: config.Start, place: saddles.Setting) -> saddles.Saddle:
    """Returns the point of a `start` that is one of starts.PLANTED.

    Raises:
        errors.InputError: If no saddle is found, or the run or the state that a branch begins at is not here.
    """
    if not isinstance(start, config.Branch):
        return saddles.planted(start, place)
    theta = branch.theta(start, place.objective.size)
    return saddles.Saddle(jnp.asarray(theta, "float64"), math.nan, False, math.nan)


def planted_at(cell: config.Cell, ready: Problem) -> saddles.Saddle | None:
    """Returns the point that a cell's runs are planted at, or None."""
    return ready.planted(cell.start) if cell.start.name in starts.PLANTED else None


def step_size(cell: config.Cell, ready: Problem, theta: jax.Array, key: jax.Array) -> float:
    """Returns the step size, rounded to the training precision so that the recorded number is the one that is used.

    Raises:
        errors.InputError: If the precision does not hold that of each step, or no eigenvalue at the start is positive
            or finite.
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
    factors = config.extremes(cell.optimizer.schedule, cell.steps)
    if why := config.refused_step_size(rate, factors, cell.precision):
        raise errors.InputError(f"{cell.suite}/{cell.spec}: optimizer.learning_rate: {why}")
    return float(np.asarray(rate, theta.dtype))


def check_dense(cell: config.Cell, parameters: int) -> None:
    """Raises errors.InputError if a cell asks for the dense method and has more parameters than its limit."""
    if cell.curvature == "dense" and parameters > dense.limit():
        raise errors.InputError(
            f"{cell.suite}/{cell.label}: curvature: dense is not allowed for {parameters:,} parameters; allowed: at "
            f"most {dense.limit():,} on this device; write `curvature: lanczos`, or leave it out"
        )


def trial(cell: config.Cell) -> tuple[float, float]:
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
