# SPDX-License-Identifier: Apache-2.0
"""Verify: honest bundles are confirmed, forged ones are found, by the level that promises it."""

from __future__ import annotations

import itertools
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from safetensors import numpy as tensors

from harness import config, errors, metrics, specs, workspace
from harness.records import run_folder
from leaderboard.bundles import bundle as bundles
from leaderboard.bundles import challenge, claim, comparison, consistency, process, reading, submit, trust, verify
from leaderboard.export import labels
from tests import builders

SPEC = """
schema: 1
title: t
data: {name: digits, examples: 32}
model: {family: mlp, hidden: [3], activation: relu}
loss: {name: half_mse}
optimizer: {name: sgd, batch_size: 8, learning_rate: {eta_lambda: 2.5}}
steps: 40
checkpoints: 8
seeds: 2
diagnostics: [sharpness, singularity, gaps, critical, kinks, minibatches, inverse, exponents, progress, minimum,
  stability]
"""


class Made(NamedTuple):
    """A bundle of two seeds, and what the verifier's process computes of it once at each level."""

    cell: config.Cell
    files: dict[str, bytes]
    found: dict[str, process.Recomputation]


WILD = """
schema: 1
title: t
data: {name: digits, examples: 32}
model: {family: mlp, hidden: [3], activation: relu}
loss: {name: half_mse}
optimizer: {name: gd, learning_rate: 300.0}
steps: 400
checkpoints: 4
seeds: 2
diagnostics: [sharpness]
"""

PARTIAL = """
schema: 1
title: t
data: {name: digits, examples: 32}
model: {family: mlp, hidden: [3], activation: gelu}
loss: {name: half_mse}
optimizer: {name: gd, learning_rate: 0.3}
steps: 6
checkpoints: 3
seeds: 2
curvature: lanczos
diagnostics: [sharpness, singularity]
"""

