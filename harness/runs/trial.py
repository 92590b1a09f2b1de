# SPDX-License-Identifier: Apache-2.0
"""The trial of a cell: what its parts take here and what one small step does to its loss; remembered between commands.

What is remembered lies beside the compiled programs (harness/runtime/compilation_cache.py), a small JSON file for each
cell, machine and set of versions. It holds times and losses and no code, and what cannot be read is asked anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
from typing import NamedTuple

from harness import config
from harness.config import canonical
from harness.runs import estimate, outline
from harness.runtime import compilation_cache, device, provenance
from harness.training import problem

VERSION = 2
"""Of what is remembered: another one is not read."""


class Trial(NamedTuple):
    """What was tried of a cell.

    Attributes:
        parts: What its parts take here.
        before, after: The loss before and after one small step.
    """

    parts: estimate.Parts
    before: float
    after: float


def trial(cell: config.Cell, known: outline.Outline) -> Trial:
    """Returns the trial of a cell, remembered or made now.

    Cost: nothing where it is remembered; else that of estimate.time_parts and a step.

    Raises:
        errors.InputError: If the data set cannot be had.
    """
    file = place(cell, known)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        plain = json.loads(file.read_text(encoding="utf-8"))
        return Trial(estimate.Parts(**plain["parts"]), float(plain["before"]), float(plain["after"]))
    made = Trial(estimate.time_parts(cell, known), *problem.trial(cell))
    with contextlib.suppress(OSError):  # it is a convenience
        _write(file, json.dumps({"parts": made.parts._asdict(), "before": made.before, "after": made.after}))
    return made


def place(cell: config.Cell, known: outline.Outline) -> pathlib.Path:
    """Returns the file in which the trial of a cell is remembered on this machine, with these versions."""
    on = {"profile": device.profile(), "cores": os.cpu_count(), "versions": provenance.versions()}
    asked = {"cell": cell.resolved(), "taken": known.plan.taken, "version": VERSION}
    name = hashlib.sha256(canonical.text(asked | on).encode()).hexdigest()[:32]
    return compilation_cache.folder().parent / "trials" / f"{name}.json"


def _write(file: pathlib.Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(f".{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(file)
