# SPDX-License-Identifier: Apache-2.0
"""Survey: what is certain of the gradient-descent map of a network at one point and one step size."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from harness import diagnostics, errors
from harness.curvature import exclusion, spectrum
from harness.face import numerics, shown
from harness.face.network import Network, words
from harness.metrics import METRICS
from harness.records import verdict
from harness.runtime import memory

ASKED = ("sharpness", "singularity")
"""The diagnostics whose metrics a survey has."""

SHOWN = (
    "loss",
    "grad_norm",
    "sharpness",
    "lambda_min",
    "sigma_min",
    "sigma_min_lower",
    "log_abs_det",
    "n_above_inv_eta",
    "n_above_two_inv_eta",
    "n_negative",
)
"""The metrics that are shown."""


@dataclasses.dataclass(frozen=True, eq=False)
class Survey:
    """What a survey found; `found["sigma_min"]` is a metric of `gdzoo list metrics`.

    Attributes:
        name: The network.
        eta: The step size.
        values: Metrics by name: loss, gradient norm, and those of the diagnostics in ASKED.
        spectrum: The known eigenvalues of the Hessian, ascending, with their error bars.
        method: How they were found: `dense` or `lanczos`.
        verdict: `invertible` or `undecided`: of I - eta H at this point.
        certified: Whether the whole map is certified non-singular at eta: the point is invertible, and the risk
            analytic everywhere by what the network is made of (F3).
        why: What verdict and certificate rest on, or what is missing, in sentences.
        theorem: What covers the map, or "not known".
        failure: The probability that a bound of Lanczos is false, at most; 0 where all eigenvalues are known.
    """

    name: str
    eta: float
    values: dict[str, float]
    spectrum: spectrum.Spectrum
    method: str
    verdict: str
    certified: bool
    why: tuple[str, ...]
    theorem: str
    failure: float

    def __getitem__(self, metric: str) -> float:
        """Returns a metric by its name.

        Raises:
            errors.InputError: If a survey has no such metric.
        """
        if metric not in self.values:
            allowed = ", ".join(self.values)
            raise errors.InputError(
                f"a survey has no {metric!r}; allowed: {allowed}{errors.nearest(metric, self.values)}"
            )
        return self.values[metric]

    def _table(self) -> shown.Table:
        rows = []
        for name in SHOWN:
            row = METRICS[name]
            error = self.values.get(row.error) if row.error else None
            rows.append((row.label, shown.number(self.values[name], error)))
        rows += [("verdict", self.verdict), ("certified", "yes" if self.certified else "no"), ("theorem", self.theorem)]
        return shown.Table(f"Survey of {self.name} at η = {self.eta:.6g}", (), rows, self.why)

    def __repr__(self) -> str:
        """Returns what was found in a few lines."""
        return shown.text(self._table())

    def _repr_html_(self) -> str:
        return shown.page(self._table())


def survey(net: Network, eta: float, params: Any = None, *, seed: int = 0) -> Survey:
    """Returns what is certain of the map theta - eta grad L(theta) at one point.

    Cost: P Hessian-vector products where all eigenvalues are asked for; else some 200 at most for eigenvalues and their
    bounds, and as many for log|det|.

    Args:
        net: The network.
        eta: The step size.
        params: Where: a tree like the network's, or a vector (P,); the parameters that it came with unless given.
        seed: Of what Lanczos draws.

    Raises:
        errors.InputError: If eta is no positive number, or parameters are no point of the network.
        errors.OutOfMemory: If it does not fit into memory.
    """
    if not 0 < float(eta) < math.inf:
        raise errors.InputError(f"eta is {eta!r}; give a positive number")
    theta = net.flat(params)
    with (
        numerics.exact(),
        shown.bar(1, "surveys") as begin,
        memory.explaining(parameters=net.parameters, examples=net.examples, chunk=net.examples, rows=1),
    ):
        begin(net.name)
        at = jnp.asarray(theta)
        loss, grad_norm, accuracy = map(float, jax.block_until_ready(net.evaluate(at, net.batch)))
        if not math.isfinite(loss) or not math.isfinite(grad_norm):
            raise errors.InputError("loss or gradient are not finite there; survey a point before that")
        try:
            found = net.surveyor.survey((at, net.batch), float(eta), net.key(seed))
        except FloatingPointError as error:
            raise errors.InputError(f"the Hessian is not finite there ({error}); survey another point") from None
        point = diagnostics.Point(float(eta), math.nan, loss, grad_norm, accuracy, found)
        values = {"loss": loss, "grad_norm": grad_norm, **diagnostics.measure(point, ASKED)}
    because = verdict.undecided(values)
    certified = because is None and net.known.one_piece
    failure = 0.0 if found.spectrum.complete else exclusion.FAILURE
    return Survey(
        net.name,
        float(eta),
        values,
        found.spectrum,
        net.surveyor.method,
        "undecided" if because else "invertible",
        certified,
        tuple(_why(net, because, failure)),
        words(net.known),
        failure,
    )


def _why(net: Network, because: verdict.Because | None, failure: float) -> list[str]:
    """Returns what a verdict and a certificate rest on, in sentences."""
    if because is not None:
        return [f"I − ηH at this point is undecided: {verdict.REASONS[because]}."]
    sure = f", false with probability {failure:.1g} at most" if failure else ""
    said = [
        f"I − ηH is invertible at this point: its bound of σ_min stays above 0 with {verdict.MARGIN:g} times the "
        f"rounding{sure}."
    ]
    if net.known.one_piece:
        said.append("The risk is analytic everywhere, so the whole map is non-singular at this η (F3, ours).")
    elif net.known.covered is None:
        said.append("Of the whole map nothing is said: name the network's ingredients where you answer for them.")
    else:
        said.append("The risk has pieces, and this point speaks for its own (F3, ours).")
    return said
