# SPDX-License-Identifier: Apache-2.0
"""Data sets through tensorflow-datasets, without TensorFlow and without a network."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from harness import data, errors


def test_digits_are_the_ones_that_scikit_learn_ships(home: pathlib.Path) -> None:
    from sklearn import datasets

    arrays = data.load("digits", None)
    assert arrays.x.shape == (1500, 8, 8, 1)
    assert arrays.x.min() == 0
    assert arrays.x.max() == 1
    ours = {
        (*image.ravel().tolist(), label) for image, label in zip(arrays.x * 16, arrays.labels.tolist(), strict=True)
    }
    source = datasets.load_digits()
    theirs = zip(source.images[:1500], source.target[:1500].tolist(), strict=True)
    assert ours == {(*image.ravel().tolist(), label) for image, label in theirs}


def test_a_prefix_is_a_prefix_and_two_preparations_are_the_same(
    home: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some, more = data.load("digits", 10), data.load("digits", 20)
    assert np.array_equal(more.x[:10], some.x)
    assert some.sha256 != more.sha256
    monkeypatch.setenv("TFDS_DATA_DIR", str(home / "elsewhere"))
    again = data.load("digits", 10)
    assert again.sha256 == some.sha256
    assert (home / "elsewhere" / "digits").is_dir()


def test_too_many_examples_are_refused(home: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match="1501 is more than the 1500 training examples of 'digits'"):
        data.load("digits", 1501)


def test_tensorflow_is_not_needed(home: pathlib.Path) -> None:
    code = "import sys; from harness import data; data.load('digits', 3); sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_data_set_that_needs_the_network_says_three_ways_out(home: pathlib.Path) -> None:
    with pytest.raises(errors.InputError) as refused:
        data.load("fashion_mnist", 3)
    message = str(refused.value)
    assert message == (
        f"data set 'fashion_mnist' is not in {home / 'data'} and needs a download of 30 MiB from "
        "fashion-mnist.s3-website.eu-central-1.amazonaws.com. Three ways out: say `gdzoo data prepare fashion_mnist` "
        "on a machine with a network and copy that folder here; put the files in a folder and say "
        "`gdzoo data prepare fashion_mnist --manual-dir FOLDER`; or choose a data set that needs no network: digits"
    )


def test_preparing_without_a_network_fails_at_once_and_leaves_nothing(home: pathlib.Path) -> None:
    with pytest.raises(errors.InputError, match="cannot be reached"):
        data.prepare("fashion_mnist")
    assert not (home / "data" / "fashion_mnist").exists()


def test_wrong_files_are_refused(home: pathlib.Path, tmp_path: pathlib.Path) -> None:
    from harness.data import fashion_mnist

    for names in fashion_mnist.FILES.values():
        for name in names:
            (tmp_path / name).write_bytes(b"not these")
    with pytest.raises(errors.InputError, match="checksum"):
        data.prepare("fashion_mnist", tmp_path)
    with pytest.raises(errors.InputError, match="is not in"):
        data.load("fashion_mnist", 3)
