# SPDX-License-Identifier: Apache-2.0
"""`gdzoo bench` on tiny problems, without peers: what rows hold, never how long anything takes."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import platform
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import rich.console

from harness import bench, errors
from harness.bench import (
    checkpoint,
    curvature,
    eigenvalues,
    instructions,
    memory,
    peers,
    problems,
    products,
    row,
    timing,
    trace,
    twins,
)
from harness.curvature import spectrum as spectra
from harness.curvature import survey


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides every peer that may be installed here, lets a reading be one call, and makes the small VGG smaller."""
    hidden = {"torch", "matfree", "pyhessian", "curvlinops", "hessian_eigenthings"}
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in hidden else found(name, *rest))
    monkeypatch.setattr(timing, "SHORTEST", 0.0)
    fields = {"family": "vgg", "stages": [[2], [3]], "activation": "relu"}
    monkeypatch.setitem(problems.NETWORKS["small"], "VGG", problems.Network(fields, None, 16, 20, 0.2))


def test_rounds_interleave_their_cases() -> None:
    calls: list[str] = []
    found = timing.interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert calls[:4] == ["a", "b", "a", "b"], "one call that compiles, one that is warm"
    assert calls[4:10] == ["a", "b"] * 3
    assert {len(each.rounds) for each in found.values()} <= {3, 6}


def test_a_ratio_is_the_median_of_ratios_of_the_same_round() -> None:
    slow_minute = timing.Timing(0, (2.0, 20.0, 2.0)), timing.Timing(0, (1.0, 10.0, 1.0))
    assert timing.ratio(*slow_minute) == timing.Ratio(2.0, 0.0)
    assert timing.ratio(*slow_minute, scale=4).value == 0.5
    # Ratios 1, 2 and 3, between whose quartiles 1 lies; medians 6 and 2 would give 3.
    assert timing.ratio(timing.Timing(0, (1.0, 20.0, 6.0)), timing.Timing(0, (1.0, 10.0, 2.0))) == (2.0, 0.25)


def test_compilations_are_counted_while_the_context_lasts() -> None:
    import jax

    with timing.compilations() as found:
        jax.jit(lambda x: x * 3.25)(1.0)
    assert len(found) >= 1
    count = len(found)
    jax.jit(lambda x: x * 4.25)(1.0)
    assert len(found) == count


def test_a_row_says_whether_its_target_is_met() -> None:
    most, least = row.Target(2.2), row.Target(1.0, most=False)
    assert row.Row("g", "w", 2.2, target=most).verdict == "met"
    assert row.Row("g", "w", 2.3, target=most).verdict == "missed"
    assert row.Row("g", "w", 0.9, target=least).verdict == "missed"
    assert row.Row("g", "w", 2.3, 0.05, most).verdict == "met within error"
    assert row.Row("g", "w", 2.3, 0.04, most).verdict == "missed"
    assert row.Row("g", "w", 0.9, 0.12, least).verdict == "met within error"
    assert row.Row("g", "w", 0.9, 0.11, least).verdict == "missed"
    assert row.Row("g", "w", 5.0).verdict == ""
    assert row.absent("g", "w", "why").verdict == "not measured"
    assert row.Row("g", "w", math.nan, refused=True).verdict == "refused"


def test_steps_are_doubled_until_answers_agree_and_all_are_counted() -> None:
    asked: list[int] = []

    def largest(steps: float) -> peers.Solved:
        asked.append(int(steps))
        return peers.Solved(np.array([3.0, 2.0 - 1 / steps**2]), int(steps))

    found = peers.doubled(largest, 2)(1e-3)
    assert asked == [4, 8, 16, 32, 64], "32 and 64 differ by 0.0004, 16 and 32 by four times that"
    assert found.products == 124
    assert found.values[1] == 2.0 - 1 / 64**2
    with pytest.raises(ArithmeticError, match="320"):
        peers.doubled(lambda steps: peers.Solved(np.array([steps]), int(steps)), 10)(1e-3)


def test_the_truth_of_a_small_problem_is_its_dense_spectrum() -> None:
    truth = problems.reference("VGG", "small")
    assert truth.method == "dense float64"
    assert truth.top.shape == (problems.TOP,)
    assert np.all(np.diff(truth.top) <= 0)
    nearest = truth.top[np.abs(truth.top - 1 / truth.eta).argmin()]
    assert truth.nearest == nearest == truth.top[truth.rank - 1]


