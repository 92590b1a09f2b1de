# SPDX-License-Identifier: Apache-2.0
"""Dense and matrix-free curvature agree on every network of the quickstart suite, within the stated error bars."""

from __future__ import annotations

import pathlib

import jax
import numpy as np
import pytest

from harness import config, specs
from harness.curvature import operators, survey
from harness.curvature import spectrum as spectra
from harness.training import problem

SPECS = pathlib.Path(__file__).parent.parent / "specs" / "quickstart"
# mlp-sgd.yaml trains the network of mlp.yaml, so the cells of gradient descent are all networks.
CELLS = {cell.label: cell for spec in specs.read_all([SPECS]) for cell in spec.cells if cell.optimizer.name == "gd"}
LATER = ("vgg · activation=gelu", "vit · activation=relu")
"""Cells that wait for the slow tests: a minute each, where the other activation of the network is tested before."""
STEPS = 40


def tier(label: str) -> list[pytest.MarkDecorator]:
    """Returns the mark of the tier of a cell: none for the MLP, whose programs are small."""
    if label in LATER:
        return [pytest.mark.slow]
    return [] if CELLS[label].model.family == "mlp" else [pytest.mark.thorough]


def agree(cell: config.Cell, seed: int) -> None:
    """Compares the two methods at the start and after some steps of gradient descent with eta = 1.5 / lambda_max."""
    ready = problem.problem(cell)
    goal, batch = ready.objective, ready.exact
    dense, sparse = (
        survey.surveyor(operators.hessian(goal.risk), goal.size, method) for method in ("dense", "lanczos")
    )
    theta = goal.init(jax.random.key(seed)).astype("float64")
    eta = 1.5 / sparse.top((theta, batch), jax.random.key(1))[0]
    step = jax.jit(lambda t: jax.lax.fori_loop(0, STEPS, lambda _, u: u - eta * jax.grad(goal.risk)(u, batch), t))
    for point in (theta, step(theta)):
        exact = dense.survey((point, batch), eta, jax.random.key(2))
        found = sparse.survey((point, batch), eta, jax.random.key(3))
        assert exact.spectrum.complete
        assert not found.spectrum.complete
        assert found.spectrum.products < goal.size / 4
        rounding = exact.spectrum.errors[0]
        assert rounding < 1e-10 * exact.spectrum.values[-1], "the dense Hessian is symmetric to rounding"
        gaps = np.abs(found.spectrum.values[:, None] - exact.spectrum.values[None]).min(axis=1)
        assert np.all(gaps <= found.spectrum.errors + rounding)
        for end in (0, -1):
            gap = abs(found.spectrum.values[end] - exact.spectrum.values[end])
            assert gap <= found.spectrum.errors[end] + rounding
        truth, truth_error = spectra.distance_from_one(exact.spectrum, eta)
        sigma, sigma_error = spectra.distance_from_one(found.spectrum, eta)
        assert abs(sigma - truth) <= sigma_error + truth_error
        lower = spectra.lower_bound(found.spectrum, eta)
        # Sharp where it matters. Far from singular two runs of Lanczos end before the bound does: in shipped rows with
        # sigma_min from 0.3 to 0.6 it is 0.81 of it in the median, and 0.36 at least.
        sharp = 0.9 if truth < 0.1 else 0.3
        assert sharp * truth < lower <= truth + truth_error, "what excludes other eigenvalues is true, and sharp"
        for level in (1 / eta, 2 / eta):
            assert spectra.count_above(found.spectrum, level) == spectra.count_above(exact.spectrum, level)
        assert spectra.count_negative(found.spectrum) <= spectra.count_negative(exact.spectrum)
        # Eight probes: of Student's t with 7 degrees of freedom the bar is the 95 % quantile, 2.36 standard errors; it
        # exceeds 5.4 with probability 1e-3, which is 2.3 bars.
        assert abs(found.log_det.value - exact.log_det.value) <= 2.3 * found.log_det.error + exact.log_det.error
        assert found.log_det.error < 2.36, "one standard error is below 1"


@pytest.mark.parametrize("label", [pytest.param(label, marks=tier(label)) for label in CELLS])
def test_dense_and_lanczos_agree_on_quickstart_nets(label: str, home: pathlib.Path) -> None:
    agree(CELLS[label], 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("label", CELLS)
def test_dense_and_lanczos_agree_for_every_seed(label: str, seed: int, home: pathlib.Path) -> None:
    agree(CELLS[label], seed)
