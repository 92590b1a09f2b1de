# SPDX-License-Identifier: Apache-2.0
"""What is certified before any training: whole maps, pieces, ranges of step sizes, and what is left over."""

from __future__ import annotations

import functools
import io
import json
import pathlib

import jax
import numpy as np
import pytest
import rich.console

from harness.cli import certificates
from harness.curvature import dense, exclusion, operators
from harness.curvature import spectrum as spectra
from harness.theory import certify, evidence, step_sizes
from tests import builders

cell = functools.partial(builders.cell, optimizer=builders.gd(0.3), precision="float64", steps=2)
TANH = builders.mlp(4, 3)
RELU = builders.mlp(4, 3, activation="relu")
RELU6 = builders.mlp(4, 3, activation="relu6")
"""Of this one not all bad step sizes are known from its layers."""


def test_an_analytic_network_is_certified_at_eta_and_at_every_step_size(home: pathlib.Path) -> None:
    for rate in (0.3, 1.0, {"eta_lambda": 1.0}):
        found = certify.certify(cell(model=TANH, optimizer=builders.gd(rate)))
        assert found.verdict == "certified"
        assert {one.method for one in found.evidence} == {"closed form"}
        assert found.range.candidates == ()
        assert found.range.below > 1e9
    # At eta = 1 the first closed point is no help: the last bias has the eigenvalue 1 there.
    first, *others = certify.certify(cell(model=TANH, optimizer=builders.gd(1.0))).evidence
    assert not first.certifies(1.0)
    assert all(one.certifies(1.0) for one in others)


def test_heavy_ball_is_certified_where_descent_is_singular_and_nesterov_is_not(home: pathlib.Path) -> None:
    found = {}
    for name in ("heavy_ball", "nesterov"):
        optimizer = {"name": name, "learning_rate": 0.5, "momentum": 0.9}
        found[name] = certify.certify(cell(**builders.quadratic(2.0, 1.0), optimizer=optimizer))
    assert {name: one.verdict for name, one in found.items()} == {"heavy_ball": "certified", "nesterov": "singular"}
    assert found["heavy_ball"].evidence == (), "points of plain descent would say nothing of its map"
    said = list(certificates.sentences(found["heavy_ball"]))
    assert all("left over" not in line and ".." not in line for line in said)
    assert any("(F11)" in line for line in certificates.sentences(found["nesterov"]))


def test_closed_and_dense_points_agree_on_the_map(home: pathlib.Path) -> None:
    found = certify.certify(cell(model=TANH))
    for one in evidence._dense(evidence.Landscape(found.cell.data, found.cell.model, found.cell.loss), 2):
        assert one.certifies(0.3)
        assert one.spectrum.size == found.parameters == len(one.spectrum.values)


def test_without_a_closed_point_dense_ones_serve(home: pathlib.Path) -> None:
    one = {"family": "resnet", "channels": [2], "blocks": 1, "activation": "tanh"}
    data = builders.classes(examples=6, shape=[4, 4, 1])
    found = certify.certify(cell(model=one, data=data), 2)
    assert found.verdict == "certified"
    assert [point.method for point in found.evidence] == ["dense", "dense"]
    assert "to set to zero" in found.missing
    assert found.range.candidates == ()


GELU = {"family": "resnet", "channels": [3], "blocks": 1, "activation": "gelu", "bias": False}
IMAGES = builders.classes(examples=6, shape=[5, 5, 1])


@functools.cache
def exact(seed: int) -> np.ndarray:
    """Returns all eigenvalues at the point of that seed at which Lanczos is asked, by the dense method."""
    one = cell(model=GELU, data=IMAGES, curvature="lanczos")
    ready = evidence._ready(evidence.Landscape(one.data, one.model, one.loss))
    theta = 2.0**-seed * ready.objective.init(jax.random.key(seed)).astype("float64")
    matrix = dense.matrix(operators.hessian(ready.objective.risk), ready.objective.size)((theta, ready.exact))
    return np.asarray(dense.spectrum(np.asarray(matrix)).values)


def test_lanczos_points_know_what_the_dense_method_knows_above_their_bound(home: pathlib.Path) -> None:
    found = certify.certify(cell(model=GELU, data=IMAGES, curvature="lanczos"), 2)
    assert [one.method for one in found.evidence] == ["Lanczos", "Lanczos"]
    for seed, one in enumerate(found.evidence):
        assert one.unseen is not None
        truth, listed = exact(seed), one.spectrum.values[one.spectrum.values > one.unseen]
        assert found.parameters == len(truth) > exclusion.PRODUCTS + exclusion.STEPS, "else the space is spanned whole"
        assert len(listed) >= 5
        assert listed == pytest.approx(truth[truth > one.unseen], abs=one.spectrum.coupling), "one for one"
        assert truth[truth < one.unseen].max() > 0.05 * one.unseen, "something is left to be excluded"


