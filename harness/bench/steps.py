# SPDX-License-Identifier: Apache-2.0
"""Steps: what a step of training costs, against a loop written by hand, against PyTorch, and with company.

All in float32. The loop by hand is what a user of jax would write for one network: a compiled scan over a step on the
tree of parameters, with the mean cross-entropy of the whole batch, or of one drawn with replacement.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from harness import config, errors
from harness.bench import problems, row, timing, twins
from harness.risk import objective
from harness.training import loop as loops
from harness.training import optimizers

STEPS = {"MLP": 500, "VGG": 32, "ViT": 32}
"""Steps of one call, so many that what a call costs does not count; runs make pieces of about a second."""

BATCH = {"MLP": 64, "VGG": 16, "ViT": 8}
"""Examples of a mini-batch."""

RATE = 1e-3

SEEDS = 8

RULES = ("gd", "sgd")


def rule(name: str, batch: int | None) -> optimizers.Rule:
    """Returns plain descent on all examples, or on `batch` drawn with replacement."""
    return optimizers.Rule(name, None, config.CONSTANT, 0, batch, "replacement")


def harness(problem: problems.Problem, name: str, steps: int, lanes: int = 1) -> Callable[[], Any]:
    """Returns so many steps as runs make them, from the problem's point, in some lanes."""
    batch = BATCH[problem.name] if name == "sgd" else None
    count = len(problem.arrays.weights)
    trainer = loops.trainer(problem.goal.risk, rule(name, batch), count)
    theta, data = problem.point("float32")
    thetas, etas = jnp.stack([theta] * lanes), jnp.full(lanes, RATE, "float32")
    keys = jax.random.split(jax.random.key(0), lanes)
    return lambda: trainer.advance(trainer.begin(thetas, etas, jnp.zeros(lanes, int)), etas, keys, data, steps).theta


def by_hand(problem: problems.Problem, name: str, steps: int, *, scanned: bool = True) -> Callable[[], Any]:
    """Returns so many steps written by hand, in a compiled scan, or each in a call of its own."""
    unflatten = objective.flattening(jax.eval_shape(problem.model.init, jax.random.key(0)))
    theta, data = problem.point("float32")
    params, key = unflatten(theta), jax.random.key(0)
    x, y = data.x, data.targets

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(problem.model.apply(params, x)), axis=-1))

    def step(params: Any, k: jax.Array) -> tuple[Any, None]:
        if name == "gd":
            gradient = jax.grad(loss)(params, x, y)
        else:
            chosen = jax.random.randint(jax.random.fold_in(key, k), (BATCH[problem.name],), 0, len(x))
            gradient = jax.grad(loss)(params, x[chosen], y[chosen])
        return jax.tree.map(lambda p, g: p - jnp.float32(RATE) * g, params, gradient), None

    if scanned:
        loop = jax.jit(lambda params: jax.lax.scan(step, params, jnp.arange(steps))[0])
        return lambda: loop(params)
    single = jax.jit(lambda params, k: step(params, k)[0])

    def called() -> Any:
        now = params
        for k in range(steps):
            now = single(now, k)
        return now

    return called


def in_torch(problem: problems.Problem, name: str, steps: int, *, compiled: bool = False) -> Callable[[], Any]:
    """Returns so many steps in PyTorch on the device that jax computes on, eager or with its compiler."""
    import torch

    where = twins.place() or "cpu"
    made = twins.moved(twins.twin(problem, "float32"), where)
    module = torch.compile(made.module) if compiled else made.module
    count, size = len(made.y), BATCH[problem.name]

    def called() -> None:
        for _ in range(steps):
            x, y = made.x, made.y
            if name == "sgd":
                chosen = torch.randint(count, (size,), device=where)
                x, y = x[chosen], y[chosen]
            gradients = torch.autograd.grad(made.criterion(module(x), y), made.parameters)
            with torch.no_grad():
                for parameter, gradient in zip(made.parameters, gradients, strict=True):
                    parameter.sub_(gradient, alpha=RATE)
        if where == "cuda":
            torch.cuda.synchronize()

    return called


