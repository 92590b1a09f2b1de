# SPDX-License-Identifier: Apache-2.0
"""The estimate is made of its parts: what grows, what is scaled, and what is refused. No test asserts a time."""

from __future__ import annotations

import functools
import io
import math
import pathlib

import pytest
import rich.console

from harness import config, errors, specs
from harness.cli import overview
from harness.runs import estimate, outline
from harness.runtime import memory
from tests import builders

cell = functools.partial(
    builders.cell,
    data=builders.digits(32),
    model=builders.mlp(4, activation="gelu"),
    optimizer=builders.gd(0.2),
    steps=100,
    checkpoints=4,
    seeds=2,
)

PARTS = estimate.Parts(compile=3.0, step=0.5, checkpoint=2.0, gradient=0.1, temporaries=1000)


def run(one: config.Cell) -> float:
    return estimate.estimate(one, outline.outline(one), PARTS).run


def test_a_run_is_its_steps_its_checkpoints_and_its_ends() -> None:
    assert run(cell()) == pytest.approx(100 * 0.5 + 4 * 2.0)
    assert run(cell(steps=101)) - run(cell()) == pytest.approx(0.5)
    assert run(cell(checkpoints=5)) - run(cell()) == pytest.approx(2.0)
    more = cell(diagnostics=["fit", "exponents"])
    price = outline.outline(more).plan.prices["exponents"]
    assert run(more) == pytest.approx(100 * 0.5 + 4 * 2.0 + 0.1 * price)
    assert price > 0


def test_a_cell_is_scaled_by_the_arithmetic_of_its_gradient() -> None:
    one = cell()

    def scaled(other: config.Cell) -> estimate.Parts:
        return estimate.scaled(PARTS, one, outline.outline(one), other, outline.outline(other))

    assert scaled(one) == PARTS
    assert scaled(cell(steps=7, checkpoints=3)).step == pytest.approx(PARTS.step)
    twice = scaled(cell(data=builders.digits(64)))
    assert (twice.step, twice.gradient) == (pytest.approx(1.0), pytest.approx(0.2))
    half = scaled(cell(optimizer=builders.sgd(0.2, 16)))
    assert (half.step, half.gradient) == (pytest.approx(0.25), pytest.approx(0.1))
    wide = scaled(cell(model=builders.mlp(20, activation="gelu")))
    assert 4 < wide.step / PARTS.step < 6, "five times as many weights"
    assert 16 < wide.checkpoint / PARTS.checkpoint < 36, "and five times as many products"


def test_what_is_measured_is_there() -> None:
    one = cell()
    parts = estimate.time_parts(one, outline.outline(one))
    assert all(math.isfinite(value) and value > 0 for value in parts)
    assert estimate.estimate(one, outline.outline(one), parts).bytes > 8 * memory.COPIES * 310**2


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_memory_is_that_of_the_matrices_or_of_the_basis(method: str) -> None:
    one = cell(curvature=method)
    rows = memory.COPIES * 5000 if method == "dense" else 161
    assert estimate.held(one, 5000) == 32 * (64 + 10) * 20 + 8 * 5000 * rows


def test_what_does_not_fit_is_refused_with_the_number(monkeypatch: pytest.MonkeyPatch, home: pathlib.Path) -> None:
    one = cell()
    assert estimate.too_large(one, 310, None) == ""
    monkeypatch.setattr(memory, "available", lambda: 2_900_000)
    refused = estimate.too_large(one, 310, None)
    assert refused.startswith("tests/t: 3.2")
    assert " MB are needed for 310 parameters" in refused
    assert refused.endswith("and 2.9 MB are there; write `curvature: lanczos`")
    out = io.StringIO()
    with pytest.raises(errors.OutOfMemory, match="1 configuration of 1 cannot be run here: tests/t: "):
        spec = specs.Spec("t.yaml", "tests", "t", "", None, 2, (one,))
        overview.check([spec], rich.console.Console(file=out, width=200))
    assert refused in out.getvalue()
