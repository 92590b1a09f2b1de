# SPDX-License-Identifier: Apache-2.0
"""Certificates: honest ones are confirmed, forged ones are found, and what is none is refused in one line."""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from harness import errors
from harness.theory import certify, written
from leaderboard.bundles import certificate
from tests import builders, front_door

Plain = dict[str, Any]
MADE = {"seconds": 1.0, "cpu_seconds": 1.0, "peak_bytes": 1, "commit": None, "dirty": False, "versions": {}}
POOLED = {"family": "vgg", "stages": [[2]], "dense": [3], "activation": "gelu"}
MODELS = {"pooled": POOLED, "relu": {**POOLED, "activation": "relu"}, "tanh": builders.mlp(4, 3)}


@functools.cache
def certified(name: str) -> certify.Certificate:
    """Certifies a network with pieces and points, one without points, or one of one piece."""
    data = builders.classes() if name == "tanh" else builders.classes(shape=[4, 4, 1])
    loss = {"name": "half_mse", "weight_decay": 0.25}
    made = builders.cell(model=MODELS[name], data=data, loss=loss, optimizer=builders.gd(0.3), steps=1)
    return certify.certify(made, 2)


def text(name: str) -> str:
    """Returns an honest certificate as it is written."""
    return json.dumps({**written.plain(certified(name), 2), "made": MADE}, ensure_ascii=False) + "\n"


def plain(name: str = "pooled") -> Plain:
    """Returns a certificate as plain values, to be changed."""
    found: Plain = json.loads(text(name))
    return found


def parse(changed: Plain) -> certificate.Certificate:
    """Reads a certificate from plain values."""
    return certificate.parse(json.dumps(changed).encode())


@pytest.mark.parametrize("name", MODELS)
def test_an_honest_certificate_agrees_with_itself_and_comes_again_as_the_same_bytes(name: str) -> None:
    found = certificate.parse(text(name).encode())
    assert all(check.holds for check in certificate.free_checks(found))
    assert certificate.dump(found).decode() == text(name)
    assert (found.verdict, bool(found.points)) == ("certified", name != "relu")
    left = {"pooled": [True], "relu": [], "tanh": []}[name]  # 1/w alone, and that not where a dense point was asked too
    assert [low <= 4.0 <= high for low, high in found.range.but] == left


def put(*path: Any, value: Any) -> Callable[[Plain], None]:
    """Returns what sets a value deep inside."""

    def change(found: Plain) -> None:
        functools.reduce(lambda part, key: part[key], path[:-1], found)[path[-1]] = value

    return change


FORGED = {
    "theory, covered": put("theory", "covered", value="theorem 1"),
    "theory, one_piece": put("theory", "one_piece", value=True),
    "theory, bad": put("theory", "bad", value="none"),
    "theory, others": put("theory", "others", value="trust me"),
    "points speak of every piece": put("points", 0, "method", value="dense"),
    "range, end": put("range", "below", value=3.0),
    "range, left over": put("range", "but", value=[]),
    "verdict": put("verdict", value="undecided"),
}


@pytest.mark.parametrize("what", FORGED)
def test_what_does_not_follow_is_found_for_free(what: str) -> None:
    changed = plain()
    FORGED[what](changed)
    outcome = certificate.verify(parse(changed))
    assert [check.what for check in outcome.checks if not check.holds] == [what]
    assert (outcome.confirmed, outcome.level) == (False, "reported")


def test_a_step_size_that_is_left_over_is_not_certified() -> None:
    changed = plain()
    changed["cell"]["optimizer"]["learning_rate"] = changed["eta"] = 4.0  # 1/w
    recipe = certificate.config.Recipe.model_validate_json(json.dumps(changed["cell"]))
    changed["cell_id"] = certificate.cells.hash_of(recipe.resolved())[:12]
    assert [one.found for one in certificate.free_checks(parse(changed)) if not one.holds] == ["undecided"]


def again(name: str) -> Plain:
    """Returns what the process that computes a certificate again finds."""
    return written.plain(certified(name), 2, margin=1.0)


def left_out(found: Plain) -> None:
    """Leaves an eigenvalue out of both points, and says what would follow."""
    for point in found["points"]:
        point["bands"] = [band for band in point["bands"] if not band[0] <= 0.25 <= band[1]]
    found["range"]["but"] = []


HIDDEN = {
    "dataset": put("dataset", value="0" * 64),
    "parameters": put("parameters", value=7),
    "eta": put("eta", value=0.31),
    "points": put("points", 0, "where", value="elsewhere"),
    "eigenvalues lie in the bands": left_out,
}