def test_what_lanczos_points_certify_the_dense_method_certifies_too(home: pathlib.Path) -> None:
    for seed, one in enumerate(certify.certify(cell(model=GELU, data=IMAGES, curvature="lanczos"), 2).evidence):
        truth, alone = exact(seed), step_sizes.certified([one.spectrum])
        assert 1 / alone.below >= truth[truth <= one.unseen].max()
        for value in truth[truth > 1e-9]:
            eta = 1 / float(value)
            assert not one.certifies(eta), "an eigenvalue, seen or not, is never excluded"
            left = eta >= alone.below or any(x.low <= eta <= x.high for x in alone.candidates)
            assert left, f"{eta} is bad for all that is known, and was certified"
        for eta in np.random.default_rng(0).uniform(0, alone.below, 200):
            value, error = one.sigma(float(eta))
            assert value - error - 1e-12 <= np.abs(1 - eta * truth).min() <= value + error + 1e-12


def test_the_error_bar_of_a_point_known_in_part_reaches_down_to_what_was_not_seen() -> None:
    known = spectra.Spectrum(np.array([2.0]), np.array([1e-9]), False, 99, 1, rest=0.5, coupling=1e-9)
    value, error = evidence.Evidence("Lanczos", "", known, "").sigma(1.2)
    assert value == pytest.approx(1.4)
    assert value - error == pytest.approx(1 - 1.2 * 0.5), "an eigenvalue of 0.5 was not excluded"


