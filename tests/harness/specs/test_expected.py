# SPDX-License-Identifier: Apache-2.0
"""Controls: what a spec expects, whether it is allowed, and what is said of a run that shows something else."""

from __future__ import annotations

import collections
import io
import json
import math
import pathlib

import pytest
import rich.console

from harness import config, errors, records, specs, workspace
from harness.cli import controls
from harness.records import behaviour as behaviours
from harness.records import run_folder
from harness.runs import run
from harness.specs import expected
from tests import builders

SPEC = builders.spec_text(
    **builders.quadratic(4.0, -0.5),
    start={"name": "given", "theta": [1.0, 1.0]},
    optimizer=builders.gd(0.3),
    steps=1,
    precision="float64",
    grid={"optimizer.learning_rate": [0.3, 0.25]},
)
RIGHT = "expected: {start.sigma_min: [0.2, 0], verdict: [invertible, singular], start.loss: [1.75]}\n"


def parse(tail: str = "") -> specs.Spec:
    return builders.parse(SPEC + tail)


def test_what_is_expected_belongs_to_each_cell_and_changes_no_name() -> None:
    with_, without = parse(RIGHT), parse()
    assert [cell.cell_id for cell in with_.cells] == [cell.cell_id for cell in without.cells]
    assert [cell.resolved() for cell in with_.cells] == [cell.resolved() for cell in without.cells]
    first, second = (cell.expected for cell in with_.cells)
    assert first == (("start.sigma_min", 0.2), ("verdict", "invertible"), ("start.loss", 1.75))
    assert second == (("start.sigma_min", 0), ("verdict", "singular"), ("start.loss", 1.75))
    assert without.cells[0].expected == ()
    assert hash(with_.cells[0]) == hash(parse(RIGHT).cells[0])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("{start.sigma_mim: [0.2]}", "did you mean 'start.sigma_min'?"),
        ("{sigma_min: [0.2]}", "is not known; allowed: verdict, status, point, start.METRIC, end.METRIC, run.METRIC"),
        ("{run.loss: [0.2]}", "is not known; allowed: verdict, status, point, start.METRIC, end.METRIC, run.METRIC"),
        ("{start.loss: [1, 2, 3]}", "3 values; allowed: 2, one for each configuration, or 1"),
        ("{start.loss: [yes please]}", "'yes please' is not allowed; allowed: a number"),
        ("{start.loss: [true]}", "allowed: a number"),
        ("{verdict: [certain]}", "allowed: invertible, undecided, singular"),
        ("{status: [done]}", "allowed: finished, diverged"),
        ("{verdict: invertible}", "a list"),
        ("{point: [minimum]}", "allowed: global minimum, approaching infimum"),
        ("{start.loss: [{between: [2, 1]}]}", "allowed: a number, {between: [low, high]}"),
        ("{start.loss: [{between: [1]}]}", "allowed: a number, {between: [low, high]}"),
        ("{start.loss: [{between: [1, 2], claimed: 1}]}", "allowed: a number, {between: [low, high]}"),
        ("{start.loss: [{between: [1, 2], published: one}]}", "allowed: a number, {between: [low, high]}"),
        ("{start.loss: [{published: 1}]}", "allowed: a number, {between: [low, high]}"),
    ],
)
def test_what_cannot_be_expected_is_said_with_its_place(wrong: str, words: str) -> None:
    with pytest.raises(errors.InputError) as error:
        parse(f"expected: {wrong}\n")
    assert words in str(error.value)
    assert str(error.value).startswith(f"t.yaml:{len(SPEC.splitlines()) + 1}:")


