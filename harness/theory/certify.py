# SPDX-License-Identifier: Apache-2.0
"""Certify: what is certain of a cell's gradient-descent map before any training (mathematics, D13 and D14).

Where the risk is one analytic piece, one point at which sigma_min is above 0 by verdict.MARGIN error bars certifies
the whole map at eta (F3), and several points certify all step sizes but a few (F9). Points are closed ones (F8) at any
size, and dense float64 spectra up to dense.limit() parameters. Beyond, or where a spec says `curvature: lanczos`, the
outer eigenvalues by Lanczos serve, with a bound of all others that fails with a stated probability
(harness/curvature/exclusion.py): they certify step sizes up to the inverse of that bound. Where the risk has pieces,
what is said is said of the pieces on which runs begin. Full-batch gradient descent is meant; the map of a mini-batch is
that of another risk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from harness import config, theory
from harness.curvature import dense, exclusion
from harness.records import verdict
from harness.theory import evidence, step_sizes
from harness.training import optimizers, problem
from zoo import code

Verdict = Literal["certified", "undecided", "singular"]

POINTS = 3
"""Points, unless told otherwise."""


class Certificate(NamedTuple):
    """What is certified of one cell.

    Attributes:
        cell: The cell.
        eta: Its step size before its schedule; for one that is relative to the sharpness, that of seed 0.
        used: All step sizes of its runs.
        parameters: P.
        theory: What is known from the ingredients alone.
        verdict: Of the whole map at eta, and at every step size of its schedule.
        why: What the verdict rests on, or what is missing.
        evidence: The points.
        missing: Why there are no closed points; empty if there are.
        range: The step sizes certified for the whole map; where points speak of pieces, those certified on every piece
            that was visited.
        visited: Number of pieces that were visited, 1 where points speak of the whole map; 0 if there is no point.
        sound: On how many of them eta is certified.
        dataset: SHA-256 of the training set (data.fingerprint).
    """

    cell: config.Cell
    eta: float
    used: optimizers.StepSizes
    parameters: int
    theory: theory.Theory
    verdict: Verdict
    why: str
    evidence: tuple[evidence.Evidence, ...]
    missing: str
    range: step_sizes.Steps
    visited: int
    sound: int
    dataset: str

    @property
    def whole(self) -> bool:
        """Whether the points speak of the whole map; also where there are none."""
        return not any(one.piece for one in self.evidence)

    @property
    def failure(self) -> float:
        """The probability over random starts of Lanczos that some exclusion is false, at most; 0 without Lanczos."""
        return exclusion.FAILURE * sum(not one.spectrum.complete for one in self.evidence)

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values for `--json`; infinity and absence are null."""
        return {
            "suite": self.cell.suite,
            "spec": self.cell.spec,
            "label": self.cell.label,
            "cell_id": self.cell.cell_id,
            "eta": self.eta,
            "step_sizes": {
                "least": float(self.used.values[0]),
                "greatest": float(self.used.values[-1]),
                "count": len(self.used.values),
            },
            "parameters": self.parameters,
            "one_piece": self.theory.one_piece,
            "verdict": self.verdict,
            "why": self.why,
            "points": [
                {
                    "method": one.method,
                    "where": one.where,
                    "piece": one.piece or None,
                    "sigma_min": one.sigma(self.eta)[0],
                    "sigma_min_error": one.sigma(self.eta)[1],
                    "eigenvalue_error": one.error,
                    "lambda_max": float(one.spectrum.values[-1]),
                    "lambda_min": float(one.spectrum.values[0]) if one.spectrum.complete else None,
                    "unseen_below": None if one.unseen is None else _finite(one.unseen),
                    "certifies": one.certifies(self.eta),
                }
                for one in self.evidence
            ],
            "failure_probability": self.failure,
            "no_closed_points": self.missing or None,
            "pieces": {"visited": self.visited, "certified": self.sound},
            "every_step_below": _finite(self.range.below),
            "but": [
                {"low": one.low, "high": one.high, "known_bad": known(self.theory, one)}
                for one in self.range.candidates
            ],
            "no_bad_step": self.theory.no_bad_step,
            "bad_steps": [bad.as_dict() for bad in self.theory.bad_steps],
            "possible": None if self.theory.possible is None else [one.eta for one in self.theory.possible],
            "bad": self.theory.bad,
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def known(says: theory.Theory, candidate: step_sizes.Candidate) -> str | None:
    """Returns why a step size that was left over is known to be bad; None where that is not known."""
    slack = 4 * theory.UNIT_ROUNDOFF["float64"]
    for bad in says.bad_steps:
        if any(candidate.low * (1 - slack) <= eta <= candidate.high * (1 + slack) for eta in bad.etas):
            return bad.source
    return None


def certify(cell: config.Cell, points: int = POINTS) -> Certificate:
    """Returns what is certified of a cell's map before any training.

    Cost: a forward pass for each closed point; P products and an eigenvalue problem for each dense one, shared by cells
    that differ in their step size alone; for each one by Lanczos, exclusion.PRODUCTS + exclusion.STEPS products. A step
    size relative to the sharpness costs one more spectrum, or Lanczos run.

    Args:
        cell: The cell.
        points: How many points to ask.

    Raises:
        errors.InputError: If the data set cannot be had, the step size is none in the training precision, or the
            network is too large for `curvature: dense`.
        errors.OutOfMemory: If a point does not fit into memory.
    """
    says = theory.of(cell)
    ready = problem.problem(cell)
    keys = jax.random.split(jax.random.key(0), 4)  # as for the run of seed 0
    rate = cell.optimizer.learning_rate
    start = None if isinstance(rate, int | float) else problem.start(cell, ready, keys[0])
    theta = (jnp.zeros(0) if start is None else start).astype(ready.batch.x.dtype)
    with problem.explaining(ready):
        eta = problem.step_size(cell, ready, theta, keys[2])
    size = ready.objective.size
    whole = _whole_matrices(cell, size)
    found: tuple[evidence.Evidence, ...] = ()
    missing = ""
    settled = optimizers.OPTIMIZERS[cell.optimizer.name].never_singular  # no point is needed, and none would say more
    risk = evidence.Landscape(cell.data, cell.model, cell.loss)
    if says.one_piece and not settled:
        found, missing = evidence.whole_map(risk, points, eta, whole=whole)
    elif not settled and risk.layers:
        found = evidence.every_piece(risk, points) or (evidence.pieces(risk, cell.start, points) if whole else ())
    pieces: dict[str, list[evidence.Evidence]] = {}
    for one in found:
        pieces.setdefault(one.piece, []).append(one)
    used = optimizers.step_sizes(cell, eta)
    ranges = [step_sizes.certified(one.spectrum for one in group) for group in pieces.values()]
    sound = sum(_sound(group, used, range_) for group, range_ in zip(pieces.values(), ranges, strict=True))
    result, why = _Case(says, cell, eta, used, found, len(pieces), sound, size).verdict()
    return Certificate(
        cell, eta, used, size, says, result, why, found, missing, _all(ranges), len(pieces), sound, ready.arrays.sha256
    )


def _sound(group: Sequence[evidence.Evidence], used: optimizers.StepSizes, certified: step_sizes.Steps) -> bool:
    """Says whether the points of one piece certify every step size that is used."""
    if len(used.values) == 1:
        return any(one.certifies(float(used.values[0])) for one in group)
    return all(step_sizes.within(certified, used.values))


class _Case(NamedTuple):
    """What a verdict on the whole map rests on.

    Attributes:
        says: What the theorem says of the cell.
        cell: The cell.
        eta: Its step size, before a schedule.
        used: All step sizes of its schedule.
        found: The points that were asked.
        visited: How many pieces they lie on.
        sound: How many of those pieces are certified.
        size: The number of parameters P.
    """

    says: theory.Theory
    cell: config.Cell
    eta: float
    used: optimizers.StepSizes
    found: Sequence[evidence.Evidence]
    visited: int
    sound: int
    size: int

    def verdict(self) -> tuple[Verdict, str]:
        """Returns the verdict on the whole map at eta and all step sizes of its schedule, and what it rests on."""
        match = theory.matches(self.says, self.used, self.cell.precision)
        near = "" if match is None else theory.told(self.says, match)
        if match is not None and match.exact:
            return "singular", near
        result, why = self._measured()
        return result, f"{why.rstrip('.')}; {near}" if near else why

    def _measured(self) -> tuple[Verdict, str]:
        """Returns the verdict where no step size is known to be bad."""
        sizes = len(self.used.values)
        if all(self.says.excludes(float(eta), self.cell.precision) for eta in self.used.values):
            return "certified", self.says.others
        if not self.found:
            return "undecided", f"no point: {_no_point(self.says, self.cell, self.size)}"
        whole = not any(point.piece for point in self.found)
        if not whole:
            pieces = f"{self.sound} of {self.visited} pieces visited"
            return "undecided", f"certified on {pieces}; nothing is said of the others"
        what = "one piece" if self.says.one_piece else "every piece"
        if self.sound and sizes > 1:
            return "certified", f"{what}, and the points leave none of the {sizes} step sizes over (F9)"
        if self.sound:
            certifying = (point for point in self.found if point.certifies(self.eta))
            best = max(certifying, key=lambda point: point.sigma(self.eta)[0])
            value, error = best.sigma(self.eta)
            sure = "" if best.spectrum.complete else f", false with probability {exclusion.FAILURE:g} at most"
            return "certified", f"{what}, and σ_min = {value:.3g} ± {error:.1g} at a point ({best.method}; F3){sure}"
        if sizes > 1:
            return "undecided", f"the points leave some of the {sizes} step sizes of the schedule over"
        if not all(point.spectrum.complete for point in self.found):
            return "undecided", f"no point excludes that 1/η = {1 / self.eta:.4g} is an eigenvalue"
        return "undecided", f"σ_min is within {verdict.MARGIN:g} error bars of 0 at every point"


def _whole_matrices(cell: config.Cell, size: int) -> bool:
    """Says whether whole Hessians are made."""
    return size <= dense.limit() and cell.curvature != "lanczos"


def _no_point(says: theory.Theory, cell: config.Cell, size: int) -> str:
    """Returns why there is no point at which anything is known."""
    if says.one_piece:
        return "the Hessian is not finite where it was asked"
    if isinstance(cell.model, code.Config):
        return "the pieces of its risk are not known, the network being code of its author's"
    if _whole_matrices(cell, size):
        return "no start lies inside a piece, with a Hessian that is finite"
    why = f"{size:,} parameters are more than {dense.limit():,}"
    if cell.curvature == "lanczos":
        why = "the spec says `curvature: lanczos`"
    return f"{why}, and the risk has pieces"


def _all(ranges: Sequence[step_sizes.Steps]) -> step_sizes.Steps:
    """Returns the step sizes that are in every range."""
    if not ranges:
        return step_sizes.Steps(0.0, ())
    below = min(one.below for one in ranges)
    candidates = sorted({candidate for one in ranges for candidate in one.candidates if candidate.low < below})
    return step_sizes.Steps(below, tuple(candidates))
