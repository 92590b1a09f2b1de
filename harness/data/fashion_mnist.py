# SPDX-License-Identifier: Apache-2.0
"""Fashion-MNIST: tensorflow-datasets' own builder, with the two steps that need TensorFlow done in Python.

The files it writes are those of the stock builder, record for record, so either can read what the other prepared.
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

FILES = {"train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
         "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")}


class WithoutTensorFlow(mnist.FashionMNIST):
    """The stock builder, reading the upstream idx files without TensorFlow; checksums are the stock ones."""

    def _split_generators(self, manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        paths = manager.download({split: tuple(self.URL + name for name in names) for split, names in FILES.items()})
        return {split: _examples(*map(pathlib.Path, pair)) for split, pair in paths.items()}


WithoutTensorFlow.name = "fashion_mnist"  # after registration, where the name is already the stock builder's


def _examples(images: pathlib.Path, labels: pathlib.Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for i, (image, label) in enumerate(zip(_idx(images), _idx(labels), strict=True)):
        yield i, {"image": PIL.Image.fromarray(image), "label": int(label)}


def _idx(path: pathlib.Path) -> np.ndarray:
    """Returns the array of a gzipped idx file of unsigned bytes."""
    raw = gzip.decompress(path.read_bytes())
    dimensions = struct.unpack_from(">I", raw)[0] & 0xFF
    shape = struct.unpack_from(f">{dimensions}I", raw, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def builder(data_dir: pathlib.Path) -> tfds.core.DatasetBuilder:
    """Returns the builder over a folder of prepared data sets."""
    return WithoutTensorFlow(data_dir=data_dir, file_format="array_record")