def no_torch() -> str | None:
    """Returns why PyTorch cannot take the same steps on the same device; None where it can."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed (pip install -e '.[bench]')"
    return None if twins.place() else f"the PyTorch that is installed has no {jax.default_backend()}"


def rows(name: str, size: problems.Size, rounds: int = timing.ROUNDS) -> list[row.Row]:
    """Times steps of a network by gd and sgd: ours, by hand, and in PyTorch."""
    problem, made = problems.problem(name, size), []
    steps = STEPS[name]
    lacking = no_torch()
    if lacking is None:
        twins.check(problem)
    for which in RULES:
        batch = "" if which == "gd" else f", batch {BATCH[name]}"
        group = f"a step of {which}{batch}, {problem.title}, float32"
        cases = {"ours": harness(problem, which, steps), "by hand": by_hand(problem, which, steps)}
        cases["calls"] = by_hand(problem, which, steps, scanned=False)
        if lacking is None:
            cases["PyTorch"] = in_torch(problem, which, steps)
        found = timing.interleaved(cases, against="by hand", rounds=rounds)
        told = ", ".join(f"{label} {1e3 * one.median / steps:.3g} ms" for label, one in found.items())
        made.append(
            row.ratio(group, "ours / a scan by hand", timing.ratio(found["ours"], found["by hand"]), AT_HAND, told)
        )
        made.append(
            row.ratio(
                group, "ours / single calls by hand", timing.ratio(found["ours"], found["calls"]), row.Target(1.0)
            )
        )
        if lacking is None:
            share = timing.ratio(found["PyTorch"], found["ours"])
            made.append(row.ratio(group, "PyTorch, eager / ours", share, AHEAD))
        else:
            made.append(row.absent(group, "PyTorch, eager / ours", lacking))
    return made


AT_HAND = row.Target(1.05)
AHEAD = row.Target(1.0, most=False)


def compiled(name: str, size: problems.Size, rounds: int = 3) -> list[row.Row]:
    """Times steps of gd against PyTorch's compiler, where it works."""
    problem, steps = problems.problem(name, size), STEPS[name]
    group, what = f"a step of gd, {problem.title}, float32", "PyTorch, compiled / ours"
    if (lacking := no_torch()) is not None:
        return [row.absent(group, what, lacking)]
    try:
        theirs = in_torch(problem, "gd", steps, compiled=True)
        theirs()
    except Exception as error:  # whatever a compiler may raise is an answer here
        return [row.absent(group, what, f"{type(error).__name__}: {errors.first_line(error)[:80]}")]
    found = timing.interleaved({"ours": harness(problem, "gd", steps), "theirs": theirs}, rounds=rounds)
    told = ", ".join(f"{label} {1e3 * one.median / steps:.3g} ms" for label, one in found.items())
    return [row.ratio(group, what, timing.ratio(found["theirs"], found["ours"]), AHEAD, told)]


def products(problem: problems.Problem, name: str, steps: int, lanes: int) -> Callable[[], Any]:
    """Returns the products of matrices alone that so many steps of an MLP take in lanes: less a step cannot cost.

    Three for each layer but the first, which has no gradient of its inputs; what they give is what the next step takes,
    or XLA would compute them once.
    """
    count = BATCH[problem.name] if name == "sgd" else len(problem.arrays.weights)
    x = problem.point("float32")[1].x[:count].reshape(count, -1)
    widths = [x.shape[1], *problem.config.hidden, problem.arrays.targets.shape[1]]
    kernels = [jnp.ones((lanes, *pair), x.dtype) for pair in itertools.pairwise(widths)]
    slopes = [jnp.ones((lanes, count, width), x.dtype) for width in widths[1:]]

    def step(kernels: list[jax.Array], hidden: list[jax.Array], slopes: list[jax.Array]) -> tuple[Any, ...]:
        ins = [x, *hidden]
        *forward, last = (a @ kernel for a, kernel in zip(ins, kernels, strict=True))
        of_inputs = [slope @ kernel.T for slope, kernel in zip(slopes[1:], kernels[1:], strict=True)]
        return [a.T @ slope for a, slope in zip(ins, slopes, strict=True)], forward, [*of_inputs, last]

    loop = jax.jit(lambda now: jax.lax.fori_loop(0, steps, lambda _, now: jax.vmap(step)(*now), now))
    return lambda: loop((kernels, slopes[:-1], slopes))


def company(rounds: int = timing.ROUNDS) -> list[row.Row]:
    """Times SEEDS seeds of the small MLP side by side against as many alone."""
    problem, steps, made = problems.problem("MLP", "small"), 200, []
    for which in RULES:
        cases = {"together": harness(problem, which, steps, SEEDS), "alone": harness(problem, which, steps)}
        cases["products"] = products(problem, which, steps, SEEDS)
        found = timing.interleaved(cases, rounds=rounds)
        share = timing.ratio(found["together"], found["alone"], SEEDS)
        batch = "" if which == "gd" else f", batch {BATCH['MLP']}"
        told = f"{1e6 * found['alone'].median / steps:.3g} µs a step alone"
        what = f"{problem.title}, {which}{batch}: {SEEDS} together / {SEEDS} alone"
        made.append(row.ratio("seeds side by side, float32", what, share, row.Target(0.5), told))
        least = timing.ratio(found["products"], found["alone"], SEEDS)
        made.append(
            row.ratio("seeds side by side, float32", f"{which}: products of matrices of {SEEDS} / {SEEDS} alone", least)
        )
    return made
