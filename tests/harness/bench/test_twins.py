# SPDX-License-Identifier: Apache-2.0
"""Twins in PyTorch: loss, gradient norm and Hessian-vector products of the same network. Skipped without PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from harness.bench import curvature, peers, problems, products, twins

torch = pytest.importorskip("torch", reason="pip install -e '.[bench]'")


@pytest.mark.parametrize("name", curvature.NAMES)
def test_a_twin_agrees_and_one_of_other_weights_does_not(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = problems.problem(name, "small", 24)
    twins.check(problem)
    other = twins.twin(problem._replace(theta=problem.theta * np.float32(1.001)), "float64")
    monkeypatch.setattr(twins, "twin", lambda _problem, _precision: other)
    with pytest.raises(twins.Disagreement, match="in PyTorch"):
        twins.check(problem)


def test_the_kept_graph_in_uneven_chunks_gives_our_curvature() -> None:
    problem = problems.problem("VGG", "small", 24)
    point, v = problem.point("float64"), products.vector(problem, "float64")
    ours = products.alone(problem.goal.risk, point, v)()
    made = twins.twin(problem._replace(theta=np.asarray(v)), "float64")
    direction = [part.detach() for part in made.parameters]
    theirs = twins.kept_graph(twins.twin(problem, "float64"), 16)(direction)
    curvature_along_v = sum(float((a * b).sum()) for a, b in zip(direction, theirs, strict=True))
    assert np.isclose(curvature_along_v, float(v @ ours), rtol=1e-10)
    assert np.isclose(sum(float((part**2).sum()) for part in theirs), float(ours @ ours), rtol=1e-10)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of what peers import
@pytest.mark.parametrize("label", [label for label, peer in peers.PEERS.items() if peer.installed])
def test_a_peer_that_is_here_finds_the_largest_eigenvalue(label: str) -> None:
    truth = problems.reference("VGG", "small")
    setting = 24 if peers.PEERS[label].setting == "steps" else 1e-6
    solved = peers.PEERS[label].solve(problems.problem("VGG", "small"), 1)(setting)
    assert np.isclose(solved.values[0], truth.top[0], rtol=1e-4)
    assert solved.products > 1
