# SPDX-License-Identifier: Apache-2.0
"""How many examples are evaluated at once: what is small whole, images with large layers few at a time."""

from __future__ import annotations

import pytest

from harness.risk import objective


@pytest.mark.parametrize(
    ("activity", "examples", "expected"),
    [
        (586, 1797, objective.CHUNK),  # an MLP on digits, whole
        (4000, 256, objective.CHUNK),  # a small ViT, whole
        (80_000, 1024, 16),  # a VGG on 28x28 pixels
        (176_000, 16, objective.LEAST),  # a ViT there, of few images
        (5_000, 60_000, 256),
        (8_000, 60_000, 128),  # 150 would be best: the nearest power of 2, not the next
        (2_000, 2_400, 512),  # little enough to be whole, but for CHUNK
        (10**9, 60_000, objective.LEAST),
        (1, 10**6, objective.CHUNK),
    ],
)
def test_the_chunk_is_a_rule_of_shapes(activity: int, examples: int, expected: int) -> None:
    assert objective.chunk(activity, examples) == expected


def test_products_keep_what_layers_leave_where_it_is_little() -> None:
    assert objective.keeps(80_000, 240)
    assert not objective.keeps(80_000, 241)