TRACED = """
schema: 1
title: t
data: {name: digits, examples: 32}
model: {family: mlp, hidden: [3], activation: gelu}
loss: {name: half_mse}
optimizer: {name: gd, learning_rate: {eta_lambda: 1.5}}
steps: 12
checkpoints: 4
seeds: 2
diagnostics: [sharpness, critical]
trace: {top: 2, every: 2}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """A workspace with the runs of two specs: one that finishes, one that diverges."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "specs" / "forged"
    folder.mkdir(parents=True)
    (folder / "small.yaml").write_text(SPEC, encoding="utf-8")
    (folder / "wild.yaml").write_text(WILD, encoding="utf-8")
    (folder / "partial.yaml").write_text(PARTIAL, encoding="utf-8")
    (folder / "traced.yaml").write_text(TRACED, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GDZOO_HOME", str(home))
        patch.setenv("OMP_NUM_THREADS", "1")
        command = [sys.executable, "-m", "gdzoo", "run", str(folder), "--no-store"]
        done = subprocess.run(command, cwd=workspace.CHECKOUT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        yield home


def bundled(home: pathlib.Path, name: str, canary: str | None) -> tuple[config.Cell, dict[str, bytes]]:
    (cell,) = specs.read(home / "specs" / "forged" / f"{name}.yaml").cells
    folders = [run_folder.folder(cell.suite, cell.run_id(seed)) for seed in range(2)]
    return cell, bundles.make(cell, folders, canary)


@pytest.fixture(scope="module")
def made(home: pathlib.Path) -> Made:
    cell, files = bundled(home, "small", submit.canary())
    read = reading.parse(files)
    found = {
        "recomputed": recomputed(read, segments=challenge.drawn_segments(read, "x")),
        "replayed": recomputed(read, "replayed"),
    }
    return Made(cell, files, found)


def recomputed(read: bundles.Bundle, level: labels.Level = "recomputed", **asked: Any) -> process.Recomputation:
    return process.recompute(read, process.Request(level, **asked))


def judged(made: Made, files: dict[str, bytes], level: labels.Level) -> list[claim.Check]:
    """What is wrong with a bundle, by what the process computed of the honest one: what it reads is unchanged."""
    read = reading.parse(files)
    checks = list(consistency.checks(read))
    if level != "reported":
        checks += comparison.parts(read, made.found["recomputed"])
    if level == "replayed":
        checks += comparison.whole_runs(read, made.found["replayed"])
    return [check for check in checks if not check.holds]


def signed(files: dict[str, bytes], **changes: Any) -> dict[str, bytes]:
    """The files with a manifest that is right for them, as a forger would make it."""
    manifest = {**json.loads(files["bundle.json"]), **changes}
    manifest.pop("files")
    return bundles.with_manifest(files, manifest)


def edited(files: dict[str, bytes], name: str, edit: Callable[[Any], None]) -> dict[str, bytes]:
    """The files with one JSON file changed, signed again."""
    content = json.loads(files[name])
    edit(content)
    return signed({**files, name: json.dumps(content).encode()})


def forged(
    files: dict[str, bytes], seed: int, place: int, change: Callable[[dict[str, Any]], None]
) -> dict[str, bytes]:
    """The files with one record changed, signed again."""
    name = f"seed-{seed}/records.jsonl"
    lines = [json.loads(line) for line in files[name].decode().splitlines()]
    change(lines[place]["values"])
    return signed({**files, name: "".join(json.dumps(line) + "\n" for line in lines).encode()})


def test_an_honest_bundle_holds_bit_by_bit(made: Made) -> None:
    read = reading.parse(made.files)
    assert made.found["recomputed"].exact
    assert judged(made, made.files, "replayed") == []
    whole = list(comparison.whole_runs(read, made.found["replayed"]))
    assert sum(check.what == "loss" for check in whole) == 2 * 8, "every record of every seed was made again"
    parts = list(comparison.parts(read, made.found["recomputed"]))
    assert {"parameters", "the step size", "loss", "sigma_min", "dataset"} <= {check.what for check in parts}


@pytest.mark.thorough
def test_what_lanczos_excluded_is_excluded_again_from_a_start_of_the_verifier_s_own(home: pathlib.Path) -> None:
    read = reading.parse(bundled(home, "partial", submit.canary())[1])
    assert [run.verdict for run in read.runs] == ["invertible"] * 2
    assert [run.failure_probability for run in read.runs] == [pytest.approx(3e-12)] * 2
    lowers = []
    for value in ("x", "y"):
        found = recomputed(read, challenge=value)
        again = [one for one in found.messages if one["found"] == "excluded"]
        assert [(one["seed"], one["step"]) for one in again] == [(0, 0), (0, 6), (1, 0), (1, 6)]
        assert all(check.holds for check in comparison.parts(read, found))
        lowers.append([one["lower"] for one in again])
    assert lowers[0] != lowers[1], "who makes a bundle cannot know the start"
    checked = found._replace(messages=again)
    for change in ({"lower": 0.0}, {"error": again[0]["lower"]}, {"upper": lowers[0][0] / 2}):
        other = checked._replace(messages=[{**again[0], **change}])
        assert [check.what for check in comparison.parts(read, other) if not check.holds] == [
            "sigma_min_lower, another start"
        ]


@pytest.fixture(scope="module")
def traced(home: pathlib.Path) -> Made:
    cell, files = bundled(home, "traced", submit.canary())
    read = reading.parse(files)
    found = {level: recomputed(read, level, challenge="x") for level in ("recomputed", "replayed")}
    return Made(cell, files, found)  # type: ignore[arg-type]


def retraced(files: dict[str, bytes], place: int, change: Callable[[dict[str, Any]], None]) -> dict[str, bytes]:
    """The files with one trace point of seed 0 changed, signed again."""
    name = "seed-0/trace.jsonl"
    lines = [json.loads(line) for line in files[name].decode().splitlines()]
    change(lines[place])
    return signed({**files, name: "".join(json.dumps(line) + "\n" for line in lines).encode()})


def test_an_honest_trace_holds_and_is_made_again_to_the_byte(traced: Made) -> None:
    read = reading.parse(traced.files)
    assert [point.step for point in read.traces[0]] == [0, 1, 2, 3, 4, 6, 8, 10, 12]
    assert read.runs[0].trace is not None and read.runs[0].summary["trace_points"] == 9
    assert judged(traced, traced.files, "replayed") == []
    whole = [check for check in comparison.whole_runs(read, traced.found["replayed"]) if check.what == "the trace"]
    assert [check.claimed == check.found for check in whole] == [True, True]
    looked = [one for one in traced.found["recomputed"].messages if one["found"] == "trace"]
    assert {one["seed"] for one in looked} == {0, 1} and {12} < {one["step"] for one in looked}


FORGED_TRACES: dict[str, tuple[int, Callable[[dict[str, Any]], None], labels.Level]] = {
    "loss of a record": (0, lambda point: point.update(loss=point["loss"] * 1.01), "reported"),
    "largest eigenvalue": (-1, lambda point: point["values"].__setitem__(0, point["values"][0] * 1.5), "reported"),
    "least eigenvalue": (-1, lambda point: point["values"].__setitem__(-1, point["values"][-1] - 1), "reported"),
    "second eigenvalue": (-1, lambda point: point["values"].__setitem__(1, sum(point["values"][:2]) / 2), "reported"),
    "what was missed": (-1, lambda point: point.update(missed=1), "reported"),
    "a step of its own": (5, lambda point: point.update(step=7), "reported"),
    "between records": (5, lambda point: point["values"].__setitem__(0, point["values"][0] * 1.01), "replayed"),
    "loss between records": (5, lambda point: point.update(loss=point["loss"] * 1.01), "replayed"),
}


@pytest.mark.parametrize("name", FORGED_TRACES)
def test_a_forged_trace_point_is_found_by_its_level(traced: Made, name: str) -> None:
    place, change, level = FORGED_TRACES[name]
    assert judged(traced, retraced(traced.files, place, change), level)


def test_a_trace_point_at_a_state_is_found_wrong_by_a_survey_alone(traced: Made) -> None:
    """As if neither record nor spectrum stood beside it: what was computed again of the state is enough."""
    read = reading.parse(traced.files)
    for change in ({"loss": 9.0}, {"values": [-1.0, 1.0, 1.5], "errors": [0.0] * 3}):
        messages = [{**one, **change} for one in traced.found["recomputed"].messages if one["found"] == "trace"]
        found = traced.found["recomputed"]._replace(messages=messages)
        assert [check for check in comparison.parts(read, found) if not check.holds]


METRICS = sorted(metrics.METRICS)


def test_every_forged_number_of_a_record_is_found_by_its_level(made: Made) -> None:
    read = reading.parse(made.files)
    recorded, forgeries = read.recorded[1], 0
    for place, record in enumerate(recorded):
        for name, value in record.values.items():
            wrong = value * 1.01 if np.isfinite(value) and value else 1.0

            def change(values: dict[str, Any], name: str = name, wrong: float = wrong) -> None:
                values[name] = wrong

            files = forged(made.files, 1, place, change)
            ends = place in (0, len(recorded) - 1)
            level: labels.Level = "recomputed" if ends else "replayed"
            assert judged(made, files, level), f"{name} of the record at step {record.step}"
            forgeries += 1
    assert forgeries > 200
    assert len(set().union(*(record.values for record in recorded))) > 50, "most of METRICS are in this bundle"


@pytest.mark.parametrize(
    "name",
    [
        *("pl_ratio", "eta_sharpness", "sharpness", "lambda_min", "sigma_min", "log_abs_det", "loss_gap"),
        "relative_gap",
        *("n_above_inv_eta", "n_above_two_inv_eta", "critical_steps"),
    ],
)
def test_two_numbers_that_say_the_same_are_compared_for_nothing(made: Made, name: str) -> None:
    def change(values: dict[str, Any]) -> None:
        values[name] = values[name] * 1.01 if name[:2] != "n_" and name != "critical_steps" else values[name] + 1

    assert judged(made, forged(made.files, 0, -1, change), "reported")


def test_a_metric_that_is_missing_or_more_is_found(made: Made) -> None:
    def drop(values: dict[str, Any]) -> None:
        del values["sigma_min"]

    def add(values: dict[str, Any]) -> None:
        values["saddle_least"] = 1.0

    for place, level in ((0, "recomputed"), (3, "reported"), (-1, "reported")):
        assert judged(made, forged(made.files, 0, place, drop), level)  # type: ignore[arg-type]
        assert judged(made, forged(made.files, 0, place, add), "recomputed" if place != 3 else "reported")


FACTS: dict[str, tuple[Any, labels.Level | None]] = {
    "eta": (lambda value: value * 1.01, "reported"),
    "verdict": (lambda value: "invertible" if value != "invertible" else "undecided", "reported"),
    "end": (lambda value: {"point": "global minimum", "because": {}}, "reported"),
    "status": (lambda value: "diverged", None),
    "parameters": (lambda value: value - 1, None),
    "examples": (lambda value: 64, "recomputed"),
    "curvature": (lambda value: "lanczos", "reported"),
    "left_out": (lambda value: {}, "reported"),
    "seconds": (lambda value: 0.0, None),
}
"""Facts of run.json: how one is forged, and the level that finds it; None where reading the bundle does, or nothing."""


@pytest.mark.parametrize("name", ["eta", "verdict", "end", "curvature", "left_out", "examples"])
def test_a_forged_fact_is_found(made: Made, name: str) -> None:
    change, level = FACTS[name]
    assert level is not None
    files = made.files

    def edit(facts: dict[str, Any]) -> None:
        facts[name] = change(facts[name])

    files = edited(files, "seed-0/run.json", edit)
    found = judged(made, files, level)
    assert found, name
    if name == "examples":
        assert any(check.what == "examples" for check in found)


def test_forged_facts_that_both_seeds_share_are_found_by_the_recomputation(made: Made) -> None:
    def smaller(facts: dict[str, Any]) -> None:
        facts["dataset"]["sha256"] = "0" * 64

    files = edited(edited(made.files, "seed-0/run.json", smaller), "seed-1/run.json", smaller)
    assert judged(made, files, "reported") == []
    assert {check.what for check in judged(made, files, "recomputed")} == {"dataset"}


def test_a_layout_of_another_network_is_found(made: Made) -> None:
    def renamed(facts: dict[str, Any]) -> None:
        assert [one["name"] for one in facts["layout"]][:2] == ["dense_0/bias", "dense_0/kernel"]
        facts["layout"][0]["name"] = "dense_0/bent"

    files = edited(made.files, "seed-0/run.json", renamed)
    with pytest.raises(ValueError, match="says another layout than run.json"):
        reading.parse(files)
    name = "seed-0/states.safetensors"
    files = signed({**files, name: tensors.save(tensors.load(files[name]))})
    assert judged(made, files, "reported") == []
    assert {check.what for check in judged(made, files, "recomputed")} == {"layout"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: facts.update(status="diverged"), "status diverged does not agree with diverged_at None"),
        (lambda facts: facts.update(status="interrupted"), "seed-0 is interrupted: a bundle holds runs that ended"),
        (lambda facts: facts.update(parameters=facts["parameters"] - 1), "no spectrum of|no theta of|a histogram is"),
        (lambda facts: facts.update(seed=1), "is not cell_id"),
        (lambda facts: facts.update(spec_hash="0" * 64), "spec_hash"),
        (lambda facts: facts["cell"].update(steps=41), "the cell is not the one that spec_hash"),
        (lambda facts: facts.update(label="other"), "seed-0 is of label 'other'"),
        (lambda facts: facts.update(together=[1]), "together does not hold the seed itself once"),
        (lambda facts: facts.update(together=[0, 7]), "together is not a list of seeds"),
        (lambda facts: facts.update(trust="replayed"), "trust: Extra inputs are not permitted"),
    ],
)
def test_facts_of_another_run_are_no_bundle(made: Made, change: Callable[[dict[str, Any]], None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reading.parse(edited(made.files, "seed-0/run.json", change))


def states(files: dict[str, bytes], seed: int) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in tensors.load(files[f"seed-{seed}/states.safetensors"]).items()}


def with_states(files: dict[str, bytes], seed: int, arrays: dict[str, np.ndarray]) -> dict[str, bytes]:
    return signed({**files, f"seed-{seed}/states.safetensors": tensors.save(arrays)})


@pytest.mark.parametrize("place", builders.tiers([2, bundles.STATES - 1], quick=[2]))
def test_a_forged_state_is_found(made: Made, place: int) -> None:
    """Each state that was handed in, moved by 1 %: by its record, by the segments beside it, or by the start."""
    arrays = states(made.files, 0)
    assert len(arrays["step"]) == bundles.STATES
    arrays["theta"][place] *= np.float32(1.01)
    read = reading.parse(with_states(made.files, 0, arrays))
    steps = [int(step) for step in arrays["step"]]
    segments = tuple(itertools.pairwise(steps))
    found = recomputed(read, segments=segments)
    wrong = [check for check in comparison.parts(read, found) if not check.holds]
    assert wrong and {check.where.split(",")[0] for check in wrong} == {"seed 0"}


def test_without_bits_a_forged_state_is_found_and_steps_are_shaken(made: Made) -> None:
    """By tolerances: a state that is moved by 1 % is too far, and how far one rounding error grows is measured."""
    arrays = states(made.files, 0)
    arrays["theta"][2] *= np.float32(1.01)
    read = reading.parse(with_states(made.files, 0, arrays))
    steps = [int(step) for step in arrays["step"]]
    found = recomputed(read, segments=tuple(itertools.pairwise(steps)), bits=False)
    assert not found.exact
    walked = [one for one in found.messages if one["found"] == "state"]
    assert len(walked) == 2 * (bundles.STATES - 1) and all(0 < one["shaken"] < 1 for one in walked)
    wrong = {check.where for check in comparison.parts(read, found) if not check.holds}
    assert wrong and all(where.startswith("seed 0, steps") for where in wrong)


def test_a_question_that_an_older_version_did_not_know_is_no_difference(made: Made) -> None:
    files = made.files
    for seed in range(2):
        files = edited(files, f"seed-{seed}/run.json", lambda facts: facts["left_out"].pop("sweep"))
    assert judged(made, files, "replayed") == []
    for seed in range(2):
        files = edited(files, f"seed-{seed}/run.json", lambda facts: facts["left_out"].update(state="no reason"))
    assert {check.what for check in judged(made, files, "replayed")} == {"left_out"}


def test_histograms_are_those_of_the_spectra_beside_them_whatever_a_run_says(made: Made) -> None:
    def forge(facts: dict[str, Any]) -> None:
        facts["histograms"] = [{"step": 0, "complete": True, "first": 100, "counts": [234]}]

    honest = reading.parse(made.files).runs[0].histograms
    assert [one.step for one in honest] == [0, 40] and all(one.complete for one in honest)
    assert sum(honest[0].counts) == reading.parse(made.files).runs[0].parameters
    assert reading.parse(edited(made.files, "seed-0/run.json", forge)).runs[0].histograms == honest


@pytest.mark.thorough
def test_where_steps_part_without_bits_nothing_is_confirmed_and_nobody_accused(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ReLU network: rounding decides on which piece a step is taken, so steps that part are no proof of a forgery."""
    arrays = states(made.files, 0)
    arrays["theta"][2] *= np.float32(1.01)
    forged_ = with_states(made.files, 0, arrays)
    monkeypatch.setattr(challenge, "drawn_segments", lambda read, _: challenge.every_segment(read))
    outcome = verify.verify(reading.parse(signed(forged_, canary=None)))
    assert (outcome.verdict.label, outcome.verdict.bits) == ("reported", False)
    assert outcome.verdict.note.startswith("not recomputed: the bits are other here, and in ")
    assert verify.verify(reading.parse(forged_)).verdict.label == "disputed", "a machine of its canary can tell"
    monkeypatch.setattr(comparison, "one_piece", lambda _: True)
    smooth = verify.verify(reading.parse(signed(forged_, canary=None)))
    assert smooth.verdict.label == "disputed", "and where the risk is one piece, any"


@pytest.mark.thorough
def test_a_profile_of_another_machine_promises_no_bits(made: Made) -> None:
    """What an older version did not record is no difference; what it did, and is otherwise here, is one."""

    def promised(change: Callable[[dict[str, Any]], Any]) -> bool:
        files = made.files
        for seed in range(2):
            files = edited(files, f"seed-{seed}/run.json", lambda facts: change(facts["profile"]))
        return bool(recomputed(reading.parse(files)).exact)

    assert promised(lambda profile: profile.pop("lapack_kernels"))
    assert not promised(lambda profile: profile.update(lapack_kernels="SkylakeX"))


def test_a_step_size_of_its_own_in_a_record_is_found_for_nothing(made: Made) -> None:
    def change(values: dict[str, Any]) -> None:
        values["eta"] *= 1.01
        values["eta_sharpness"] *= 1.01

    wrong = judged(made, forged(made.files, 0, 3, change), "reported")
    assert "eta of a record" in {check.what for check in wrong}


@pytest.mark.thorough
def test_swapped_weights_are_found(made: Made) -> None:
    swapped = signed(
        {
            **made.files,
            "seed-0/states.safetensors": made.files["seed-1/states.safetensors"],
            "seed-1/states.safetensors": made.files["seed-0/states.safetensors"],
        }
    )
    outcome = verify.verify(reading.parse(swapped))
    assert outcome.verdict.label == "disputed" and not outcome.confirmed
    assert {pair.what for pair in outcome.verdict.pairs if pair.failed} >= {"parameters", "loss"}


def test_another_step_size_is_found(made: Made) -> None:
    def faster(facts: dict[str, Any]) -> None:
        facts["eta"] = float(np.float32(facts["eta"] * 1.1))

    files = edited(edited(made.files, "seed-0/run.json", faster), "seed-1/run.json", faster)
    checks = comparison.parts(reading.parse(files), made.found["recomputed"])
    assert any(check.what == "the step size" and not check.holds for check in checks)


def test_another_seed_of_the_same_cell_is_found(made: Made) -> None:
    """The records of seed 1 given out as those of seed 0: two seeds of one run, and not of that seed."""
    files = dict(made.files)
    for name in ("records.jsonl", "spectra.jsonl", "states.safetensors"):
        files[f"seed-0/{name}"] = files[f"seed-1/{name}"]
    other = json.loads(files["seed-1/run.json"])

    def edit(facts: dict[str, Any]) -> None:
        facts.update({key: other[key] for key in ("eta", "end", "verdict")})

    found = judged(made, edited(files, "seed-0/run.json", edit), "recomputed")
    assert "seeds that differ" in {check.what for check in found}
    assert {"loss", "the step size"} <= {check.what for check in found}


@pytest.mark.thorough
def test_a_machine_of_other_bits_confirms_within_tolerances(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another instruction set and thread count stand for another machine; the bundle lies in another folder."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_max_isa=SSE4_2")
    monkeypatch.setenv("NPROC", "1")
    read = reading.parse(made.files)
    outcome = verify.verify(read, "replayed")  # elsewhere that is all segments, and the whole runs
    assert not outcome.verdict.bits and outcome.verdict.canary != read.manifest.canary
    assert [check for check in outcome.checks if not check.holds] == []
    assert outcome.verdict.label == "replayed" and len(outcome.verdict.segments) >= bundles.STATES - 1
    assert any(check.used > 0 for check in outcome.checks), "the bits were others, so this compared something"


@pytest.mark.parametrize(
    ("factor", "label"),
    [
        pytest.param(1 + 1e-13, "recomputed", marks=pytest.mark.thorough),
        (1.05, "disputed"),
    ],
)
def test_a_last_bit_is_no_dispute_and_a_twentieth_is(made: Made, factor: float, label: str) -> None:
    """Machines of one canary may still round differently: what has other bits is judged by tolerances."""

    def change(values: dict[str, Any]) -> None:
        values["lambda_upper"] *= factor

    outcome = verify.verify(reading.parse(forged(made.files, 1, -1, change)), challenge="x")
    assert (outcome.verdict.label, outcome.verdict.bits) == (label, False)
    assert outcome.verdict.note.startswith("other bits: 1 of ")
    wrong = {check.what for check in outcome.checks if not check.holds}
    assert wrong == ({"lambda_upper"} if label == "disputed" else set())


def test_there_a_number_that_is_off_is_still_found(made: Made) -> None:
    """Without bits: the numbers that matter, at the last record, off by 5 %."""
    files, here = signed(made.files, canary=None), made.found["recomputed"]
    other = here._replace(machine={**here.machine, "exact": False})
    for name in ("loss", "grad_norm", "sharpness", "lambda_min", "sigma_min", "log_abs_det", "mu", "lambda"):

        def change(values: dict[str, Any], name: str = name) -> None:
            values[name] *= 1.05

        read = reading.parse(forged(files, 0, -1, change))
        checks = comparison.parts(read, other)
        assert any(check.what == name and not check.holds for check in checks), name


def test_a_run_that_diverged_is_confirmed_at_its_step_and_another_step_is_found(home: pathlib.Path, made: Made) -> None:
    canary = reading.parse(made.files).manifest.canary
    _, files = bundled(home, "wild", canary)
    read = reading.parse(files)
    assert {run.status for run in read.runs} == {"diverged"}
    outcome = verify.verify(read)
    assert [check for check in outcome.checks if not check.holds] == []
    assert (outcome.verdict.label, outcome.verdict.bits) == ("recomputed", True)
    assert sum(check.what == "diverged_at" for check in outcome.checks) == 2

    def later(facts: dict[str, Any]) -> None:
        facts["diverged_at"] += 1

    checks = verify.verify(reading.parse(edited(files, "seed-0/run.json", later))).checks
    assert [check.what for check in checks if not check.holds] == ["diverged_at"]


@pytest.mark.thorough
def test_without_states_the_end_is_not_confirmed_and_the_label_says_so(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "STATE_BYTES", 10)
    _, files = bundled(home, "wild", None)
    read = reading.parse(files)
    assert "states.safetensors" in read.manifest.left_out and not any(read.states.values())
    outcome = verify.verify(read)
    assert outcome.confirmed and outcome.verdict.label == "reported"
    assert outcome.verdict.note == "the ends of seeds 0 1 were not confirmed: their states were left out"
    assert verify.verify(read, "replayed").verdict.label == "replayed"


def test_a_cell_of_many_seeds_that_end_at_steps_of_their_own_has_a_verdict(made: Made) -> None:
    """Each seed then has segments of its own."""
    read = reading.parse(made.files)
    many = {seed: {step + seed: {} for step in (0, 10, 20, 30, 40)} for seed in range(100)}
    segments = challenge.every_segment(read._replace(states=many))  # type: ignore[arg-type]
    assert len(segments) == 130
    outcome = verify.verify(read, "reported")
    said = {**json.loads(trust.dump(outcome.verdict)), "segments": segments}
    said.pop("sha256")
    assert len(trust.verdict(said).segments) == 130


def test_segments_depend_on_the_challenge_and_hold_the_suspicious_one(made: Made) -> None:
    read = reading.parse(made.files)
    steps = list(read.states[0])
    drawn = {challenge.drawn_segments(read, str(number)) for number in range(20)}
    assert len(drawn) > 1 and challenge.drawn_segments(read, "7") == challenge.drawn_segments(read, "7")
    assert all((steps[-2], steps[-1]) in segments for segments in drawn)
    arrays = states(made.files, 0)
    arrays["theta"][1] += 10  # a jump: both segments beside it are far too long
    jumped = reading.parse(with_states(made.files, 0, arrays))
    beside = {(steps[0], steps[1]), (steps[1], steps[2])}
    assert all(beside & set(challenge.drawn_segments(jumped, str(number))) for number in range(20))


def test_the_verifier_has_limits(made: Made) -> None:
    read = reading.parse(made.files)
    with pytest.raises(errors.Rejected, match="its recomputation took more than 1 CPU seconds"):
        recomputed(read, "replayed", seconds=1)


def test_a_cell_that_takes_more_memory_than_allowed_ends_in_a_line(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MEMORY", 2 << 30)
    read = reading.parse(made.files)
    wide = read.cell.model.model_copy(update={"hidden": (60_000, 60_000)})
    with pytest.raises(errors.Rejected) as caught:
        recomputed(read._replace(cell=read.cell.model_copy(update={"model": wide}), states={}))
    assert str(caught.value).count("\n") == 0 and len(str(caught.value)) < 500


def test_a_verdict_is_hashed_and_its_label_follows(made: Made) -> None:
    outcome = verify.verify(reading.parse(made.files), "reported")
    said = json.loads(trust.dump(outcome.verdict))
    assert said["label"] == "reported" and trust.Verdict.model_validate_json(json.dumps(said)) == outcome.verdict
    for change in ({"label": "replayed"}, {"level": "replayed"}, {"bits": True}):
        with pytest.raises(ValueError, match="sha256 is not that"):
            trust.Verdict.model_validate_json(json.dumps({**said, **change}))
    resigned = {**said, "label": "replayed"}
    resigned["sha256"] = trust.digest(resigned)
    with pytest.raises(ValueError, match="the label replayed does not follow"):
        trust.Verdict.model_validate_json(json.dumps(resigned))
