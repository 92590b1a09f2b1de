# SPDX-License-Identifier: Apache-2.0
"""The least margin certifies the infimum of cross-entropy on labels, and nothing else."""

from __future__ import annotations

import pytest

from harness import diagnostics
from tests import builders


@pytest.mark.parametrize(
    ("loss", "targets", "asked"),
    [("ce", "labels", True), ("ce", {"planted": 0}, False), ("half_mse", "labels", False)],
)
def test_margins_are_asked_of_cross_entropy_on_labels_alone(loss: str, targets: object, asked: bool) -> None:
    one = builders.cell(data=builders.classes(targets=targets), loss={"name": loss})
    why = diagnostics.DIAGNOSTICS["margin"].why_not(one)
    assert why == ("" if asked else "it certifies the infimum of ce on labels alone")
