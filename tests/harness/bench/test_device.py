# SPDX-License-Identifier: Apache-2.0
"""`gdzoo bench device` on a CPU and one small network: what its rows say, also where something is amiss."""

from __future__ import annotations

import importlib.util
import pathlib
import time
import types
from collections.abc import Iterator

import jax
import numpy as np
import pytest

from harness import bench
from harness.bench import device, observation, problems, products, row, steps, timing, twins
from harness.risk import objective


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One network of each kind, few steps, no PyTorch, and readings of one call."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else found(name, *rest)
    )
    monkeypatch.setattr(timing, "SHORTEST", 0.0)
    monkeypatch.setattr(steps, "STEPS", dict.fromkeys(steps.STEPS, 4))
    monkeypatch.setattr(device, "NAMES", ("MLP",))
    cached = bool(getattr(jax.config, "jax_enable_compilation_cache"))  # noqa: B009  # jax declares no such attribute
    yield
    jax.config.update("jax_enable_compilation_cache", cached)


def by(rows: list[row.Row], word: str) -> row.Row:
    """Returns the only row whose text contains a word."""
    (found,) = [each for each in rows if word in each.what]
    return found


def test_a_cpu_agrees_with_itself_to_the_bit() -> None:
    made = device.agreement("MLP", device.Session(quick=True, began=time.monotonic()))
    for word in (
        "dense spectrum /",
        "survey by Lanczos",
        "the same verdict",
        "steps in float32",
        "steps in float64",
        "other bits",
    ):
        assert by(made, word).verdict == "met", by(made, word)
    assert by(made, "dense spectrum /").value == by(made, "steps in float64").value == by(made, "other bits").value == 0
    assert by(made, "steps in float32").value == 1
    assert by(made, "leaves the device").value == 0
    assert 0 < by(made, "solver of a dense spectrum").value < 1


def test_a_network_at_full_width_is_surveyed(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"family": "vgg", "stages": [[2], [3]], "activation": "relu"}
    monkeypatch.setitem(problems.NETWORKS["small"], "VGG", problems.Network(fields, None, 16, 20, 0.2))
    made = device.wide_rows("VGG-11", device.Session(quick=True, began=time.monotonic()))
    assert [each.what for each in made[:2]] == ["a product, 32 examples of 32 at once", "a product, 32 at once"]
    survey = by(made, "a survey")
    assert survey.value > 0 and "products, compilation included; λ_max = " in survey.note
    assert device.FEW < int(survey.note.split()[0]) <= device.ALL_PRODUCTS
    trace = by(made, "a trace point of 8 eigenvalues, 32 at once")
    assert trace.value > 0 and "products each; the first one " in trace.note and "η·λ_max = " in trace.note


def test_steps_are_timed_against_a_scan_by_hand_and_pytorch_is_told_missing() -> None:
    made = steps.rows("MLP", "small", 1)
    assert [each.group.partition(",")[0] for each in made] == ["a step of gd"] * 3 + ["a step of sgd"] * 3
    assert all(each.value > 0 for each in made if "PyTorch" not in each.what)
    assert all("is not installed" in each.note for each in made if "PyTorch" in each.what)


def test_the_bench_is_these_parts_and_tells_what_each_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def stub(*arguments: object) -> list[row.Row]:
        asked.append(arguments)
        jax.jit(lambda x: x * (4.75 + len(asked)))(1.0)
        return [row.Row("g", "w", 1.0)]

    for module, name in ((device, "agreement"), (steps, "rows"), (products, "one"), (device, "wide_rows")):
        monkeypatch.setattr(module, name, stub)
    made = [found for unit in bench.find("device").units(True) for found in unit.rows()]
    assert [arguments[:-1] for arguments in asked] == [
        ("MLP",),
        ("MLP", "small"),
        ("MLP", "small", "float32"),
        ("VGG-11",),
        ("ViT-Ti",),
    ]
    assert by(made, "peak of the process").value > 0.1
    compiled = [each for each in made if each.group.startswith("compilation")]
    titles = ["agreement, MLP", "a step, MLP", "a product, MLP", "full width, VGG-11", "full width, ViT-Ti"]
    assert [each.what for each in compiled] == titles
    assert all(each.value > 0 and int(each.note.split()[0]) > 0 for each in compiled)


