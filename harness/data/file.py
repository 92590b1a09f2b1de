# SPDX-License-Identifier: Apache-2.0
"""Arrays of one's own: an `.npz` with `x` and `y`, named by the SHA-256 of what it holds.

`x` is (N,), (N, D), (N, H, W) or (N, H, W, C) of real numbers; `y` is (N,) of whole numbers, classes 0 to K - 1, or
(N,) or (N, K) of real targets. Nothing in it is ever run: no pickles, and sizes are read before numbers are.
"""

from __future__ import annotations

import functools
import math
import os
import pathlib
import zipfile
from typing import IO, Any, NamedTuple

import numpy as np

from harness import errors
from harness.config import data as configs

NAMES = ("x", "y")
CLASSES = 1000
"""Most classes, or targets of an example."""


class Held(NamedTuple):
    """What a file holds, as a training set in float64.

    Attributes:
        x: (N, H, W, C).
        targets: (N, K): one-hot classes, or numbers.
        task: `classification` or `regression`.
    """

    x: np.ndarray
    targets: np.ndarray
    task: str


def read(path: str) -> Held:
    """Returns what a file holds; the last one read is kept while it does not change.

    Raises:
        errors.InputError: If there is no such file, or it holds something else, in one line.
    """
    place = pathlib.Path(path)
    try:
        known = place.stat()
    except OSError as error:
        raise errors.InputError(f"{path!r}: {error.strerror}; allowed: an .npz, from where gdzoo is called") from None
    if not place.is_file():
        raise errors.InputError(f"{path!r} is no file")
    return _read(os.path.abspath(path), known.st_mtime_ns, known.st_size)


@functools.lru_cache(maxsize=1)
def _read(path: str, _changed: int, _size: int) -> Held:
    name = os.path.basename(path)
    try:
        _check_sizes(path, name)
        with np.load(path, allow_pickle=False) as opened:
            x, y = (opened[key] for key in NAMES)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise errors.InputError(f"{name} is no .npz of arrays x and y: {errors.first_line(error)[:200]}") from None
    shaped = _shaped(x, name)
    _finite(shaped, "x", name)
    _finite(y, "y", name)
    if len(y) != len(x):
        raise errors.InputError(f"{name} has {len(x)} inputs in x and {len(y)} targets in y; allowed: as many")
    targets, task = _targets(y, name)
    return Held(np.ascontiguousarray(shaped, "float64"), targets, task)


def _check_sizes(path: str, name: str) -> None:
    """Refuses a file whose arrays are missing, no numbers, or larger than any training set, by their headers alone."""
    with zipfile.ZipFile(path) as opened:
        there = set(opened.namelist())
        if there != {f"{key}.npy" for key in NAMES}:
            found = ", ".join(sorted(one.removesuffix(".npy") for one in there))[:200]
            raise errors.InputError(
                f"{name} holds {found or 'nothing'}; allowed: x and y, np.savez({name!r}, x=x, y=y)"
            )
        for key in NAMES:
            with opened.open(f"{key}.npy") as member:
                shape, dtype = _header(member)
            if dtype.kind not in "fiu":
                raise errors.InputError(f"{name}: {key} is {dtype}; allowed: real or whole numbers")
            if math.prod(shape) > configs.NUMBERS:
                raise errors.InputError(f"{name}: {key} has shape {shape}; allowed: at most {configs.NUMBERS} numbers")
            if opened.getinfo(f"{key}.npy").file_size > dtype.itemsize * math.prod(shape) + 2**16:
                raise errors.InputError(f"{name}: {key} is larger than its shape {shape} says")


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Returns shape and dtype of an array that is not read."""
    versions = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(member)
    if version not in versions:
        raise ValueError(f"version {version} of .npy")
    shape, _, dtype = versions[version](member)
    return shape, dtype


def _shaped(x: np.ndarray, name: str) -> np.ndarray:
    """Returns inputs as (N, H, W, C)."""
    if not 1 <= x.ndim <= 4 or 0 in x.shape:
        allowed = "(N,), (N, D), (N, H, W) or (N, H, W, C), none of them 0"
        raise errors.InputError(f"{name}: x has shape {x.shape}; allowed: {allowed}")
    if x.ndim <= 2:
        return x.reshape(len(x), 1, 1, -1)
    return x if x.ndim == 4 else x[..., None]


def _targets(y: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    if y.ndim not in (1, 2) or 0 in y.shape or (y.ndim == 2 and y.shape[1] > CLASSES):
        raise errors.InputError(f"{name}: y has shape {y.shape}; allowed: (N,) or (N, K), K at most {CLASSES}")
    if y.ndim == 2 or y.dtype.kind == "f":
        return np.ascontiguousarray(y, "float64").reshape(len(y), -1), "regression"
    least, most = int(y.min()), int(y.max())
    if least < 0 or not 1 <= most < CLASSES:
        text = f"classes from 0 to K - 1, K from 2 to {CLASSES}; real targets are floats"
        raise errors.InputError(f"{name}: y has whole numbers from {least} to {most}; allowed: {text}")
    return np.eye(most + 1)[y], "classification"


def _finite(array: np.ndarray, key: str, name: str) -> None:
    wrong = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise errors.InputError(f"{name}: {key} is NaN or infinite in {int(wrong.sum())} examples, the first {first}")


def contents(path: str) -> dict[str, Any]:
    """Returns the `holds` part of a spec for a file, as plain values.

    Raises:
        errors.InputError: As `read` does.
    """
    from harness import data

    held = read(path)
    weights = np.ones(len(held.x))
    return {
        "sha256": data.fingerprint(held.x, held.targets, weights),
        "task": held.task,
        "examples": len(held.x),
        "shape": list(held.x.shape[1:]),
        "outputs": held.targets.shape[1],
    }


def load(config: configs.File) -> Held:
    """Returns what the file of a spec holds.

    Raises:
        errors.InputError: As `read` does, and if it holds something else than it did.
    """
    found = contents(config.path)
    if config.holds is None or found["sha256"] != config.holds.sha256:
        said = "nothing" if config.holds is None else f"{config.holds.sha256[:12]}…"
        raise errors.InputError(
            f"data.path: {config.path!r} holds other arrays than the configuration says: their SHA-256 is "
            f"{found['sha256'][:12]}…, not {said}; bring those back, or run the spec again, which names a new cell"
        )
    return read(config.path)
