# SPDX-License-Identifier: Apache-2.0
"""Products: what one Hessian-vector product costs, alone, inside a compiled loop, in chunks, and in PyTorch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from harness.bench import problems, row, timing, twins
from harness.curvature import operators

LOOP = 4
"""Products in the compiled loop that a product alone is compared with."""

GRADIENTS = row.Target(2.2)
"""What a product may cost in gradients."""


def alone(risk: Callable[..., jax.Array], point: Any, v: jax.Array) -> Callable[[], jax.Array]:
    """Returns one compiled product with the Hessian of a risk, as where no other is asked at the point."""
    product = jax.jit(operators.single(risk))
    return lambda: product(point, v)


def apart(operator: operators.Operator, point: Any, v: jax.Array) -> tuple[Callable[[], Any], Callable[[], jax.Array]]:
    """Returns the two programs of a run of Lanczos: what linearises at a point, and what then multiplies."""
    at = operators.linearised(operator, v.size)
    product, there = jax.jit(lambda at, v: at(v)), at(point)
    return lambda: at(point), lambda: product(there, v)


def looped(operator: operators.Operator, point: Any, v: jax.Array) -> Callable[[], jax.Array]:
    """Returns LOOP products in one compiled loop, linearised before, as in a block of Lanczos steps."""
    there = operators.linearised(operator, v.size)(point)

    @jax.jit
    def loop(at: operators.Linear, v: jax.Array) -> jax.Array:
        def step(_: int, v: jax.Array) -> jax.Array:
            w = at(v)
            return w / jnp.linalg.norm(w)

        return jax.lax.fori_loop(0, LOOP, step, v)

    return lambda: loop(there, v)


def vector(problem: problems.Problem, precision: str) -> jax.Array:
    """Returns a random unit vector (P,)."""
    v = jax.random.normal(jax.random.key(3), (problem.goal.size,), precision)
    return v / jnp.linalg.norm(v)


def one(name: str, size: problems.Size, precision: str, rounds: int = timing.ROUNDS) -> list[row.Row]:
    """Times a product against a gradient, alone and as one of many at a point, and those in a compiled loop."""
    problem = problems.problem(name, size)
    point, v = problem.point(precision), vector(problem, precision)
    gradient = jax.jit(jax.grad(problem.goal.risk))
    operator = operators.hessian(problem.goal.risk)
    linearise, further = apart(operator, point, v)
    found = timing.interleaved(
        {
            "gradient": lambda: gradient(*point),
            "product": alone(problem.goal.risk, point, v),
            "linearise": linearise,
            "further": further,
            "loop": looped(operator, point, v),
        },
        rounds=rounds,
    )
    group = f"one product, {precision}"
    seconds = f"{_ms(found['product'])} against {_ms(found['gradient'])}"
    apiece = f"{_ms(found['further'])}; to linearise, once for a point, {_ms(found['linearise'])}"
    inside = f"{_ms(found['loop'], LOOP)} against {_ms(found['further'])}"
    return [
        row.ratio(
            group, f"{problem.title}: / gradient", timing.ratio(found["product"], found["gradient"]), GRADIENTS, seconds
        ),
        row.ratio(
            group,
            f"{problem.name}: one of many at a point / gradient",
            timing.ratio(found["further"], found["gradient"]),
            GRADIENTS,
            apiece,
        ),
        row.ratio(
            group,
            f"{problem.name}: one of many, in a loop / outside",
            timing.ratio(found["loop"], found["further"], LOOP),
            row.Target(1.0),
            inside,
        ),
    ]


def chunks(name: str, size: problems.Size, examples: int, rounds: int = 3) -> list[row.Row]:
    """Times a product with 16, 32, ... examples at once, up to all, and with the chunk that runs have."""
    problem = problems.problem(name, size, examples)
    point, v = problem.point("float32"), vector(problem, "float32")
    sizes = [chunk for chunk in (16, 32, 64, 128, 256, 512) if chunk < examples] + [examples]
    cases = {str(chunk): alone(problem.at_once(chunk).risk, point, v) for chunk in sizes}
    cases["runs"] = alone(problem.goal.risk, point, v)
    found = timing.interleaved(cases, against=str(examples), rounds=rounds)
    whole = found[str(examples)]
    best = min(sizes, key=lambda chunk: found[str(chunk)].median)
    shares = ", ".join(f"{chunk}: {timing.ratio(found[str(chunk)], whole).value:.2f}" for chunk in sizes)
    group = "chunk size, float32"
    return [
        row.ratio(
            group,
            f"{problem.title}: {best} at once / all at once",
            timing.ratio(found[str(best)], whole),
            note=f"{shares}; all at once {whole.median:.3g} s",
        ),
        row.ratio(
            group,
            f"{problem.name}: as runs do it / best",
            timing.ratio(found["runs"], found[str(best)]),
            row.Target(1.1),
            f"runs take {min(problem.goal.chunk, examples)} at once",
        ),
    ]


def against_torch(size: problems.Size, examples: int, sizes: Sequence[int] = (16, 64)) -> list[row.Row]:
    """Times our product on the VGG against PyTorch's kept gradient graph, whole and in chunks.

    Theirs keeps what the layers leave of all examples. Ours is timed so as well, linearised before as their graph is
    made before; and, without a target, in a loop where each product computes it anew, as runs do it at this size.
    """
    group = "one product against PyTorch's kept graph, float32"
    problem = problems.problem("VGG", size, examples)
    if importlib.util.find_spec("torch") is None:
        return [row.absent(group, problem.title, "torch is not installed (pip install -e '.[bench]')")]
    try:
        twins.check(problem)
    except twins.Disagreement as error:
        return [row.Row(group, problem.title, np.nan, note=str(error), refused=True)]
    import torch

    point, v = problem.point("float32"), vector(problem, "float32")
    made = twins.twin(problem, "float32")
    parts = [torch.randn_like(parameter) for parameter in made.parameters]
    ways = {f"{chunk} at once": chunk for chunk in sizes} | {"all at once": examples}
    cases: dict[str, Callable[[], Any]] = {}
    for way, chunk in ways.items():
        cases[f"ours {way}"] = looped(problem.chunked(chunk), point, v)
        if chunk in sizes:
            cases[f"ours {way}, kept"] = apart(problem.chunked(chunk, keep=True), point, v)[1]
        graph = twins.kept_graph(made, chunk)
        cases[f"theirs {way}"] = lambda graph=graph: graph(parts)  # type: ignore[misc]
    found = timing.interleaved(cases, rounds=3)
    calls = {case: LOOP if case.startswith("ours") and not case.endswith("kept") else 1 for case in cases}

    def best(whose: str, kept: str) -> str:
        return min((f"{whose} {way}{kept}" for way in ways if way != "all at once"), key=lambda case: cost(case))

    def cost(case: str) -> float:
        return found[case].median / calls[case]

    cut, whole = best("theirs", ""), "theirs all at once"
    pairs = [(best("ours", ", kept"), cut), (best("ours", ", kept"), whole)]
    pairs += [(best("ours", ""), cut), (best("ours", ""), whole), ("ours all at once", whole)]
    rows = []
    for ours, theirs in pairs:
        share = timing.ratio(found[ours], found[theirs], calls[ours])
        note = f"{_ms(found[ours], calls[ours])} against {_ms(found[theirs])}"
        what = f"{problem.title}: {ours} / {theirs}"
        rows.append(row.ratio(group, what, share, row.Target(1.0) if "kept" in ours else None, note))
    return rows


def _ms(found: timing.Timing, calls: int = 1) -> str:
    return f"{1000 * found.median / calls:.3g} ms"
