# SPDX-License-Identifier: Apache-2.0
"""Stored images into arrays: read, choose, resize, scale or standardise.

Images are decoded by Pillow, whatever else is installed, and resized by Pillow too, on 8-bit pixels with integer
arithmetic, so that the same bits come out on every machine (of JPEG files, with the same Pillow). A split that was read
whole is kept decoded beside the records, in a file that is named after its own SHA-256 and is not believed without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pathlib
import tempfile
from typing import Any, NamedTuple

import numpy as np
import PIL
import PIL.Image
import tensorflow_datasets as tfds

from harness import errors, workspace
from harness.config import data as configs
from harness.data import preparation, stock
from harness.data.table import DATASETS

CHUNK = 4096
"""Records that are decoded at a time."""


class Chosen(NamedTuple):
    """The examples that a spec asks for.

    Attributes:
        x: (N, H, W, C) float64.
        labels: (N,) int64 in [0, K).
        classes: Number of labels K.
        version: Version of the data set.
        licence: Licence, empty if tensorflow-datasets names none.
        citation: What to cite, empty if tensorflow-datasets does not say.
    """

    x: np.ndarray
    labels: np.ndarray
    classes: int
    version: str
    licence: str
    citation: str


def load(name: str, config: configs.Images | configs.Tfds) -> Chosen:
    """Returns the examples that a spec asks for.

    Args:
        name: Name of the set in tensorflow-datasets, or in DATASETS.
        config: The `data` part of the spec.

    Raises:
        errors.InputError: If the set is not prepared, is not what it should be, or has too few examples.
    """
    made = preparation.prepared(name)
    known = stock.described(made)
    if not known.sizes:
        raise preparation.damaged(name, pathlib.Path(made.data_dir), "it has no examples")
    split = "validation" if config.split == "test" and "test" not in known.sizes else config.split
    if split not in known.sizes:
        raise errors.InputError(
            f"data set '{name}' has no examples to {config.split} on, only {', '.join(known.sizes)}"
        )
    _check_size(name, config, known.sizes[split])
    count = known.sizes[split] if config.examples is None else config.examples
    side = config.resize if None in known.shape else None  # images of one size are kept as they are, and resized below
    whole = config.subset != "first" or count == known.sizes[split]
    raw, labels = read(made, split, side, None if whole else count)
    if isinstance(config.subset, configs.Balanced):
        chosen = balanced(labels, known.classes, count, config.subset.balanced)
        raw, labels = raw[chosen], labels[chosen]
    else:
        raw, labels = raw[:count], labels[:count]
    row = DATASETS.get(name, DATASETS["tfds"])
    assert row.scale is not None, "these are stored images"
    scale = row.scale
    if config.resize is not None and side is None:
        raw, scale = raw * np.uint8(255 // scale), scale * (255 // scale)  # use all 8 bits
        raw = np.stack([resized(image, config.resize) for image in raw])
    x = raw / np.float64(scale)
    if config.standardise:
        x = standardised(x)
    if config.channels is not None:
        x = np.repeat(x, config.channels, axis=3)
    return Chosen(x, labels, known.classes, str(made.info.version), known.licence, known.citation)


def _check_size(name: str, config: configs.Images | configs.Tfds, size: int) -> None:
    """Raises errors.InputError where a split does not have the size of its row, or fewer examples than asked for."""
    row = DATASETS.get(name)
    expected = row and (row.train_examples if config.split == "train" else row.test_examples)
    word = "training" if config.split == "train" else "test"
    if expected is not None and size != expected:
        raise errors.InputError(
            f"data set '{name}' in {workspace.data()} holds {size} {word} examples, not {expected}: delete its folder "
            f"there and say `gdzoo data prepare {name}`"
        )
    if config.examples is not None and config.examples > size:
        raise errors.InputError(f"data.examples: {config.examples} is more than the {size} {word} examples of '{name}'")


def read(made: Any, split: str, side: int | None, count: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns raw images and labels of a split, in its own fixed order.

    Cost: per 60,000 images of 28x28 about 11 s of decoding the first time, a fifth of a second from then on.

    Args:
        made: The builder of a prepared set.
        split: A split that it has.
        side: Side to which images are resized while they are read, for images that differ in size.
        count: How many from the start, None for all; only all are kept for the next time.

    Returns:
        (N, H, W, C) uint8, (N,) int64.

    Raises:
        errors.InputError: If a record cannot be read.
    """
    stem = f"gdzoo-{split}-{side or 'whole'}-pillow{PIL.__version__}-"
    folder = pathlib.Path(made.data_dir)
    for path in sorted(folder.glob(f"{stem}*.npz")):
        found = _kept(path, stem)
        if found is not None:
            return found[0][:count], found[1][:count]
    known = stock.described(made)
    decoders = {known.image: tfds.decode.SkipDecoding()} if isinstance(_feature(made), tfds.features.Image) else None
    size = known.sizes[split]
    wanted = size if count is None else min(count, size)
    images, labels = [], []
    try:
        source = made.as_data_source(split=split, decoders=decoders)
        for first in range(0, wanted, CHUNK):
            for record in source.__getitems__(list(range(first, min(first + CHUNK, wanted)))):
                images.append(decoded(record[known.image], known.shape[2], side))
                labels.append(int(record[known.label]))
    except Exception as error:  # the readers of records raise what they like
        name = f"{made.name}/{made.builder_config.name}" if made.builder_config else made.name
        raise preparation.damaged(name, folder, error) from error
    arrays = np.stack(images), np.array(labels, np.int64)
    if wanted == size:
        _keep(folder, stem, arrays)
    return arrays


