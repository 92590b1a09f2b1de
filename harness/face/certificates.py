# SPDX-License-Identifier: Apache-2.0
"""Certificates: what is certain of the maps of a spec before any training, as `gdzoo certify` says it."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, overload

from harness import config, specs
from harness.cli import certificates
from harness.face import numerics, shown
from harness.theory import certify as certifying


class Certificates(Sequence[certifying.Certificate]):
    """The certificates of a spec's configurations, in their order."""

    def __init__(self, made: Sequence[certifying.Certificate]) -> None:
        self._made = tuple(made)

    @overload
    def __getitem__(self, place: int) -> certifying.Certificate: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[certifying.Certificate]: ...
    def __getitem__(self, place: int | slice) -> certifying.Certificate | Sequence[certifying.Certificate]:
        """Returns that of a configuration."""
        return self._made[place]

    def __len__(self) -> int:
        """Returns how many configurations there are."""
        return len(self._made)

    def dicts(self) -> list[dict[str, Any]]:
        """Returns them as `gdzoo certify --json` prints them."""
        return [one.as_dict() for one in self._made]

    def _table(self) -> shown.Table:
        rows = [(one.cell.label, f"{one.eta:.4g}", f"{one.parameters:,}", one.verdict) for one in self._made]
        notes = tuple(_sentences(self._made))
        return shown.Table("Certificates, before any training", ("configuration", "η", "P", "this η"), rows, notes)

    def __repr__(self) -> str:
        """Returns a line for each, and what holds for each in sentences."""
        return shown.text(self._table())

    def _repr_html_(self) -> str:
        return shown.page(self._table())


def _sentences(made: Sequence[certifying.Certificate]) -> Iterator[str]:
    for one in made:
        yield f"{one.cell.suite}/{one.cell.label}"
        yield from (f"  {sentence}" for sentence in certificates.sentences(one))


def certify(spec: str | os.PathLike[str] | config.Cell, *, points: int = certifying.POINTS) -> Certificates:
    """Returns what is certain of the map of each configuration of a spec: at its step size, and for a range of them.

    Args:
        spec: The path of a spec or of a folder of them, or a configuration.
        points: How many points to ask.

    Raises:
        errors.InputError: If the spec is wrong, or its data set cannot be had.
        errors.OutOfMemory: If a point does not fit into memory.
    """
    if isinstance(spec, config.Cell):
        cells = [spec]
    else:
        cells = [cell for one in specs.read_all([pathlib.Path(spec)]) for cell in one.cells]
    made = []
    with numerics.exact(), shown.bar(len(cells), "configurations") as begin:
        for cell in cells:
            begin(cell.label)
            made.append(certifying.certify(cell, points))
    return Certificates(made)
