# SPDX-License-Identifier: Apache-2.0
"""Arrays of one's own: what they hold names the configuration, and what is wrong with them is one line."""

from __future__ import annotations

import pathlib
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness import config, data, errors, specs
from harness.data import file
from harness.training import problem
from tests import builders

X = np.arange(24.0).reshape(6, 4)


@pytest.fixture(autouse=True)
def here(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The folder that gdzoo is called from."""
    monkeypatch.chdir(home)
    return home


def cell(path: str = "own.npz", **parts: Any) -> config.Cell:
    """Returns the cell of a spec that is read from disk."""
    pathlib.Path("mine").mkdir(exist_ok=True)
    text = builders.spec_text(data={"name": "file", "path": path}, **parts)
    pathlib.Path("mine/own.yaml").write_text(text, encoding="utf-8")
    return specs.read("mine/own.yaml").cells[0]


def test_what_a_file_holds_is_in_the_cell_and_where_it_lies_is_not_in_its_name() -> None:
    np.savez("own.npz", x=X, y=X[:, :2])
    first = cell()
    assert isinstance(first.data, config.File) and first.data.holds is not None
    assert data.facts(first.data)[1:5] == ("regression", (1, 1, 4), 2, 6)
    np.savez_compressed("moved.npz", y=X[:, :2], x=X.astype("float32"))
    assert cell("moved.npz").cell_id == first.cell_id, "the same numbers"
    np.savez("own.npz", x=X, y=X[:, :2] + 1e-9)
    assert cell().cell_id != first.cell_id
    with pytest.raises(errors.InputError, match="'own.npz' holds other arrays than the configuration says: .*run the"):
        data.load(first.data)
    loaded = data.load(cell("moved.npz").data)
    assert loaded.sha256 == first.data.holds.sha256 == data.fingerprint(loaded.x, loaded.targets, loaded.weights)
    again = specs.parse(specs.dump(first), file="cell.yaml", suite="mine", name="own").cells[0]
    assert again.cell_id == first.cell_id


def test_classes_numbers_and_images_are_shaped_as_other_sets_are() -> None:
    np.savez("own.npz", x=np.ones((6, 3, 2), "uint8"), y=np.array([0, 1, 2, 2, 1, 0]))
    found = file.read("own.npz")
    assert (found.x.shape, found.targets.tolist()[1], found.task) == ((6, 3, 2, 1), [0, 1, 0], "classification")
    np.savez("own.npz", x=X[:, 0], y=X[:, 1])
    found = file.read("own.npz")
    assert (found.x.shape, found.targets.shape, found.task) == ((6, 1, 1, 1), (6, 1), "regression")


def test_a_regression_on_a_file_is_ready_to_train() -> None:
    np.savez("own.npz", x=X / 10, y=X[:, :2] / 10)
    before, after = problem.trial(cell())
    assert after < before
    with pytest.raises(errors.InputError, match="'ce' is not allowed; allowed: half_mse, output; the targets of file"):
        cell(loss={"name": "ce"})


def _huge() -> None:
    with zipfile.ZipFile("own.npz", "w") as into, into.open("x.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (2**20, 2**20)})
    with zipfile.ZipFile("own.npz", "a") as into:
        into.writestr("y.npy", b"")


def _bomb() -> None:
    with zipfile.ZipFile("own.npz", "w", zipfile.ZIP_DEFLATED) as into:
        with into.open("x.npy", "w") as member:
            np.lib.format.write_array(member, X)
            member.write(bytes(2**20))
        with into.open("y.npy", "w") as member:
            np.lib.format.write_array(member, X)


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "missing": (lambda: None, "'own.npz': No such file or directory; allowed: an .npz, from where gdzoo is called"),
    "a folder": (lambda: pathlib.Path("own.npz").mkdir(), "'own.npz' is no file"),
    "no archive": (lambda: pathlib.Path("own.npz").write_text("x"), "own.npz is no .npz of arrays x and y"),
    "other arrays": (lambda: np.savez("own.npz", a=X), "own.npz holds a; allowed: x and y, np.savez"),
    "pickles": (lambda: np.savez("own.npz", x=X, y=np.array([{}] * 6)), "own.npz: y is object; allowed: real or whole"),
    "texts": (lambda: np.savez("own.npz", x=np.array(["a"] * 6), y=X), "own.npz: x is <U1; allowed: real or whole"),
    "other lengths": (lambda: np.savez("own.npz", x=X, y=X[:5]), "own.npz has 6 inputs in x and 5 targets in y"),
    "NaN": (lambda: np.savez("own.npz", x=X * np.nan, y=X), "own.npz: x is NaN or infinite in 6 examples, the first 0"),
    "infinite": (lambda: np.savez("own.npz", x=X, y=X / 0.0), "own.npz: y is NaN or infinite in 6 examples"),
    "five axes": (lambda: np.savez("own.npz", x=X[None, None, None], y=X), "own.npz: x has shape (1, 1, 1, 6, 4); al"),
    "no examples": (lambda: np.savez("own.npz", x=X[:0], y=X[:0]), "own.npz: x has shape (0, 4); allowed"),
    "many targets": (lambda: np.savez("own.npz", x=X, y=X[:, :, None]), "own.npz: y has shape (6, 4, 1); allowed"),
    "one class": (lambda: np.savez("own.npz", x=X, y=np.zeros(6, int)), "own.npz: y has whole numbers from 0 to 0"),
    "negative": (lambda: np.savez("own.npz", x=X, y=np.arange(6) - 1), "own.npz: y has whole numbers from -1 to 4"),
    "huge": (_huge, "own.npz: x has shape (1048576, 1048576); allowed: at most 8589934592 numbers"),
    "a bomb": (_bomb, "own.npz: x is larger than its shape (6, 4) says"),
}


@pytest.mark.parametrize("kind", WRONG)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_what_is_wrong_with_a_file_is_one_line(kind: str) -> None:
    make, message = WRONG[kind]
    make()
    with pytest.raises(errors.InputError) as refused:
        cell()
    assert str(refused.value).startswith("mine/own.yaml:3:32: data.path: " + message), str(refused.value)
    assert "\n" not in str(refused.value)
