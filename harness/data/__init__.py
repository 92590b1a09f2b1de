# SPDX-License-Identifier: Apache-2.0
"""DATASETS: the images that gdzoo trains on, read through tensorflow-datasets without TensorFlow."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib
import io
import logging
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from harness import errors, workspace

if TYPE_CHECKING:
    import pathlib

    import numpy as np


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One row of DATASETS.

    Attributes:
        title: What it is, in a line.
        module: Module with `builder(data_dir)`, a tensorflow-datasets builder that needs no TensorFlow.
        shape: Shape (H, W, C) of one image.
        classes: Number of labels K.
        train_examples: Size of the training split.
        scale: Raw pixel values are divided by this, so that inputs lie in [0, 1].
        licence: Licence of the data.
        source: Where the data come from.
        download: What must come from the network: None, or the host and the size.
    """

    title: str
    module: str
    shape: tuple[int, int, int]
    classes: int
    train_examples: int
    scale: float
    licence: str
    source: str
    download: tuple[str, str] | None = None


DATASETS: dict[str, Dataset] = {
    "digits": Dataset(
        title="8x8 handwritten digits, shipped with scikit-learn",
        module="harness.data.digits",
        shape=(8, 8, 1),
        classes=10,
        train_examples=1500,
        scale=16.0,
        licence="CC BY 4.0",
        source="Alpaydin & Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (test part, 1,797 images)",
    ),
    "fashion_mnist": Dataset(
        title="28x28 images of clothes",
        module="harness.data.fashion_mnist",
        shape=(28, 28, 1),
        classes=10,
        train_examples=60000,
        scale=255.0,
        licence="MIT",
        source="Xiao, Rasul & Vollgraf, 2017, arXiv 1708.07747",
        download=("fashion-mnist.s3-website.eu-central-1.amazonaws.com", "30 MiB"),
    ),
}


class Arrays(NamedTuple):
    """A training set in memory.

    Attributes:
        x: (N, H, W, C) float64 in [0, 1].
        labels: (N,) int32 in [0, K).
        version: Version of the data set.
        sha256: Hash of raw images and labels, 64 hex digits.
    """

    x: np.ndarray
    labels: np.ndarray
    version: str
    sha256: str


def load(name: str, examples: int | None) -> Arrays:
    """Returns the first `examples` training examples (None: all) in the data set's own fixed order.

    A data set that needs no network is prepared on first use; another must have been prepared before.

    Raises:
        errors.InputError: If it is not prepared, has fewer examples, or what is on disk is not what it should be.
    """
    import numpy as np

    row = DATASETS[name]
    builder = prepared(name)
    source = builder.as_data_source(split="train")
    if len(source) != row.train_examples:
        raise errors.InputError(
            f"data set '{name}' in {workspace.data()} holds {len(source)} training examples, "
            f"not {row.train_examples}: delete its folder there and say `gdzoo data prepare {name}`"
        )
    count = row.train_examples if examples is None else examples
    if count > row.train_examples:
        raise errors.InputError(
            f"data.examples: {count} is more than the {row.train_examples} training examples of '{name}'"
        )
    batch = source.__getitems__(list(range(count)))
    raw = np.stack([np.asarray(example["image"]) for example in batch]).reshape(count, *row.shape)
    labels = np.array([int(example["label"]) for example in batch], np.int32)
    digest = hashlib.sha256(raw.astype("<u1").tobytes() + labels.astype("<i4").tobytes()).hexdigest()
    return Arrays(raw.astype(np.float64) / row.scale, labels, str(builder.info.version), digest)


def prepared(name: str) -> Any:
    """Returns the tensorflow-datasets builder of a data set that is ready to be read.

    Raises:
        errors.InputError: If it needs the network and was not prepared.
    """
    row = DATASETS[name]
    builder = _builder(name)
    if builder.is_prepared():
        return builder
    if row.download is None:
        return prepare(name)
    host, size = row.download
    raise errors.InputError(
        f"data set '{name}' is not in {workspace.data()} and needs a download of {size} from {host}. Three ways out: "
        f"say `gdzoo data prepare {name}` on a machine with a network and copy that folder here; put the files in a "
        f"folder and say `gdzoo data prepare {name} --manual-dir FOLDER`; or choose a data set that needs no network: "
        + ", ".join(n for n, r in DATASETS.items() if r.download is None)
    )


def prepare(name: str, manual_dir: pathlib.Path | None = None) -> Any:
    """Writes a data set's files under `workspace.data()`, once, and returns its builder.

    Args:
        name: A name in DATASETS.
        manual_dir: Folder that holds the upstream files, to use instead of the network.

    Raises:
        errors.InputError: If the network is needed and cannot be reached (found out in 3 seconds), or files are wrong.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import download

    row = DATASETS[name]
    tfds.disable_progress_bar()
    with _lock(name):
        builder = _builder(name)
        if builder.is_prepared():
            return builder
        if row.download is not None and manual_dir is None:
            _probe(name, row.download[0])
        config = download.DownloadConfig(manual_dir=manual_dir)
        wrong = (OSError, download.DownloadError, download.download_manager.NonMatchingChecksumError)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                builder.download_and_prepare(download_config=config)
        except wrong as error:
            raise errors.InputError(f"data set '{name}' could not be prepared: {error}") from error
        return builder


def _builder(name: str) -> Any:
    """Returns a data set's builder; tensorflow-datasets' own chatter is kept off the terminal."""
    logging.getLogger("absl").setLevel(logging.ERROR)
    return importlib.import_module(DATASETS[name].module).builder(workspace.data())


def _probe(name: str, host: str) -> None:
    try:
        socket.create_connection((host, 80), timeout=3).close()
    except OSError as error:
        raise errors.InputError(
            f"data set '{name}' must be downloaded from {host}, which cannot be reached ({error}): say `gdzoo data "
            f"prepare {name}` on a machine with a network and copy {workspace.data()} here, or give --manual-dir"
        ) from error


@contextlib.contextmanager
def _lock(name: str) -> Iterator[None]:
    """Holds the preparation of one data set, so that processes that arrive together write it once."""
    workspace.data().mkdir(parents=True, exist_ok=True)
    with open(workspace.data() / f".{name}.lock", "w", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
