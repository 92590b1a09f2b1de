# SPDX-License-Identifier: Apache-2.0
"""Lanes: the saved leaves of an optimiser's state in their own order."""

from __future__ import annotations

import numpy as np

from harness.runs import lanes


def test_leaves_of_a_state_are_ordered_by_number_not_by_name() -> None:
    arrays = {f"optimizer_{i}": np.full(1, i) for i in (10, 2, 0)} | {"theta": np.zeros(3), "previous": np.zeros(3)}
    assert [int(leaf[0]) for leaf in lanes.optimizer_leaves(arrays)] == [0, 2, 10]