AT = observation.Points("MLP", "small", np.zeros(2), np.array([0.0, 1.0]))
FOUND = {
    "eigenvalues": np.array([-1.0, 2.0]),
    "errors": np.array([1e-9, 1e-9]),
    "survey": np.array([2.0, 0.5, 0.4]),
    "survey_errors": np.array([1e-9, 1e-9, 1e-9]),
    "decided": np.array(True),
    "float32": np.array([1.0, 1.0 + 1e-6]),
    "float64": np.array([1.0, 1.0]),
}


@pytest.mark.parametrize(
    ("what", "moved", "row_of"),
    [
        ("eigenvalues", [0.0, 3e-9], "dense spectrum"),
        ("survey", [3e-9, 0.0, 0.0], "survey by Lanczos"),
        ("survey", [0.0, 3e-9, 0.0], "survey by Lanczos"),
        ("float32", [0.0, 5e-6], "steps in float32"),
        ("float64", [0.0, 4e-13], "steps in float64"),
    ],
)
def test_what_is_apart_by_more_than_it_may_be_is_missed(what: str, moved: list[float], row_of: str) -> None:
    own = FOUND | {f"{what}": FOUND[f"{what}"] + np.array(moved)}
    made = device.against(AT, own, FOUND)
    assert [each.what.partition(": ")[2] for each in made if each.verdict != "met"] == [by(made, row_of).what[5:]]
    assert all(each.verdict == "met" for each in device.against(AT, FOUND, FOUND))


def test_another_verdict_is_missed_and_told() -> None:
    own = FOUND | {"decided": np.array(False)}
    found = by(device.against(AT, own, FOUND), "verdict")
    assert (found.verdict, found.note) == ("missed", "undecided, and invertible on the CPU")


def test_a_device_without_float64_and_a_process_that_failed_have_rows_that_say_so() -> None:
    own = {key: value for key, value in FOUND.items() if key != "float64"}
    assert by(device.against(AT, own, FOUND), "steps in float64").verdict == "not measured"
    (alone,) = device.against(AT, own, "the process on it failed: why")
    assert (alone.verdict, alone.note) == ("not measured", "the process on it failed: why")
    (alone,) = device.again("MLP", own, "the process on it failed: why")
    assert (alone.verdict, alone.note) == ("not measured", "the process on it failed: why")


def test_one_other_bit_is_seen() -> None:
    other = FOUND | {"survey": np.nextafter(FOUND["survey"], 3)}
    (found,) = device.again("MLP", FOUND | {"seconds": np.zeros(2)}, other)
    assert (found.value, found.verdict, found.note) == (1, "missed", "survey")


def test_a_device_that_is_not_there_is_answered_in_a_sentence(tmp_path: pathlib.Path) -> None:
    process = observation.Elsewhere("tpu", AT, tmp_path)
    found = process.found(60)
    assert isinstance(found, str) and "the process on it failed" in found and "no tpu" in found
    slow = observation.Elsewhere("cpu", AT, tmp_path)
    assert slow.found(0.0) == "the process on it was not done when time was short"
    assert slow.process.poll() is not None


def test_no_part_is_begun_that_would_not_fit_and_a_failure_is_a_row() -> None:
    def fails() -> list[row.Row]:
        raise ValueError("no such program\non this device")

    def disagrees() -> list[row.Row]:
        raise twins.Disagreement("loss is 1 here and 2 in PyTorch")

    session = device.Session(quick=False)
    (failed,) = session.unit("a part", fails).rows()
    assert (failed.verdict, failed.note) == ("not measured", "ValueError: no such program")
    (refused,) = session.unit("another", disagrees).rows()
    assert refused.verdict == "refused"
    assert session.began is not None
    session.began = time.monotonic() - device.SECONDS + device.SHORTEST - 1
    (late,) = session.unit("late", fails).rows()
    assert (late.what, late.verdict) == ("late", "not measured")
    assert late.note == "not begun: 44 s were left of 8 min, and such a part may take 45"