@pytest.mark.parametrize("what", HIDDEN)
def test_what_agrees_with_itself_and_is_false_is_found_by_computing_it_again(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = plain("tanh")
    HIDDEN[what](changed)
    found = parse(changed)
    assert all(check.holds for check in certificate.free_checks(found))
    monkeypatch.setattr(certificate, "_again", lambda *_: (again("tanh"), 1.0))
    outcome = certificate.verify(found)
    assert {check.what for check in outcome.checks if not check.holds} == {what}
    assert certificate.verify(parse(plain("tanh"))).confirmed


def test_a_wider_band_is_a_weaker_claim_and_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = plain("tanh")
    for point in changed["points"]:
        low, high = point["bands"][-1]
        point["bands"][-1] = [low - 1e-9, high + 1e-9]
    monkeypatch.setattr(certificate, "_again", lambda *_: (again("tanh"), 1.0))
    assert all(check.holds for check in certificate._compared(parse(changed), again("tanh")))


REFUSED = {
    "is larger than": lambda whole: whole + b" " * certificate.MAX_BYTES,
    "has a key twice": lambda whole: whole.replace(b'"schema": 1', b'"schema": 1, "schema": 1'),
    "which JSON does not have": lambda whole: whole.replace(b'"parameters": ', b'"parameters": NaN, "x": '),
    "Extra inputs": lambda whole: whole.replace(b'"schema": 1', b'"schema": 1, "more": 1'),
    "is not JSON": lambda whole: whole[:-9],
    "nested too deeply": lambda whole: b"[" * 200_000,
    "suite": lambda whole: whole.replace(b'"suite": "', b'"suite": "../'),
    "disjoint": lambda whole: whole.replace(b'"bands": [[', b'"bands": [[9.0, 8.0], ['),
    "greater than or equal to 0": lambda whole: whole.replace(b'"bands": [[', b'"bands": [[-1.0, -0.5], ['),
    "not the one that": lambda whole: whole.replace(b'"learning_rate": 0.3', b'"learning_rate": 0.25'),
    "is relative to the sharpness": lambda whole: whole.replace(
        b'"learning_rate": 0.3', b'"learning_rate": {"eta_lambda": 1.0}'
    ),
    "can't decode": lambda whole: b"\xff" + whole,
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_no_certificate_is_refused_in_one_line(why: str, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "0123456789ab.json"
    file.write_bytes(REFUSED[why](text("pooled").encode()))
    with pytest.raises(errors.Rejected) as error:
        certificate.read(file)
    assert why in str(error.value) and "\n" not in str(error.value)


def test_a_link_is_no_certificate(tmp_path: pathlib.Path) -> None:
    (tmp_path / "real").write_text(text("pooled"))
    (tmp_path / "0123456789ab.json").symlink_to(tmp_path / "real")
    (found,) = certificate.files_in(tmp_path)
    with pytest.raises(errors.Rejected, match="no regular file"):
        certificate.read(found)


def test_the_board_takes_certificates_that_lie_where_they_belong_and_follow(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDZOO_BOARD", str(tmp_path))
    honest = plain()
    place = tmp_path / "certificates" / honest["suite"]
    place.mkdir(parents=True)
    file = place / f"{honest['cell_id']}.json"
    file.write_text(text("pooled"))
    assert [one.name for one in certificate.shipped()] == [f"{honest['suite']}/{honest['cell_id']}"]
    FORGED["range, left over"](honest)
    file.write_text(json.dumps(honest))
    with pytest.raises(errors.Rejected, match="range, left over: none is claimed"):
        list(certificate.shipped())
    file.write_text(text("relu"))
    with pytest.raises(errors.Rejected, match="it is of the configuration"):
        list(certificate.shipped())


SPEC = """
schema: 1
title: t
data: {name: gaussian_classes, examples: 9, shape: [4, 4, 1], classes: 3, separation: 2.0}
model: {family: vgg, stages: [[2]], dense: [3], activation: gelu}
loss: {name: half_mse}
optimizer: {name: gd, learning_rate: 0.1}
steps: 1
seeds: 1
"""


def test_from_a_spec_to_a_certificate_that_a_process_of_its_own_confirms(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = home / "board"
    monkeypatch.setenv("GDZOO_BOARD", str(board))
    spec = home / "specs" / "mine" / "one.yaml"
    spec.parent.mkdir(parents=True)
    spec.write_text(SPEC)
    code, out, err = front_door.say("certify", str(spec), "--points", "2", "--write", home=home)
    assert (code, err) == (0, "")
    (file,) = (board / "certificates" / "mine").glob("*.json")
    assert str(file) in out
    code, out, err = front_door.say("verify", str(board / "certificates"), home=home)
    assert (code, err) == (0, "") and "one: recomputed; 14 comparisons" in out
    said = json.loads(file.read_text())
    said["parameters"] += 1
    file.write_text(json.dumps(said))
    code, out, err = front_door.say("verify", str(file), home=home)
    assert code == errors.EXIT_REJECTED and "one: disputed" in out and "FALSE    recomputed  parameters" in out
    spec.write_text(SPEC.replace("0.1}", "{eta_lambda: 1.0}}"))
    code, out, err = front_door.say("certify", str(spec), "--write", home=home)
    assert code == errors.EXIT_INPUT and "is of a step size that is a number" in err
