# SPDX-License-Identifier: Apache-2.0
"""The experiment: one run, from a cell and a seed to a run folder."""

from __future__ import annotations

import datetime
import functools
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import zoo
from harness import data, diagnostics, errors, losses, objective, provenance, runlog, starts, train, verdict
from harness import records as record_file
from harness import spec as specs
from harness.curvature import operators, survey

ENVIRONMENT = ("commit", "dirty", "versions", "device", "dataset")
"""Facts that are the same for all of a run: where one has changed, a run that was cut off begins anew."""


class Problem(NamedTuple):
    """A cell made ready to run: data on the device and programs that compile on first use.

    Attributes:
        arrays: The training set and its provenance.
        objective: Risk and outputs of the network.
        batch: The training set in the training precision.
        exact: The training set in float64.
        trainer: The training programs.
        surveyor: The questions asked of the Hessian.
        evaluate: `(theta, batch) -> (risk, norm of its gradient, accuracy)`.
        infimum: Infimum of the risk.
    """

    arrays: data.Arrays
    objective: objective.Objective
    batch: objective.Batch
    exact: objective.Batch
    trainer: train.Trainer
    surveyor: survey.Surveyor
    evaluate: Callable[[jax.Array, objective.Batch], tuple[jax.Array, jax.Array, jax.Array]]
    infimum: float


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
    row = data.DATASETS[data_.name]
    arrays = data.load(data_.name, data_.examples)
    network = zoo.build(model.family, model, inputs=row.shape, outputs=row.classes)
    goal = objective.objective(network, loss)
    labels = jnp.asarray(arrays.labels)

    @jax.jit
    def evaluate(theta: jax.Array, batch: objective.Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
        value, gradient = jax.value_and_grad(goal.risk)(theta, batch)
        return value, jnp.linalg.norm(gradient), goal.accuracy(theta, batch)

    return Problem(
        arrays=arrays,
        objective=goal,
        batch=objective.Batch(jnp.asarray(arrays.x, precision), labels),
        exact=objective.Batch(jnp.asarray(arrays.x, "float64"), labels),
        trainer=train.trainer(goal.risk, optimizer, batch_size),
        surveyor=survey.surveyor(operators.hessian(goal.risk), goal.size, survey.resolve(curvature, goal.size)),
        evaluate=evaluate,
        infimum=losses.infimum(loss, row.classes),
    )


def run(
    cell: specs.Cell,
    seed: int,
    *,
    device: str,
    command: str,
    on_step: Callable[[int], None] = lambda step: None,
) -> pathlib.Path:
    """Runs one seed of a cell, or what is missing of it, and returns its folder.

    A run that was cut off goes on from its last checkpoint step with the same bits as if it had not been (CPU), or
    begins anew where the code, the versions, the device or the data have changed since. A run whose loss stops being
    finite is a result: status `diverged`.

    Args:
        cell: What to run.
        seed: Which seed.
        device: The device in words, recorded.
        command: The command that repeats the run, recorded.
        on_step: Called with the number of steps taken, at each checkpoint step.

    Raises:
        runlog.Busy: If another process is at it.
        errors.InputError: If the data set cannot be had, or the step size is none in the training precision.
        KeyboardInterrupt: On Ctrl-C, after the status `interrupted` is on disk.
    """
    folder = runlog.folder(cell.suite, cell.run_id(seed))
    with runlog.claimed(folder):
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
        try:
            diverged_at = _advance(cell, seed, ready, folder, facts, on_step)
            facts["status"] = "finished" if diverged_at is None else "diverged"
            facts["diverged_at"] = diverged_at
            recorded = runlog.read_records(folder)
            facts["verdict"] = verdict.verdict(recorded, exact=facts["curvature"] == "dense")
        except KeyboardInterrupt:
            facts["status"] = "interrupted"
            raise
        except BaseException:
            facts["status"] = "failed"
            raise
        finally:
            facts["seconds"] = round(spent + time.monotonic() - began, 3)
            runlog.write(folder, facts)
    return folder


def _advance(
    cell: specs.Cell,
    seed: int,
    ready: Problem,
    folder: pathlib.Path,
    facts: dict[str, Any],
    on_step: Callable[[int], None],
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
        facts["eta"] = _step_size(cell, ready, theta, keys["top"])
        runlog.write(folder, facts)
    eta = jnp.asarray(facts["eta"], theta.dtype)
    state = ready.trainer.begin(theta, eta, max(done, 0))
    if saved is not None:
        leaves = [jnp.asarray(arrays[f"optimizer_{i}"]) for i in range(len(arrays) - 1)]
        state = state._replace(optimizer=jax.tree.unflatten(jax.tree.structure(state.optimizer), leaves))
    todo = tuple(s for s in specs.checkpoint_steps(cell.steps, cell.checkpoints) if s > done)
    for now in train.train(ready.trainer, state, eta, keys["batches"], ready.batch, todo):
        step = int(now.step)
        values = measure(ready, now.theta, facts["eta"], jax.random.fold_in(keys["probes"], step))
        if not bool(now.finite) or values is None:
            return step
        runlog.append(folder, record_file.Record(step, values))
        moved = {f"optimizer_{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(now.optimizer))}
        runlog.save_state(folder, step, {"theta": np.asarray(now.theta), **moved})
        on_step(step)
    return None


def measure(ready: Problem, theta: jax.Array, eta: float, key: jax.Array) -> dict[str, float] | None:
    """Returns every metric at theta, in float64, or None where loss, gradient or Hessian are not finite."""
    theta = theta.astype("float64")
    loss, grad_norm, accuracy = (float(v) for v in ready.evaluate(theta, ready.exact))
    if not math.isfinite(loss) or not math.isfinite(grad_norm):
        return None
    try:
        found = ready.surveyor.survey((theta, ready.exact), eta, key)
    except FloatingPointError:
        return None
    return diagnostics.measure(diagnostics.Point(eta, ready.infimum, loss, grad_norm, accuracy, found))


def _step_size(cell: specs.Cell, ready: Problem, theta: jax.Array, key: jax.Array) -> float:
    """Returns the step size, rounded to the training precision so that the recorded number is the one that is used.

    Raises:
        errors.InputError: If it rounds to zero or infinity, or no eigenvalue at the start is positive.
    """
    rate = cell.optimizer.learning_rate
    if not isinstance(rate, int | float):
        top = ready.surveyor.top((theta.astype("float64"), ready.exact), key)[0]
        rate = rate.eta_lambda / top if top > 0 else math.inf
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
    row = data.DATASETS[cell.data.name]
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
        "examples": len(ready.arrays.labels),
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
            "split": "train" if cell.data.examples is None else f"train[:{cell.data.examples}]",
            "examples": len(ready.arrays.labels),
            "shape": list(row.shape),
            "classes": row.classes,
            "sha256": ready.arrays.sha256,
            "licence": row.licence,
        },
        "cell": cell.resolved(),
    }


class Trial(NamedTuple):
    """What one step of a cell showed: its size, its method, and the risk before and after the step."""

    parameters: int
    examples: int
    curvature: str
    before: float
    after: float


def trial(cell: specs.Cell) -> Trial:
    """Takes one step of a cell, from seed 0, with a step size of 1e-3 or the cell's own if that is smaller.

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
    return Trial(
        parameters=ready.objective.size,
        examples=len(ready.arrays.labels),
        curvature=ready.surveyor.method,
        before=float(risk(theta, ready.batch)),
        after=float(risk(after.theta, ready.batch)),
    )
