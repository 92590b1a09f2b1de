# SPDX-License-Identifier: Apache-2.0
"""Any other image-classification set of tensorflow-datasets: its stock builder, and what that says of it.

Nothing here touches the network: only the sets that come with the package count, not those of its community register.
Reading never needs TensorFlow; what writes a set for the first time may (`pip install 'gdzoo[tf]'`).
"""

from __future__ import annotations

import functools
import pathlib
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from harness import errors
from harness.data.table import DATASETS


class Described(NamedTuple):
    """What a builder says of its images.

    Attributes:
        image: Name of the feature that is the image.
        label: Name of the feature that is the label.
        shape: Shape (H, W, C) of an image; H and W are None where images differ in size.
        classes: Number of labels K.
        sizes: Number of examples of each split; empty until the set is prepared.
        licence: Licence, empty if it names none.
        citation: What to cite, empty if it says nothing.
    """

    image: str
    label: str
    shape: tuple[int | None, int | None, int]
    classes: int
    sizes: dict[str, int]
    licence: str
    citation: str


@functools.cache
def names() -> tuple[str, ...]:
    """Returns the names of all sets that come with tensorflow-datasets."""
    return tuple(tfds.list_builders(with_community_datasets=False))


def check(name: str) -> None:
    """Finds out whether tensorflow-datasets has a set or a variant of that name.

    Raises:
        errors.InputError: If not, with what it has and the nearest name.
    """
    base, _, variant = name.partition("/")
    if base not in names():
        raise errors.InputError(
            f"{name!r} is not allowed; allowed: the names of tensorflow-datasets"
            f"{errors.nearest(base, [*names(), *DATASETS])}"
        )
    variants = [each.name for each in tfds.builder_cls(base).BUILDER_CONFIGS]
    if variant and variant not in variants:
        allowed = ", ".join(f"{base}/{each}" for each in variants) or base
        raise errors.InputError(f"{name!r} is not allowed; allowed: {allowed}{errors.nearest(variant, variants)}")


def builder(name: str, data_dir: pathlib.Path) -> tfds.core.DatasetBuilder:
    """Returns the stock builder of `set` or `set/variant`, which `check` has let pass, over a folder of prepared sets.

    Raises:
        errors.InputError: If the builder needs a package that is not there.
    """
    base, _, variant = name.partition("/")
    try:
        return tfds.builder_cls(base)(config=variant or None, data_dir=data_dir, file_format="array_record")
    except ImportError as error:
        raise errors.InputError(needs_tensorflow(name, error)) from error


def needs_tensorflow(name: str, error: Exception) -> str:
    """Returns the message that a set cannot be prepared without TensorFlow (or another package)."""
    return (
        f"data set '{name}' cannot be prepared here: its builder needs a package that is not installed ({error}). Most "
        f"need TensorFlow: say `pip install 'gdzoo[tf]'`; or prepare it on a machine that has it and copy the folder"
    )


def described(made: tfds.core.DatasetBuilder) -> Described:
    """Returns what a builder says of its images. Cost: microseconds.

    Raises:
        errors.InputError: If it is not a set of 8-bit images with one label each.
    """
    info = made.info
    image, label = info.supervised_keys if _is_pair(info.supervised_keys) else ("image", "label")
    features = dict(info.features) if isinstance(info.features, tfds.features.FeaturesDict) else {}
    pixels, named = features.get(image), features.get(label)
    if (
        not isinstance(pixels, tfds.features.Image | tfds.features.Tensor)
        or not isinstance(named, tfds.features.ClassLabel)
        or len(pixels.shape) != 3
        or pixels.shape[2] not in (1, 3)
        or pixels.np_dtype != np.uint8
        or not named.num_classes
    ):
        raise errors.InputError(
            f"{made.name!r} is not allowed; allowed: sets of grey or coloured 8-bit images with one label each"
        )
    sizes = {name: int(split.num_examples) for name, split in info.splits.items()}
    licence = info.redistribution_info.license.strip()
    return Described(
        image, label, tuple(pixels.shape), named.num_classes, sizes, licence, (info.citation or "").strip()
    )


def _is_pair(keys: Any) -> bool:
    return isinstance(keys, tuple) and len(keys) == 2 and all(isinstance(key, str) for key in keys)
