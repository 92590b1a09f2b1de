# SPDX-License-Identifier: Apache-2.0
"""Traces, certificates, runs and plots through `import gdzoo`."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import matplotlib.figure
import matplotlib.pyplot
import numpy as np
import pytest

import gdzoo
from harness import specs, workspace
from harness.curvature import dense, operators
from harness.theory import certify
from tests import builders

matplotlib.use("agg")

X = np.random.default_rng(0).standard_normal((12, 3))
Y = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1)
ETA = 0.2


def net(params: Any, x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ params["a"]) @ params["b"]


def risk(theta: jax.Array) -> jax.Array:
    """The same risk of a flat vector, written down once more."""
    a, b = theta[:12].reshape(3, 4), theta[12:].reshape(4, 2)
    return 0.5 * jnp.mean(jnp.sum((jnp.tanh(X @ a) @ b - Y) ** 2, axis=1))


def descended(steps: int) -> list[dict[str, np.ndarray]]:
    """Returns the parameters after each step of gradient descent."""
    theta, found = jax.random.normal(jax.random.key(3), (20,)), []
    for _ in range(steps):
        found.append({"a": np.asarray(theta[:12].reshape(3, 4)), "b": np.asarray(theta[12:].reshape(4, 2))})
        theta = theta - ETA * jax.grad(risk)(theta)
    return found


def test_a_trace_has_the_eigenvalues_of_every_point_within_its_error_bars() -> None:
    path = descended(8)
    ready = gdzoo.network(net, path[0], (X, Y))
    found = gdzoo.trace(ready, path, top=3, eta=ETA, steps=range(0, 80, 10))
    whole = dense.known(operators.hessian(risk), 20)
    assert [point.step for point in found.points] == list(range(0, 80, 10))
    for point, params in zip(found.points, path, strict=True):
        theta = jnp.asarray(ready.flat(params))
        values = whole((theta,)).values
        wanted = [*values[::-1][:3], values[0]]
        assert (np.abs(np.array(point.values) - wanted) <= np.array(point.errors) + 1e-10).all()
        assert point.loss == pytest.approx(float(risk(theta)), rel=1e-12)
        assert point.above(1.0).number == min(3, int((values > 1 / ETA).sum()))
    table = found.frame()
    assert list(table["lambda_1"]) == [point.values[0] for point in found.points]
    assert found.dicts()[0]["loss"] == found.points[0].loss
    assert "3 largest eigenvalues and the least at 8 points" in repr(found)
    assert found._repr_html_().count("<tr>") == 9


def test_a_trace_says_what_it_lacks() -> None:
    path = descended(2)
    ready = gdzoo.network(net, path[0], (X, Y))
    with pytest.raises(gdzoo.InputError, match="0 points and 0 steps; give at least one"):
        gdzoo.trace(ready, [])
    with pytest.raises(gdzoo.InputError, match="top is 33; give a number from 1 to 32"):
        gdzoo.trace(ready, path, top=33)
    found = gdzoo.trace(ready, np.stack([ready.flat(one) for one in path]), top=2)
    with pytest.raises(gdzoo.InputError, match="the trace has no step size; say flow"):
        gdzoo.plot.flow(found)
    assert "·" in repr(found), "counts need a step size"


def test_plots_draw_into_axes(tmp_path: pathlib.Path) -> None:
    path = descended(3)
    ready = gdzoo.network(net, path[0], (X, Y))
    axes = gdzoo.plot.flow(gdzoo.trace(ready, path, top=2), eta=ETA)
    assert axes.get_ylabel() == "η λ" and axes.get_title() == "net"
    drawn = [line for line in axes.lines if len(line.get_xdata()) == 3]
    assert len(drawn) == 3, "two eigenvalues and the least"
    again = gdzoo.plot.spectrum(gdzoo.survey(ready, ETA, path[0]), ax=matplotlib.figure.Figure().subplots())
    assert len(again.collections[0].get_offsets()) == 20
    matplotlib.pyplot.close("all")


def test_certificates_are_those_of_the_command() -> None:
    path = workspace.CHECKOUT / "specs" / "quickstart" / "mlp.yaml"
    found = gdzoo.certify(path)
    cells = specs.read(path).cells
    assert [one.cell.label for one in found] == [cell.label for cell in cells]
    assert json.dumps(found.dicts()[1]) == json.dumps(certify.certify(cells[1]).as_dict())
    assert "mlp · activation=gelu" in repr(found) and "No step size is bad" in repr(found)
    assert "<td" in found._repr_html_()


SPEC = builders.spec_text(steps=4, checkpoints=3, seeds=2, trace={"top": 2, "every": 1})


@pytest.fixture
def spec(home: pathlib.Path) -> pathlib.Path:
    """A spec whose runs take no time, in a workspace of its own."""
    path = home / "mine" / "small.yaml"
    path.parent.mkdir()
    path.write_text(SPEC, encoding="utf-8")
    return path


def test_runs_are_made_and_read(spec: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert len(gdzoo.runs()) == 0 and repr(gdzoo.runs()) == "0 runs\n  run  suite  configuration  seed  status  verdict"
    made = gdzoo.run(spec)
    assert [one.facts.seed for one in made] == [0, 1]
    assert [one.run_id for one in gdzoo.runs()] == [one.run_id for one in gdzoo.runs(spec)]
    first = made[0]
    (record, *_) = first.records
    cell = specs.read(spec).cells[0]
    assert record["step"] == 0 and first.dict()["cell_id"] == cell.cell_id
    survey = gdzoo.survey(gdzoo.network(cell), float(first.dict()["eta"]))
    assert {name: record[name] for name in survey.values} == survey.values, "the very numbers of the run"
    assert list(first.frame().index) == [0, 1, 4]
    assert len(made.frame()) == 6 and made.dicts()[1]["records"][0]["step"] == 0
    assert first.run_id in repr(made) and "σ" not in repr(made) and "finished" in first._repr_html_()
    assert len(first.trace) == 5
    assert gdzoo.plot.flow(first.run_id).get_title().endswith(first.run_id)
    assert gdzoo.plot.spectrum(first).get_xlabel() == "checkpoint step"
    with pytest.raises(gdzoo.InputError, match="there is no run '.*'; did you mean"):
        gdzoo.plot.flow(first.run_id + "0")
    matplotlib.pyplot.close("all")
