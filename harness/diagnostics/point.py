# SPDX-License-Identifier: Apache-2.0
"""Point: one parameter vector of a run and what was computed there, which all diagnostics read."""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import jax

    from harness.curvature import eigenvectors, survey
    from harness.starts import saddles
    from harness.training.problem import Problem


class Nearby(NamedTuple):
    """Where a point is, for diagnostics that look around it.

    Attributes:
        theta: (P,) float64.
        previous: The same at the checkpoint step before; None at the first.
        problem: The problem of the run, which can be asked there.
        key: Random key of this cell, seed and step.
        planted: The point that the run was planted at, a saddle or a minimum, if it was.
        previous_eta: The step size at the checkpoint step before; that of the point unless given.
        above: How many eigenvalues were counted above 1/eta at the checkpoint step before; None if not known.
    """

    theta: jax.Array
    previous: jax.Array | None
    problem: Problem
    key: jax.Array
    planted: saddles.Saddle | None = None
    previous_eta: float | None = None
    above: float | None = None

    def key_of(self, name: str) -> jax.Array:
        """Returns the random key of a diagnostic, which depends on cell, seed, step and its name alone."""
        import jax

        return jax.random.fold_in(self.key, zlib.crc32(name.encode()))


class Point(NamedTuple):
    """What is known at one checkpoint step, in float64.

    Attributes:
        eta: Step size.
        infimum: Infimum L* of the risk over all predictions.
        loss: L(theta).
        grad_norm: Norm of the gradient of L.
        accuracy: Share of training examples classified right.
        surveyed: Spectrum of the Hessian and log|det(I - eta H)|; None where nothing asked for it.
        where: Where the point is; None where only its numbers are known.
        constant: Risk of the best constant prediction; NaN where it is not known.
        chance: Accuracy of the best constant prediction; NaN for regression.
    """

    eta: float
    infimum: float
    loss: float
    grad_norm: float
    accuracy: float
    surveyed: survey.Survey | None
    where: Nearby | None = None
    constant: float = math.nan
    chance: float = math.nan

    @property
    def survey(self) -> survey.Survey:
        """What is known of the Hessian.

        Raises:
            ValueError: If it was not surveyed.
        """
        if self.surveyed is None:
            raise ValueError("the spectrum at this point is not known")
        return self.surveyed

    @property
    def vectors(self) -> eigenvectors.Eigenvectors:
        """The eigenvectors that the survey was asked for.

        Raises:
            ValueError: If it was not.
        """
        if self.survey.vectors is None:
            raise ValueError("the survey at this point was not asked for eigenvectors")
        return self.survey.vectors

    @property
    def nearby(self) -> Nearby:
        """Where the point is.

        Raises:
            ValueError: If only its numbers are known.
        """
        if self.where is None:
            raise ValueError("what is around a point cannot be told from its numbers")
        return self.where
