# SPDX-License-Identifier: Apache-2.0
"""Estimate: what the runs of a cell will take here, in seconds and in bytes, from one compiled step and one product.

    a run = steps x a step + checkpoints x (what is measured at each) + what is measured at its ends + its trace

A step is timed. What is measured is priced in gradients by diagnostics/plan.py and a gradient is timed; a dense
checkpoint, whose eigenvalues are not priced, is timed as a whole. Other cells of a spec are scaled from its first by
the arithmetic of a gradient, which XLA counts without compiling.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import zoo
from harness import config, data, diagnostics
from harness.curvature import operators, survey
from harness.diagnostics import plan as plans
from harness.risk import networks, objective
from harness.runs import measure, outline
from harness.runtime import memory
from harness.training import problem

TYPICAL = 0.5
"""Share of its price that a Lanczos survey takes: it stops by itself (64 to 96 of 160 products, specs/quickstart)."""

OFTEN = {"changes": 0.5}
"""Share of the checkpoints at which a diagnostic costs something (a count changed at 40 to 60 %, specs/practical)."""

PROGRAMS = 8.0
"""What compiling all programs of a Lanczos checkpoint takes, in compilations of a product, about."""

LOADED = 1280 * 2**20
"""Bytes of a worker of a small network, at its peak: libraries, and the compilation of programs (specs/quickstart)."""

ENOUGH = 0.2
"""Seconds of steps after which their mean is believed."""

MOST = 256
"""Most steps that are timed."""

EXAMPLES = 16
"""Examples of the gradient whose arithmetic is counted."""

ACTIVATIONS = 6
"""Numbers that a gradient or a product holds for each that a layer gives, where XLA has not said how many."""


class Parts(NamedTuple):
    """What was measured of a cell here.

    Attributes:
        compile: Seconds until all programs are compiled.
        step: Seconds of a training step.
        checkpoint: Seconds of what is measured at every checkpoint.
        gradient: Seconds of a gradient of the whole risk in float64.
        temporaries: Bytes that the largest program needs beside its arguments.
        cores: Cores that were busy with all that, on the mean: CPU seconds for each second.
    """

    compile: float
    step: float
    checkpoint: float
    gradient: float
    temporaries: int
    cores: float = 1.0


class Estimate(NamedTuple):
    """What the runs of a cell take.

    Attributes:
        compile: Seconds before the first of them, where nothing is compiled yet.
        run: Seconds of each.
        bytes: Memory of the process that runs one.
    """

    compile: float
    run: float
    bytes: int


def estimate(cell: config.Cell, known: outline.Outline, parts: Parts) -> Estimate:
    """Returns what the runs of a cell take, from the parts of the cell itself (see `scaled`)."""
    ends = sum(price for name, price in _prices(known.plan) if not _always(name))
    run = cell.steps * parts.step + cell.checkpoints * parts.checkpoint + ends * parts.gradient
    if known.plan.trace is not None:  # in the training precision, where a step is a share of a gradient
        in_training = parts.step * cell.steps / known.plan.training
        run += known.plan.trace.cost * min(parts.gradient, in_training)
    return Estimate(parts.compile, run, LOADED + held(cell, known.parameters) + parts.temporaries)


def scaled(
    parts: Parts, measured: config.Cell, measured_as: outline.Outline, cell: config.Cell, known: outline.Outline
) -> Parts:
    """Returns the parts of a cell from those of another, by the arithmetic of their gradients."""
    gradient = _flops(cell) * known.examples / (_flops(measured) * measured_as.examples)
    step = gradient * (known.plan.training / cell.steps) / (measured_as.plan.training / measured.steps)
    each, each_measured = _each(cell, known.plan), _each(measured, measured_as.plan)
    checkpoint = gradient * (each / each_measured if each_measured else 1.0)
    return Parts(
        parts.compile,
        step * parts.step,
        checkpoint * parts.checkpoint,
        gradient * parts.gradient,
        round(parts.temporaries * gradient),
        parts.cores,
    )


def time_parts(cell: config.Cell, known: outline.Outline) -> Parts:
    """Times a step, a gradient and a product of a cell; a whole checkpoint where the spectrum is dense.

    Cost: their compilation, about ENOUGH seconds of steps, five gradients, two products (or two dense checkpoints).

    Raises:
        errors.InputError: If the data set cannot be had.
    """
    ready = problem.problem(cell)
    began = time.perf_counter(), time.process_time()
    theta = problem.start(cell, ready, jax.random.key(0)).astype(ready.batch.x.dtype)
    eta, keys = jnp.asarray(1e-6, theta.dtype), jax.random.split(jax.random.key(0))

    def train(stop: int) -> Any:
        state = ready.trainer.begin(theta[None], eta[None], jnp.zeros(1, int))
        return ready.trainer.advance(state, eta[None], keys[:1], ready.batch, stop)

    first, one = _timed(lambda: train(1)), _timed(lambda: train(1))
    count = max(1, min(MOST, round(ENOUGH / max(one, 1e-9))))
    step = _timed(lambda: train(count)) / count
    exact = theta.astype("float64")
    compiling = first - one
    _timed(lambda: ready.gradient(exact))
    gradient = min(_timed(lambda: ready.gradient(exact)) for _ in range(4))
    names = [name for name, _ in _prices(known.plan) if _always(name)]
    planted = problem.planted_at(cell, ready)
    if known.curvature == "dense" and known.parameters <= survey.DENSE_UP_TO:

        def ask() -> Any:
            return measure.measure(ready, measure.Where(theta, float(eta), keys[1], theta, planted), names)

        compiled, checkpoint = _timed(ask), _timed(ask)
        compiling += compiled - checkpoint
    else:
        compiled = _timed(lambda: ready.product(exact, exact))
        compiling += PROGRAMS * (compiled - min(_timed(lambda: ready.product(exact, exact)), compiled))
        checkpoint = _each(cell, known.plan) * gradient * (TYPICAL if known.curvature == "lanczos" else 1.0)
    wall, busy = time.perf_counter() - began[0], time.process_time() - began[1]
    return Parts(max(compiling, 0.0), step, checkpoint, gradient, _temporaries(ready, theta), busy / wall)


def held(cell: config.Cell, parameters: int) -> int:
    """Returns the bytes that a run holds whatever it computes: its data, and matrices or a basis for the spectrum."""
    facts = data.facts(cell.data)
    numbers = facts.examples * (math.prod(facts.shape) + facts.classes)
    width = {"float32": 4, "float64": 8}[cell.precision]
    dense = survey.resolve(cell.curvature, parameters) == "dense"
    rows = memory.COPIES * parameters if dense else survey.capacity(parameters) + 1
    return numbers * (8 + 8 + width) + 8 * parameters * rows


def needed(cell: config.Cell, parameters: int) -> int:
    """Returns the bytes of a process that runs a cell, by its layers: libraries and compiled programs, data, spectrum.

    Cost: nothing is computed.
    """
    return LOADED + held(cell, parameters) + _estimated(cell)


def too_large(cell: config.Cell, parameters: int, parts: Parts | None) -> str:
    """Returns why a cell does not fit into memory here; empty if it does.

    Args:
        cell: The cell.
        parameters: P.
        parts: What was measured of it, if anything was; else its temporaries are estimated from its layers.
    """
    temporaries = _estimated(cell) if parts is None else parts.temporaries
    needs, there = held(cell, parameters) + temporaries, memory.available()
    if needs <= there:
        return ""
    dense = survey.resolve(cell.curvature, parameters) == "dense"
    what = "a dense spectrum" if dense else f"the {survey.capacity(parameters)} vectors of a Lanczos run"
    remedy = "; write `curvature: lanczos`" if dense else ""
    return (
        f"{cell.suite}/{cell.label}: {memory.shown(needs)} are needed for {parameters:,} parameters ({what}, the data, "
        f"a gradient), and {memory.shown(there)} are there{remedy}"
    )


def _each(cell: config.Cell, plan: plans.Plan) -> float:
    """Returns what is measured at every checkpoint, in gradients."""
    return sum(OFTEN.get(name, 1.0) * price for name, price in _prices(plan) if _always(name)) / cell.checkpoints


def _prices(plan: plans.Plan) -> list[tuple[str, float]]:
    return [(name, plan.prices[name]) for name in plan.taken]


def _always(name: str) -> bool:
    return diagnostics.DIAGNOSTICS[name].schedule == "every checkpoint"


def _timed(do: Callable[[], Any]) -> float:
    began = time.perf_counter()
    jax.block_until_ready(do())
    return time.perf_counter() - began


def _temporaries(ready: problem.Problem, theta: jax.Array) -> int:
    """Returns what XLA says that a gradient in training and a product in float64 need, the larger of the two."""
    exact = theta.astype("float64")
    hessian = operators.hessian(ready.objective.risk)
    lowered = (
        jax.jit(jax.value_and_grad(ready.objective.risk)).lower(theta, ready.batch),
        jax.jit(lambda theta, v, batch: hessian((theta, batch))(v)).lower(exact, exact, ready.exact),
    )
    said = (program.compile().memory_analysis() for program in lowered)
    return max(int(getattr(one, "temp_size_in_bytes", 0)) for one in said)


def _estimated(cell: config.Cell) -> int:
    """Returns about what a product in float64 needs, from the layers of the network."""
    facts = data.facts(cell.data)
    layers = zoo.made_of(cell.model, facts.shape, facts.classes)
    network = networks.build(cell.model, facts.shape, facts.classes)
    activity = networks.activity(network, layers, facts.shape)
    kept = objective.keeps(activity, facts.examples)
    held = facts.examples if kept else min(objective.chunk(activity, facts.examples), facts.examples)
    return 8 * ACTIVATIONS * activity * held


def _flops(cell: config.Cell) -> float:
    return _counted(cell.model, cell.loss, data.facts(cell.data).shape, data.facts(cell.data).classes)


@functools.lru_cache(maxsize=256)
def _counted(model: config.Model, loss: config.Loss, shape: tuple[int, ...], classes: int) -> float:
    """Returns the floating-point operations of a gradient of the risk of one example; at least 1."""
    goal = objective.objective(networks.build(model, shape, classes), loss)
    sizes = (goal.size,), (EXAMPLES, *shape), (EXAMPLES, classes), (EXAMPLES,)
    theta, *arrays = (jax.ShapeDtypeStruct(size, "float32") for size in sizes)
    program = jax.jit(lambda theta, *batch: jax.grad(goal.risk)(theta, objective.Batch(*batch)))
    counted = program.lower(theta, *arrays).cost_analysis() or {}
    return max(float(counted.get("flops", 0.0)) / EXAMPLES, 1.0)
