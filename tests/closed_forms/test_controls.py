# SPDX-License-Identifier: Apache-2.0
"""Problems whose Hessian is known by hand (mathematics, section 6): the exact answer every method must return.

Dense and matrix-free, to 1e-10 in float64.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from harness import config as configs
from harness import diagnostics
from harness.curvature import operators, survey
from harness.diagnostics import gaps
from harness.risk import objective
from tests import builders
from zoo import curve
from zoo import model as models


@dataclasses.dataclass(frozen=True)
class Control:
    """A risk, a point, and its spectrum worked out by hand.

    Attributes:
        name: Which control.
        risk: Function of the tuple `point`.
        point: Arguments of the risk, theta first.
        eigenvalues: All eigenvalues of the Hessian at theta.
    """

    name: str
    risk: Callable[..., jax.Array]
    point: tuple[Any, ...]
    eigenvalues: Sequence[float]


def images(n: int, d: int) -> np.ndarray:
    """Returns n fixed examples as images (n, d, 1, 1)."""
    return np.random.default_rng(0).normal(size=(n, d, 1, 1))


def linear(loss: Any, n: int, d: int, classes: int) -> tuple[objective.Objective, objective.Batch]:
    """Returns the objective of a bias-free linear model, through the same code that networks take."""
    network = models.Model(
        lambda key: {"kernel": jnp.zeros((d, classes), "float32")},
        lambda params, x: x.reshape(x.shape[0], -1) @ params["kernel"],
    )
    targets = jax.nn.one_hot(jnp.arange(n) % classes, classes, dtype="float64")
    return objective.objective(network, loss), objective.Batch(jnp.asarray(images(n, d)), targets, jnp.ones(n))


def gram(n: int, d: int) -> np.ndarray:
    """Returns the eigenvalues of X^T X / N of the fixed examples."""
    x = images(n, d).reshape(n, d)
    return np.linalg.eigvalsh(x.T @ x / n)


def controls() -> list[Control]:
    """Returns C1, C2, C3, C7 and C11."""
    c1 = jnp.array([4.0, 2.0, 1.0, -0.5])
    found = [Control("C1", lambda t: 0.5 * t @ (c1 * t), (jnp.arange(4.0),), c1.tolist())]

    regression, batch = linear(configs.HalfMse(name="half_mse"), 30, 6, 3)
    spectrum = np.repeat(gram(30, 6), 3)
    theta = jax.random.normal(jax.random.key(1), (regression.size,), "float64")
    found.append(Control("C2", regression.risk, (theta, batch), spectrum.tolist()))

    def hyperbola(t: jax.Array) -> jax.Array:
        return 0.5 * (t[0] * t[1] - 1) ** 2

    for s in (0.0, 0.5, 0.9, 1.3):
        found.append(Control(f"C3 x=y={s}", hyperbola, (jnp.array([s, s]),), [3 * s * s - 1, 1 - s * s]))
    for x in (1.0, 2.0, -0.4):
        found.append(Control(f"C3 minimum x={x}", hyperbola, (jnp.array([x, 1 / x]),), [0.0, x * x + x**-2]))

    def unit(t: jax.Array) -> jax.Array:
        return 0.5 * (t[0] * jax.nn.relu(t[1]) + t[2] - 1) ** 2

    found.append(Control("C7 dead", unit, (jnp.array([0.7, -0.3, 0.2]),), [0.0, 0.0, 1.0]))
    a, w, c = 0.7, 1.3, 0.2
    r = a * w + c - 1
    alive = np.array([[w * w, a * w + r, w], [a * w + r, a * a, a], [w, a, 1.0]])
    found.append(Control("C7 alive", unit, (jnp.array([a, w, c]),), np.linalg.eigvalsh(alive).tolist()))
    # At a = w = 1, c = 0 the residual is 0 and H = J^T J with J = (w, a, 1): eigenvalue 3.
    found.append(Control("C7 minimum", unit, (jnp.array([1.0, 1.0, 0.0]),), [0.0, 0.0, 3.0]))

    softmax, batch = linear(configs.Ce(name="ce"), 40, 5, 4)
    flat = np.concatenate([np.repeat(gram(40, 5) / 4, 3), np.zeros(5)])
    found.append(Control("C11", softmax.risk, (jnp.zeros(softmax.size), batch), flat.tolist()))
    return found


CONTROLS = {control.name: control for control in controls()}
TOLERANCE = 1e-10
HALF = configs.HalfMse(name="half_mse")


@functools.cache
def asking(risk: Callable[..., jax.Array], size: int, method: survey.Method) -> survey.Surveyor:
    """Returns the surveyor of a risk; compiled once for all step sizes and points."""
    return survey.surveyor(operators.hessian(risk), size, method)


def measured(control: Control, eta: float, method: survey.Method) -> dict[str, float]:
    """Returns every metric of the curvature at a control's point."""
    found = asking(control.risk, len(control.eigenvalues), method).survey(control.point, eta, jax.random.key(0))
    return diagnostics.measure(diagnostics.Point(eta, 0.0, 0.0, 0.0, 0.0, found))


