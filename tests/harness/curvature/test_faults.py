# SPDX-License-Identifier: Apache-2.0
"""Spectra that break naive code: each has a recorded outcome by both methods, no traceback and no silent NaN."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import diagnostics, metrics
from harness.curvature import operators, survey
from harness.curvature import spectrum as spectra
from harness.records import Record, verdict

METHODS = pytest.mark.parametrize("method", ["dense", "lanczos"])
BULK = np.linspace(-0.1, 0.1, 195)
CLUSTER = 1e-9 * np.arange(5)
UNKNOWN = {"train_accuracy", "chance", "loss_gap", "relative_gap", "pl_ratio"}
"""Of the point below, which has neither labels nor an infimum."""


@functools.cache
def asking(size: int, method: survey.Method) -> survey.Surveyor:
    """Returns the questions about the risk t' D t / 2 of a diagonal D, which is data."""

    def risk(theta: jax.Array, diagonal: jax.Array) -> jax.Array:
        return 0.5 * theta @ (diagonal * theta)

    return survey.surveyor(operators.hessian(risk), size, method)


def measured(diagonal: np.ndarray, eta: float, method: survey.Method) -> dict[str, float]:
    """Returns every metric of a spectrum at a step size."""
    point = (jnp.zeros(len(diagonal)), jnp.asarray(diagonal, "float64"))
    found = asking(len(diagonal), method).survey(point, eta, jax.random.key(0))
    values = diagnostics.measure(diagnostics.Point(eta, math.nan, 0.0, 0.0, math.nan, found))
    uncounted = set() if found.spectrum.complete else {"n_negative", "n_negative_error"}
    assert {name for name, value in values.items() if math.isnan(value)} <= UNKNOWN | uncounted
    return values


@METHODS
@pytest.mark.parametrize("size", [1, 5, 200])
def test_a_spectrum_that_is_all_zero(method: survey.Method, size: int) -> None:
    found = measured(np.zeros(size), 1.0, method)
    assert (found["sigma_min"], found["sigma_min_error"]) == (1, spectra.EPS)  # that of 1 - eta lambda
    assert found["log_abs_det"] == 0
    assert found["log_abs_det_error"] == pytest.approx(size * spectra.EPS, rel=1e-9)
    assert found["sharpness"] == found["lambda_min"] == found["n_above_inv_eta"] == found["n_above_inv_eta_error"] == 0
    if method == "dense" or size < 200:
        assert found["n_negative"] == found["n_negative_error"] == 0
    assert (found["gap_above"], found["gap_below"]) == (math.inf, 1)


@METHODS
@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 31])
def test_fewer_parameters_than_a_lanczos_run_has_steps(method: survey.Method, size: int) -> None:
    exact = np.linspace(2.0, 3.0, size)
    found = measured(exact, 0.3, method)
    assert found["sigma_min"] == pytest.approx(1 - 0.3 * exact[-1], abs=1e-12)
    assert found["log_abs_det"] == pytest.approx(np.log(1 - 0.3 * exact).sum(), abs=1e-10)
    assert found["sharpness"] == pytest.approx(exact[-1], abs=1e-12)


CRITICAL = {
    "alone": np.r_[4.0, BULK],
    "few": np.r_[4.0, 4.0, 1.0],
    "all": np.full(200, 4.0),
    "half": np.r_[np.full(100, 4.0), np.full(100, 1.0)],
    "within a cluster": np.r_[4 + CLUSTER, BULK],
    "one": np.array([4.0]),
}


@METHODS
@pytest.mark.parametrize("name", CRITICAL)
def test_a_step_size_that_is_exactly_critical_is_never_certified(method: survey.Method, name: str) -> None:
    found = measured(CRITICAL[name], 0.25, method)
    assert found["sigma_min"] <= found["sigma_min_error"] < 1e-9
    assert found["log_abs_det"] < -20 and found["log_abs_det_error"] == math.inf
    assert min(found["gap_above"], found["gap_below"]) <= found["gap_error"]
    assert verdict.verdict([Record(0, found)], singular=False) == "undecided"


@METHODS
def test_a_repeated_eigenvalue_whose_multiplicity_no_krylov_space_sees(method: survey.Method) -> None:
    # Lanczos sees one of 200 equal eigenvalues unless it restarts; sigma_min is right all the same.
    found = measured(np.full(200, 1.0), 0.5, method)
    assert found["sigma_min"] == pytest.approx(0.5, abs=1e-12)
    # Eight probes: Student's t with 7 degrees of freedom exceeds 5.4 with probability 1e-3.
    assert abs(found["log_abs_det"] - 200 * math.log(0.5)) <= 5.4 * found["log_abs_det_error"]


@METHODS
@pytest.mark.parametrize("eta", [0.2, 0.45, 0.9])
def test_a_cluster_is_counted_once_for_each_of_its_eigenvalues_or_bounded_from_below(
    method: survey.Method, eta: float
) -> None:
    exact = np.r_[2 + CLUSTER, 1 + CLUSTER, BULK]
    found = measured(exact, eta, method)
    truth = np.abs(1 - eta * exact).min()
    assert abs(found["sigma_min"] - truth) <= found["sigma_min_error"] + 1e-12
    above = int(np.sum(eta * exact > 1))
    assert found["n_above_inv_eta"] == above if method == "dense" else found["n_above_inv_eta"] <= above
    if above:
        assert found["n_above_inv_eta"] >= 1
    assert found["sharpness"] == pytest.approx(2, abs=1e-8)


@METHODS
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("size", [5, 200])
def test_curvature_that_is_not_finite_is_said(method: survey.Method, value: float, size: int) -> None:
    exact = np.ones(size)
    exact[size // 2] = value
    questions = asking(size, method)
    point = (jnp.ones(size), jnp.asarray(exact))
    with pytest.raises(FloatingPointError, match="not finite"):
        questions.survey(point, 0.3, jax.random.key(0))
    with pytest.raises(FloatingPointError, match="not finite"):
        questions.top(point, jax.random.key(0))


def test_every_number_above_has_a_definition() -> None:
    assert set(measured(np.array([1.0]), 0.5, "dense")) <= set(metrics.METRICS)
