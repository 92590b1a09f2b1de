# SPDX-License-Identifier: Apache-2.0
"""One run from cell to folder: the same bits after every cut, divergence as a result, the step size resolved."""

from __future__ import annotations

import functools
import math
import pathlib
from fractions import Fraction
from typing import Any

import jax
import numpy as np
import pytest

from harness import config, diagnostics, errors, metrics, records, specs
from harness.cli import overview
from harness.records import run_folder
from harness.runs import events, outline
from harness.runs import run as runs
from harness.training import problem
from tests import builders

cell = functools.partial(
    builders.cell,
    data=builders.digits(40),
    optimizer=builders.gd({"eta_lambda": 0.7}),
    steps=20,
    checkpoints=5,
    curvature="dense",
    seeds=2,
)
parsed = functools.partial(builders.cell, data=builders.digits(30), model=builders.mlp(3), checkpoints=2)


def run(cell: config.Cell, seed: int = 0, **options: object) -> pathlib.Path:
    (folder,) = runs.run_seeds(cell, (seed,), device="cpu", command="gdzoo run t.yaml", **options)  # type: ignore[arg-type]
    return folder


def test_a_run_leaves_its_facts_and_a_record_at_every_checkpoint(home: pathlib.Path) -> None:
    one = cell()
    folder = run(one)
    assert folder == home / "runs" / "tests" / one.run_id(0)
    facts = run_folder.read_plain(folder)
    assert facts is not None
    assert facts["status"] == "finished"
    assert facts["verdict"] == "invertible"
    assert facts["parameters"] == 64 * 4 + 4 + 4 * 10 + 10
    assert facts["dataset"]["examples"] == 40
    found = run_folder.read_records(folder)
    assert [record.step for record in found] == list(config.checkpoint_steps(20, 5))
    asked = {metric for name in diagnostics.DEFAULT for metric in diagnostics.DIAGNOSTICS[name].metrics}
    assert all(set(record.values) == asked <= set(metrics.METRICS) for record in found)
    assert found[-1].values["loss"] < found[0].values["loss"]
    assert specs.read(_as_spec(folder)).cells[0].cell_id == one.cell_id


