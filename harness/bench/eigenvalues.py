# SPDX-License-Identifier: Apache-2.0
"""Eigenvalues: the ten largest, and the one nearest 1/eta, to a relative error, by us and by every peer.

All in float32, which is the peers' default; the truth is float64. A time is that of a whole answer at a new point, what
a peer builds for it included, what is compiled once for all points not.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from harness.bench import peers, problems, row, timing, twins
from harness.bench.peers import TO
from harness.curvature import lanczos, operators
from harness.curvature import spectrum as spectra

Question = Literal["top 10", "nearest 1/η"]

FLOOR = 1e-7
"""Relative residual at which float32 has no more to give."""

CAPACITY = 160
"""Products that our run may take, as in runs."""

PATIENCE = 60.0
"""CPU seconds after which no further settings of a peer are tried."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A question about a problem: what the answer is, and how many of the largest eigenvalues a peer needs for it."""

    question: Question
    problem: problems.Problem
    truth: problems.Reference

    @property
    def k(self) -> int:
        """Number of largest eigenvalues that contain the answer."""
        return problems.TOP if self.question == "top 10" else self.truth.rank

    def error(self, values: np.ndarray) -> float:
        """Returns the largest relative error of an answer, from the k largest eigenvalues, decreasing."""
        if len(values) < self.k:
            return math.inf
        if self.question == "top 10":
            return float(np.max(np.abs(values[: self.k] / self.truth.top - 1)))
        return abs(float(values[self.k - 1]) / self.truth.nearest - 1)


class Answer(NamedTuple):
    """What came of a peer: its case, error, products, setting; or why there is none."""

    case: Callable[[], Any] | None
    error: float
    products: int
    setting: str
    refused: bool = False


def task(question: Question, name: str, size: problems.Size) -> Task:
    """Returns a question with its answer; the truth is computed once for each problem."""
    return Task(question, problems.problem(name, size), problems.reference(name, size))


def rows(question: Question, name: str, size: problems.Size, rounds: int = 3) -> list[row.Row]:
    """Asks us and every peer one question about one problem, and times the answers."""
    asked = task(question, name, size)
    group = f"{question} to {TO:g}, {asked.problem.title}, truth: {asked.truth.method}"
    ours = _ours(asked)
    compiling = timing.cpu_seconds(ours)
    first = ours()
    mistake = _our_error(asked, first)
    answers = {label: _ask(asked, label, peer) for label, peer in peers.PEERS.items()}
    cases = {"ours": ours} | {label: found.case for label, found in answers.items() if found.case is not None}
    found = timing.interleaved(cases, rounds=rounds)
    told = f"{found['ours'].median:.3g} s, {len(first.values)} products; {compiling:.3g} s with compilation"
    made = [row.Row(group, "ours: relative error", mistake, target=row.Target(TO), note=told)]
    for label, answer in answers.items():
        if answer.case is None:
            made.append(row.Row(group, f"{label} / ours", math.nan, note=answer.setting, refused=answer.refused))
            continue
        note = f"{found[label].median:.3g} s, {answer.products} products, error {answer.error:.1g}, {answer.setting}"
        share = timing.ratio(found[label], found["ours"])
        made.append(row.ratio(group, f"{label} / ours", share, row.Target(1.0, most=False), note))
    return made


def accuracy(name: str) -> list[row.Row]:
    """Compares errors where everyone has gone as far as float32 goes, against the dense float64 spectrum."""
    asked = task("top 10", name, "small")
    problem = asked.problem
    mistake = _our_error(asked, _ours(asked, FLOOR)())
    errors = {}
    for label, peer in peers.PEERS.items():
        if peer.installed and peer.told and _agrees(problem) is None:
            setting = 1e-6 if peer.setting == "tol" else 64
            errors[label.partition(",")[0]] = asked.error(peer.solve(problem, asked.k)(setting).values)
    told = ", ".join(f"{label} {error:.1g}" for label, error in errors.items())
    best = min(errors.values(), default=math.nan)
    target = row.Target(best) if errors else None
    what = f"{problem.title}: ours, top 10"
    return [row.Row("error against dense float64, all at their best in float32", what, mistake, None, target, told)]


def _ours(asked: Task, to: float = TO) -> Callable[[], spectra.Spectrum]:
    """Returns our answer: a run that stops when its own error bars are below `to`."""
    problem = asked.problem
    operator = operators.hessian(problem.goal.risk)
    program = lanczos.lanczos(operator, problem.goal.size, capacity=CAPACITY)
    point = problem.point("float32")

    def good(known: spectra.Spectrum) -> bool:
        if len(known.values) <= problems.TOP:
            return False
        bars = bounds(known)
        if asked.question == "top 10":
            chosen = np.arange(len(known.values))[-problems.TOP :]
            return bool(np.all(bars[chosen] <= to * np.abs(known.values[chosen])))
        nearest = int(np.abs(1 - asked.truth.eta * known.values).argmin())
        beyond = bool(np.all(bars[nearest:] <= 1e-2 * np.abs(known.values[nearest:])))
        return beyond and bars[nearest] <= to * abs(known.values[nearest])

    return lambda: lanczos.run(program, program.at(point), jax.random.key(5), good)[0]


def bounds(known: spectra.Spectrum) -> np.ndarray:
    """Returns error bars (k,) of Ritz values: the residual r, or r^2 over the gap to the next Ritz value if less.

    The second is Kato and Temple's, with Ritz values for the unknown neighbours (Parlett, 1980, section 10.4).
    """
    gaps = np.diff(known.values, prepend=-np.inf, append=np.inf)
    gap = np.minimum(gaps[:-1], gaps[1:])
    return np.minimum(known.errors, known.errors**2 / np.maximum(gap, np.finfo(float).tiny))


def _our_error(asked: Task, known: spectra.Spectrum) -> float:
    values = known.values[::-1]
    if asked.question == "top 10":
        return asked.error(values)
    nearest = values[int(np.abs(1 - asked.truth.eta * values).argmin())]
    return abs(float(nearest) / asked.truth.nearest - 1)


def _ask(asked: Task, label: str, peer: peers.Peer) -> Answer:
    """Finds the cheapest setting of a peer that gives the right answer."""
    nothing = (None, math.nan, 0)
    if not peer.installed:
        return Answer(*nothing, f"{label} is not installed (pip install -e '.[bench]')")
    if peer.torch and (why := _agrees(asked.problem)):
        return Answer(*nothing, why, refused=True)
    spent, least = 0.0, math.inf
    solve = peer.solve(asked.problem, asked.k)
    for setting in peer.settings(asked.k):
        began = time.process_time()
        try:
            found = solve(setting)
        except (ArithmeticError, RuntimeError) as error:
            return Answer(*nothing, f"{peer.setting} {setting:g}: {type(error).__name__}: {str(error)[:80]}")
        mistake = asked.error(found.values)
        least = min(least, mistake)
        if mistake <= TO:
            again = functools.partial(solve, setting)
            return Answer(again, mistake, found.products, f"{peer.setting} {setting:g}")
        spent += time.process_time() - began
        if spent > PATIENCE:
            break
    return Answer(*nothing, f"never reached {TO:g}, only {least:.1g}, in {spent:.0f} s of trying its settings")


def _agrees(problem: problems.Problem) -> str | None:
    """Returns in what a problem and its twin differ; None where they agree."""
    try:
        twins.check(problem)
    except twins.Disagreement as error:
        return str(error)
    return None
