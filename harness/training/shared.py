# SPDX-License-Identifier: Apache-2.0
"""What compiled programs and data depend on: cells that agree in it share one problem, best in one process."""

from __future__ import annotations

from typing import NamedTuple

from harness import config
from harness.training import optimizers


class Shared(NamedTuple):
    """The parts of a cell that its programs and data depend on; cells that differ in step size or length share them.

    Attributes:
        data: The `data` part.
        model: The `model` part.
        loss: The `loss` part.
        rule: What a step does.
        precision: That of training.
        curvature: How Hessians are surveyed, as the cell says.
    """

    data: config.Data
    model: config.Model
    loss: config.Loss
    rule: optimizers.Rule
    precision: str
    curvature: str


def of(cell: config.Recipe) -> Shared:
    """Returns what the programs and data of a cell depend on."""
    return Shared(cell.data, cell.model, cell.loss, optimizers.rule(cell), cell.precision, cell.curvature)
