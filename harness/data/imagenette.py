# SPDX-License-Identifier: Apache-2.0
"""Imagenette: tensorflow-datasets' own builder, reading upstream's archive without TensorFlow.

The archive is read member by member and never unpacked on disk; records hold upstream's JPEG files byte for byte.
"""

from __future__ import annotations

import pathlib
import tarfile
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

STOCK = tfds.builder_cls("imagenette")
HOST = "https://s3.amazonaws.com/fast-ai-imageclas/"
VARIANT = "320px-v2"
FOLDERS = {"train": "train", "validation": "val"}


class Imagenette(STOCK, skip_registration=True):  # type: ignore[call-arg, misc, valid-type]
    """The stock builder without TensorFlow."""

    @property
    def url(self) -> str:
        """Where the archive of this variant is."""
        return f"{HOST}{self.builder_config.dirname}.tgz"

    @property
    def url_infos(self) -> dict[str, Any]:
        """Size and checksum of that archive, out of those of all variants."""
        return {self.url: STOCK.url_infos[self.url]}

    def _split_generators(self, manager: Any) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        archive = pathlib.Path(manager.download(self.url))
        return {
            split: examples(archive, f"{self.builder_config.dirname}/{folder}/") for split, folder in FOLDERS.items()
        }


def examples(archive: pathlib.Path, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields key and record of each image in a folder of the archive whose subfolders are the labels."""
    with tarfile.open(archive, "r:gz") as opened:
        for member in opened:
            label, _, name = member.name.removeprefix(prefix).partition("/")
            if member.isfile() and member.name.startswith(prefix) and name.endswith(".JPEG"):
                handle = opened.extractfile(member)
                assert handle is not None, "it is a file"
                yield name, {"image": handle.read(), "label": label}


def builder(name: str, data_dir: pathlib.Path) -> tfds.core.DatasetBuilder:
    """Returns the builder of `imagenette`, which stands for VARIANT, or of `imagenette/VARIANT`."""
    variant = name.partition("/")[2] or VARIANT
    return Imagenette(config=variant, data_dir=data_dir, file_format="array_record")
