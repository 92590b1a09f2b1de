# SPDX-License-Identifier: Apache-2.0
"""Street View House Numbers, cropped: tensorflow-datasets' own builder, reading upstream's files without TensorFlow."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds

STOCK = tfds.builder_cls("svhn_cropped")


class SvhnCropped(STOCK, skip_registration=True):  # type: ignore[call-arg, misc, valid-type]
    """The stock builder without TensorFlow; like it, it also writes the split `extra`."""

    url_infos = STOCK.url_infos

    def _generate_examples(self, split_prefix: str, filepath: os.PathLike[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        return examples(pathlib.Path(filepath), split_prefix)


def examples(path: pathlib.Path, prefix: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields key and record of each example of a MATLAB file with X (32, 32, 3, N) and y (N, 1); there a 10 is a 0."""
    import scipy.io

    found = scipy.io.loadmat(path)
    for i, label in enumerate(found["y"].ravel().tolist()):
        image = PIL.Image.fromarray(np.ascontiguousarray(found["X"][..., i]))
        yield i, {"image": image, "label": label % 10, "id": f"{prefix}{i:06d}"}


def builder(_name: str, data_dir: pathlib.Path) -> tfds.core.DatasetBuilder:
    """Returns the builder over a folder of prepared data sets."""
    return SvhnCropped(data_dir=data_dir, file_format="array_record")
