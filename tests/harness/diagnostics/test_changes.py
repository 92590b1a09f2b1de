# SPDX-License-Identifier: Apache-2.0
"""Why the count above 1/eta changed between two looks: crossings, jumps at kinks, and what was not resolved."""

from __future__ import annotations

import functools
import itertools
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import diagnostics, metrics
from harness.curvature import dense, operators
from harness.diagnostics import changes, trajectory
from harness.records import run_folder
from harness.runs import run
from harness.training import problem
from tests import builders

ETA = 0.4
cell = functools.partial(
    builders.cell,
    model=builders.mlp(4, activation="relu"),
    optimizer=builders.gd(ETA),
    steps=12,
    checkpoints=6,
    precision="float64",
)


def told(
    it: problem.Problem, theta: jax.Array, previous: jax.Array | None, above: int | None = None, **given: float
) -> tuple[float, ...]:
    found = builders.measured(it, theta, ETA, names=["changes"], previous=previous, above=above, **given)
    assert set(found) == set(changes.METRICS) <= set(metrics.METRICS)
    return tuple(found[name] for name in changes.METRICS)


class Line:
    """A segment of parameters, its kinks in closed form: preactivations of one hidden layer are affine along it."""

    def __init__(self, it: problem.Problem, seed: int, length: float) -> None:
        drawn = np.random.default_rng(seed)
        self.start = drawn.normal(size=it.objective.size)
        self.end = self.start + length * drawn.normal(size=it.objective.size)
        self.point = lambda share: self.start + share * (self.end - self.start)
        hessian = dense.matrix(operators.hessian(it.objective.risk), it.objective.size)
        self.count = lambda share: int(
            np.sum(np.linalg.eigvalsh(np.asarray(hessian((jnp.asarray(self.point(share)), it.exact)))) > 1 / ETA)
        )
        x = np.asarray(it.exact.x).reshape(9, 3)
        before, after = (x @ at[4:16].reshape(3, 4) + at[:4] for at in (self.start, self.end))
        kinks = (before / (before - after))[before * after < 0]
        self.borders = [0.0, *np.sort(kinks), 1.0]

    def changes(self) -> tuple[int, int]:
        """Returns crossings and jumps: by how much the count changes along pieces, and over kinks."""
        off = 1e-9
        ends = [(low + off, high - off) for low, high in itertools.pairwise(self.borders)]
        counts = [[self.count(share) for share in piece] for piece in ends]
        crossings = sum(abs(high - low) for low, high in counts)
        return crossings, sum(abs(after[0] - before[1]) for before, after in itertools.pairwise(counts))


def test_crossings_and_jumps_are_those_of_every_piece_and_kink_in_turn(home: pathlib.Path) -> None:
    it = problem.problem(cell())
    compared, seen = 0, np.zeros(2)
    for seed in range(24):
        line = Line(it, seed, 0.3)
        counts = line.count(0.0), line.count(1.0)
        if counts[0] == counts[1] or sum(truth := line.changes()) > abs(counts[1] - counts[0]):
            continue  # nothing to be told, or what undoes itself, which is not looked for
        compared, seen = compared + 1, seen + truth
        ends = jnp.asarray(line.end), jnp.asarray(line.start)
        assert told(it, *ends, above=counts[0]) == (*truth, 0) == told(it, *ends)
    assert compared >= 5 and (seen >= 2).all(), "both kinds are there"


def test_what_there_is_no_budget_for_is_unresolved(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    it = problem.problem(cell())
    line = next(one for seed in range(24) if (one := Line(it, seed, 0.3)).count(0.0) != one.count(1.0))
    monkeypatch.setattr(changes, "SHARE", 0.0)
    monkeypatch.setattr(changes, "LEAST", 0.0)
    counts = line.count(0.0), line.count(1.0)
    found = told(it, jnp.asarray(line.end), jnp.asarray(line.start), above=counts[0])
    assert found == (0, 0, abs(counts[1] - counts[0]))


def test_where_only_the_step_size_changes_eigenvalues_cross(home: pathlib.Path) -> None:
    it = problem.problem(cell())
    line = Line(it, 0, 0.3)
    theta = jnp.asarray(line.end)
    before = line.count(1.0) + 2
    assert told(it, theta, theta, above=before, previous_eta=3 * ETA) == (2, 0, 0)


def test_the_first_look_has_none_before(home: pathlib.Path) -> None:
    it = problem.problem(cell())
    assert all(map(math.isnan, told(it, jnp.asarray(Line(it, 0, 0.3).end), None)))


def test_the_records_of_a_run_account_for_each_change(home: pathlib.Path) -> None:
    (folder,) = run.run_seeds(cell(), [0], device="test", command="test")
    recorded = run_folder.read_records(folder)
    counts = [one.values["n_above_inv_eta"] for one in recorded]
    assert len(set(counts)) > 1
    for (before, after), one in zip(itertools.pairwise(counts), recorded[1:], strict=True):
        accounted = sum(one.values[name] for name in changes.METRICS)
        assert accounted >= abs(after - before) and (accounted - after + before) % 2 == 0
    said = trajectory.changes(recorded, one_piece=False)
    assert said.crossings + said.jumps + said.unresolved >= said.all > 0


def test_an_analytic_risk_needs_no_telling() -> None:
    why = diagnostics.DIAGNOSTICS["changes"].why_not
    assert why(cell()) == ""
    assert why(cell(model=builders.mlp(4, activation="gelu"))).endswith("every change of the count is a crossing")
