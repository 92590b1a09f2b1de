# SPDX-License-Identifier: Apache-2.0
"""ARPACK: eigenvectors of matrices that are known, repeated ones with their multiplicity, the same bits every time."""

from __future__ import annotations

import numpy as np
import pytest

from harness.curvature import arpack

VALUES = np.array([-3.0, -3.0, -3.0, -2.0, -1e-3, *np.zeros(30), *np.linspace(0.1, 2, 25)])


@pytest.fixture(scope="module")
def matrix() -> np.ndarray:
    frame = np.linalg.qr(np.random.default_rng(1).standard_normal((len(VALUES),) * 2))[0]
    return np.asarray(frame @ np.diag(VALUES) @ frame.T)


def lowest(matrix: np.ndarray, level: float, most: int = 20) -> arpack.Lowest:
    options = {"scale": 3.0, "level": level, "most": most, "width": 20, "products": 400}
    return arpack.lowest(lambda v: matrix @ v, len(matrix), **options)  # type: ignore[arg-type]


def test_all_below_a_level_are_found_each_with_its_multiplicity(matrix: np.ndarray) -> None:
    found = lowest(matrix, -1e-7)
    assert found.whole
    assert found.values[:5] == pytest.approx(VALUES[:5], abs=1e-8)
    assert len(found.values) == 6 and abs(found.values[5]) < 1e-8, "and the first at the level"
    assert found.vectors @ found.vectors.T == pytest.approx(np.eye(6), abs=1e-7)
    residuals = np.linalg.norm(found.vectors @ matrix - found.values[:, None] * found.vectors, axis=1)
    assert residuals.max() == pytest.approx(found.error, rel=1e-3) and found.error < 1e-7


def test_what_stops_early_is_not_whole(matrix: np.ndarray) -> None:
    found = lowest(matrix, -1e-7, most=2)
    assert not found.whole and found.values == pytest.approx([-3, -3], abs=1e-8)
    assert lowest(matrix, -5.0).values == pytest.approx([-3], abs=1e-8), "one at the level or above ends it"


def test_both_ends_and_the_same_bits(matrix: np.ndarray) -> None:
    def ends(end: str) -> np.ndarray:
        return arpack.vectors(lambda v: matrix @ v, len(matrix), 1, end=end, width=20, products=400)  # type: ignore[arg-type]

    top, least = ends("largest")[0], ends("least")[0]
    assert (top @ matrix @ top, least @ matrix @ least) == (pytest.approx(2), pytest.approx(-3))
    assert np.array_equal(ends("least"), ends("least"))


def test_an_operator_that_is_0_has_none() -> None:
    assert arpack.vectors(lambda v: 0 * v, 9, 1, end="least", width=5, products=50).shape == (0, 9)
