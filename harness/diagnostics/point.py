# SPDX-License-Identifier: Apache-2.0
"""Point: one parameter vector of a run and what was computed there, which all diagnostics read."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import jax

    from harness.curvature import spectrum, survey
    from harness.risk import jacobian, objective
    from harness.starts import saddles
    from harness.training import optimizers


class Probe(NamedTuple):
    """A run's problem in float64, and compiled functions of it; each compiles when it is first called.

    Attributes:
        size: P.
        risk: `(theta, batch) -> scalar`.
        margins: `(theta, x) -> {path: (N, ...)}`, as zoo.pattern gives them; empty for an analytic network.
        batch: The whole training set.
        rule: What a step of the training does.
        examples: N, the examples of the training set.
        method: How the spectrum is found, `dense` or `lanczos`.
        gradient: `theta -> (P,)`, of the whole risk.
        product: `(theta, v) -> H v`.
        survey: `((theta, batch), eta, key) -> Survey`, of any batch.
        outputs: `(theta, x) -> (N, K)`.
        loss: The `loss` part of the cell.
        factor: `theta -> data_space.Factor`, of the whole batch.
        counter: `((theta, batch), level, key) -> Spectrum`, in which the eigenvalues above a level are known.
    """

    size: int
    risk: Callable[..., jax.Array]
    margins: Callable[[jax.Array, jax.Array], dict[str, jax.Array]]
    batch: objective.Batch
    rule: optimizers.Rule
    examples: int
    method: str
    gradient: Callable[[jax.Array], jax.Array]
    product: Callable[[jax.Array, jax.Array], jax.Array]
    survey: Callable[..., survey.Survey]
    outputs: Callable[[jax.Array, jax.Array], jax.Array]
    loss: Any
    factor: Callable[[jax.Array], jacobian.Factor]
    counter: Callable[..., spectrum.Spectrum]


class Nearby(NamedTuple):
    """Where a point is, for diagnostics that look around it.

    Attributes:
        theta: (P,) float64.
        previous: The same at the checkpoint step before; None at the first.
        probe: What can be asked there.
        key: Random key of this cell, seed and step.
        planted: The point that the run was planted at, a saddle or a minimum, if it was.
        previous_eta: The step size at the checkpoint step before; that of the point unless given.
        above: How many eigenvalues were counted above 1/eta at the checkpoint step before; None if not known.
    """

    theta: jax.Array
    previous: jax.Array | None
    probe: Probe
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
    def nearby(self) -> Nearby:
        """Where the point is.

        Raises:
            ValueError: If only its numbers are known.
        """
        if self.where is None:
            raise ValueError("what is around a point cannot be told from its numbers")
        return self.where
