# SPDX-License-Identifier: Apache-2.0
"""The digits that scikit-learn ships, as a tensorflow-datasets builder that needs neither network nor TensorFlow."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from harness.data.table import DATASETS


class Digits(tfds.core.GeneratorBasedBuilder):
    """1,797 images of 8x8 pixels with values 0 to 16: the first 1,500 to train on, 297 to test on."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {
        "1.0.0": "As shipped by scikit-learn, split 1,500 / 297 in its order; within a split, TFDS's fixed hash order."
    }

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(shape=(8, 8, 1), dtype=np.uint8),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            citation=DATASETS["digits"].source,
            license=DATASETS["digits"].licence,
        )

    def _split_generators(self, _manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        return {"train": _examples(0, 1500), "test": _examples(1500, 1797)}

    def _generate_examples(self, **_options: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        return _examples(0, 1797)


def _examples(first: int, last: int) -> Iterator[tuple[int, dict[str, Any]]]:
    from sklearn import datasets

    digits = datasets.load_digits()
    for i in range(first, last):
        yield i, {"image": digits.images[i].astype(np.uint8)[..., None], "label": int(digits.target[i])}


def builder(_name: str, data_dir: pathlib.Path) -> tfds.core.DatasetBuilder:
    """Returns the builder over a folder of prepared data sets."""
    return Digits(data_dir=data_dir, file_format="array_record")
