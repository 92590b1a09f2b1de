# SPDX-License-Identifier: Apache-2.0
"""Training sets: what is known of one before it is read, what cannot be, and its arrays.

Stored images are read through tensorflow-datasets, without TensorFlow; generated sets are drawn in memory. Nothing here
loads either before `load` or `prepare` is called, save for the sets that are named by `tfds`.

Example:
    >>> from harness import data
    >>> from harness.config.data import LinearTeacher
    >>> teacher = LinearTeacher(name="linear_teacher", examples=8, shape=(1, 1, 2), singular_values=(2.0, 1.0))
    >>> data.facts(teacher).task, data.facts(teacher).examples
    ('regression', 8)
    >>> data.load(teacher).x.shape
    (8, 1, 1, 2)
"""

from __future__ import annotations

import functools
import hashlib
import math
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from harness import errors, workspace
from harness.config import data as configs
from harness.data.table import DATASETS, Dataset

if TYPE_CHECKING:
    import numpy as np

__all__ = ["DATASETS", "Arrays", "Dataset", "Facts", "at_hand", "conflicts", "facts", "fingerprint", "load", "prepare"]

Conflict = tuple[tuple[str, ...], str]


class Facts(NamedTuple):
    """What is known of a training set without reading it.

    Attributes:
        title: What it is, in a line.
        task: `classification` or `regression`.
        shape: Shape (H, W, C) of one input, as the network gets it.
        classes: Number of outputs K.
        examples: Number of examples N that are trained on.
        split: The split they come from; `train` for generated sets.
        licence: Licence of the data.
    """

    title: str
    task: str
    shape: tuple[int, int, int]
    classes: int
    examples: int
    split: str
    licence: str


class Arrays(NamedTuple):
    """A training set in memory, in float64.

    Attributes:
        x: (N, H, W, C): pixels in [0, 1] or standardised, or generated numbers.
        targets: (N, K): one-hot labels, or numbers for regression.
        weights: (N,): weights of the examples in the mean; ones unless the set says otherwise.
        version: Version of the data set.
        sha256: 64 hex digits that name exactly these x, targets and weights; see `fingerprint`.
        licence: Licence of the data.
        citation: What to cite.
    """

    x: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    version: str
    sha256: str
    licence: str
    citation: str


def facts(config: configs.Data) -> Facts:
    """Returns what is known of a training set for which `conflicts` yields nothing; no array is read or drawn.

    Cost: microseconds; the first time for a `tfds` set the import of tensorflow-datasets, without a network.
    """
    row = DATASETS[config.name]
    if isinstance(config, configs.Images | configs.Tfds):
        known = _stored(config)
        examples = config.examples or known.sizes.get(config.split)
        height, width = (config.resize or side for side in known.shape[:2])
        assert examples and height and width, "conflicts() was not asked, or not heeded"
        shape = height, width, config.channels or known.shape[2]
        classes = config.outputs or known.classes
        split = row.test_split if config.split == "test" else config.split
        return Facts(known.title, row.task, shape, classes, examples, split, known.licence)
    if isinstance(config, configs.File):
        holds = config.holds
        assert holds is not None, "conflicts() was not asked, or not heeded"
        height, width, channels = holds.shape
        shape = height, width, channels
        return Facts(row.title, holds.task, shape, holds.outputs, holds.examples, "train", row.licence)
    shape, classes, examples = _generated(config)
    return Facts(row.title, row.task, shape, classes, examples, "train", row.licence)


def conflicts(config: configs.Data) -> Iterator[Conflict]:
    """Yields path (inside the `data` part) and text of what is wrong between fields that are right by themselves."""
    if isinstance(config, configs.Images | configs.Tfds):
        yield from _stored_conflicts(config)
    elif isinstance(config, configs.File):
        if config.holds is None:
            yield ("holds",), "missing; allowed: what the file holds, as in cell.yaml"
        else:
            yield from _too_many(config.holds.examples, math.prod(config.holds.shape))
    else:
        yield from _generated_conflicts(config)