def test_a_number_agrees_within_its_error_bar_and_rounding() -> None:
    facts = {"verdict": "undecided", "status": "finished"}
    last = {"sigma_min": 0.2 + 3e-6, "sigma_min_error": 2e-6, "loss": 2e6 + 1e-4, "grad_norm": math.nan}
    recorded = [records.Record(0, {"loss": 1.0}), records.Record(1, last)]

    together = {"trace_batch_sharpness": 2.0, "trace_batch_sharpness_error": 0.1, "crossings": 3.0}

    def agrees(name: str, value: float | str) -> bool:
        (found,) = expected.compare([config.Expected(name, value)], facts, recorded, together)
        return found.agrees

    assert not agrees("end.sigma_min", 0.2)
    assert agrees("end.sigma_min", 0.2 + 1.5e-6)
    assert agrees("start.loss", 1.0) and not agrees("start.loss", 1.0 + 1e-9)
    assert agrees("end.loss", 2e6) and not agrees("end.loss", 2e6 - 1e-3)
    assert not agrees("start.sigma_min", 0.2), "what was not recorded agrees with nothing"
    assert not agrees("end.grad_norm", 0.0), "not a number agrees with nothing"
    assert agrees("verdict", "undecided") and not agrees("verdict", "invertible")
    assert agrees("status", "finished")
    assert agrees("run.trace_batch_sharpness", 2.09) and not agrees("run.trace_batch_sharpness", 2.11)
    assert agrees("run.crossings", 3.0) and not agrees("run.log_volume", 3.0)


@pytest.mark.parametrize("name", ["start.sigma_min", "end.state_sigma_min"])
def test_a_distance_of_nothing_must_fire_and_any_other_must_not(name: str) -> None:
    assert [expected.Found(name, value, value, 0.0).fires for value in (0.0, 0.2)] == [True, False]
    assert expected.Found("start.loss", 0.0, 0.0, 0.0).fires is None


def test_the_table_says_what_disagrees_and_what_is_not_there(home: pathlib.Path) -> None:
    out = io.StringIO()
    console = rich.console.Console(file=out, width=160)
    good = parse(RIGHT).cells
    assert controls.show(good, None, console) == (0, 0, 2)
    for cell in good:
        run.run_seeds(cell, (0,), device="cpu", command="")
    assert controls.show(good, None, console) == (6, 0, 0)
    assert "controls: 6 agree, 0 disagree" in out.getvalue()
    bad = parse(RIGHT.replace("0.2, 0]", "0.2, 0.1]").replace("invertible, singular", "invertible, invertible")).cells
    assert controls.show(bad, None, console) == (4, 2, 0)
    assert "disagrees" in out.getvalue()
    assert controls.show(parse().cells, None, console) == (0, 0, 0)


def test_the_word_of_older_specs_means_the_same() -> None:
    old, new = (parse(RIGHT.replace("invertible", word)).cells for word in ("certified", "invertible"))
    assert [cell.expected for cell in old] == [cell.expected for cell in new]


CONTROLS = {one.name: one.cells for one in specs.read_all([workspace.CHECKOUT / "specs" / "controls"])}
QUICK = ("c1-quadratic", "c2-linear", "c3-critical", "c5-figure-1", "c10-saddles", "c12-two-points", "f6-bias-free")


def test_every_control_expects_something() -> None:
    every = [cell for cells in CONTROLS.values() for cell in cells]
    assert all(cell.expected for cell in every)
    assert sum(len(cell.expected) * cell.seeds for cell in every) > 300
    assert {word for cell in every for name, word in cell.expected if name == "verdict"} == {
        "invertible",
        "undecided",
        "singular",
    }


FAST = ("paper-figure-1", "paper-figure-3", "paper-figure-4-left", "paper-figure-4-right", "catapult")
FAST += ("deep-linear-plateaus", "sgd-attracted")
LITERATURE = [
    pytest.param(cell, id=cell.label, marks=() if cell.spec in FAST else pytest.mark.slow)
    for one in specs.read_all([workspace.CHECKOUT / "specs" / "literature"])
    for cell in one.cells
]


