# SPDX-License-Identifier: Apache-2.0
"""The experiment: one run, from a cell and a seed to a run folder."""

from __future__ import annotations

import datetime
import functools
import math
import pathlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import zoo
from harness import (
    data,
    diagnostics,
    errors,
    events,
    hosts,
    interrupts,
    losses,
    memory,
    objective,
    provenance,
    runlog,
    sharding,
    starts,
    theory,
    train,
    verdict,
)
from harness import device as devices
from harness import records as record_file
from harness import spec as specs
from harness.curvature import operators, survey, trace
from harness.curvature import spectrum as spectra
from harness.diagnostics import plan as plans
from zoo import layer, pattern
from zoo import model as models

ENVIRONMENT = ("commit", "dirty", "versions", "device", "dataset")
"""Facts that are the same for all of a run: where one has changed, a run that was cut off begins anew."""


class Problem(NamedTuple):
    """A cell made ready to run: data on the device and programs that compile on first use.

    Attributes:
        facts: What is known of the training set without reading it.
        arrays: The training set and its provenance, planted targets in place.
        objective: Risk and outputs of the network.
        batch: The training set in the training precision.
        exact: The training set in float64.
        trainer: The training programs.
        surveyor: The questions asked of the Hessian.
        evaluate: `(theta, batch) -> (risk, norm of its gradient, accuracy)`.
        infimum: Infimum of the risk; NaN where it is not known.
        probe: What diagnostics ask that look around a point.
    """

    facts: data.Facts
    arrays: data.Arrays
    objective: objective.Objective
    batch: objective.Batch
    exact: objective.Batch
    trainer: train.Trainer
    surveyor: survey.Surveyor
    evaluate: Callable[[jax.Array, objective.Batch], tuple[jax.Array, jax.Array, jax.Array]]
    infimum: float
    probe: diagnostics.Probe


def problem(cell: specs.Cell) -> Problem:
    """Builds the problem of a cell; cells that differ in step size or length alone share one, and its programs.

    Raises:
        errors.InputError: If the data set cannot be had.
    """
    size = getattr(cell.optimizer, "batch_size", None)
    return _problem(cell.data, cell.model, cell.loss, cell.optimizer.name, size, cell.precision, cell.curvature)


