# SPDX-License-Identifier: Apache-2.0
"""Arrays of strangers: safetensors, read strictly.

The library is for our own files. It takes duplicate keys, which name two things, and leaves shapes and types to whoever
reads; nothing here is allocated beyond the bytes that are there.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import numpy as np

METADATA = ("layout",)
"""What a file may say beside its arrays."""

HEADER = 1 << 20
"""Bytes of a header, at most."""

TYPES = {"F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U32": "<u4"}
"""Types that states have, by their name in the format."""


def load(content: bytes, name: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a file in the safetensors format.

    Args:
        content: The file.
        name: What messages call it.

    Raises:
        ValueError: If a byte of it is not as the format says, or a type is not in TYPES; says what.
    """
    header, body = _parts(content, name)
    header.pop("__metadata__", None)
    arrays, places = {}, []
    for key, entry in header.items():
        dtype, shape, first, last = _entry(entry, f"{name}: {key[:80]!r}")
        if last - first != math.prod(shape) * np.dtype(dtype).itemsize or last > len(body):
            raise ValueError(f"{name}: {key[:80]!r} has not the bytes that its shape takes")
        places.append((first, last))
        arrays[key] = np.frombuffer(body[first:last], dtype).reshape(shape)
    ends = [0, *(last for _, last in sorted(places))]
    if [first for first, _ in sorted(places)] != ends[:-1] or ends[-1] != len(body):
        raise ValueError(f"{name} has bytes that belong to no array, or to two")
    return arrays


def metadata(content: bytes, name: str) -> dict[str, str]:
    """Returns what a file in the safetensors format says beside its arrays: texts by name, bounded as its header is.

    Raises:
        ValueError: If it says anything that is not a text named in METADATA.
    """
    said = _parts(content, name)[0].get("__metadata__", {})
    if not isinstance(said, dict) or not all(isinstance(value, str) for value in said.values()):
        raise ValueError(f"{name} has metadata that is no mapping of texts")
    if unknown := sorted(set(said) - set(METADATA)):
        raise ValueError(f"{name} has the unknown metadata {unknown[0][:80]!r}")
    return said


def states(arrays: dict[str, np.ndarray], name: str) -> dict[int, dict[str, np.ndarray]]:
    """Returns the states of a run, by step, from arrays with a row for each: `step`, `theta`, `optimizer_I`.

    Args:
        arrays: What `load` gave.
        name: What messages call the file.

    Raises:
        ValueError: They are not such arrays, or a number is not finite.
    """
    steps, theta = arrays.get("step"), arrays.get("theta")
    if steps is None or theta is None or steps.ndim != 1 or theta.ndim != 2 or steps.dtype.kind != "i":
        raise ValueError(f"{name} does not hold `step` and `theta`, a row for each state")
    if {len(array) if array.ndim else -1 for array in arrays.values()} != {len(steps)}:
        raise ValueError(f"{name} has not one row of each array for each state")
    if unknown := [key for key in arrays if not re.fullmatch(r"step|theta|optimizer_\d{1,4}", key)]:
        raise ValueError(f"{name} has the unknown array {unknown[0][:80]!r}")
    if np.any(np.diff(steps) <= 0) or np.any(steps < 0):
        raise ValueError(f"{name} has steps that do not increase")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ValueError(f"{name} holds a number that is not finite")
    names = [key for key in arrays if key != "step"]
    return {int(step): {key: arrays[key][i] for key in names} for i, step in enumerate(steps)}


def _parts(content: bytes, name: str) -> tuple[dict[str, Any], bytes]:
    """Returns the header of a file and the bytes behind it."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(HEADER, len(content) - 8):
        raise ValueError(f"{name} is no safetensors file: its header is cut off or longer than {HEADER} bytes")
    return _header(content[8 : 8 + length], name), content[8 + length :]


def _header(raw: bytes, name: str) -> dict[str, Any]:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in items}) != len(items):
            raise ValueError(f"{name} has a key twice in its header")
        return dict(items)

    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=pairs)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{name} has a header that is not JSON") from error
    if not isinstance(header, dict):
        raise ValueError(f"{name} has a header that is no mapping")
    return header


def _entry(entry: Any, place: str) -> tuple[str, tuple[int, ...], int, int]:
    """Returns type, shape, first byte and the byte after the last of one array, checked."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{place} is not {{dtype, shape, data_offsets}}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in TYPES:
        raise ValueError(f"{place} has the type {str(entry['dtype'])[:20]!r}; allowed: {', '.join(TYPES)}")
    for numbers, least, most in ((shape, 0, 8), (offsets, 2, 2)):
        if not isinstance(numbers, list) or not least <= len(numbers) <= most:
            raise ValueError(f"{place} has a shape or place that is no list of whole numbers")
        if not all(type(number) is int and 0 <= number < 1 << 48 for number in numbers):
            raise ValueError(f"{place} has a shape or place that is no list of whole numbers")
    if offsets[0] > offsets[1]:
        raise ValueError(f"{place} ends before it begins")
    return TYPES[entry["dtype"]], tuple(shape), offsets[0], offsets[1]
