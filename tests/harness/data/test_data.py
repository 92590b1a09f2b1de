# SPDX-License-Identifier: Apache-2.0
"""The door to data: rows of DATASETS, facts, conflicts, arrays and fingerprints, without a network."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import math
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest

from harness import data, errors
from harness.config import data as config
from harness.data import preparation, stock

Part = Callable[..., Any]

SMALL: dict[str, dict[str, Any]] = {
    "digits": {"examples": 30},
    "gaussian_classes": {"examples": 12, "shape": [2, 3, 1], "classes": 3, "separation": 2.0},
    "linear_teacher": {"examples": 12, "shape": [1, 1, 5], "singular_values": [3.0, 1.0]},
    "random_labels": {"examples": 12, "shape": [4, 2, 3], "classes": 4},
    "modular_addition": {"examples": 12, "modulus": 5},
    "parity": {"examples": 12, "length": 4},
    "point": {},
    "points": {"x": [1.0, 2.0], "values": [0.5, -1.0], "weights": [1.0, 3.0]},
    "paper_pair": {},
}
"""One small part for each row that needs no network."""


# Rows


def test_variants_are_the_rows_of_the_table() -> None:
    union = get_args(config.Data)[0]
    names = [name for variant in get_args(union) for name in get_args(variant.model_fields["name"].annotation)]
    assert names == list(data.DATASETS)
    assert {*SMALL, "file"} == {name for name, row in data.DATASETS.items() if row.download is None}


@pytest.mark.parametrize("name", data.DATASETS)
def test_each_row_says_what_it_is_and_where_it_comes_from(name: str) -> None:
    row = data.DATASETS[name]
    assert row.title and row.licence and row.source
    assert row.task in ("classification", "regression")
    module = importlib.import_module(row.module)
    if name == "file":
        assert callable(module.load)
    else:
        assert callable(module.generate if row.scale is None else module.builder)


@pytest.mark.parametrize("name", [n for n, row in data.DATASETS.items() if row.scale and n != "tfds"])
def test_rows_of_stored_sets_agree_with_their_builders(name: str, home: pathlib.Path) -> None:
    row = data.DATASETS[name]
    known = stock.described(preparation.builder(name))
    assert known.shape == (row.shape or (None, None, 3))
    assert known.classes == row.classes
    assert known.citation


def test_every_field_is_described() -> None:
    parts = [*get_args(get_args(config.Data)[0]), config.Balanced, config.Planted]
    for part in parts:
        for name, field in part.model_fields.items():
            assert part.__doc__ and (field.description or name == "name"), f"{part.__name__}.{name}"


def test_the_door_is_light() -> None:
    heavy = ("numpy", "jax", "tensorflow_datasets", "sklearn", "scipy", "PIL")
    code = f"import sys; from harness import data; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Facts


@pytest.mark.parametrize("name", SMALL)
def test_arrays_are_what_the_facts_say(name: str, home: pathlib.Path, part: Part) -> None:
    chosen = part(name=name, **SMALL[name])
    assert not list(data.conflicts(chosen))
    facts, arrays = data.facts(chosen), data.load(chosen)
    assert arrays.x.shape == (facts.examples, *facts.shape)
    assert arrays.targets.shape == (facts.examples, facts.classes)
    assert arrays.weights.shape == (facts.examples,)
    assert all(array.dtype == np.float64 for array in arrays[:3])
    assert arrays.licence == facts.licence
    assert arrays.citation
    if facts.task == "classification":
        assert np.array_equal(np.sort(arrays.targets, axis=1)[:, -2:], np.tile([0.0, 1.0], (facts.examples, 1)))
    assert data.at_hand(chosen)


@pytest.mark.parametrize("name", SMALL)
def test_the_same_part_gives_the_same_bits_and_the_fingerprint_is_theirs(
    name: str, home: pathlib.Path, part: Part
) -> None:
    first, again = (data.load(part(name=name, **SMALL[name])) for _ in range(2))
    assert all(np.array_equal(one, two) for one, two in zip(first[:3], again[:3], strict=True))
    assert first.sha256 == again.sha256
    digest = hashlib.sha256()
    for array in first[:3]:
        digest.update(("(" + ", ".join(map(str, array.shape)) + ("," if array.ndim == 1 else "") + ")").encode())
        digest.update(array.astype("<f8").tobytes())
    assert first.sha256 == digest.hexdigest()
    changed = first.x.copy()
    changed.flat[-1] += 2.0**-40
    assert data.fingerprint(changed, *first[1:3]) != first.sha256
    assert data.fingerprint(first.x.reshape(-1), *first[1:3]) != first.sha256, "the shape counts"


def test_facts_need_neither_files_nor_libraries() -> None:
    code = (
        "import sys, pydantic; from harness import data; from harness.config import data as config;"
        "part = pydantic.TypeAdapter(config.Data).validate_python({'name': 'cifar10', 'resize': 48});"
        "assert not list(data.conflicts(part)); assert data.facts(part).shape == (48, 48, 3);"
        "sys.exit('tensorflow_datasets' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Conflicts


GAUSS = {"name": "gaussian_classes", "examples": 9, "shape": [1, 1, 2], "separation": 1.0}
LINEAR = {"name": "linear_teacher", "examples": 9, "shape": [1, 2, 1]}


@pytest.mark.parametrize(
    ("fields", "path", "text"),
    [
        ({"name": "digits", "examples": 1501}, "examples",
         "1501 is not allowed; allowed: at most 1500, the training examples of digits"),
        ({"name": "digits", "examples": 298, "split": "test"}, "examples",
         "298 is not allowed; allowed: at most 297, the test examples of digits"),
        ({"name": "cifar10", "subset": {"balanced": 0}}, "examples",
         "null is not allowed; allowed: a number, as a balanced subset need not have all examples"),
        ({"name": "imagenette", "examples": 5}, "resize",
         "null is not allowed; allowed: an integer from 4 to 512, as the images of imagenette differ in size"),
        ({"name": "cifar10", "resize": 512}, "examples",
         "50000 is not allowed; allowed: at most 10922, as one input is 786432 numbers and all together may be "
         "8589934592"),
        ({"name": "tfds", "dataset": "stl10"}, "examples",
         "null is not allowed; allowed: a number, as stl10 is not prepared and its size not known"),
        ({"name": "tfds", "dataset": "minst"}, "dataset",
         "'minst' is not allowed; allowed: the names of tensorflow-datasets; did you mean 'mnist'?"),
        ({"name": "tfds", "dataset": "emnist/leters", "examples": 5}, "dataset",
         "'emnist/leters' is not allowed; allowed: emnist/byclass, emnist/bymerge, emnist/balanced, emnist/letters, "
         "emnist/digits, emnist/mnist; did you mean 'letters'?"),
        ({"name": "tfds", "dataset": "mnist/x", "examples": 5}, "dataset", "'mnist/x' is not allowed; allowed: mnist"),
        ({"name": "tfds", "dataset": "mnist"}, "dataset",
         "'mnist' is not allowed; allowed: sets without a name of their own here; write name: mnist"),
        ({"name": "tfds", "dataset": "cats_vs_dogs", "examples": 5}, "resize",
         "null is not allowed; allowed: an integer from 4 to 512, as the images of cats_vs_dogs differ in size"),
        ({"name": "tfds", "dataset": "div2k", "examples": 5}, "dataset",
         "'div2k' is not allowed; allowed: sets of grey or coloured 8-bit images with one label each"),
        (GAUSS | {"classes": 3}, "classes",
         "3 is not allowed; allowed: at most 2, the numbers of one input, as the means are orthogonal"),
        (LINEAR | {"singular_values": [1.0] * 3}, "singular_values",
         "a list of 3 is not allowed; allowed: at most 2, the numbers of one input"),
        (LINEAR | {"singular_values": [1.0], "examples": 1}, "examples",
         "1 is not allowed; allowed: at least 2, the numbers of one input"),
        (GAUSS | {"classes": 2, "examples": 2**31 - 1, "shape": [8, 8, 1]}, "examples",
         "2147483647 is not allowed; allowed: at most 134217728, as one input is 64 numbers and all together may be "
         "8589934592"),
        (GAUSS | {"classes": 2, "shape": [1024, 1024, 1]}, "shape",
         "[1024, 1024, 1] is not allowed; allowed: at most 262144 numbers in one input"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else None,
)  # fmt: skip
def test_what_cannot_be_is_said_in_words(
    fields: dict[str, Any], path: str, text: str, home: pathlib.Path, part: Part
) -> None:
    assert list(data.conflicts(part(**fields))) == [((path,), text)]


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "digits", "examples": 1500},
        {"name": "digits", "examples": 297, "split": "test"},
        {"name": "imagenette", "resize": 160},
        {"name": "cifar10", "resize": 224},
        {"name": "tfds", "dataset": "stl10", "examples": 100000},
        {"name": "tfds", "dataset": "imagenette/160px", "examples": 5, "resize": 32},
        GAUSS | {"classes": 2},
        LINEAR | {"singular_values": [1.0] * 2, "examples": 2},
    ],
)
def test_what_can_be_passes(fields: dict[str, Any], home: pathlib.Path, part: Part) -> None:
    chosen = part(**fields)
    assert not list(data.conflicts(chosen))
    facts = data.facts(chosen)
    assert facts.examples and all(facts.shape) and math.prod(facts.shape)


# Digits


def test_digits_are_the_ones_that_scikit_learn_ships(home: pathlib.Path, part: Part) -> None:
    from sklearn import datasets

    source = datasets.load_digits()
    for split, rows in (("train", slice(0, 1500)), ("test", slice(1500, 1797))):
        arrays = data.load(part(name="digits", split=split))
        assert (arrays.x.min(), arrays.x.max()) == (0, 1)
        labels = arrays.targets.argmax(1).tolist()
        ours = sorted((*image.ravel().tolist(), label) for image, label in zip(arrays.x * 16, labels, strict=True))
        theirs = zip(source.images[rows], source.target[rows].tolist(), strict=True)
        assert ours == sorted((*image.ravel().tolist(), label) for image, label in theirs)
    assert arrays.licence == "CC BY 4.0"
    assert "Alpaydin" in arrays.citation


def test_a_prefix_is_a_prefix_and_two_preparations_are_the_same(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, part: Part
) -> None:
    some, more = (data.load(part(name="digits", examples=count)) for count in (10, 20))
    assert np.array_equal(more.x[:10], some.x)
    assert some.sha256 != more.sha256
    monkeypatch.setenv("TFDS_DATA_DIR", str(home / "elsewhere"))
    again = data.load(part(name="digits", examples=10))
    assert again.sha256 == some.sha256
    assert (home / "elsewhere" / "digits").is_dir()


def test_more_than_there_is_and_a_wrong_size_are_refused(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, part: Part
) -> None:
    with pytest.raises(errors.InputError, match="1501 is more than the 1500 training examples of 'digits'"):
        data.load(part(name="digits", examples=1501))
    monkeypatch.setitem(data.DATASETS, "digits", dataclasses.replace(data.DATASETS["digits"], train_examples=1499))
    with pytest.raises(errors.InputError, match="holds 1500 training examples, not 1499: delete its folder"):
        data.load(part(name="digits", examples=10))


def test_tensorflow_is_not_needed(home: pathlib.Path) -> None:
    code = (
        "import sys, pydantic; from harness import data; from harness.config import data as config;"
        "data.load(pydantic.TypeAdapter(config.Data).validate_python({'name': 'digits', 'examples': 3}));"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
