# SPDX-License-Identifier: Apache-2.0
"""Generated training sets, and what is known of them in closed form.

They are drawn in memory by NumPy's PCG64 from a seed of the spec. tensorflow-datasets is not used: nothing is stored,
and its features would have to carry float64 exactly. The last bits of sets that go through a QR decomposition (the
means of `gaussian_classes`, the inputs of `linear_teacher`) may differ between linear-algebra libraries, and with them
the fingerprint.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from harness.config import data as configs

VERSION = "1.0.0"
"""Of how the sets are drawn; it changes when any number does."""


class Drawn(NamedTuple):
    """A generated set: x (N, H, W, C), targets (N, K), weights (N,), all float64."""

    x: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


def generate(config: configs.Generated) -> Drawn:
    """Returns a generated set; the same bits for the same fields, on one machine."""
    match config:
        case configs.Point():
            return Drawn(np.full((1, 1, 1, 1), config.x), np.full((1, 1), config.target), np.ones(1))
        case configs.Points():
            x, values = np.array(config.x), np.array(config.values)
            return Drawn(x.reshape(-1, 1, 1, 1), values[:, None], np.array(config.weights or (1.0,) * len(x)))
        case configs.PaperPair():
            numbers = np.array([0.9, 2.5])
            return Drawn(numbers.reshape(2, 1, 1, 1), numbers.reshape(2, 1), np.array(config.weights))
        case configs.LinearTeacher():
            x = whitened(config)
            targets = x @ teacher(config).T
        case configs.GaussianClasses():
            labels = np.arange(config.examples) % config.classes
            x = means(config)[labels] + _stream(config, "noise").standard_normal((config.examples, _size(config)))
            targets = np.eye(config.classes)[labels]
        case configs.RandomLabels():
            x = _stream(config, "inputs").standard_normal((config.examples, _size(config)))
            labels = _stream(config, "labels").integers(config.classes, size=config.examples)
            targets = np.eye(config.classes)[labels]
        case configs.ModularAddition():
            p = config.modulus
            first, second = np.divmod(_stream(config, "inputs").permutation(p * p)[: config.examples], p)
            x = np.stack([first, second, np.full_like(first, p)], axis=1).astype(float)
            return Drawn(x.reshape(-1, 1, 3, 1), np.eye(p)[(first + second) % p], np.ones(config.examples))
        case configs.Parity():
            bits = _stream(config, "inputs").integers(2, size=(config.examples, config.length))
            x = bits.astype(float).reshape(-1, 1, config.length, 1)
            return Drawn(x, np.eye(2)[bits.sum(axis=1) % 2], np.ones(config.examples))
    return Drawn(x.reshape(-1, *config.shape), targets, np.ones(config.examples))


def means(config: configs.GaussianClasses) -> np.ndarray:
    """Returns the class means, (K, D): pairwise orthogonal, of norm s."""
    return config.separation * _orthonormal(_stream(config, "means"), _size(config), config.classes).T


def whitened(config: configs.LinearTeacher) -> np.ndarray:
    """Returns the inputs of a linear teacher, X (N, D) with X'X / N = I up to rounding. Cost: N D^2."""
    basis = _orthonormal(_stream(config, "inputs"), config.examples, _size(config))
    return math.sqrt(config.examples) * basis


def teacher(config: configs.LinearTeacher) -> np.ndarray:
    """Returns A (K, D) of the targets A x: the given singular values between orthonormal frames drawn by the seed.

    Since X'X / N = I, the risk of a linear network W under half_mse is |W - A|^2 / 2: its Hessian in W is the identity,
    and the singular values of A are all that sets the pace of a deep linear network.
    """
    outputs = len(config.singular_values)
    left = _orthonormal(_stream(config, "left"), outputs, outputs)
    right = _orthonormal(_stream(config, "right"), _size(config), outputs)
    return (left * np.array(config.singular_values)) @ right.T


def chance(classes: int) -> float:
    """Returns the accuracy on new examples of `random_labels`, the same for every classifier: 1/K."""
    return 1 / classes


STREAMS = ("means", "noise", "inputs", "labels", "left", "right")


def _stream(
    config: configs.GaussianClasses
    | configs.LinearTeacher
    | configs.RandomLabels
    | configs.ModularAddition
    | configs.Parity,
    name: str,
) -> np.random.Generator:
    """Returns the random numbers for one purpose; each has its own stream, so that none depends on another's size."""
    return np.random.Generator(np.random.PCG64([config.seed, STREAMS.index(name)]))


def _size(config: configs.GaussianClasses | configs.LinearTeacher | configs.RandomLabels) -> int:
    return math.prod(config.shape)


def _orthonormal(stream: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Returns a uniformly drawn matrix (rows, columns) with orthonormal columns."""
    q, r = np.linalg.qr(stream.standard_normal((rows, columns)))
    return np.asarray(q * np.sign(np.diag(r)))
