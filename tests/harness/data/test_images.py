# SPDX-License-Identifier: Apache-2.0
"""Choosing, resizing and standardising stored images, and the copy that is kept decoded."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
import pytest

from harness import data, errors
from harness.data import images, preparation

Part = Callable[..., Any]


# Balanced subsets


@pytest.mark.parametrize("count", [1, 9, 10, 57, 200])
def test_a_balanced_subset_has_equally_many_of_each_class(count: int) -> None:
    labels = np.random.default_rng(0).integers(7, size=1000)
    chosen = images.balanced(labels, 7, count, 3)
    sizes = np.bincount(labels[chosen], minlength=7)
    assert sizes.tolist() == [count // 7 + (label < count % 7) for label in range(7)]
    assert np.array_equal(chosen, np.unique(chosen)), "in order, none twice"


def test_a_balanced_subset_is_repeatable_drawn_by_its_seed_and_nested() -> None:
    labels = np.random.default_rng(0).integers(7, size=1000)
    first = images.balanced(labels, 7, 70, 3)
    assert np.array_equal(first, images.balanced(labels, 7, 70, 3))
    assert not np.array_equal(first, images.balanced(labels, 7, 70, 4))
    assert set(first) < set(images.balanced(labels, 7, 93, 3))


def test_a_class_that_is_too_small_is_named() -> None:
    with pytest.raises(errors.InputError, match="a balanced subset of 8 needs 3 of class 1, which has 2"):
        images.balanced(np.array([0, 0, 0, 0, 1, 1, 2, 2, 2]), 3, 8, 0)


def test_a_balanced_part_of_digits_are_digits(home: pathlib.Path, part: Part) -> None:
    arrays = data.load(part(name="digits", examples=105, subset={"balanced": 1}))
    assert arrays.targets.sum(0).tolist() == [11.0] * 5 + [10.0] * 5
    every = data.load(part(name="digits"))
    known = {image.tobytes(): label for image, label in zip(every.x, every.targets.argmax(1), strict=True)}
    assert [known[image.tobytes()] for image in arrays.x] == arrays.targets.argmax(1).tolist()


# Resizing


def triangle(size: int, side: int) -> np.ndarray:
    """Returns the (side, size) matrix that resamples a line: a triangle as wide as one target pixel, at least two.

    Weights are the triangle at the centres of the source pixels, normalised to sum 1 inside the image.
    """
    scale = size / side
    centres = (np.arange(side) + 0.5) * scale
    distance = np.abs(centres[:, None] - (np.arange(size) + 0.5)[None, :]) / max(scale, 1.0)
    weights = np.maximum(0.0, 1.0 - distance)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width", "side"), [(28, 28, 14), (28, 28, 32), (8, 8, 28), (37, 23, 9), (5, 40, 4)])
def test_resizing_is_bilinear_with_antialiasing(height: int, width: int, side: int, channels: int) -> None:
    image = np.random.default_rng(1).integers(256, size=(height, width, channels)).astype(np.uint8)
    found = images.resized(image, side)
    assert found.shape == (side, side, channels)
    expected = np.einsum("ih,hwc,jw->ijc", triangle(height, side), image.astype(float), triangle(width, side))
    # Each of the two passes rounds to whole levels, and weights are rounded to 2^-22 of themselves.
    assert np.abs(found - expected).max() <= 1.0 + 1e-3


def test_resizing_leaves_an_image_of_that_size_and_a_constant_one_alone() -> None:
    image = np.random.default_rng(1).integers(256, size=(9, 9, 3)).astype(np.uint8)
    assert np.array_equal(images.resized(image, 9), image)
    assert np.unique(images.resized(np.full((9, 7, 1), 77, np.uint8), 13)).tolist() == [77]


def test_resized_digits_use_all_levels_and_stay_within_their_range(home: pathlib.Path, part: Part) -> None:
    arrays = data.load(part(name="digits", examples=50, resize=20))
    assert arrays.x.shape == (50, 20, 20, 1)
    assert 0 <= arrays.x.min() < arrays.x.max() <= 1
    assert len(np.unique(arrays.x)) > 17 * 4, "not the 17 levels of the original"
    original = data.load(part(name="digits", examples=50)).x[..., 0]
    matrix = triangle(8, 20)
    expected = np.einsum("ih,nhw,jw->nij", matrix, original, matrix)
    assert np.abs(arrays.x[..., 0] - expected).max() <= 1.01 / 240
    assert arrays.sha256 == data.load(part(name="digits", examples=50, resize=20)).sha256


# Standardising


def test_standardised_channels_have_mean_0_and_deviation_1() -> None:
    x = np.random.default_rng(2).random((20, 5, 4, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, -3.0]
    found = images.standardised(x)
    np.testing.assert_allclose(found.mean(axis=(0, 1, 2)), 0, atol=1e-13)
    np.testing.assert_allclose(found.std(axis=(0, 1, 2)), 1, rtol=1e-13)
    slope = (found[0, 0, 1] - found[0, 0, 0]) / (x[0, 0, 1] - x[0, 0, 0])
    np.testing.assert_allclose(found, (x - x.mean(axis=(0, 1, 2))) * slope, atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 100 / 255])
def test_a_constant_channel_cannot_be_standardised(value: float) -> None:
    with pytest.raises(errors.InputError, match="data.standardise: a channel of the chosen examples is constant"):
        images.standardised(np.full((500, 28, 28, 3), value))


def test_standardising_is_by_the_chosen_examples(home: pathlib.Path, part: Part) -> None:
    arrays = data.load(part(name="digits", examples=40, standardise=True))
    assert abs(arrays.x.mean()) < 1e-13
    assert abs(arrays.x.std() - 1) < 1e-13


# Decoding


def encoded(image: PIL.Image.Image, kind: str) -> bytes:
    """Returns the bytes of an image file."""
    handle = io.BytesIO()
    image.save(handle, kind)
    return handle.getvalue()


def test_a_grey_file_in_a_coloured_set_becomes_coloured() -> None:
    grey = np.arange(30, dtype=np.uint8).reshape(5, 6)
    found = images.decoded(encoded(PIL.Image.fromarray(grey), "png"), 3, None)
    assert np.array_equal(found, np.stack([grey] * 3, axis=-1))
    assert images.decoded(encoded(PIL.Image.new("CMYK", (6, 5)), "jpeg"), 3, 8).shape == (8, 8, 3)
    assert np.array_equal(images.decoded(encoded(PIL.Image.fromarray(grey), "png"), 1, None)[..., 0], grey)


# The copy that is kept


@pytest.fixture
def digits(home: pathlib.Path, part: Part) -> pathlib.Path:
    """The folder of prepared digits, with nothing kept yet."""
    return pathlib.Path(preparation.prepared("digits").data_dir)


def kept(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the copies in a folder."""
    return sorted(folder.glob("*gdzoo*"))