@pytest.mark.parametrize("method", ["dense", "lanczos"])
@pytest.mark.parametrize("name", CONTROLS)
def test_every_diagnostic_returns_the_exact_answer(name: str, method: survey.Method) -> None:
    control = CONTROLS[name]
    exact = np.sort(np.asarray(control.eigenvalues))
    top = max(abs(exact[-1]), abs(exact[0]), 1.0)
    for eta in (0.3, 0.9 / top, 1.7 / top, 3.3 / top):
        found = measured(control, eta, method)
        factors = np.abs(1 - eta * exact)
        assert factors.min() > 1e-3, "the control must not sit on the singular set here"
        assert found["sharpness"] == pytest.approx(exact[-1], abs=TOLERANCE)
        assert found["eta_sharpness"] == pytest.approx(eta * exact[-1], abs=TOLERANCE)
        assert found["lambda_min"] == pytest.approx(exact[0], abs=TOLERANCE)
        assert found["sigma_min"] == pytest.approx(factors.min(), abs=TOLERANCE)
        assert found["log_abs_det"] == pytest.approx(np.log(factors).sum(), abs=TOLERANCE)
        assert found["n_above_inv_eta"] == np.sum(eta * exact > 1)
        assert found["n_above_two_inv_eta"] == np.sum(eta * exact > 2)
        assert found["n_negative"] == np.sum(exact < -1e-12)
        assert 0 < found["sigma_min_error"] < TOLERANCE
        assert 0 < found["log_abs_det_error"] < TOLERANCE


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_c1_as_printed(method: survey.Method) -> None:
    found = measured(CONTROLS["C1"], 0.3, method)
    assert found["sigma_min"] == pytest.approx(0.2, abs=TOLERANCE)
    assert found["log_abs_det"] == pytest.approx(math.log(0.2 * 0.4 * 0.7 * 1.15), abs=TOLERANCE)
    assert found["log_abs_det"] == pytest.approx(-2.742642, abs=1e-6)
    for eta, above, beyond in ((0.25, 0, 0), (0.5, 1, 0), (1.0, 2, 1)):
        found = measured(CONTROLS["C1"], eta, method)
        assert found["sigma_min"] <= TOLERANCE
        assert found["sigma_min"] <= 100 * found["sigma_min_error"], "rounding is not a certificate"
        # An eigenvalue that equals 1/eta or 2/eta to rounding may be counted or not.
        assert found["n_above_inv_eta"] in (above, above + 1)
        assert found["n_above_two_inv_eta"] in (beyond, beyond + 1)
        assert found["log_abs_det_error"] == math.inf


def test_c2_the_image_of_a_cloud_loses_one_rank_at_a_critical_step() -> None:
    regression, batch = linear(configs.HalfMse(name="half_mse"), 30, 6, 1)
    for eigenvalue in gram(30, 6):
        cloud = jax.random.normal(jax.random.key(3), (40, regression.size), "float64")
        for factor, expected in ((1.0, 0.0), (1.01, 0.01)):
            eta = factor / eigenvalue
            image = jax.vmap(lambda theta, eta=eta: theta - eta * jax.grad(regression.risk)(theta, batch))(cloud)
            # G is affine here: image = cloud @ matrix + shift.
            start = np.column_stack([np.asarray(cloud), np.ones(len(cloud))])
            matrix = np.linalg.lstsq(start, np.asarray(image), rcond=None)[0][:-1]
            values = np.linalg.svd(matrix, compute_uv=False)
            assert values[-1] == pytest.approx(expected, abs=TOLERANCE)
            assert np.sum(values < TOLERANCE) == (1 if factor == 1.0 else 0)


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_c3_determinant_in_closed_form(method: survey.Method) -> None:
    risk = CONTROLS["C3 x=y=0.5"].risk
    for x, y, eta in ((0.3, -1.2, 0.7), (1.5, 0.8, 0.4), (-0.6, -0.2, 1.9)):
        exact = (1 - eta * x * x) * (1 - eta * y * y) - eta**2 * (2 * x * y - 1) ** 2
        hessian = np.array([[y * y, 2 * x * y - 1], [2 * x * y - 1, x * x]])
        control = Control("C3", risk, (jnp.array([x, y]),), np.linalg.eigvalsh(hessian).tolist())
        found = measured(control, eta, method)
        assert found["log_abs_det"] == pytest.approx(math.log(abs(exact)), abs=TOLERANCE)
        assert (-1) ** found["n_above_inv_eta"] == np.sign(exact)


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_c3_critical_points_of_the_diagonal(method: survey.Method) -> None:
    for eta, s in ((0.5, math.sqrt((1 + 2) / 3)), (0.3, math.sqrt((1 + 1 / 0.3) / 3)), (2.0, math.sqrt(1 - 0.5))):
        found = measured(CONTROLS["C3 x=y=0.5"], eta, method)
        assert found["sigma_min"] > 1e-3
        control = Control("C3", CONTROLS["C3 x=y=0.5"].risk, (jnp.array([s, s]),), [3 * s * s - 1, 1 - s * s])
        assert measured(control, eta, method)["sigma_min"] <= TOLERANCE


