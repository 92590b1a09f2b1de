# SPDX-License-Identifier: Apache-2.0
"""`gdzoo bench trace`: what following eigenvalues from step to step costs, how right it is, and what it costs cold.

Small networks train for as many steps as their problem and three times as many again, with a record at each step: the
first part is where the loss falls and eigenvectors turn, the rest is called steady. What is found is compared with the
dense float64 spectrum at drawn steps of either part. A record is priced by its products, each as PRODUCT gradients and
one for the linearisation; full networks, some steps behind their problem's point, say what it takes in CPU seconds.
Cold, the k largest are asked of peers as in `gdzoo bench curvature`, to the same 1e-3, with the least one left out.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from harness.bench import eigenvalues, peers, problems, row, steps, timing, twins
from harness.bench.curvature import NAMES, Unit
from harness.curvature import dense, lanczos, operators, tracked
from harness.curvature import spectrum as spectra
from harness.training import loop as loops

TOPS = (1, 8)

PRODUCT = 2.0
"""Gradients of a product, as the budget counts them; rows of full networks say what it is in CPU seconds."""

PRICES = {1: row.Target(25.0), 8: row.Target(60.0)}
"""Gradients that a record may cost."""

RIGHT = row.Target(1e-3)
COLD = row.Target(5.0, most=False)

LONGER = 3
"""Steps of the steady part, in those of the problem."""

LOOKS = 3
"""Steps of each part at which the dense spectrum is computed."""

RECORDS = 5
"""Records of a full network that are timed."""

COLD_PEERS = ("scipy eigsh", "matfree, steps doubled", "hessian-eigenthings, steps doubled")


class Part(NamedTuple):
    """A part of a run: products of each record, and errors at the steps that were looked at.

    Attributes:
        products: Of each record.
        off: Relative errors of the largest, the worst of them at each look.
        least: Errors of the least one, relative to the norm.
    """

    products: list[int]
    off: list[float]
    least: list[float]


class Run:
    """A network that trains by a rule, step by step, as runs do."""

    def __init__(self, problem: problems.Problem, rule: str, precision: str) -> None:
        """Begins it at the problem's point."""
        theta, self.batch = problem.point(precision)
        count = len(problem.arrays.weights)
        drawn = steps.BATCH[problem.name] if rule == "sgd" else None
        self.trainer = loops.trainer(problem.goal.risk, steps.rule(rule, drawn), count)
        self.eta, self.keys = jnp.full(1, problem.network.rate, precision), jax.random.split(jax.random.key(0), 1)
        self.state = self.trainer.begin(theta[None], self.eta, jnp.zeros(1, int))
        self.taken = 0
        self.gradient = jax.jit(jax.grad(problem.goal.risk))

    def step(self) -> jax.Array:
        """Takes a step and returns theta (P,)."""
        self.taken += 1
        self.state = self.trainer.advance(self.state, self.eta, self.keys, self.batch, self.taken)
        return self.state.theta[0]

    def points(self) -> Iterator[tuple[tuple[jax.Array, object], jax.Array]]:
        """Gives the point after each step, and the news of it: the step, the gradient and something random."""
        before = self.state.theta[0] + 0
        while True:
            theta = self.step() + 0
            slope, drawn = self.gradient(theta, self.batch), jax.random.fold_in(jax.random.key(1), self.taken)
            yield (
                (theta, self.batch),
                jnp.stack([theta - before, slope, jax.random.normal(drawn, theta.shape, theta.dtype)]),
            )
            before = theta


def started(problem: problems.Problem) -> problems.Problem:
    """Returns a problem at the start of its training."""
    return problem._replace(theta=np.asarray(problem.goal.init(jax.random.key(0))))


def followed(
    problem: problems.Problem, rule: str, precision: str, longer: int = LONGER, looks: int = LOOKS
) -> dict[int, list[Part]]:
    """Trains a small network with a record at each step; returns for each of TOPS its two parts, and moves nothing."""
    size, first = problem.goal.size, problem.network.steps
    operator = operators.hessian(problem.goal.risk)
    whole = dense.matrix(operator, size)
    exact = problem.point("float64")[1]
    trackers = {top: tracked.tracker(operator, size, top) for top in TOPS}
    found = {top: [Part([], [], []), Part([], [], [])] for top in TOPS}
    run = Run(started(problem), rule, precision)
    last: dict[int, jax.Array] = {}
    ends = np.asarray([0, first, (1 + longer) * first])
    chosen = {int(k) for a, b in itertools.pairwise(ends) for k in np.linspace(a, b, looks + 1)[1:]}
    for k, (point, news) in enumerate(run.points(), 1):
        truth = None
        if k in chosen:
            truth = np.linalg.eigvalsh(np.asarray(whole((jnp.asarray(point[0], "float64"), exact))))[::-1]
        for top, tracker in trackers.items():
            known = tracker.follow(point, last[top], news) if top in last else tracker.begin(point, jax.random.key(2))
            part = found[top][k > first]
            if top in last:
                part.products.append(int(known.products))
            last[top] = known.basis
            if truth is not None:
                values = np.asarray(known.values, "float64")
                part.off.append(float(np.max(np.abs(values[:top] / truth[:top] - 1))))
                part.least.append(abs(float(values[top] - truth[-1])) / float(np.max(np.abs(truth))))
        if k == ends[-1]:
            return found
    raise AssertionError("the points of a run do not end")


