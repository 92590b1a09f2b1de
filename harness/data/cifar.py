# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 and CIFAR-100: tensorflow-datasets' own builders, with the steps that need TensorFlow done in Python.

The archive is read member by member and never unpacked on disk.
"""

from __future__ import annotations

import pathlib
import tarfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import PIL.Image
import tensorflow_datasets as tfds
from tensorflow_datasets.image_classification import cifar

SHAPE = (3, 32, 32)


class _Binary:
    """What reads upstream's archive, in place of what unpacks and reads it through TensorFlow."""

    info: Any
    _cifar_info: cifar.CifarInfo

    def _split_generators(self, manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        known = self._cifar_info
        files = members(pathlib.Path(manager.download(known.url)), known.prefix)
        for key, name in zip(known.label_keys, known.label_files, strict=True):
            self.info.features[key].names = files[name].decode().split()
        parts = {"train": known.train_files, "test": known.test_files}
        return {
            split: examples(b"".join(files[name] for name in names), known.label_keys, f"{split}_")
            for split, names in parts.items()
        }


class Cifar10(_Binary, cifar.Cifar10, skip_registration=True):  # type: ignore[call-arg]
    """The stock builder without TensorFlow."""

    url_infos = cifar.Cifar10.url_infos


class Cifar100(_Binary, cifar.Cifar100, skip_registration=True):  # type: ignore[call-arg]
    """The stock builder without TensorFlow."""

    url_infos = cifar.Cifar100.url_infos


BUILDERS = {each.name: each for each in (Cifar10, Cifar100)}


def members(archive: pathlib.Path, prefix: str) -> dict[str, bytes]:
    """Returns the files of a gzipped tar archive whose names start with `prefix`, by the rest of their names."""
    found = {}
    with tarfile.open(archive, "r:gz") as opened:
        for member in opened:
            if member.isfile() and member.name.startswith(prefix):
                handle = opened.extractfile(member)
                assert handle is not None, "it is a file"
                found[member.name.removeprefix(prefix)] = handle.read()
    return found


def examples(raw: bytes, label_keys: list[str], prefix: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields key and record of each example, in the order of the file.

    Args:
        raw: For each example one byte per label, then 3,072 of pixels, channel by channel and row by row.
        label_keys: The features that the labels are.
        prefix: What the `id` of an example starts with.

    Raises:
        ValueError: If it does not end with a whole example.
    """
    rows = np.frombuffer(raw, np.uint8).reshape(-1, len(label_keys) + int(np.prod(SHAPE)))
    for i, row in enumerate(rows):
        labels, pixels = row[: len(label_keys)], row[len(label_keys) :]
        image = np.ascontiguousarray(pixels.reshape(SHAPE).transpose(1, 2, 0))
        yield (
            i,
            {
                **dict(zip(label_keys, labels.tolist(), strict=True)),
                "id": f"{prefix}{i:05d}",
                "image": PIL.Image.fromarray(image),
            },
        )


def builder(name: str, data_dir: pathlib.Path) -> tfds.core.DatasetBuilder:
    """Returns the builder of one of BUILDERS over a folder of prepared data sets."""
    return BUILDERS[name](data_dir=data_dir, file_format="array_record")
