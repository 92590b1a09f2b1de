# SPDX-License-Identifier: Apache-2.0
"""What the tests of the leaderboard share."""

from __future__ import annotations

from types import ModuleType

import pytest

from leaderboard.board import cell as cells


@pytest.fixture
def hand(sample: ModuleType) -> cells.Cell:
    """Three seeds with round numbers, the last one diverged."""
    runs = [
        sample.run_of_curves(
            0,
            {
                "sigma_min": [0.5, 0.25, 0.75],
                "sigma_min_error": [0.1, 0.02, 0.3],
                "n_above_inv_eta": [0, 2, 1],
                "loss_gap": [1.0, 0.5, 0.25],
                "eta_sharpness": [1.0, 1.5, 2.0],
                "train_accuracy": [0.1, 0.5, 1.0],
            },
            eta=0.1,
        ),
        sample.run_of_curves(
            1,
            {
                "sigma_min": [0.125, 0.5, 0.5],
                "sigma_min_error": [0.001, 0.02, 0.3],
                "n_above_inv_eta": [1, 1, 1],
                "loss_gap": [1.0, 0.5, 0.125],
                "eta_sharpness": [1.25, 1.5, 1.75],
                "train_accuracy": [0.1, 0.5, 0.5],
            },
            eta=0.2,
        ),
        sample.run_of_curves(
            2,
            {
                "sigma_min": [0.75, 0.375],
                "sigma_min_error": [0.1, 0.0375],
                "n_above_inv_eta": [3, 8],
                "loss_gap": [1.0, "inf"],
                "eta_sharpness": [1.5, 40.0],
                "train_accuracy": [0.1, 0.1],
            },
            eta=0.4,
            status="diverged",
            diverged_at=2,
            verdict="undecided",
        ),
    ]
    return cells.Cell(tuple(runs))