def test_a_lanczos_certificate_says_by_what_it_may_fail(home: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = certify.certify(cell(model=GELU, data=IMAGES, curvature="lanczos"), 2)
    assert found.verdict == "certified"
    assert found.why.endswith("at a point (Lanczos; F3), false with probability 1e-12 at most")
    assert found.failure == 2e-12
    lines = list(certificates.sentences(found))
    assert any(
        "rounding of eigenvalues taken 100 times; false with probability 2e-12 at most" in line for line in lines
    )
    assert any("known and all others below" in line for line in lines)
    plain = found.as_dict()
    assert plain["failure_probability"] == 2e-12
    assert plain["every_step_below"] == found.range.below < 1e6
    assert all(point["lambda_min"] is None and point["unseen_below"] > 0 for point in plain["points"])
    json.dumps(plain, allow_nan=False)


def test_a_step_size_beyond_what_lanczos_saw_is_undecided(home: pathlib.Path) -> None:
    beyond = 2 * certify.certify(cell(model=GELU, data=IMAGES, curvature="lanczos"), 2).range.below
    found = certify.certify(cell(model=GELU, optimizer=builders.gd(beyond), data=IMAGES, curvature="lanczos"), 2)
    assert (found.verdict, found.why.startswith("no point excludes that 1/η = ")) == ("undecided", True)
    dense_one = certify.certify(cell(model=GELU, optimizer=builders.gd(beyond), data=IMAGES), 1)
    assert dense_one.verdict == "certified", "by the dense method"


def test_a_network_with_pieces_too_large_for_dense_is_undecided(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "LIMIT", 10)
    one = {"family": "paper_net", "activation": "tanh"}
    small = certify.certify(cell(model=one, data={"name": "point"}))
    assert small.evidence
    found = certify.certify(cell(model=builders.mlp(7, activation="relu6")))
    assert found.verdict == "undecided"
    assert found.evidence == ()
    assert found.range == (0.0, ())
    assert found.why == "no point: 52 parameters are more than 10, and the risk has pieces"
    told = certify.certify(cell(model=RELU6, curvature="lanczos"))
    assert told.evidence == ()
    assert told.why == "no point: the spec says `curvature: lanczos`, and the risk has pieces"


def test_weight_decay_is_left_over_and_known(home: pathlib.Path) -> None:
    loss = {"name": "ce", "weight_decay": 0.125}
    found = certify.certify(cell(model=TANH, loss=loss))
    assert found.verdict == "certified"
    (left,) = found.range.candidates
    assert left.low <= 8.0 <= left.high
    assert certify.known(found.theory, left) == "F10, ours"
    assert certify.certify(cell(model=TANH, loss=loss, optimizer=builders.gd(8.0))).verdict == "singular"


def test_a_map_that_is_the_same_everywhere_leaves_all_its_critical_steps(home: pathlib.Path) -> None:
    linear = builders.mlp(activation="relu")
    found = certify.certify(cell(model=linear))
    eigenvalues = {round(float(value), 9) for value in found.evidence[0].spectrum.values if value > 1e-9}
    left = {round(2 / (one.low + one.high), 9) for one in found.range.candidates}
    assert left == eigenvalues
    assert len(left) == 4
    worst = cell(model=linear, optimizer=builders.gd(1 / float(found.evidence[0].spectrum.values[-1])))
    assert certify.certify(worst).verdict == "undecided"


def test_a_relu_network_is_certified_from_its_layers(home: pathlib.Path) -> None:
    found = certify.certify(cell(model=RELU), 1)
    assert (found.verdict, found.why) == ("certified", found.theory.others)
    assert "F12" in found.why
    lines = list(certificates.sentences(found))
    assert any(line.startswith("Bad η: exactly {1}. No other: ") for line in lines)
    plain = found.as_dict()
    assert (plain["bad"], plain["possible"]) == ("exactly {1}", [])


def test_a_step_size_that_may_be_bad_is_undecided(home: pathlib.Path) -> None:
    leaky = builders.mlp(4, 3, activation="leaky_relu")
    decayed = {"name": "half_mse", "weight_decay": 0.25}
    assert certify.certify(cell(model=leaky, optimizer=builders.gd(4.0), loss=decayed), 1).verdict == "undecided"
    assert certify.certify(cell(model=leaky, optimizer=builders.gd(1.0), loss=decayed), 1).verdict == "certified"


def test_a_network_with_pieces_is_certified_piece_by_piece(home: pathlib.Path) -> None:
    found = certify.certify(cell(model=RELU6))
    assert found.verdict == "undecided"
    assert "certified on 3 of 3 pieces" in found.why
    assert len(found.evidence) == 6
    assert len({one.piece for one in found.evidence}) == 3
    singular = certify.certify(cell(model=RELU6, optimizer=builders.gd(1.0)))
    assert (singular.verdict, singular.sound) == ("singular", 3)
    assert "F6" in singular.why


def test_a_start_on_a_kink_is_moved_off_it(home: pathlib.Path) -> None:
    # Corner pixels of digits are 0, and biases start at 0: preactivations of a convolution are 0 there.
    data = builders.digits(3)
    conv = {"family": "vgg", "stages": [[1]], "activation": "relu", "pool": "average"}
    found = certify.certify(cell(model=conv, data=data), 1)
    assert len(found.evidence) == 2
    assert all("moved off a kink" in one.where for one in found.evidence)
    assert found.evidence[0].piece == found.evidence[1].piece


def test_where_theory_knows_all_bad_steps_it_certifies_the_others(home: pathlib.Path) -> None:
    bias_free = {"family": "mlp", "hidden": [4, 3], "activation": "relu", "bias": False}
    found = certify.certify(cell(model=bias_free))
    assert found.verdict == "certified"
    assert found.theory.no_bad_step
    for rate, expected in ((0.3, "certified"), (0.25, "singular"), (0.5, "singular")):
        one = certify.certify(cell(**builders.quadratic(4.0, 2.0, -0.5), optimizer=builders.gd(rate)))
        assert one.verdict == expected
        assert [certify.known(one.theory, left) for left in one.range.candidates] == ["C1", "C1"]


def test_every_step_size_of_a_schedule_is_asked(home: pathlib.Path) -> None:
    def jump(rate: float, factor: float) -> builders.Part:
        return builders.gd(rate, schedule={"name": "piecewise", "at": [1], "factors": [factor]})

    for factor, expected in ((2.0, "singular"), (3.0, "certified")):
        found = certify.certify(cell(**builders.quadratic(4.0, 2.0, -0.5), optimizer=jump(0.125, factor)))
        assert (found.verdict, found.used.values.tolist()) == (expected, [0.125, 0.125 * factor])
    said = next(iter(certificates.sentences(found)))
    assert said.startswith("all 2 step sizes of the schedule, 0.125 to 0.375: certified")
    linear = builders.mlp(activation="relu")
    left = certify.certify(cell(model=linear)).range.candidates[-1]
    middle = 0.5 * (left.low + left.high)
    for factor, expected in ((middle / 0.3, "undecided"), (1.01 * middle / 0.3, "certified")):
        found = certify.certify(cell(model=linear, optimizer=jump(0.3, factor)))
        assert found.verdict == expected, "one step size that is left over is enough"
        assert found.as_dict()["step_sizes"]["count"] == 2


def test_next_to_a_bad_step_the_map_is_certified(home: pathlib.Path) -> None:
    found = certify.certify(cell(**builders.quadratic(3.0), optimizer=builders.gd(1 / 3)))
    assert found.verdict == "certified"
    assert "within one rounding" in found.why and "|1 − ηλ| = 5.55e-17" in found.why


def test_json_is_plain_and_complete(home: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = [cell(model=TANH), cell(model=RELU, optimizer=builders.gd(1.0))]
    certificates.show(both, 2, rich.console.Console(file=io.StringIO()), as_json=True)
    first, second = json.loads(capsys.readouterr().out)
    assert first["verdict"] == "certified"
    assert first["but"] == []
    assert first["every_step_below"] > 1e9
    assert all(point["sigma_min"] > 100 * point["sigma_min_error"] > 0 for point in first["points"])
    assert second["verdict"] == "singular"
    assert second["pieces"] == {"visited": 2, "certified": 2}
    assert second["bad_steps"][0]["eta"] == 1.0


def test_the_table_says_it_in_sentences(home: pathlib.Path) -> None:
    out = io.StringIO()
    console = rich.console.Console(file=out, width=200)
    three = [cell(model=TANH), cell(model=RELU), cell(model=builders.mlp(activation="relu"))]
    certificates.show(three, 2, console, as_json=False)
    text = out.getvalue()
    for words in (
        "certified non-singular (F9; rounding of eigenvalues taken 100 times)",
        "2 of 2 pieces on which runs begin are certified at η",
        "Left over:",
        "No closed point (F8): before its last layer",
        "η = 1 is bad where every unit of the last hidden layer is 0",
        "Bad η: exactly {1}. No other: ",
        "F1 to F14 are ours and not peer-reviewed; docs/theorems.md has their hypotheses and proofs.",
        "3 certified",
    ):
        assert words in text


def test_what_the_layers_say_comes_before_anything_is_computed(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    console = rich.console.Console(file=out, width=200)

    def refuse(*_: object) -> certify.Certificate:
        raise KeyboardInterrupt

    monkeypatch.setattr(certify, "certify", refuse)
    with pytest.raises(KeyboardInterrupt):
        certificates.show([cell(model=TANH), cell(model=RELU)], 2, console, as_json=False)
    assert ": exactly {1}" in out.getvalue() and ": none" in out.getvalue()


@pytest.mark.parametrize("curvature", ["auto", "lanczos"])
def test_a_hessian_that_is_not_finite_is_no_evidence(curvature: str, home: pathlib.Path) -> None:
    square = {"family": "mlp", "hidden": [2, 2, 2, 2, 2, 2, 2], "activation": "square", "gain": 100.0}
    found = certify.certify(cell(model=square, curvature=curvature, loss={"name": "output"}), 1)
    assert (found.verdict, found.evidence) == ("undecided", ())
    assert found.why == "no point: the Hessian is not finite where it was asked"
    json.dumps(found.as_dict(), allow_nan=False)


def test_pieces_whose_hessian_is_not_finite_are_no_evidence(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise FloatingPointError("an entry of the matrix is not finite")

    monkeypatch.setattr(dense, "spectrum", fail)
    evidence.pieces.cache_clear()
    found = certify.certify(cell(model=RELU6), 1)
    evidence.pieces.cache_clear()
    assert (found.verdict, found.evidence) == ("undecided", ())
    assert found.why == "no point: no start lies inside a piece, with a Hessian that is finite"


def test_points_at_which_all_pieces_meet_certify_the_whole_map(home: pathlib.Path) -> None:
    pooled = {"family": "vgg", "stages": [[2]], "dense": [3], "activation": "gelu"}
    found = certify.certify(cell(model=pooled, data=builders.classes(shape=[4, 4, 1])))
    assert not found.theory.one_piece
    assert (found.whole, found.visited, found.sound) == (True, 1, 1)
    assert {one.method for one in found.evidence} == {"closed form, every piece"}
    assert found.range.below > 1e9 and found.range.candidates == ()
    lines = list(certificates.sentences(found))
    assert any("the map is certified non-singular (F9" in line for line in lines)
    assert not any("a certificate of those pieces" in line for line in lines)


def test_of_a_large_network_one_point_is_drawn_and_the_others_have_nothing_below(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = certify.certify(cell(model=TANH))
    monkeypatch.setattr(dense, "LIMIT", 10)
    large = certify.certify(cell(model=TANH))
    assert ["all below" in one.where for one in small.evidence] == [False] * 3
    assert ["all below" in one.where for one in large.evidence] == [False, True, True]
    assert large.range.below > 1e9 and large.range.candidates == ()


def test_a_large_residual_network_is_certified_at_blank_points(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dense, "LIMIT", 10)
    normed = {"family": "resnet", "channels": [2], "blocks": 1, "activation": "gelu", "norm": "group"}
    found = certify.certify(cell(model=normed, data=builders.classes(examples=6, shape=[4, 4, 1])))
    assert [one.where.split(",")[0] for one in found.evidence] == ["all parameters 0"] * 3
    assert found.range.below > 1e9 and found.range.candidates == ()