def records(name: str, rule: str, precision: str, longer: int = LONGER, looks: int = LOOKS) -> list[row.Row]:
    """Returns the rows of a small network with a record at each step."""
    problem = problems.problem(name, "small")
    made = []
    for top, parts in followed(problem, rule, precision, longer, looks).items():
        group = f"{problem.title}, {rule}, {precision}: top {top} and the least, a record at each step"
        for title, part in zip(("while the loss falls", "steady"), parts, strict=True):
            mean, most = float(np.mean(part.products)), max(part.products)
            note = f"{mean:.3g} products, {most} at most"
            target = PRICES[top]
            made.append(row.Row(group, f"{title}: gradients a record", 1 + PRODUCT * mean, None, target, note))
            told = f"of the least, / the norm: {max(part.least):.1g}; {len(part.off)} steps"
            made.append(row.Row(group, f"{title}: largest relative error", max(part.off), None, RIGHT, told))
    return made


def cold(name: str, longer: int = LONGER) -> list[row.Row]:
    """Asks the k largest at the end of the steady part cold, of Lanczos and of peers, against the mean record there."""
    start = started(problems.problem(name, "small"))
    run = Run(start, "gd", "float32")
    found = followed(start, "gd", "float32", longer, looks=1)
    for _ in range((1 + longer) * start.network.steps):
        theta = run.step()
    problem = start._replace(theta=np.asarray(theta))
    made = []
    for top in TOPS:
        mean = float(np.mean(found[top][1].products))
        group = f"products cold / of a record, {problem.title}, gd, float32, steady: top {top}"
        spent = _lanczos(problem, top)
        made.append(
            row.Row(
                group,
                "our Lanczos, told the answer, with the least",
                spent / mean,
                None,
                COLD,
                f"{spent} against {mean:.3g}",
            )
        )
        for label in COLD_PEERS:
            peer = peers.PEERS[label]
            if not peer.installed:
                made.append(row.absent(group, label, f"{label} is not installed (pip install -e '.[bench]')"))
                continue
            if peer.torch:
                try:
                    twins.check(problem)
                except twins.Disagreement as error:
                    made.append(row.Row(group, label, math.nan, note=str(error), refused=True))
                    continue
            try:
                solved = peer.solve(problem, top)(tracked.TO)
            except ArithmeticError as error:
                made.append(row.absent(group, label, str(error)))
                continue
            note = f"{solved.products} against {mean:.3g}, without the least"
            made.append(row.Row(group, label, solved.products / mean, None, COLD, note))
    return made


def _lanczos(problem: problems.Problem, top: int) -> int:
    """Returns the fewest products after which our own Lanczos is right: it is told the answer that a record is not."""
    operator, size = operators.hessian(problem.goal.risk), problem.goal.size
    truth = np.linalg.eigvalsh(np.asarray(dense.matrix(operator, size)(problem.point("float64"))))
    program = lanczos.lanczos(operator, size, capacity=eigenvalues.CAPACITY)

    def right(known: spectra.Spectrum) -> bool:
        enough = len(known.values) > top and np.allclose(known.values[-top:], truth[-top:], rtol=tracked.TO, atol=0)
        return bool(enough and abs(known.values[0] - truth[0]) <= tracked.TO * np.max(np.abs(truth)))

    known, _, _ = lanczos.run(program, program.at(problem.point("float32")), jax.random.key(5), right)
    return known.products


def seconds(name: str, size: problems.Size, top: int, count: int = RECORDS) -> list[row.Row]:
    """Times records of a network behind its problem's point, one at each step of gd, against a gradient and a step."""
    problem = problems.problem(name, size)
    run = Run(problem, "gd", "float32")
    tracker = tracked.tracker(operators.hessian(problem.goal.risk), problem.goal.size, top)
    points = run.points()
    point, news = next(points)
    last = tracker.follow(point, tracker.begin(point, jax.random.key(2)).basis, news)
    spent, products = [], []
    for _ in range(count):
        point, news = next(points)
        spent.append(timing.cpu_seconds(functools.partial(tracker.follow, point, last.basis, news)))
        last = tracker.follow(point, last.basis, news)
        products.append(int(last.products))
    cases = {"gradient": lambda: run.gradient(*point), "step": run.step}
    found = timing.interleaved(cases, rounds=3)
    record, gradient, step = float(np.mean(spent)), found["gradient"].median, found["step"].median
    mean = float(np.mean(products))
    group = f"CPU seconds, {problem.title}, gd, float32: top {top} and the least, a record at each step"
    note = f"{1e3 * record:.3g} ms for {mean:.3g} products, a gradient {1e3 * gradient:.3g} ms"
    return [
        row.Row(group, "a record / a gradient", record / gradient, None, PRICES[top], note),
        row.Row(
            group,
            "a step with its record / a step without",
            (record + step) / step,
            None,
            None,
            f"a step {1e3 * step:.3g} ms",
        ),
        row.Row(group, "a product / a gradient, all else included", record / gradient / mean),
    ]


def units(quick: bool) -> list[Unit]:
    """Returns the parts of the bench; `quick` for small networks alone, in minutes."""
    kinds = (("gd", "float32"), ("gd", "float64"), ("sgd", "float32"))[: 1 if quick else 3]
    size: problems.Size = "small" if quick else "full"
    made = []
    for name in NAMES:
        made += [Unit(f"{name}, {', '.join(kind)}", functools.partial(records, name, *kind)) for kind in kinds]
        made.append(Unit(f"{name}, cold", functools.partial(cold, name)))
        made += [Unit(f"{name}, top {top}, seconds", functools.partial(seconds, name, size, top)) for top in TOPS]
    return made