def load(config: configs.Data) -> Arrays:
    """Returns a training set. Targets are its labels even where the spec plants others: those need the network.

    A set that needs no network is prepared on first use; another must have been prepared before.

    Raises:
        errors.InputError: If it is not prepared, what is on disk is not what it should be, or too few examples of a
            class are there for a balanced subset.
    """
    import numpy as np

    row = DATASETS[config.name]
    if isinstance(config, configs.Images | configs.Tfds):
        from harness.data import images

        found = images.load(_name(config), config)
        targets, weights = np.eye(config.outputs or found.classes)[found.labels], np.ones(len(found.x))
        return Arrays(
            found.x,
            targets,
            weights,
            found.version,
            fingerprint(found.x, targets, weights),
            found.licence or row.licence,
            found.citation or row.source,
        )
    if isinstance(config, configs.File):
        from harness.data import file

        held = file.load(config)
        weights = np.ones(len(held.x))
        sha256 = fingerprint(held.x, held.targets, weights)
        return Arrays(held.x, held.targets, weights, "1", sha256, row.licence, row.source)
    from harness.data import synthetic

    drawn = synthetic.generate(config)
    return Arrays(*drawn, synthetic.VERSION, fingerprint(*drawn), row.licence, row.source)


def fingerprint(*arrays: np.ndarray) -> str:
    """Returns the SHA-256, 64 hex digits, of arrays: of each its shape in ASCII, `(2, 1)`, then its values in C order.

    Values are hashed as little-endian float64. Cost: about a second per GiB.
    """
    import numpy as np

    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array, "<f8").data)
    return digest.hexdigest()


def prepare(name: str, source_dir: pathlib.Path | None = None) -> None:
    """Writes a data set's files where `load` reads them, once.

    Args:
        name: A name in DATASETS, or one of tensorflow-datasets, with or without `/variant`.
        source_dir: Folder that holds the upstream files, to use instead of the network.

    Raises:
        errors.InputError: If the name is not known, the network is needed and cannot be reached (found out in 3
            seconds), or files are wrong.
    """
    from harness.data import preparation

    preparation.prepare(name, source_dir)
    _described.cache_clear()


def at_hand(config: configs.Data) -> bool:
    """Tells whether `load` would find the training set here: generated, prepared, or prepared without a network."""
    if isinstance(config, configs.File):
        return pathlib.Path(config.path).is_file()
    if not isinstance(config, configs.Images | configs.Tfds):
        return True
    from harness.data import preparation

    return preparation.at_hand(_name(config))


class Stored(NamedTuple):
    """What is known of a stored set: like Facts, but H and W None where images differ, sizes empty if not known."""

    title: str
    shape: tuple[int | None, int | None, int]
    classes: int
    sizes: dict[str, int]
    licence: str


def _name(config: configs.Images | configs.Tfds) -> str:
    return config.dataset if isinstance(config, configs.Tfds) else config.name


def _stored(config: configs.Images | configs.Tfds) -> Stored:
    """Returns what is known of a stored set.

    Raises:
        errors.InputError: If tensorflow-datasets has no such set, or it is not one of images with labels.
    """
    if isinstance(config, configs.Tfds):
        return _described(config.dataset, workspace.data())
    row = DATASETS[config.name]
    assert row.classes and row.train_examples and row.test_examples, "all rows of images but `tfds` say it"
    sizes = {"train": row.train_examples, "test": row.test_examples}
    return Stored(row.title, row.shape or (None, None, 3), row.classes, sizes, row.licence)


@functools.lru_cache
def _described(dataset: str, _folder: pathlib.Path) -> Stored:
    """Returns what tensorflow-datasets says of a set, given what is prepared in a folder; the arguments are the key."""
    from harness.data import preparation, stock

    known = stock.described(preparation.builder(dataset))
    sizes = {"train": known.sizes.get("train"), "test": known.sizes.get("test") or known.sizes.get("validation")}
    there = {split: size for split, size in sizes.items() if size}
    licence = known.licence or DATASETS["tfds"].licence
    return Stored(f"{dataset} of tensorflow-datasets", known.shape, known.classes, there, licence)