@functools.lru_cache(maxsize=1)
def _problem(
    data_: Any, model: Any, loss: Any, optimizer: str, batch_size: int | None, precision: str, curvature: str
) -> Problem:
    devices.check(precision)
    facts = data.facts(data_)
    network = zoo.build(model.family, model, inputs=facts.shape, outputs=facts.classes)
    layers = zoo.FAMILIES[model.family].layers(model, facts.shape, facts.classes)
    activity = layer.activity(layers, facts.shape)
    goal = objective.objective(network, loss, chunk=objective.chunk(activity, facts.examples))
    arrays = planted(data_, data.load(data_), goal, loss)
    exact_trace = trace.gauss_newton(goal.outputs, loss) if pattern.affine_in_each_weight(layers) else None
    method = survey.resolve(curvature, goal.size)
    surveyor = survey.surveyor(operators.hessian(goal.risk), goal.size, method, trace=exact_trace)

    @jax.jit
    def evaluate(theta: jax.Array, batch: objective.Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
        value, gradient = jax.value_and_grad(goal.risk)(theta, batch)
        accuracy = goal.accuracy(theta, batch) if facts.task == "classification" else jnp.asarray(math.nan)
        return value, jnp.linalg.norm(gradient), accuracy

    return Problem(
        facts=facts,
        arrays=arrays,
        objective=goal,
        batch=batch(arrays, precision),
        exact=batch(arrays, "float64"),
        trainer=train.trainer(goal.risk, optimizer, batch_size),
        surveyor=surveyor,
        evaluate=evaluate,
        infimum=losses.infimum(loss, arrays.targets, arrays.weights),
        probe=_probe(goal, network, model, facts, batch(arrays, "float64"), batch_size, surveyor),
    )


def _probe(
    goal: objective.Objective,
    network: models.Model,
    fields: Any,
    facts: data.Facts,
    exact: objective.Batch,
    batch_size: int | None,
    surveyor: survey.Surveyor,
) -> diagnostics.Probe:
    """Returns the functions that diagnostics ask around a point; nothing compiles before one is called."""
    layers = zoo.FAMILIES[fields.family].layers(fields, facts.shape, facts.classes)
    unflatten = objective.flattening(jax.eval_shape(network.init, jax.random.key(0)))
    gradient = jax.jit(lambda theta, batch: jax.grad(goal.risk)(theta, batch))
    product = jax.jit(lambda theta, v, batch: operators.hessian(goal.risk)((theta, batch))(v))
    margins = pattern.margins(layers, facts.shape)
    return diagnostics.Probe(
        size=goal.size,
        risk=goal.risk,
        margins=lambda theta, x: margins(unflatten(theta), x),
        batch=exact,
        batch_size=batch_size,
        method=surveyor.method,
        gradient=lambda theta: gradient(theta, exact),
        product=lambda theta, v: product(theta, v, exact),
        survey=surveyor.survey,
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


def groups(cell: specs.Cell, seeds: Sequence[int]) -> list[tuple[int, ...]]:
    """Returns which seeds of a cell are run together."""
    return [(seed,) for seed in seeds]


def run(
    cell: specs.Cell, seeds: Sequence[int], *, device: str, command: str, tell: events.Tell = events.nobody
) -> list[pathlib.Path]:
    """Runs some seeds of a cell, or what is missing of them, and returns their folders.

    A run that was cut off goes on from its last checkpoint step with the same bits as if it had not been (CPU), or
    begins anew where the code, the versions, the device or the data have changed since. A run whose loss stops being
    finite is a result: status `diverged`.

    Args:
        cell: What to run.
        seeds: Which seeds; one of `groups`.
        device: The device in words, recorded.
        command: The command that repeats the run, recorded.
        tell: Called with what happens.

    Raises:
        runlog.Busy: If another process is at one of them.
        errors.InputError: If the data set cannot be had, or the step size is none in the training precision.
        errors.OutOfMemory: If it does not fit; the status `failed` is on disk, and what was recorded is kept.
        KeyboardInterrupt: On Ctrl-C, after the status `interrupted` is on disk.
    """
    return [_run(cell, seed, device, command, tell) for seed in seeds]


def _run(cell: specs.Cell, seed: int, device: str, command: str, tell: events.Tell) -> pathlib.Path:
    """Runs one seed of a cell."""
    with hosts.own(runlog.folder(cell.suite, cell.run_id(seed))) as folder:
        ready = problem(cell)
        facts = _facts(cell, seed, ready, device, command)
        earlier = runlog.read(folder)
        if earlier is not None and all(earlier[name] == facts[name] for name in ENVIRONMENT):
            facts = {**earlier, "status": "running"}
        else:
            runlog.clear(folder)
        runlog.write_cell(folder, specs.dump(cell))
        runlog.write(folder, facts)
        began, spent = time.monotonic(), facts["seconds"]
        tell(events.Event("begin", facts["run_id"]))
        try:
            diverged_at = _advance(cell, seed, ready, folder, facts, tell)
            facts["status"] = "finished" if diverged_at is None else "diverged"
            facts["diverged_at"] = diverged_at
            recorded = runlog.read_records(folder)
            known = theory.matches(theory.of(cell), facts["eta"], cell.precision)
            facts["verdict"] = verdict.verdict(recorded, singular=known is not None)
        except KeyboardInterrupt:
            facts["status"] = "interrupted"
            raise
        except BaseException as error:
            facts["status"] = "failed"
            if memory.exhausted(error):
                raise _too_large(error, ready) from error
            raise
        finally:
            facts["seconds"] = round(spent + time.monotonic() - began, 3)
            runlog.write(folder, facts)
            tell(events.Event("end", facts["run_id"], status=facts["status"]))
    return folder


def _too_large(error: BaseException, ready: Problem) -> errors.OutOfMemory:
    """Returns what to say of a run that did not fit into memory."""
    rows = 0 if ready.surveyor.method == "dense" else survey.capacity(ready.objective.size) + 1
    return memory.explained(
        error,
        parameters=ready.objective.size,
        examples=len(ready.arrays.x),
        chunk=ready.objective.chunk,
        rows=rows,
        limit=memory.available(),
    )


def _advance(
    cell: specs.Cell,
    seed: int,
    ready: Problem,
    folder: pathlib.Path,
    facts: dict[str, Any],
    tell: events.Tell,
) -> int | None:
    """Trains from where the folder stands to the end; returns the first step whose loss is not finite, if any."""
    keys = dict(zip(("start", "batches", "top", "probes"), jax.random.split(jax.random.key(seed), 4), strict=True))
    saved = runlog.load_state(folder)
    if saved is None:
        theta = starts.start(cell.start, ready.objective, keys["start"]).astype(ready.batch.x.dtype)
        done = -1
    else:
        done, arrays = saved
        theta = jnp.asarray(arrays["theta"])
    runlog.keep_records(folder, done)
    if facts["eta"] is None:
        facts["eta"] = step_size(cell, ready, theta, keys["top"])
        runlog.write(folder, facts)
    eta = jnp.asarray(facts["eta"], theta.dtype)
    state = ready.trainer.begin(theta, eta, max(done, 0))
    if saved is not None:
        leaves = [jnp.asarray(arrays[f"optimizer_{i}"]) for i in range(len(arrays) - 1)]
        state = state._replace(optimizer=jax.tree.unflatten(jax.tree.structure(state.optimizer), leaves))
    todo = tuple(s for s in specs.checkpoint_steps(cell.steps, cell.checkpoints) if s > done)
    previous = None if saved is None else theta
    asked = plan(cell, ready.objective.size)
    with hosts.steady():
        for now in train.train(ready.trainer, state, eta, keys["batches"], ready.batch, todo):
            step = int(now.step)
            key, names = jax.random.fold_in(keys["probes"], step), asked.at(step, cell.steps)
            known: list[spectra.Spectrum] = []
            values = measure(ready, now.theta, facts["eta"], key, previous, names, known.append)
            if not bool(now.finite) or values is None:
                return step
            moved = {f"optimizer_{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(now.optimizer))}
            with interrupts.shielded():
                if "critical" in names:
                    runlog.append_spectrum(folder, step, known[0])
                runlog.append(folder, record_file.Record(step, values))
                runlog.save_state(folder, step, {"theta": np.asarray(now.theta), **moved})
            previous = jnp.asarray(np.asarray(now.theta))
            tell(events.Event("record", facts["run_id"], step, values))
            hosts.heed()
    return None


def measure(
    ready: Problem,
    theta: jax.Array,
    eta: float,
    key: jax.Array,
    previous: jax.Array | None = None,
    names: Iterable[str] = diagnostics.DEFAULT,
    surveyed: Callable[[spectra.Spectrum], None] = lambda spectrum: None,
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
    """
    names = tuple(names)
    theta = sharding.exact(theta)
    loss, grad_norm, accuracy = (float(v) for v in jax.block_until_ready(ready.evaluate(theta, ready.exact)))
    if not math.isfinite(loss) or not math.isfinite(grad_norm):
        return None
    nearby = diagnostics.Nearby(theta, None if previous is None else sharding.exact(previous), ready.probe, key)
    found = None
    try:
        if any(diagnostics.DIAGNOSTICS[name].surveys for name in names):
            found = ready.surveyor.survey((theta, ready.exact), eta, key)
            surveyed(found.spectrum)
        point = diagnostics.Point(eta, ready.infimum, loss, grad_norm, accuracy, found, nearby)
        return diagnostics.measure(point, names)
    except FloatingPointError:
        return None


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


def _facts(cell: specs.Cell, seed: int, ready: Problem, device: str, command: str) -> dict[str, Any]:
    commit, dirty = provenance.commit()
    return {
        "schema": runlog.SCHEMA,
        "run_id": cell.run_id(seed),
        "cell_id": cell.cell_id,
        "spec_hash": cell.spec_hash,
        "suite": cell.suite,
        "spec": cell.spec,
        "label": cell.label,
        "title": cell.title,
        "source": cell.source,
        "seed": seed,
        "seeds": max(cell.seeds, seed + 1),  # `--seeds` may ask for more than the spec does
        "status": "running",
        "diverged_at": None,
        "verdict": None,
        "eta": None,
        "parameters": ready.objective.size,
        "examples": len(ready.arrays.x),
        "curvature": ready.surveyor.method,
        "device": device,
        "precision": cell.precision,
        "command": command,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "seconds": 0.0,
        "versions": provenance.versions(),
        "commit": commit,
        "dirty": dirty,
        "dataset": {
            "name": cell.data.name,
            "version": ready.arrays.version,
            "split": _part(cell.data, ready.facts.split),
            "examples": len(ready.arrays.x),
            "shape": list(ready.facts.shape),
            "classes": ready.facts.classes,
            "sha256": ready.arrays.sha256,
            "licence": ready.arrays.licence,
            "citation": ready.arrays.citation,
        },
        "theory": theory.of(cell).as_dict(),
        "expected": dict(cell.expected),
        "left_out": plan(cell, ready.objective.size).left_out,
        "cell": cell.resolved(),
    }


def _part(data_: Any, split: str) -> str:
    """Returns which examples of a data set a run saw: `train`, `train[:256]` or `train[256 balanced by seed 0]`."""
    examples, subset = getattr(data_, "examples", None), getattr(data_, "subset", None)
    if examples is None or subset is None:
        return split
    return f"{split}[:{examples}]" if subset == "first" else f"{split}[{examples} balanced by seed {subset.balanced}]"


class Outline(NamedTuple):
    """What a cell is, found out from shapes alone: parameters P, examples N, eigenvalues, theory, what is measured."""

    parameters: int
    examples: int
    curvature: str
    theory: theory.Theory
    plan: plans.Plan


def outline(cell: specs.Cell) -> Outline:
    """Traces the risk of a cell in its precision and in float64, without data and without an array.

    Cost: the tracing of one forward pass for each precision, shared by cells that differ in the optimizer alone.

    Raises:
        errors.InputError: If the given start does not fit the network.
    """
    facts = data.facts(cell.data)
    size = _traced(facts.shape, facts.classes, facts.examples, cell.model, cell.loss, cell.precision)
    try:
        starts.check(cell.start, size)
    except errors.InputError as error:
        raise errors.InputError(f"{cell.suite}/{cell.label}: {error}") from None
    method = survey.resolve(cell.curvature, size)
    return Outline(size, facts.examples, method, theory.of(cell), plan(cell, size))


def plan(cell: specs.Cell, parameters: int) -> plans.Plan:
    """Returns what is measured of a cell whose network has so many parameters, and what is left out and why."""
    facts = data.facts(cell.data)
    batch_size = getattr(cell.optimizer, "batch_size", facts.examples)
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
    """
    ready = problem(cell)
    rate = cell.optimizer.learning_rate
    theta = starts.start(cell.start, ready.objective, jax.random.key(0)).astype(ready.batch.x.dtype)
    eta = jnp.asarray(min(rate, 1e-3) if isinstance(rate, int | float) else 1e-3, theta.dtype)
    state = ready.trainer.begin(theta, eta, 0)
    after = ready.trainer.advance(state, eta, jax.random.key(1), ready.batch, 1)
    risk = jax.jit(ready.objective.risk)
    return float(risk(theta, ready.batch)), float(risk(after.theta, ready.batch))