@pytest.mark.parametrize("method", ["dense", "lanczos"])
def test_c7_dead_unit_makes_the_map_singular_at_step_one_only(method: survey.Method) -> None:
    assert measured(CONTROLS["C7 dead"], 1.0, method)["sigma_min"] <= TOLERANCE
    near = measured(CONTROLS["C7 dead"], 0.99, method)
    assert near["log_abs_det"] == pytest.approx(math.log(0.01), abs=TOLERANCE)


def sigma_of(risk: Callable[..., jax.Array], xs: np.ndarray, eta: float) -> np.ndarray:
    """Returns sigma_min of a risk of one number at each of many points."""
    spectra = (survey.surveyor(operators.hessian(risk), 1, "dense"),)
    found = [spectra[0].survey((jnp.array([x]),), eta, jax.random.key(0)) for x in xs]
    return np.array([abs(1 - eta * one.spectrum.values[0]) for one in found])


def test_c5_the_paper_s_first_figure_collapses_its_outer_rays_at_one_half_only() -> None:
    def risk(t: jax.Array) -> jax.Array:
        return curve.function("figure_1")(t)[0]

    outer = np.array([-5.0, -2.5, 2.1, 3.0, 7.0])
    assert sigma_of(risk, outer, 0.5).max() == 0, "positive measure, so the map is singular"
    assert sigma_of(risk, outer, 0.25) == pytest.approx(0.5)
    inner = np.linspace(-1.9, 1.9, 8)
    assert sigma_of(risk, inner, 0.5) == pytest.approx(np.abs(1 - 0.5 * (6 * inner**2 - 6)), abs=TOLERANCE)
    assert sigma_of(risk, inner, 0.5).min() > 1e-3, "the inner piece is not to blame"
    image = [float(x - 0.5 * jax.grad(risk)(jnp.array([x]))[0]) for x in outer]
    assert image == pytest.approx([0.0] * 5)


def test_c6_a_smooth_function_with_plateaus_is_singular_at_four_steps_and_one_point_proves_nothing() -> None:
    bend = jax.jit(jax.vmap(jax.grad(jax.grad(curve.function("plateaus")))))
    values = np.asarray(bend(jnp.linspace(0, 4, 4001)))
    lengths = {1.0: 0.5, 1 / 2: 0.5, 1 / 3: 0.5, 1 / 4: 1.0, 0.7: 0.0, 0.4: 0.0}
    for eta, length in lengths.items():
        singular = 4 * np.mean(np.abs(1 - eta * values) <= TOLERANCE)
        # The step is flat to rounding a little beyond its ends.
        assert length - 0.002 <= singular <= length + 0.04 * (length > 0) + 0.002
        assert np.abs(1 - eta * values).max() > 0.1, "a point with sigma_min > 0 is there all the same"


@pytest.mark.parametrize("method", ["dense", "lanczos"])
@pytest.mark.parametrize("name", ["C1", "C2", "C11"])
def test_d12_at_a_frozen_point_the_zeros_are_exactly_the_reciprocals(name: str, method: survey.Method) -> None:
    control = CONTROLS[name]
    exact = np.sort(np.asarray(control.eigenvalues))
    found = asking(control.risk, len(exact), method).survey(control.point, 0.3, jax.random.key(0)).spectrum
    positive = exact[exact > 1e-12]
    critical, bars = gaps.critical_steps(found)
    assert critical == pytest.approx(1 / positive[::-1], rel=TOLERANCE), "each with its multiplicity"
    assert np.all(np.abs(critical - 1 / positive[::-1]) <= bars)
    sigma, errors, _ = gaps.sweep(found, 1 / positive)
    assert np.all(sigma <= errors + TOLERANCE)
    distinct = 1 / np.unique(np.round(positive, 9))[::-1]
    between = np.concatenate([distinct[:1] / 2, (distinct[1:] + distinct[:-1]) / 2, 2 * distinct[-1:]])
    sigma, errors, counts = gaps.sweep(found, between)
    truth = np.abs(1 - between[:, None] * exact).min(axis=1)
    assert sigma == pytest.approx(truth, abs=TOLERANCE) and np.all(sigma > 100 * errors)
    assert counts.tolist() == [int(np.sum(eta * exact > 1)) for eta in between], "n_1 jumps by the multiplicity"