def _feature(made: Any) -> Any:
    return made.info.features[stock.described(made).image]


def decoded(stored: Any, channels: int, side: int | None) -> np.ndarray:
    """Returns an image as (H, W, C) uint8: grey for one channel, RGB for three, whatever the file holds.

    Args:
        stored: The bytes of an image file, or the array itself.
        channels: 1 or 3.
        side: Side to which it is resized, None to leave it.
    """
    if isinstance(stored, bytes):
        with PIL.Image.open(io.BytesIO(stored)) as image:
            stored = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    array = np.asarray(stored).reshape(*np.shape(stored)[:2], channels)
    return array if side is None else resized(array, side)


def resized(image: np.ndarray, side: int) -> np.ndarray:
    """Returns an image brought to side x side pixels by Pillow: bilinear, with antialiasing where it shrinks.

    Args:
        image: (H, W, C) uint8, C 1 or 3.
        side: Side of the result in pixels; the aspect ratio is not kept.

    Returns:
        (side, side, C) uint8.
    """
    squeezed = image[..., 0] if image.shape[2] == 1 else image
    found = PIL.Image.fromarray(squeezed).resize((side, side), PIL.Image.Resampling.BILINEAR)
    return np.asarray(found).reshape(side, side, image.shape[2])


def balanced(labels: np.ndarray, classes: int, count: int, seed: int) -> np.ndarray:
    """Returns the positions of `count` examples, equally many of each class, drawn by a seed, in increasing order.

    Where `count` is no multiple of K, the first classes have one more. More examples contain fewer: each class has its
    own stream, and takes a longer piece of one permutation of its examples.

    Raises:
        errors.InputError: If a class has too few examples.
    """
    chosen = []
    for label in range(classes):
        there = np.flatnonzero(labels == label)
        wanted = count // classes + (label < count % classes)
        if wanted > len(there):
            raise errors.InputError(
                f"data.examples: a balanced subset of {count} needs {wanted} of class {label}, which has {len(there)}"
            )
        chosen.append(np.random.Generator(np.random.PCG64([seed, label])).permutation(there)[:wanted])
    return np.sort(np.concatenate(chosen))


def standardised(x: np.ndarray) -> np.ndarray:
    """Returns images with mean 0 and standard deviation 1 in each channel, over all examples and pixels.

    Args:
        x: (N, H, W, C) float64.

    Raises:
        errors.InputError: If a channel is constant.
    """
    mean, deviation = x.mean(axis=(0, 1, 2)), x.std(axis=(0, 1, 2))
    if (x.max(axis=(0, 1, 2)) == x.min(axis=(0, 1, 2))).any():  # its deviation is rounding, not always 0
        raise errors.InputError("data.standardise: a channel of the chosen examples is constant; allowed: false")
    return (x - mean) / deviation


def _kept(path: pathlib.Path, stem: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the images and labels of a file that `_keep` wrote, or None (and removes it) if it is damaged."""
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
        if path.name == f"{stem}{digest}.npz":
            handle.seek(0)
            with np.load(handle) as found:
                return found["images"], found["labels"]
    with contextlib.suppress(OSError):
        path.unlink()
    return None


def _keep(folder: pathlib.Path, stem: str, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    """Keeps images and labels in one file, whole or not at all; where nothing may be written nothing is kept."""
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory(dir=folder, prefix=".gdzoo-") as scratch:
        path = pathlib.Path(scratch) / "arrays.npz"
        np.savez(path, images=arrays[0], labels=arrays[1])
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        os.replace(path, folder / f"{stem}{digest}.npz")