@pytest.mark.parametrize("cell", LITERATURE)
def test_what_the_literature_says_is_found_again(cell: config.Cell, home: pathlib.Path) -> None:
    folder = run.run_seeds(cell, [0], device="cpu", command="")[0]
    facts = run_folder.read_plain(folder)
    assert facts is not None
    assert not [row for row in controls.found_in(folder, cell, facts) if not row.agrees]


@pytest.mark.slow
def test_planted_runs_do_what_their_exponents_say(home: pathlib.Path) -> None:
    """Of one family here; `gdzoo run specs/planted` does all three."""
    folder = workspace.CHECKOUT / "specs" / "planted"
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    for one in specs.read_all([folder / "mlp-gd.yaml", folder / "mlp-sgd.yaml"]):
        for cell in one.cells:
            for path in run.run_seeds(cell, range(cell.seeds), device="cpu", command=""):
                found = behaviours.behaviour(cell, run_folder.read_records(path))
                assert found is not None
                counts[found.said, found.seen] += 1
    assert counts.total() == 105
    assert counts["attracts", "left"] == counts["repels", "stayed"] == 0
    assert counts["attracts", "stayed"] > 50 and counts["repels", "left"] > 20


@pytest.mark.parametrize("spec", builders.tiers(CONTROLS, QUICK))
def test_all_controls_agree(spec: str, home: pathlib.Path) -> None:
    console = rich.console.Console(file=io.StringIO(), width=200)
    cells = CONTROLS[spec]
    for cell in cells:
        for seed in range(cell.seeds):
            run.run_seeds(cell, (seed,), device="cpu", command="")
    agree, disagree, absent = controls.show(cells, None, console)
    assert (disagree, absent) == (0, 0), console.file.getvalue()  # type: ignore[attr-defined]
    assert agree == sum(len(cell.expected) * cell.seeds for cell in cells)


def test_a_range_agrees_with_what_lies_in_it_and_tells_what_was_published() -> None:
    cell = parse("expected: {end.loss: [{between: [1, 2], published: 1.5}], point: [strict saddle]}\n").cells[0]
    facts = {"end": {"point": "strict saddle"}}
    for loss, agrees in ((0.999, False), (1.0, True), (2.0, True), (2.001, False)):
        found = expected.compare(cell.expected, facts, [records.Record(0, {"loss": loss})])
        assert [row.agrees for row in found] == [agrees, True]
    assert expected.shown(cell.expected[0].value) == "1 to 2 (published: 1.5)"
    assert expected.shown(config.Range(0.5, 0.75)) == "0.5 to 0.75"
    assert not expected.compare(cell.expected, {"end": None}, [])[1].agrees
    for one in cell.expected:
        assert expected.of_plain(json.loads(json.dumps(expected.plain(one.value)))) == one.value
    wide = [config.Expected("end.sigma_min", config.Range(1.0, 2.0))]
    near = expected.compare(wide, {}, [records.Record(0, {"sigma_min": 2.5, "sigma_min_error": 0.6})])
    below = expected.compare(wide, {}, [records.Record(0, {"sigma_min": 0.5, "sigma_min_error": 0.6})])
    assert near[0].agrees and below[0].agrees, "an error bar counts at the edges too"


def test_seeds_share_a_row_with_the_median_and_the_range_of_what_they_show(home: pathlib.Path) -> None:
    spec = (
        parse("expected: {start.loss: [{between: [-99, 99]}], status: [finished]}\n")
        .cells[0]
        .model_copy(update={"start": config.Random(name="random")})
    )
    for seed in range(3):
        run.run_seeds(spec, [seed], device="cpu", command="")
    printed = io.StringIO()
    outcome = controls.show([spec], 3, rich.console.Console(file=printed, width=160))
    assert outcome == (6, 0, 0)
    text = printed.getvalue()
    assert text.count("3 of 3 agree") == 2 and " to " in text.split("start.loss")[1].splitlines()[0]
    assert text.count("finished") == 2, "what all seeds say is said once"
    again = controls.show([spec], 4, rich.console.Console(file=printed, width=160))
    assert again == (6, 0, 1)