def test_c12_the_maps_of_both_examples_at_a_minimum() -> None:
    risk = objective.objective(builders.network("paper_net", (1, 1, 1), 1, activation="relu"), HALF).risk
    for x, eta in ((1.0, 0.15), (1.6, 0.3), (3.0, 0.05)):
        theta, s = jnp.array([x, 1 / x]), x**2 + x**-2
        slopes = {(0.9,): 0.81, (2.5,): 6.25, (0.9, 2.5): 3.53}  # of mu and of both factors of lambda
        for numbers, slope in slopes.items():
            inputs = jnp.asarray(numbers)
            batch = objective.Batch(inputs.reshape(-1, 1, 1, 1), inputs[:, None], jnp.ones(len(numbers)))
            control = Control("C12", risk, (theta, batch), [0.0, slope * s])
            found = measured(control, eta, "dense")
            assert found["sharpness"] == pytest.approx(slope * s, rel=TOLERANCE)
            assert found["log_abs_det"] == pytest.approx(math.log(abs(1 - slope * eta * s)), abs=TOLERANCE)
            assert float(jnp.linalg.norm(jax.grad(risk)(theta, batch))) < 1e-15


PLANTED = {
    "mlp": {"hidden": [4], "activation": "tanh"},
    "vgg": {"stages": [[2], [2]], "activation": "relu"},
    "vit": {"patch": 2, "width": 4, "depth": 1, "heads": 2, "mlp_width": 3, "activation": "gelu", "norm_epsilon": None},
}


@pytest.mark.parametrize(
    ("family", "loss"),
    [
        ("mlp", "half_mse"),
        ("mlp", "ce"),
        ("vgg", "half_mse"),
        pytest.param("vit", "ce", marks=pytest.mark.thorough),
    ],
)
def test_c14_at_a_planted_minimum_the_spectrum_is_that_of_the_ntk_gram_matrix(family: str, loss: str) -> None:
    network = builders.network(family, (4, 4, 1), 3, **PLANTED[family])
    goal = objective.objective(network, configs.Ce(name="ce") if loss == "ce" else HALF)
    theta = goal.init(jax.random.key(3)).astype("float64")
    x = jax.random.normal(jax.random.key(4), (5, 4, 4, 1), "float64")
    outputs = goal.outputs(theta, x)
    targets = jax.nn.softmax(outputs) if loss == "ce" else outputs
    batch = objective.Batch(x, targets, jnp.ones(5))
    assert float(jnp.linalg.norm(jax.jit(jax.grad(goal.risk))(theta, batch))) < 1e-13
    jacobian = np.array(jax.jit(jax.jacrev(goal.outputs))(theta, x)).reshape(15, -1)
    if loss == "ce":  # H = J' A J / N with A = diag(q) - q q' for each example
        for n, q in enumerate(np.asarray(targets)):
            values, frame = np.linalg.eigh(np.diag(q) - np.outer(q, q))
            root = (frame * np.sqrt(np.maximum(values, 0))) @ frame.T
            jacobian[3 * n : 3 * n + 3] = root @ jacobian[3 * n : 3 * n + 3]
    gram = np.linalg.eigvalsh(jacobian @ jacobian.T / 5)
    assert goal.size > 15
    exact = np.sort(np.concatenate([gram, np.zeros(goal.size - 15)]))
    found = survey.surveyor(operators.hessian(goal.risk), goal.size, "dense").survey(
        (theta, batch), 0.3, jax.random.key(0)
    )
    assert found.spectrum.values == pytest.approx(exact, abs=TOLERANCE)
    if family == "mlp":  # the others differ in what is multiplied, not in how
        lanczos = survey.surveyor(operators.hessian(goal.risk), goal.size, "lanczos")
        known = lanczos.survey((theta, batch), 0.3, jax.random.key(0)).spectrum
        assert known.values[-1] == pytest.approx(exact[-1], abs=TOLERANCE)
        assert known.values[0] == pytest.approx(0, abs=TOLERANCE)