def test_an_answer_is_as_wrong_as_its_worst_eigenvalue() -> None:
    truth = problems.Reference("by hand", np.arange(10.0, 0, -1), 0.3, 3.0, 8)
    first, nearest = (
        eigenvalues.Task(question, problems.problem("VGG", "small"), truth) for question in ("top 10", "nearest 1/η")
    )
    assert (first.k, nearest.k) == (10, 8)
    found = truth.top.copy()
    found[[0, 7]] = 10.1, 3.06
    assert first.error(found) == pytest.approx(0.02)
    assert nearest.error(found) == pytest.approx(0.02)
    assert first.error(found[:9]) == nearest.error(found[:7]) == math.inf, "too few"


@pytest.mark.parametrize("question", ["top 10", "nearest 1/η"])
def test_our_answer_is_as_right_as_it_says(question: eigenvalues.Question) -> None:
    first, *others = eigenvalues.rows(question, "VGG", "small", rounds=1)
    assert first.what == "ours: relative error"
    assert first.verdict == "met", first
    assert [other.what for other in others] == [f"{label} / ours" for label in peers.PEERS]
    for other in others:
        if other.what.startswith("scipy"):
            assert math.isfinite(other.value), other
        else:
            assert "is not installed (pip install -e '.[bench]')" in other.note
            assert other.verdict == "not measured"


def test_error_bars_of_ritz_values_hold() -> None:
    random = np.random.default_rng(0)
    exact = np.sort(random.normal(size=40)) + 3 * np.arange(40)
    frame, _ = np.linalg.qr(random.normal(size=(40, 40)))
    basis = np.linalg.qr(frame[:, -3:] + 0.0005 * random.normal(size=(40, 3)))[0]
    matrix = (frame * exact) @ frame.T
    values, weights = np.linalg.eigh(basis.T @ matrix @ basis)
    residuals = np.linalg.norm(matrix @ basis @ weights - basis @ weights * values, axis=0)
    bars = eigenvalues.bounds(spectra.Spectrum(values, residuals, False, 40, 3))
    assert np.all(bars <= residuals)
    assert np.any(bars < 0.5 * residuals)
    assert np.all(np.abs(values - exact[-3:]) <= 1.5 * bars), "neighbours are Ritz values, not eigenvalues"


def test_a_product_has_its_three_ratios() -> None:
    rows = products.one("VGG", "small", "float32", rounds=1)
    assert [each.target for each in rows] == [products.GRADIENTS, products.GRADIENTS, row.Target(1.0)]
    assert all(0 < each.value < math.inf for each in rows)


def test_every_chunk_size_is_tried_and_gives_the_same_product() -> None:
    problem = problems.problem("VGG", "small", 24)
    point, v = problem.point("float64"), products.vector(problem, "float64")
    whole = products.alone(problem.at_once(24).risk, point, v)()
    uneven = products.alone(problem.at_once(16).risk, point, v)()
    assert np.allclose(uneven, whole, rtol=0, atol=1e-12)
    best, runs = products.chunks("VGG", "small", 32, rounds=1)
    assert "16: " in best.note
    assert "32: " in best.note
    assert all(math.isfinite(each.value) for each in (best, runs))