def _as_spec(folder: pathlib.Path) -> pathlib.Path:
    copy = folder.parent / "copy.yaml"
    copy.write_text((folder / "cell.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    return copy


def test_eta_lambda_is_resolved_for_each_seed_and_rounded_to_the_training_precision(home: pathlib.Path) -> None:
    etas = []
    for seed in (0, 1):
        folder = run(cell(), seed)
        facts, first = run_folder.read_plain(folder), run_folder.read_records(folder)[0]
        assert facts is not None
        assert facts["eta"] * first.values["sharpness"] == pytest.approx(0.7, rel=1e-7)
        assert facts["eta"] == float(np.float32(facts["eta"]))
        etas.append(facts["eta"])
    assert etas[0] != etas[1]


def test_probes_are_drawn_for_each_cell_and_training_is_not(home: pathlib.Path) -> None:
    """Two cells that differ in their length alone take the same steps from one seed, and ask with other probes."""
    sgd = builders.sgd(0.3, 4)
    runs = [
        run_folder.read_records(
            run(cell(optimizer=sgd, steps=steps, curvature="lanczos", diagnostics=["fit", "singularity"]))
        )
        for steps in (20, 21)
    ]
    for long, short in zip(*(found[:3] for found in runs), strict=True):
        assert (long.step, long.values["loss"]) == (short.step, short.values["loss"])
        assert long.values["log_abs_det"] != short.values["log_abs_det"]


def test_dense_and_lanczos_record_the_same_run(home: pathlib.Path) -> None:
    optimizer = builders.gd(0.3)
    pairs = zip(
        run_folder.read_records(run(cell(optimizer=optimizer))),
        run_folder.read_records(run(cell(optimizer=optimizer, curvature="lanczos"))),
        strict=True,
    )
    for dense, sparse in pairs:
        assert dense.values["loss"] == sparse.values["loss"]
        for name, error in (("sharpness", "sharpness_error"), ("sigma_min", "sigma_min_error")):
            allowed = dense.values[error] + sparse.values[error]
            assert abs(dense.values[name] - sparse.values[name]) <= allowed
        assert math.isnan(sparse.values["n_negative"])
        slack = dense.values["sharpness_error"]
        assert sparse.values["sharpness_upper"] >= dense.values["sharpness"] - slack
        assert sparse.values["lambda_min_lower"] <= dense.values["lambda_min"] + slack


@pytest.mark.parametrize(
    ("optimizer", "asked"),
    [
        (builders.gd({"eta_lambda": 0.7}), "auto"),
        pytest.param(builders.sgd(0.2, 8), [*diagnostics.DIAGNOSTICS], marks=pytest.mark.thorough),
    ],
)
def test_a_run_cut_at_any_checkpoint_ends_with_the_same_bits(
    optimizer: builders.Part, asked: object, home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    activation = "tanh" if asked == "auto" else "relu"
    one = cell(optimizer=optimizer, model=builders.mlp(4, activation=activation), diagnostics=asked)
    whole = run(one)
    expected = (whole / "records.jsonl").read_bytes(), run_folder.load_state(whole)
    spectra = (whole / "spectra.jsonl").read_bytes()
    for cut in config.checkpoint_steps(20, 5)[:-1]:
        monkeypatch.setenv("GDZOO_HOME", str(home / f"cut-{cut}"))

        def stop(event: events.Event, cut: int = cut) -> None:
            if event.kind == "record" and event.step == cut:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(one, tell=stop)
        folder = run_folder.folder("tests", one.run_id(0))
        assert run_folder.status(folder) == "interrupted"
        assert [r.step for r in run_folder.read_records(folder)][-1] == cut
        # Killed between the record of a step and its state: the record is made again, not doubled.
        run_folder.append(folder, records.Record(19, {"loss": 1.0}))
        run_folder.append_spectrum(folder, 19, run_folder.read_spectra(folder)[0][1])
        run(one)
        assert run_folder.status(folder) == "finished"
        assert (folder / "records.jsonl").read_bytes() == expected[0]
        assert (folder / "spectra.jsonl").read_bytes() == spectra
        state = run_folder.load_state(folder)
        assert state is not None
        assert expected[1] is not None
        assert (state[1]["theta"] == expected[1][1]["theta"]).all()


def test_a_run_keeps_its_spectra_with_their_bits_and_error_bars(home: pathlib.Path) -> None:
    one = cell(optimizer=builders.gd(0.3), curvature="lanczos")
    folder = run(one)
    found, kept = run_folder.read_records(folder), run_folder.read_spectra(folder)
    assert [step for step, _ in kept] == [record.step for record in found]
    for record, (_, known) in zip(found, kept, strict=True):
        assert known.values[-1] == record.values["sharpness"]
        assert known.errors[0] == record.values["lambda_min_error"]
        assert (known.size, known.complete) == (310, False)
    with (folder / "spectra.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"step": 20, "val')
    assert len(run_folder.read_spectra(folder)) == len(kept), "a torn line is ignored"


def test_each_diagnostic_is_asked_when_its_schedule_says_and_the_rest_is_left_out(home: pathlib.Path) -> None:
    sgd = builders.sgd(0.2, 8)
    relu = builders.mlp(4, activation="relu")
    folder = run(cell(optimizer=sgd, model=relu, diagnostics=["sweep", "exponents", "minibatches"]))
    facts, found = run_folder.read_plain(folder), run_folder.read_records(folder)
    assert facts is not None
    assert facts["left_out"] == dict.fromkeys(
        (
            "sharpness",
            "singularity",
            "gaps",
            "critical",
            "kinks",
            "changes",
            "inverse",
            "progress",
            "departure",
            "minimum",
            "stability",
            "layers",
        ),
        "not named",
    ) | {
        "state": "steps have no momentum",
        "margin": "it certifies the infimum of ce on labels alone",
        "displacement": "runs do not begin at a planted point",
        "saddle": "runs do not begin at a planted saddle",
        "escape": "runs do not begin at a planted saddle",
        "flip": "it is of the map of the whole batch, and steps see mini-batches",
    }
    assert facts["verdict"] == "undecided", "sigma_min was not asked for"
    assert not (folder / "spectra.jsonl").exists()
    names = [set(record.values) for record in found]
    rows = diagnostics.DIAGNOSTICS
    ends = {*rows["fit"].metrics, *rows["exponents"].metrics, *rows["minibatches"].metrics}
    assert names == [ends, *[set(rows["fit"].metrics)] * 3, ends | set(rows["sweep"].metrics)]
    for row in found[-1:]:
        assert 0 <= row.values["sweep_zero"] <= row.values["sweep_zero_error"] < 1e-6
    gd = run_folder.read_plain(run(cell()))
    assert gd is not None
    assert gd["left_out"]["minibatches"] == "every step sees the whole batch"
    assert gd["left_out"]["kinks"] == "the risk is analytic everywhere: it has no kinks"
    assert gd["left_out"]["sweep"] == "auto takes the cheap ones"
    assert overview.left_out([cell()], None) == (
        "not measured: sweep, inverse, exponents, progress, departure, minimum, flip, layers in 1 run; "
        "`gdzoo check` says why and what it would cost"
    )
    assert overview.left_out([parsed()], None) == "", "a run that is not there"


def test_a_diagnostic_s_numbers_do_not_depend_on_those_beside_it(home: pathlib.Path) -> None:
    sgd = builders.sgd(0.2, 8)
    alone, beside = (
        run_folder.read_records(run(cell(optimizer=sgd, diagnostics=names, curvature="lanczos")))[-1].values
        for names in (["exponents"], ["singularity", "minibatches", "exponents"])
    )
    assert {name: beside[name] for name in alone} == alone


def test_divergence_is_a_result_with_its_step(home: pathlib.Path) -> None:
    folder = run(cell(optimizer=builders.gd(1e6), model=builders.mlp(4, activation="identity"), steps=200))
    facts, found = run_folder.read_plain(folder), run_folder.read_records(folder)
    assert facts is not None
    assert facts["status"] == "diverged"
    assert 0 < facts["diverged_at"] <= 200
    assert found
    # Float64 may still hold, at that very step, what float32 no longer does.
    assert all(record.step <= facts["diverged_at"] for record in found)
    assert len(found) < 5
    assert all(np.isfinite(record.values["loss"]) for record in found)


def test_a_failure_is_recorded_and_tried_again(home: pathlib.Path) -> None:
    def fail(event: events.Event) -> None:
        if event.kind == "record":
            raise RuntimeError("no")

    one = cell()
    with pytest.raises(RuntimeError):
        run(one, tell=fail)
    folder = run_folder.folder("tests", one.run_id(0))
    assert run_folder.status(folder) == "failed"
    run(one)
    assert run_folder.status(folder) == "finished"


def test_a_run_that_goes_on_elsewhere_says_so_and_other_data_begin_anew(home: pathlib.Path) -> None:
    one = cell()

    def stop(event: events.Event) -> None:
        if event.kind == "record" and event.step > 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(one, tell=stop)
    folder = run_folder.folder("tests", one.run_id(0))
    first = run_folder.read_plain(folder)
    assert first is not None
    cut = run_folder.read_records(folder)[-1].step
    seen: list[int] = []

    def see(event: events.Event) -> None:
        if event.kind == "record":
            seen.append(event.step)
            raise KeyboardInterrupt

    elsewhere = [{**first["environments"][0], "device": "another machine"}]
    run_folder.write_plain(folder, {**first, "environments": elsewhere})
    with pytest.raises(KeyboardInterrupt):
        run(one, tell=see)
    again = run_folder.read_plain(folder)
    assert again is not None
    assert seen.pop() > cut, "it goes on"
    assert [(place["from"], place["device"]) for place in again["environments"]] == [
        (0, "another machine"),
        (cut, "cpu"),
    ]
    assert again["environments"][1]["commit"] == first["commit"]
    with pytest.raises(KeyboardInterrupt):
        run(one, tell=see)
    named = (run_folder.read_plain(folder) or {})["environments"]
    assert named == again["environments"], "the same place is named once"
    # Where no step was made, nobody was.
    step = run_folder.read_records(folder)[-1].step
    nowhere = [*again["environments"], {**again["environments"][1], "from": step, "device": "nowhere"}]
    run_folder.write_plain(folder, {**again, "environments": nowhere})
    with pytest.raises(KeyboardInterrupt):
        run(one, tell=see)
    assert (run_folder.read_plain(folder) or {})["environments"] == again["environments"]
    other = {**again["dataset"], "sha256": "0" * 64}
    run_folder.write_plain(folder, {**again, "dataset": other, "eta": 123.0, "status": "interrupted"})
    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        run(one, tell=see)
    assert seen == [0], "other data are another problem"
    assert (run_folder.read_plain(folder) or {})["eta"] == first["eta"]


@pytest.mark.parametrize("schedule", [{"name": "constant"}, {"name": "cosine", "to": 1e-15}])
def test_a_step_size_that_the_precision_cannot_hold_is_refused(schedule: dict[str, Any], home: pathlib.Path) -> None:
    ratio = 1e-10 if schedule["name"] == "constant" else 1.0
    relative = builders.gd({"eta_lambda": ratio}, schedule=schedule)
    with pytest.raises(errors.InputError, match=r"learning_rate: the step size becomes 1e-\d+; in float32, .* it is 0"):
        run(cell(**builders.quadratic(1e30), optimizer=relative))


STEEP = {
    "steep": ((1e12,), [1e8], 9e-13, "float32"),
    "giant": ((1e30, -1e30, 1.0), [1e130, 1.0, 1e130], 1e-31, "float64"),
}


@pytest.mark.parametrize("name", STEEP)
def test_a_run_whose_squares_overflow_goes_on_to_its_end(name: str, home: pathlib.Path) -> None:
    eigenvalues, theta, rate, precision = STEEP[name]
    start = {"name": "given", "theta": theta}
    folder = run(
        cell(
            **builders.quadratic(*eigenvalues),
            start=start,
            optimizer=builders.gd(rate),
            steps=8,
            checkpoints=9,
            precision=precision,
            trace={"top": 1, "every": 1},
            diagnostics=["margin", "singularity", "progress", "departure", "minimum", "flip", "kinks"],
        )
    )
    facts = run_folder.read_plain(folder)
    assert facts is not None and facts["status"] == "finished"
    end = run_folder.read_records(folder)[-1].values
    here = np.array(theta) * (1 - rate * np.array(eigenvalues)) ** 8
    assert end["loss"] == pytest.approx(0.5 * np.sum(np.array(eigenvalues) * here**2), rel=1e-4)
    largest = np.abs(np.array(eigenvalues) * here)
    assert end["grad_norm"] == pytest.approx(math.hypot(*largest), rel=1e-4)


def test_a_seed_beyond_the_specs_own_is_counted(home: pathlib.Path) -> None:
    facts = run_folder.read_plain(run(cell(), 4))
    assert facts is not None
    assert facts["seeds"] == 5


def test_a_seeds_bits_do_not_depend_on_other_seeds(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in (0, 1):
        run(cell(), seed)
    beside = (run_folder.folder("tests", cell().run_id(1)) / "records.jsonl").read_bytes()
    monkeypatch.setenv("GDZOO_HOME", str(home / "alone"))
    assert (run(cell(), 1) / "records.jsonl").read_bytes() == beside


def test_float64_training_is_float64(home: pathlib.Path) -> None:
    one = parsed(precision="float64")
    state = run_folder.load_state(run(one))
    assert state is not None
    assert state[1]["theta"].dtype == np.float64
    assert jax.config.jax_enable_x64


@pytest.mark.parametrize("loss", ["half_mse", "ce"])
def test_planted_targets_make_their_parameters_a_global_minimum(loss: str, home: pathlib.Path) -> None:
    one = parsed(data=builders.digits(30, targets={"planted": 5}), loss={"name": loss})
    ready = problem.problem(one)
    theta = ready.objective.init(jax.random.key(5)).astype("float64")
    risk, gradient, _ = (float(value) for value in ready.evaluate(theta, ready.exact))
    assert risk == pytest.approx(ready.infimum, abs=1e-14)
    assert gradient < 1e-14
    other = problem.problem(parsed(data=builders.digits(30, targets={"planted": 6})))
    labels = problem.problem(parsed())
    assert len({ready.arrays.sha256, other.arrays.sha256, labels.arrays.sha256}) == 3
    assert (ready.arrays.x == labels.arrays.x).all()


@pytest.mark.parametrize(
    "loss", [{"name": "smoothed_ce"}, {"name": "output"}, {"name": "half_mse", "weight_decay": 0.1}], ids=str
)
def test_targets_are_planted_only_where_they_are_a_minimum(loss: dict[str, object]) -> None:
    with pytest.raises(errors.InputError, match="data.targets: planted targets are a global minimum under half_mse"):
        parsed(data=builders.digits(30, targets={"planted": 5}), loss=loss)


def test_the_paper_s_figure_3(home: pathlib.Path) -> None:
    theta = [1.48, 1 / 1.48 + 0.1]
    for eta, ends in ((0.25, [(1.21013, 0.82636)]), (0.325, [(0.77152, 0.77152), (1.12978, 1.12978)])):
        one = parsed(
            data={"name": "paper_pair"},
            model={"family": "paper_net", "activation": "relu"},
            start={"name": "given", "theta": theta},
            optimizer=builders.gd(eta),
            steps=3000,
            precision="float64",
        )
        state = run_folder.load_state(run(one))
        assert state is not None
        assert min(float(np.abs(state[1]["theta"] - end).max()) for end in ends) < 1e-5
        facts = run_folder.read_plain(run_folder.folder("tests", one.run_id(0)))
        assert facts is not None
        assert facts["dataset"]["classes"] == 1
        assert all(np.isnan(r.values["train_accuracy"]) for r in run_folder.read_records(run(one)))


def test_a_given_start_has_the_size_of_the_network(home: pathlib.Path) -> None:
    one = parsed(start={"name": "given", "theta": [1.0, 2.0]})
    message = "tests/t: start.theta: 2 numbers; the network has 235 parameters"
    with pytest.raises(errors.InputError, match=message):
        outline.outline(one)
    with pytest.raises(errors.InputError, match="the network has 235 parameters"):
        run(one)


def test_eta_lambda_needs_a_positive_eigenvalue_at_the_start(home: pathlib.Path) -> None:
    one = parsed(
        **builders.quadratic(0.0, -1.0),
        optimizer=builders.gd({"eta_lambda": 1.5}),
    )
    with pytest.raises(errors.InputError, match="eta_lambda needs a positive eigenvalue"):
        run(one)


@pytest.mark.parametrize("curvature", ["dense", "lanczos"])
def test_eta_lambda_needs_a_finite_hessian_at_the_start(home: pathlib.Path, curvature: str) -> None:
    one = parsed(
        data={"name": "point"},
        model={"family": "paper_net", "activation": "identity"},
        start={"name": "given", "theta": [1e200, 1e200]},
        optimizer=builders.gd({"eta_lambda": 1.5}),
        precision="float64",
        curvature=curvature,
    )
    with pytest.raises(errors.InputError, match="the Hessian is not finite there; give a number, or another start"):
        run(one)


@pytest.mark.parametrize("curvature", ["dense", "lanczos"])
def test_a_start_that_is_not_finite_has_diverged_at_step_0(home: pathlib.Path, curvature: str) -> None:
    one = parsed(
        data={"name": "point"},
        model={"family": "paper_net", "activation": "identity"},
        start={"name": "given", "theta": [1e200, 1e200]},
        optimizer=builders.gd(0.1),
        precision="float64",
        curvature=curvature,
    )
    folder = run(one)
    facts = run_folder.read_plain(folder)
    assert facts is not None
    assert (facts["status"], facts["diverged_at"], facts["verdict"]) == ("diverged", 0, "undecided")
    assert run_folder.read_records(folder) == []


@pytest.mark.parametrize("curvature", ["dense", "lanczos"])
def test_where_the_gradient_and_the_hessian_are_zero_a_run_stays_and_says_so(
    home: pathlib.Path, curvature: str
) -> None:
    one = parsed(
        data={"name": "point"},
        model={"family": "deep_linear", "hidden": [1, 1]},
        start={"name": "given", "theta": [0.0, 0.0, 0.0]},
        optimizer=builders.gd(1.0),
        precision="float64",
        curvature=curvature,
    )
    folder = run(one)
    for record in run_folder.read_records(folder):
        assert (record.values["grad_norm"], record.values["loss"], record.values["sigma_min"]) == (0, 0.5, 1)
        assert (record.values["sharpness"], record.values["lambda_min"], record.values["n_negative"]) == (0, 0, 0)
        unknown = {name for name, value in record.values.items() if np.isnan(value)}
        assert unknown <= {"train_accuracy", "chance", "relative_gap"}, "only what numbers as targets do not have"
    facts = run_folder.read_plain(folder)
    assert facts is not None and facts["verdict"] == "invertible", "a basis that spans the space knows all"


@pytest.mark.parametrize("curvature", ["dense", "lanczos"])
@pytest.mark.parametrize(("theta", "ties"), [([0.0, 0.0], 4), ([0.0, 0.7], 4), ([0.7, 0.0], 2)])
def test_on_a_kink_the_numbers_are_those_of_the_side_that_autodiff_takes(
    home: pathlib.Path, curvature: str, theta: list[float], ties: int
) -> None:
    one = parsed(
        data={"name": "paper_pair"},
        model={"family": "paper_net", "activation": "relu"},
        start={"name": "given", "theta": theta},
        precision="float64",
        curvature=curvature,
    )
    ready = problem.problem(one)
    at = np.array(theta)
    margins = ready.margins(at, ready.exact.x)
    assert sum(int(np.sum(np.asarray(array) == 0)) for array in margins.values()) == ties
    asked = ("fit", "sharpness", "singularity", "gaps", "critical", "kinks")
    found = builders.measured(ready, jax.numpy.asarray(theta), 0.3, names=asked)
    # relu'(0) = 0: output, gradient and Hessian are those of the dead side.
    assert (found["grad_norm"], found["sharpness"], found["sigma_min"], found["log_abs_det"]) == (0, 0, 1, 0)
    undefined = {"train_accuracy", "chance", "relative_gap", "flip_fraction"}
    undefined |= {"gradient_defect", "gradient_defect_error"}
    assert {name for name, value in found.items() if np.isnan(value)} <= undefined


@pytest.mark.parametrize(("eta", "said"), [(1.0, "singular"), (0.9, "invertible")])
def test_a_run_at_a_step_size_known_to_be_bad_is_singular(eta: float, said: str, home: pathlib.Path) -> None:
    relu = builders.mlp(3, activation="relu")
    one = parsed(model=relu, optimizer=builders.gd(eta), curvature="dense")
    facts = run_folder.read_plain(run(one))
    assert facts is not None
    assert facts["verdict"] == said
    assert [bad["eta"] for bad in facts["theory"]["bad_steps"]] == [1.0]


def test_a_schedule_hides_no_bad_step_that_the_run_took(home: pathlib.Path) -> None:
    relu = builders.mlp(3, activation="relu")
    schedule = {"name": "piecewise", "at": [2], "factors": [2.0]}
    optimizer = builders.gd(0.5, schedule=schedule)
    facts = run_folder.read_plain(run(parsed(model=relu, optimizer=optimizer, curvature="dense")))
    assert facts is not None and facts["verdict"] == "singular"
    assert facts["bad_step"] == {"eta": 1.0, "step": 2, "distance": 0.0, "source": "F6, ours"}
    one = parsed(model=relu, optimizer=optimizer, curvature="dense", target={"loss": 1e9})
    facts = run_folder.read_plain(run(one))
    assert facts is not None and facts["reached_at"] == 0
    assert facts["verdict"] == "invertible", "the run ended before the bad step"


@pytest.mark.parametrize(
    ("precision", "eta", "verdict", "open_at"),
    [("float64", 1 / 3, "undecided", 2), ("float32", 0.33333334, "invertible", 0)],
)
def test_next_to_a_bad_step_the_verdict_is_that_of_the_points(
    precision: str, eta: float, verdict: str, open_at: int, home: pathlib.Path
) -> None:
    one = parsed(
        **builders.quadratic(3.0),
        optimizer=builders.gd(eta),
        precision=precision,
    )
    facts = run_folder.read_plain(run(one))
    assert facts is not None and facts["verdict"] == verdict
    used = float(np.asarray(eta, precision))
    assert facts["bad_step"] == {"eta": used, "step": 0, "distance": float(abs(1 - 3 * Fraction(used))), "source": "C1"}
    assert facts["doubt"] == ({"step": 0, "because": "within error bars", "steps": open_at} if open_at else None)


def test_weights_are_those_of_the_mean(home: pathlib.Path) -> None:
    one = parsed(
        data={"name": "paper_pair", "weights": [3.0, 1.0]},
        model={"family": "paper_net", "activation": "relu"},
        start={"name": "given", "theta": [1.0, 0.5]},
        precision="float64",
    )
    first = run_folder.read_records(run(one))[0]
    by_hand = (3 * 0.5 * (0.45 - 0.9) ** 2 + 0.5 * (1.25 - 2.5) ** 2) / 4
    assert first.values["loss"] == pytest.approx(by_hand, rel=1e-12)
    assert first.values["loss_gap"] == first.values["loss"]


def test_weight_decay_is_half_the_squared_norm(home: pathlib.Path) -> None:
    plain, decayed = parsed(), parsed(loss={"name": "half_mse", "weight_decay": 0.25})
    theta = problem.problem(plain).objective.init(jax.random.key(0)).astype("float64")
    ready = problem.problem(plain)
    without = float(ready.objective.risk(theta, ready.exact))
    ready = problem.problem(decayed)
    assert float(ready.objective.risk(theta, ready.exact)) == pytest.approx(without + 0.125 * float(theta @ theta))
    assert np.isnan(ready.infimum)