def _stored_conflicts(config: configs.Images | configs.Tfds) -> Iterator[Conflict]:
    name = _name(config)
    if isinstance(config, configs.Tfds) and name in DATASETS:
        text = f"{name!r} is not allowed; allowed: sets without a name of their own here; write name: {name}"
        yield ("dataset",), text
        return
    try:
        known = _stored(config)
    except errors.InputError as error:
        yield ("dataset",), str(error)
        return
    if config.resize is None and None in known.shape:
        text = f"null is not allowed; allowed: an integer from 4 to 512, as the images of {name} differ in size"
        yield ("resize",), text
    size = known.sizes.get(config.split)
    if known.sizes and size is None:
        yield ("split",), f"{config.split!r} is not allowed; allowed: {', '.join(known.sizes)}, which {name} has"
    word = "training" if config.split == "train" else "test"
    if config.examples is None and size is None:
        yield ("examples",), f"null is not allowed; allowed: a number, as {name} is not prepared and its size not known"
    elif config.examples is None and config.subset != "first":
        yield ("examples",), "null is not allowed; allowed: a number, as a balanced subset need not have all examples"
    elif config.examples is not None and size is not None and config.examples > size:
        yield ("examples",), f"{config.examples} is not allowed; allowed: at most {size}, the {word} examples of {name}"
    if config.channels is not None and known.shape[2] != 1:
        yield ("channels",), f"{config.channels} is not allowed; allowed: null, as the images of {name} are in colour"
    if config.outputs is not None and config.outputs < known.classes:
        yield ("outputs",), f"{config.outputs} is not allowed; allowed: at least {known.classes}, the classes of {name}"
    examples = config.examples or size
    height, width = (config.resize or side for side in known.shape[:2])
    if examples and height and width:
        yield from _too_many(examples, height * width * (config.channels or known.shape[2]))


def _generated(config: configs.Generated) -> tuple[tuple[int, int, int], int, int]:
    """Returns shape, number of outputs and number of examples of a generated set."""
    row = DATASETS[config.name]
    if isinstance(config, configs.Point | configs.PaperPair):
        assert row.shape is not None and row.classes is not None and row.train_examples is not None
        return row.shape, row.classes, row.train_examples
    if isinstance(config, configs.Points):
        return (1, 1, 1), 1, len(config.x)
    if isinstance(config, configs.ModularAddition):
        return (1, 3, 1), config.modulus, config.examples
    if isinstance(config, configs.Parity):
        return (1, config.length, 1), 2, config.examples
    height, width, channels = config.shape
    classes = len(config.singular_values) if isinstance(config, configs.LinearTeacher) else config.classes
    return (height, width, channels), classes, config.examples


def _generated_conflicts(config: configs.Generated) -> Iterator[Conflict]:
    shape, classes, examples = _generated(config)
    size = math.prod(shape)
    if size > configs.SIZE:
        yield ("shape",), f"{list(shape)} is not allowed; allowed: at most {configs.SIZE} numbers in one input"
    else:
        yield from _too_many(examples, size)
    limit = f"at most {size}, the numbers of one input"
    if isinstance(config, configs.Points):
        for name in ("values", "weights"):
            given = len(getattr(config, name))
            if given != examples and (given or name == "values"):
                yield (name,), f"{given} numbers; allowed: {examples}, one for each of `x`"
    if isinstance(config, configs.ModularAddition) and examples > classes**2:
        yield ("examples",), f"{examples} is not allowed; allowed: at most {classes**2}, the pairs modulo {classes}"
    if isinstance(config, configs.GaussianClasses) and classes > size:
        yield ("classes",), f"{classes} is not allowed; allowed: {limit}, as the means are orthogonal"
    if isinstance(config, configs.LinearTeacher) and classes > size:
        yield ("singular_values",), f"a list of {classes} is not allowed; allowed: {limit}"
    if isinstance(config, configs.LinearTeacher) and examples < size:
        yield ("examples",), f"{examples} is not allowed; allowed: at least {size}, the numbers of one input"


def _too_many(examples: int, size: int) -> Iterator[Conflict]:
    if examples * size > configs.NUMBERS:
        text = f"{examples} is not allowed; allowed: at most {configs.NUMBERS // size}, as one input is {size} numbers"
        yield ("examples",), f"{text} and all together may be {configs.NUMBERS}"
