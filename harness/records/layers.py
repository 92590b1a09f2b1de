# SPDX-License-Identifier: Apache-2.0
"""Where eigenvectors live, one line of JSON for each checkpoint step that asks for it: `layers.jsonl` of a run folder.

    {"step": 0, "layers": ["dense_0", ...], "largest": {"value": ..., "error": ..., "shares": [...]}, "least": ...,
     "nearest": ...}

`shares` has a number for each of `layers`, each within `error`, or is null where the vector is not known well enough.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

from harness.curvature import spectrum


class Layers(NamedTuple):
    """The shares of layers in three eigenvectors, a row for each of spectrum.NAMED.

    Attributes:
        names: The k layers, in the order of theta.
        values: (3,) the eigenvalues.
        errors: (3,) how far each share may be off, at most.
        shares: (3, k), which add up to 1 in each row; a row of NaN where it is not known.
    """

    names: tuple[str, ...]
    values: np.ndarray
    errors: np.ndarray
    shares: np.ndarray


def dump(step: int, known: Layers) -> str:
    """Returns them as one line of JSON."""

    def one(i: int) -> dict[str, object]:
        shares = known.shares[i].tolist() if np.isfinite(known.shares[i]).all() else None
        return {"value": float(known.values[i]), "error": float(known.errors[i]), "shares": shares}

    parts = {name: one(i) for i, name in enumerate(spectrum.NAMED)}
    return json.dumps({"step": step, "layers": list(known.names), **parts}, allow_nan=False)


def load(line: str) -> tuple[int, Layers]:
    """Returns step and shares of one line of JSON."""
    fields = json.loads(line)
    names = tuple(fields["layers"])
    parts = [fields[name] for name in spectrum.NAMED]
    unknown = [float("nan")] * len(names)
    shares = np.array([unknown if part["shares"] is None else part["shares"] for part in parts], np.float64)
    values, errors = (np.array([part[key] for part in parts], np.float64) for key in ("value", "error"))
    return int(fields["step"]), Layers(names, values, errors, shares)
