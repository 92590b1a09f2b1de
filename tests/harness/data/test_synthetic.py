# SPDX-License-Identifier: Apache-2.0
"""Generated sets against what is known of them in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness import data
from harness.data import synthetic

Part = Callable[..., Any]
SEEDS = range(3)


def test_the_controls_are_the_numbers_that_the_spec_gives(part: Part) -> None:
    point = data.load(part(name="point", x=-2.5, target=4.0))
    assert (point.x.tolist(), point.targets.tolist(), point.weights.tolist()) == ([[[[-2.5]]]], [[4.0]], [1.0])
    pair = data.load(part(name="paper_pair", weights=[0.58, 0.42]))
    assert pair.x.tolist() == [[[[0.9]]], [[[2.5]]]]
    assert pair.targets.tolist() == [[0.9], [2.5]]
    assert pair.weights.tolist() == [0.58, 0.42]
    points = data.load(part(name="points", x=[1.0, -2.0], values=[0.5, 3.0]))
    assert (points.x.ravel().tolist(), points.x.shape) == ([1.0, -2.0], (2, 1, 1, 1))
    assert (points.targets.tolist(), points.weights.tolist()) == ([[0.5], [3.0]], [1.0, 1.0])
    assert data.load(part(name="points", x=[1.0], values=[0.5], weights=[3.0])).weights.tolist() == [3.0]


def test_points_need_a_target_each(part: Part) -> None:
    short = part(name="points", x=[1.0, 2.0], values=[1.0], weights=[1.0, 2.0, 3.0])
    assert [path for path, _ in data.conflicts(short)] == [("values",), ("weights",)]
    assert next(text for _, text in data.conflicts(short)) == "1 numbers; allowed: 2, one for each of `x`"


@pytest.mark.parametrize("name", ["gaussian_classes", "random_labels"])
def test_seeds_draw_different_sets_and_not_those_of_the_runs(name: str, part: Part) -> None:
    fields = {"name": name, "examples": 20, "shape": [1, 2, 3], "classes": 4}
    fields |= {"separation": 1.0} if name == "gaussian_classes" else {}
    drawn = [data.load(part(**fields, seed=seed)).sha256 for seed in SEEDS]
    assert len(set(drawn)) == len(drawn)
    assert drawn[0] == data.load(part(**fields)).sha256, "the seed is 0 unless the spec says otherwise"


def test_random_labels_are_pinned(part: Part) -> None:
    """How the set is drawn may not change under a version: PCG64 and integers are the same on every machine."""
    drawn = data.load(part(name="random_labels", examples=12, shape=[1, 1, 2], classes=3, seed=5))
    assert drawn.targets.argmax(1).tolist() == [2, 2, 0, 0, 2, 1, 0, 1, 1, 0, 2, 0]
    assert drawn.version == "1.0.0"


def test_sums_modulo_p_and_parities_are_what_they_say(part: Part) -> None:
    sums = data.load(part(name="modular_addition", examples=49, modulus=7))
    a, b, sign = sums.x.reshape(-1, 3).T
    assert len(set(zip(a, b, strict=True))) == 49, "every pair once"
    assert set(sign) == {7.0}
    assert np.array_equal(sums.targets.argmax(1), (a + b) % 7)
    parity = data.load(part(name="parity", examples=40, length=5))
    bits = parity.x.reshape(40, 5)
    assert set(bits.ravel()) == {0.0, 1.0}
    assert parity.targets.argmax(1).tolist() == [int(sum(row)) % 2 for row in bits]
    few = part(name="modular_addition", examples=50, modulus=7)
    assert [text for _, text in data.conflicts(few)] == ["50 is not allowed; allowed: at most 49, the pairs modulo 7"]


# Gaussian classes


@pytest.mark.parametrize("seed", SEEDS)
def test_means_are_orthogonal_and_of_the_norm_that_was_asked_for(seed: int, part: Part) -> None:
    chosen = part(name="gaussian_classes", examples=10, shape=[4, 5, 2], classes=7, separation=3.0, seed=seed)
    means = synthetic.means(chosen)
    assert means.shape == (7, 40)
    np.testing.assert_allclose(means @ means.T, 9 * np.eye(7), rtol=0, atol=1e-13)


def test_classes_have_equal_size_and_unit_variance_around_their_means(part: Part) -> None:
    chosen = part(name="gaussian_classes", examples=20002, shape=[1, 2, 2], classes=4, separation=3.0)
    arrays = data.load(chosen)
    labels = arrays.targets.argmax(1)
    assert np.bincount(labels).tolist() == [5001, 5001, 5000, 5000]
    noise = arrays.x.reshape(-1, 4) - synthetic.means(chosen)[labels]
    error = 5 / math.sqrt(20002)  # five standard errors, of a mean and (a factor sqrt 2 less) of a variance
    np.testing.assert_allclose(noise.mean(0), 0, atol=error)
    np.testing.assert_allclose(noise.T @ noise / len(noise), np.eye(4), atol=error * math.sqrt(2))


def bayes_accuracy(separation: float, classes: int) -> float:
    """Returns the best accuracy that any classifier has on new examples of `gaussian_classes`.

    The best choice is the mean with the largest inner product. That of the own class is s t + s^2, the others are s
    times K - 1 further standard normals, all independent, so the accuracy is the mean of Phi(t + s)^(K - 1) over a
    standard normal t. The trapezoidal rule with step 1/32 on [-12, 12] has an error below 1e-13.

    Args:
        separation: Norm s of each mean, in standard deviations.
        classes: Number of classes K.
    """
    grid = np.arange(-12 * 32, 12 * 32 + 1) / 32
    density = np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi)
    below = np.array([math.erfc(-(t + separation) / math.sqrt(2)) / 2 for t in grid])
    return float(np.sum(density * below ** (classes - 1)) / 32)


@pytest.mark.parametrize("separation", [0.0, 0.5, 2.0, 8.0])
def test_bayes_accuracy_of_two_classes_is_phi_of_half_their_distance(separation: float) -> None:
    expected = math.erfc(-separation / 2) / 2  # Phi(s / sqrt 2)
    assert bayes_accuracy(separation, 2) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("classes", [2, 3, 10, 1000])
def test_without_separation_the_best_accuracy_is_chance(classes: int) -> None:
    assert bayes_accuracy(0.0, classes) == pytest.approx(1 / classes, rel=1e-11)


def test_bayes_accuracy_is_that_of_the_best_rule_on_drawn_examples(part: Part) -> None:
    chosen = part(name="gaussian_classes", examples=40000, shape=[1, 1, 12], classes=10, separation=2.0)
    arrays = data.load(chosen)
    right = (arrays.x.reshape(-1, 12) @ synthetic.means(chosen).T).argmax(1) == arrays.targets.argmax(1)
    expected = bayes_accuracy(2.0, 10)
    assert 0.5 < expected < 0.7
    assert right.mean() == pytest.approx(expected, abs=5 * math.sqrt(expected * (1 - expected) / 40000))


# Linear teacher


@pytest.mark.parametrize("examples", [12, 100])
@pytest.mark.parametrize("seed", SEEDS)
def test_inputs_are_white_and_the_teacher_has_the_singular_values(examples: int, seed: int, part: Part) -> None:
    values = [5.0, 2.0, 0.0]
    chosen = part(name="linear_teacher", examples=examples, shape=[2, 3, 2], singular_values=values, seed=seed)
    arrays = data.load(chosen)
    X = arrays.x.reshape(examples, 12)
    np.testing.assert_allclose(X.T @ X / examples, np.eye(12), rtol=0, atol=1e-13)
    A = arrays.targets.T @ X / examples  # what least squares finds, as X'X/N = I
    np.testing.assert_allclose(np.linalg.svd(A, compute_uv=False), values, rtol=0, atol=1e-13)
    np.testing.assert_allclose(A, synthetic.teacher(chosen), rtol=0, atol=1e-13)
    np.testing.assert_allclose(X @ A.T, arrays.targets, rtol=0, atol=1e-12)


# Random labels


def test_random_labels_have_nothing_to_do_with_the_inputs(part: Part) -> None:
    arrays = data.load(part(name="random_labels", examples=40000, shape=[1, 1, 3], classes=5))
    labels = arrays.targets.argmax(1)
    assert np.bincount(labels) / 40000 == pytest.approx(np.full(5, 0.2), abs=5 * math.sqrt(0.16 / 40000))
    X = arrays.x.reshape(-1, 3)
    error = 5 / math.sqrt(40000)
    np.testing.assert_allclose(X.T @ X / len(X), np.eye(3), atol=error * math.sqrt(2))
    centred = arrays.targets - arrays.targets.mean(0)
    np.testing.assert_allclose(X.T @ centred / len(X), 0, atol=error)
    guesses = (X[:, 0] > 0).astype(int) + 2 * (X[:, 1] > 0)  # any rule that looks at the inputs alone
    expected = synthetic.chance(5)
    assert (guesses == labels).mean() == pytest.approx(expected, abs=5 * math.sqrt(expected * 0.8 / 40000))