@pytest.mark.thorough
def test_a_checkpoint_tells_its_cost_and_what_two_cells_compile(home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[survey.Survey] = []
    real = survey.Surveyor

    def watched(method: survey.Method, top: Any, ask: Any, *others: Any) -> survey.Surveyor:
        def asked(*arguments: Any) -> survey.Survey:
            seen.append(ask(*arguments))
            return seen[-1]

        return real(method, top, asked, *others)

    monkeypatch.setattr(survey, "Surveyor", watched)
    cost, first, second = checkpoint.rows("VGG", "small", rounds=1)
    assert 0 < cost.value < math.inf
    assert f"s for {seen[0].spectrum.products + seen[0].log_det.products} products of" in cost.note
    assert cost.target is None, "a target is for 100,000 parameters and more"
    assert first.value > 10 * second.value, "programs are shared between cells of the same shapes"
    assert second.verdict == ("met" if second.value == 0 else "missed")


@pytest.mark.parametrize(
    "rows",
    [lambda: products.against_torch("small", 32), lambda: instructions.again("steps", "VGG", "small", 1)],
    ids=["beside PyTorch", "with our instructions"],
)
def test_without_pytorch_there_is_a_row_that_says_so(rows: Callable[[], list[row.Row]]) -> None:
    (told,) = rows()
    assert told.verdict == "not measured"
    assert "torch is not installed" in told.note


def test_memory_is_told_by_a_process_of_its_own() -> None:
    (held,) = curvature.held(memory.Case(200, 16, "float64"))
    assert 16 < held.value < 1000 or held.verdict == "not measured"


def test_the_bench_prints_one_table_and_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row.Row("g", "a", 2.0, 0.01, row.Target(1.0)), row.Row("g", "b", math.nan, note="why", refused=True)]
    made = [curvature.Unit("u", lambda: rows)]
    monkeypatch.setitem(bench.BENCHES, "curvature", bench.Bench("t", "1", lambda quick: made, True))
    console = rich.console.Console(width=200)
    assert not bench.show("curvature", True, "cpu", console, as_json=False), "a row was refused"
    out = capsys.readouterr().out
    assert "missed" in out
    assert "0 targets met, 0 more within their error, 1 missed, 1 rows without a number" in out

    bench.show("curvature", True, "cpu", console, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["command"] == "gdzoo bench curvature --quick"
    assert [each["verdict"] for each in found["rows"]] == ["missed", "refused"]
    assert found["rows"][1]["value"] is None


def test_records_are_priced_and_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "TOPS", (1,))
    rows = trace.records("VGG", "gd", "float32", longer=1, looks=2)
    assert [each.what.partition(":")[0] for each in rows] == ["while the loss falls"] * 2 + ["steady"] * 2
    price, error = rows[2:]
    assert price.target == trace.PRICES[1] and error.verdict == "met", rows
    assert 1 + trace.PRODUCT * 4 <= price.value <= 1 + trace.PRODUCT * 28


def test_an_unknown_bench_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(errors.InputError, match="did you mean 'curvature'?"):
        bench.find("curvatur")


@pytest.mark.parametrize("name", curvature.NAMES)
def test_every_layer_of_a_problem_has_its_twin(name: str) -> None:
    import zoo

    def classes(layers: object) -> set[type]:
        found: set[type] = set()
        for each in layers.values():  # type: ignore[attr-defined]
            found |= {type(each)} | classes(getattr(each, "inner", {})) | classes(getattr(each, "shortcut", {}))
        return found

    for size in ("full", "small"):
        network = problems.NETWORKS[size][name]
        family = zoo.FAMILIES[network.fields["family"]]
        side = network.resize or 8
        layers = family.layers(family.config.model_validate(network.fields), (side, side, 1), 10)
        assert classes(layers) <= set(twins.LAYERS)


def test_rows_of_another_process_are_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    made = row.Row("g", "w", 1.5, 0.1, row.Target(1.0, most=False), "note")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    seen: list[dict[str, str]] = []

    def done(command: list[str], env: dict[str, str], **_more: object) -> subprocess.CompletedProcess[str]:
        seen.append(env)
        return subprocess.CompletedProcess(command, 0, json.dumps([made._asdict()]), "")

    monkeypatch.setattr(subprocess, "run", done)
    (again,) = instructions.again("steps", "VGG", "small", 1)
    assert again == made._replace(group="g; PyTorch held to AVX2")
    assert again.verdict == "met" and seen[0]["ATEN_CPU_CAPABILITY"] == "avx2"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system does not keep processes to cores")
def test_other_processes_have_all_cores_while_the_bench_keeps_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.sched_getaffinity(0)
    monkeypatch.delenv("PJRT_NPROC", raising=False)
    try:
        core = timing.keep_to_one_core()
        assert os.sched_getaffinity(0) == {core} and os.environ["PJRT_NPROC"] == "1"
        with timing.all_cores():
            assert os.sched_getaffinity(0) >= before and "PJRT_NPROC" not in os.environ
        assert os.sched_getaffinity(0) == {core} and os.environ["PJRT_NPROC"] == "1"
    finally:
        os.sched_setaffinity(0, before)
