# SPDX-License-Identifier: Apache-2.0
"""The spectra that a run keeps, one line of JSON for each checkpoint step: `spectra.jsonl` in its folder.

Lines, not arrays in one file: a line is appended and on disk before the next step, as a record is, and a cut leaves a
torn line and no torn file. Numbers as text: a page or a person reads them without a library, and they come back with
the same bits. A line holds 20 bytes for each known eigenvalue: 40 KB for a dense spectrum of 2,000 parameters.
"""

from __future__ import annotations

import json

import numpy as np

from harness.curvature import spectrum as spectra


def dump(step: int, known: spectra.Spectrum) -> str:
    """Returns a spectrum as one line of JSON; one number stands for error bars that are all the same."""
    same = bool(np.all(known.errors == known.errors[0]))
    fields = {
        "step": step,
        "parameters": known.size,
        "complete": known.complete,
        "products": known.products,
        "errors": float(known.errors[0]) if same else known.errors.tolist(),
        "values": known.values.tolist(),
    }
    return json.dumps(fields, allow_nan=False)


def load(line: str) -> tuple[int, spectra.Spectrum]:
    """Returns step and spectrum of one line of JSON."""
    fields = json.loads(line)
    values = np.array(fields["values"], np.float64)
    errors = np.broadcast_to(np.asarray(fields["errors"], np.float64), values.shape)
    known = spectra.Spectrum(values, errors, fields["complete"], fields["parameters"], fields["products"])
    return int(fields["step"]), known
