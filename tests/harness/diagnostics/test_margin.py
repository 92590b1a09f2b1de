# SPDX-License-Identifier: Apache-2.0
"""The least margin certifies the infimum of cross-entropy on labels, and nothing else."""

from __future__ import annotations

import pytest

from harness import config, diagnostics, specs

SPEC = """
schema: 1
title: margins
data: {{name: gaussian_classes, examples: 8, shape: [1, 1, 3], classes: 2, separation: 2.0, targets: {targets}}}
model: {{family: mlp, hidden: [4], activation: relu}}
loss: {{name: {loss}}}
optimizer: {{name: gd, learning_rate: 0.1}}
steps: 3
seeds: 1
"""


def cell(loss: str, targets: str) -> config.Cell:
    text = SPEC.format(loss=loss, targets=targets)
    return specs.parse(text, file="t.yaml", suite="tests", name="t").cells[0]


@pytest.mark.parametrize(
    ("loss", "targets", "asked"),
    [("ce", "labels", True), ("ce", "{planted: 0}", False), ("half_mse", "labels", False)],
)
def test_margins_are_asked_of_cross_entropy_on_labels_alone(loss: str, targets: str, asked: bool) -> None:
    why = diagnostics.DIAGNOSTICS["margin"].why_not(cell(loss, targets))
    assert why == ("" if asked else "it certifies the infimum of ce on labels alone")