def test_what_does_not_fit_at_full_width_says_how_long_it_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    small = device.wide("ViT-Ti", quick=True)
    asked: list[int] = []

    def slow(_made: object, _goal: object, examples: int) -> float:
        asked.append(examples)
        return 30.0 * examples

    monkeypatch.setattr(device, "wide", lambda name, quick: small)
    monkeypatch.setattr(device, "seconds_of", slow)
    session = device.Session(quick=False, began=time.monotonic())
    first, product, survey, trace = device.wide_rows("ViT-Ti", session)
    assert asked == [32] and first.value == 960
    assert product.note.startswith("would take ~32 min here")
    minutes = device.ALL_PRODUCTS * 960 / 60
    assert survey.note.startswith(f"would take ~{minutes:,.0f} min here") and "products of 960 s" in survey.note
    assert {each.verdict for each in (product, survey, trace)} == {"not measured"}


def test_a_survey_that_does_not_fit_is_left_out_where_a_product_does(monkeypatch: pytest.MonkeyPatch) -> None:
    small = device.wide("ViT-Ti", quick=True)
    monkeypatch.setattr(device, "wide", lambda name, quick: small)
    monkeypatch.setattr(device, "seconds_of", lambda *_: 3.0)
    monkeypatch.setattr(device, "surveyed", lambda *_: pytest.fail("there was no time for it"))
    _, product, survey, _ = device.wide_rows("ViT-Ti", device.Session(quick=False, began=time.monotonic()))
    assert product.value == 3
    assert survey.verdict == "not measured" and f"at most {device.ALL_PRODUCTS} products of 3 s" in survey.note


def test_more_examples_at_once_are_taken_where_they_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    small = device.wide("ViT-Ti", quick=True)
    few = small._replace(goal=small.goal._replace(chunk=8))
    taken: list[int] = []

    def surveyed(_made: object, goal: objective.Objective, group: str, what: str) -> row.Row:
        taken.append(goal.chunk)
        return row.Row(group, what, 1.0)

    monkeypatch.setattr(device, "wide", lambda name, quick: few)
    monkeypatch.setattr(device, "AT_ONCE", 16)
    monkeypatch.setattr(device, "surveyed", surveyed)
    for seconds, best in (({8: 0.8, 16: 0.8, 32: 1.6}, 16), ({8: 0.8, 16: 3.2, 32: 3.2}, 8)):
        monkeypatch.setattr(device, "seconds_of", lambda made, goal, examples, found=seconds: found[examples])
        made = device.wide_rows("ViT-Ti", device.Session(quick=True, began=time.monotonic()))
        assert by(made, "16 at once / as runs do it").value == pytest.approx(0.5 if best == 16 else 2.0)
        assert by(made, "a survey").what == f"a survey, {best} at once" and taken[-1] == best


def test_full_width_is_that_of_the_specs() -> None:
    found = device.wide("ViT-Ti", quick=False)
    assert found.title == "ViT-Ti, P = 5,362,762, N = 5,000"
    assert found.arrays[0].shape == (5000, 32, 32, 3)


def test_memory_is_the_devices_own_where_it_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    told = types.SimpleNamespace(memory_stats=lambda: {"peak_bytes_in_use": 3 * 2**30, "bytes_limit": 2**37})
    monkeypatch.setattr(jax, "local_devices", lambda: [told])
    assert device.memory() == row.Row("memory", "peak of the device, GiB", 3.0, note="of 128")


def test_pytorch_that_lacks_the_device_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is not installed" in str(steps.no_torch())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(twins, "place", lambda: None)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert steps.no_torch() == "the PyTorch that is installed has no gpu"
