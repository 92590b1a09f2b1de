# SPDX-License-Identifier: Apache-2.0
"""The dense method: against prescribed spectra within its error bar, and the one limit up to which it is allowed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import config
from harness.curvature import dense, survey


@pytest.mark.parametrize("seed", range(3))
def test_all_eigenvalues_are_within_the_error_bar(seed: int) -> None:
    drawn = np.random.default_rng(seed)
    frame, _ = np.linalg.qr(drawn.standard_normal((60, 60)))
    exact = np.sort(np.r_[drawn.normal(scale=1e-3, size=50), drawn.uniform(-5, 50, 10)])
    symmetric = jnp.asarray((frame * exact) @ frame.T)
    found = dense.spectrum(np.asarray(dense.matrix(lambda point: lambda v: point @ v, 60)(symmetric)))
    assert (found.complete, found.size, found.products) == (True, 60, 60)
    assert np.all(np.abs(found.values - exact) <= found.errors)
    assert found.errors.max() < 1e-11


def test_a_matrix_that_is_not_symmetric_widens_the_error_bar() -> None:
    # The eigenvalues of the symmetric part are 1 +- 1e-3; Weyl: they are within |E| of any that the whole may mean.
    found = dense.spectrum(np.array([[1.0, 2e-3], [0.0, 1.0]]))
    assert found.values == pytest.approx([1 - 1e-3, 1 + 1e-3], abs=1e-15)
    assert found.errors == pytest.approx([np.sqrt(2) * 1e-3] * 2, rel=1e-9)


def test_the_limit_is_that_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dense.limit() == 5_000
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert dense.limit() == 20_000


def test_the_spec_s_description_names_the_limits() -> None:
    words = config.Recipe.model_fields["curvature"].description or ""
    for number in (survey.DENSE_UP_TO, dense.LIMIT, dense.ACCELERATED):
        assert f"{number:,}" in words
