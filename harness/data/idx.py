# SPDX-License-Identifier: Apache-2.0
"""MNIST and its two look-alikes: tensorflow-datasets' own builders, with the two steps that need TensorFlow in Python.

The files they write are those of the stock builders, record for record, so either can read what the other prepared.
"""

from __future__ import annotations

import gzip
import pathlib
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds
from tensorflow_datasets.image_classification import mnist

FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


class _Idx:
    """What reads upstream's idx files, in place of what reads them through TensorFlow; checksums are the stock ones."""

    URL: str

    def _split_generators(self, manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        paths = manager.download({split: tuple(self.URL + name for name in names) for split, names in FILES.items()})
        return {split: examples(*map(pathlib.Path, pair)) for split, pair in paths.items()}


class Mnist(_Idx, mnist.MNIST, skip_registration=True):  # type: ignore[call-arg]
    """The stock builder without TensorFlow."""

    url_infos = mnist.MNIST.url_infos


class FashionMnist(_Idx, mnist.FashionMNIST, skip_registration=True):  # type: ignore[call-arg]
    """The stock builder without TensorFlow."""

    url_infos = mnist.FashionMNIST.url_infos


class Kmnist(_Idx, mnist.KMNIST, skip_registration=True):  # type: ignore[call-arg]
    """The stock builder without TensorFlow."""

    url_infos = mnist.KMNIST.url_infos


BUILDERS = {each.name: each for each in (Mnist, FashionMnist, Kmnist)}


def examples(images: pathlib.Path, labels: pathlib.Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields key and record of each example of a pair of gzipped idx files, in their order.

    Raises:
        ValueError: If a file is no idx file of unsigned bytes, or the two differ in length.
    """
    for i, (image, label) in enumerate(zip(array(images), array(labels), strict=True)):
        yield i, {"image": PIL.Image.fromarray(image), "label": int(label)}


def array(path: pathlib.Path) -> np.ndarray:
    """Returns the uint8 array of a gzipped idx file.

    Raises:
        ValueError: If it is no idx file of unsigned bytes.
    """
    raw = gzip.decompress(path.read_bytes())
    kind, dimensions = divmod(struct.unpack_from(">I", raw)[0], 256)
    if kind != 8:  # two zero bytes, then 8 for unsigned bytes
        raise ValueError(f"{path} is no idx file of unsigned bytes")
    shape = struct.unpack_from(f">{dimensions}I", raw, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def builder(name: str, data_dir: pathlib.Path) -> tfds.core.DatasetBuilder:
    """Returns the builder of one of BUILDERS over a folder of prepared data sets."""
    return BUILDERS[name](data_dir=data_dir, file_format="array_record")