def test_a_split_that_was_read_whole_is_kept_and_read_from_the_copy(
    digits: pathlib.Path, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = data.load(part(name="digits", examples=10))
    assert kept(digits) == []
    whole = data.load(part(name="digits"))
    assert len(kept(digits)) == 1
    monkeypatch.setattr(images, "decoded", None)  # decoding now fails
    assert data.load(part(name="digits")).sha256 == whole.sha256
    assert data.load(part(name="digits", examples=10)).sha256 == prefix.sha256
    with pytest.raises(errors.InputError, match="cannot be read"):
        data.load(part(name="digits", split="test"))


def test_a_damaged_copy_is_made_anew(digits: pathlib.Path, part: Part) -> None:
    whole = data.load(part(name="digits"))
    (copy,) = kept(digits)
    raw = bytearray(copy.read_bytes())
    raw[len(raw) // 2] ^= 1
    copy.write_bytes(raw)
    assert data.load(part(name="digits")).sha256 == whole.sha256
    (again,) = kept(digits)
    assert again.read_bytes() != bytes(raw)
    again.write_bytes(again.read_bytes()[:-7])
    assert data.load(part(name="digits")).sha256 == whole.sha256


def test_where_nothing_may_be_written_nothing_is_kept(
    digits: pathlib.Path, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: Any, **_options: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert len(data.load(part(name="digits")).x) == 1500
    assert kept(digits) == []


@pytest.mark.parametrize("name", ["dataset_info.json", "digits-train.array_record-00000-of-00001", "*"])
@pytest.mark.parametrize("how", ["empty", "cut", "gone"])
def test_a_set_that_was_cut_off_is_recognised(name: str, how: str, digits: pathlib.Path, part: Part) -> None:
    for file in digits.glob(name):
        content = file.read_bytes()
        file.write_bytes(b"" if how == "empty" else content[: len(content) // 2])
        if how == "gone":
            file.unlink()
    with pytest.raises(errors.InputError) as told:
        data.load(part(name="digits", examples=3))
    assert str(told.value).startswith("data set 'digits' in ") and str(digits.parent) in str(told.value)
    assert str(told.value).endswith("delete that folder and say `gdzoo data prepare digits`")


def test_damaged_records_are_refused_with_the_way_out(digits: pathlib.Path, part: Part) -> None:
    (records,) = digits.glob("digits-train*")
    whole = records.read_bytes()
    with pytest.raises(errors.InputError, match="delete that folder and say `gdzoo data prepare digits`"):
        records.write_bytes(whole[:1000])
        data.load(part(name="digits"))
    flipped = bytearray(whole)
    flipped[20000] ^= 1
    with pytest.raises(errors.InputError, match="cannot be read"):
        records.write_bytes(flipped)
        data.load(part(name="digits"))


def test_a_changed_pixel_changes_the_fingerprint(
    digits: pathlib.Path, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = data.load(part(name="digits", examples=20)).sha256
    read = images.read

    def altered(*arguments: Any) -> tuple[np.ndarray, np.ndarray]:
        raw, labels = read(*arguments)
        raw[7, 3, 3, 0] ^= 1
        return raw, labels

    monkeypatch.setattr(images, "read", altered)
    assert data.load(part(name="digits", examples=20)).sha256 != before


# Networks that were published for colour and for more classes


def test_a_grey_image_is_repeated_and_labels_are_given_room(home: pathlib.Path, part: Part) -> None:
    plain = data.load(part(name="digits", examples=12, resize=16, standardise=True))
    config = part(name="digits", examples=12, resize=16, standardise=True, channels=3, outputs=40)
    wide = data.load(config)
    assert wide.x.shape == (12, 16, 16, 3) == (12, *data.facts(config).shape)
    assert all(np.array_equal(wide.x[..., channel], plain.x[..., 0]) for channel in range(3))
    assert wide.targets.shape == (12, 40) and data.facts(config).classes == 40
    assert np.array_equal(wide.targets[:, :10], plain.targets) and not wide.targets[:, 10:].any()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "cifar10", "channels": 3}, "3 is not allowed; allowed: null, as the images of cifar10 are in colour"),
        ({"name": "digits", "outputs": 9}, "9 is not allowed; allowed: at least 10, the classes of digits"),
    ],
)
def test_channels_are_for_grey_images_and_outputs_for_all_classes(part: Part, fields: Any, said: str) -> None:
    assert [text for _, text in data.conflicts(part(**fields))] == [said]
