# SPDX-License-Identifier: Apache-2.0
"""Certify: what is certain of a cell's gradient-descent map before any training (mathematics, D13 and D14).

Where the risk is one analytic piece, one point with sigma_min > verdict.MARGIN times its error bar certifies the whole
map at eta (F3), and several points certify all step sizes but a few (F9). Points are closed ones (F8) at any size, and
dense float64 spectra up to DENSE_UP_TO parameters. Where the risk has pieces, what is said is said of the pieces on
which runs begin. Full-batch gradient descent is meant; the map of a mini-batch is that of another risk.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import zoo
from harness import closed_point, data, experiment, objective, starts, steps, theory, verdict
from harness import spec as specs
from harness.curvature import dense, operators
from harness.curvature import spectrum as spectra
from zoo import model, pattern

DENSE_UP_TO = 5000
"""Parameters of the largest network whose whole Hessian is made."""

POINTS = 3
"""Points, unless told otherwise."""

HALVINGS = 30
"""How often a move is halved to stay on a piece; at a kink, that is in vain."""

OFF = 10
"""A start on a kink is moved off it by 2^-OFF times normal numbers."""


class Evidence(NamedTuple):
    """A point at which all eigenvalues are known.

    Attributes:
        method: `closed form` or `dense`.
        where: Which point, in words that find it again.
        spectrum: All eigenvalues; from a closed form without their multiplicities.
        piece: Names the piece of a risk that has several; empty for one that has one.
    """

    method: str
    where: str
    spectrum: spectra.Spectrum
    piece: str

    def sigma(self, eta: float) -> tuple[float, float]:
        """Returns sigma_min(I - eta H) at the point and its error bar."""
        return spectra.distance_from_one(self.spectrum, eta)

    def certifies(self, eta: float) -> bool:
        """Says whether the point certifies its piece at eta."""
        value, error = self.sigma(eta)
        return value > verdict.MARGIN * error


class Certificate(NamedTuple):
    """What is certified of one cell.

    Attributes:
        cell: The cell.
        eta: Its step size; for one that is relative to the sharpness, that of seed 0.
        parameters: P.
        theory: What is known from the ingredients alone.
        verdict: Of the whole map at eta, as of a run.
        why: What the verdict rests on, or what is missing.
        evidence: The points.
        missing: Why there are no closed points; empty if there are.
        range: The step sizes certified for the whole map; for a risk with pieces, those certified on every piece that
            was visited.
        visited: Number of pieces that were visited, 1 for a risk of one piece; 0 if there is no point.
        sound: On how many of them eta is certified.
    """

    cell: specs.Cell
    eta: float
    parameters: int
    theory: theory.Theory
    verdict: verdict.Verdict
    why: str
    evidence: tuple[Evidence, ...]
    missing: str
    range: steps.Steps
    visited: int
    sound: int

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values for `--json`; infinity and absence are null."""
        return {
            "suite": self.cell.suite,
            "spec": self.cell.spec,
            "label": self.cell.label,
            "cell_id": self.cell.cell_id,
            "eta": self.eta,
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
                    "eigenvalue_error": float(one.spectrum.errors.max()),
                    "lambda_max": float(one.spectrum.values[-1]),
                    "lambda_min": float(one.spectrum.values[0]),
                    "certifies": one.certifies(self.eta),
                }
                for one in self.evidence
            ],
            "no_closed_points": self.missing or None,
            "pieces": {"visited": self.visited, "certified": self.sound},
            "every_step_below": self.range.below if math.isfinite(self.range.below) else None,
            "but": [
                {"low": one.low, "high": one.high, "known_bad": known(self.theory, one)}
                for one in self.range.candidates
            ],
            "no_bad_step": self.theory.no_bad_step,
            "bad_steps": [bad.as_dict() for bad in self.theory.bad_steps],
        }


def known(says: theory.Theory, candidate: steps.Candidate) -> str | None:
    """Returns why a step size that was left over is known to be bad; None where that is not known."""
    slack = 4 * theory.UNIT_ROUNDOFF["float64"]
    for bad in says.bad_steps:
        if any(candidate.low * (1 - slack) <= eta <= candidate.high * (1 + slack) for eta in bad.etas):
            return bad.source
    return None


def certify(cell: specs.Cell, points: int = POINTS) -> Certificate:
    """Returns what is certified of a cell's map before any training.

    Cost: a forward pass for each closed point; P products and an eigenvalue problem for each dense one, shared by cells
    that differ in their step size alone. A step size relative to the sharpness costs one more spectrum, or Lanczos run.

    Args:
        cell: The cell.
        points: How many points to ask.

    Raises:
        errors.InputError: If the data set cannot be had, or the step size is none in the training precision.
    """
    says = theory.of(cell)
    ready = experiment.problem(cell)
    keys = jax.random.split(jax.random.key(0), 4)  # as for the run of seed 0
    rate = cell.optimizer.learning_rate
    start = None if isinstance(rate, int | float) else starts.start(cell.start, ready.objective, keys[0])
    theta = (jnp.zeros(0) if start is None else start).astype(ready.batch.x.dtype)
    eta = experiment.step_size(cell, ready, theta, keys[2])
    size = ready.objective.size
    if says.one_piece:
        found, missing = _whole(cell.data, cell.model, cell.loss, points, eta, dense=size <= DENSE_UP_TO)
    else:
        found, missing = (), "the risk has pieces"
        if size <= DENSE_UP_TO:
            found = _pieces(cell.data, cell.model, cell.loss, cell.start, points)
    pieces: dict[str, list[Evidence]] = {}
    for one in found:
        pieces.setdefault(one.piece, []).append(one)
    sound = sum(any(one.certifies(eta) for one in group) for group in pieces.values())
    ranges = [steps.certified(one.spectrum for one in group) for group in pieces.values()]
    result, why = _verdict(says, cell, eta, found, len(pieces), sound, size, missing)
    return Certificate(
        cell, eta, size, says, result, why, found, missing if says.one_piece else "", _all(ranges), len(pieces), sound
    )


def _verdict(
    says: theory.Theory,
    cell: specs.Cell,
    eta: float,
    found: Sequence[Evidence],
    visited: int,
    sound: int,
    size: int,
    missing: str,
) -> tuple[verdict.Verdict, str]:
    """Returns the verdict on the whole map at eta, and what it rests on."""
    bad = theory.matches(says, eta, cell.precision)
    if bad is not None:
        return "singular", f"η is bad {bad.where} ({bad.source})"
    if says.complete:
        return "certified", says.others
    if not found:
        return "undecided", f"no point: {size:,} parameters are more than {DENSE_UP_TO:,}, and {missing}"
    if not says.one_piece:
        return "undecided", f"certified on {sound} of {visited} pieces visited; nothing is said of the others"
    if sound:
        best = max(found, key=lambda one: one.sigma(eta)[0])
        value, error = best.sigma(eta)
        return "certified", f"one piece, and σ_min = {value:.3g} ± {error:.1g} at a point ({best.method}; F3)"
    return "undecided", f"σ_min is within {verdict.MARGIN:g} error bars of 0 at every point"


def _all(ranges: Sequence[steps.Steps]) -> steps.Steps:
    """Returns the step sizes that are in every range."""
    if not ranges:
        return steps.Steps(0.0, ())
    below = min(one.below for one in ranges)
    candidates = sorted({candidate for one in ranges for candidate in one.candidates if candidate.low < below})
    return steps.Steps(below, tuple(candidates))


def _whole(
    data_: Any, model_: Any, loss: Any, points: int, eta: float, *, dense: bool
) -> tuple[tuple[Evidence, ...], str]:
    """Returns points of a risk that is one piece: closed ones, and dense ones where those leave something open."""
    closed, missing = _closed(data_, model_, loss, points)
    left = steps.certified(one.spectrum for one in closed)
    if not dense or (closed and not left.candidates and any(one.certifies(eta) for one in closed)):
        return closed, missing
    return closed + _dense(data_, model_, loss, 1 if closed else points), missing


@functools.lru_cache(maxsize=8)
def _closed(data_: Any, model_: Any, loss: Any, points: int) -> tuple[tuple[Evidence, ...], str]:
    """Returns closed points, or none and why."""
    facts = data.facts(data_)
    layers = zoo.FAMILIES[model_.family].layers(model_, facts.shape, facts.classes)
    head, missing = closed_point.find(layers)
    if head is None:
        return (), missing
    batch = _ready(data_, model_, loss).exact
    found: list[Evidence] = []
    for seed in range(points):
        shift = 0.5 * seed if head.shifts else 0.0
        place = closed_point.Place(seed, shift, 0.5 if seed else 0.0)
        try:
            spectrum = closed_point.spectrum(head, facts.shape, loss, batch, place)
        except ValueError as error:
            return (), str(error)
        where = f"{head.inner} = 0, {head.outer} = 0, seed {seed}, shift {shift:g}, offset {place.offset:g}"
        found.append(Evidence("closed form", where, spectrum, ""))
    return tuple(found), ""


@functools.lru_cache(maxsize=8)
def _dense(data_: Any, model_: Any, loss: Any, points: int) -> tuple[Evidence, ...]:
    """Returns random points with their dense spectra."""
    ready = _ready(data_, model_, loss)
    size = ready.objective.size
    hessian = dense.matrix(operators.hessian(ready.objective.risk), size)
    found = []
    for seed in range(points):
        theta = ready.objective.init(jax.random.key(seed)).astype("float64")
        theta = theta + 0.1 * np.random.default_rng(seed).standard_normal(size)
        spectrum = dense.spectrum(np.asarray(hessian((theta, ready.exact))))
        found.append(Evidence("dense", f"random start of seed {seed} plus 0.1 times normal numbers", spectrum, ""))
    return tuple(found)


@functools.lru_cache(maxsize=8)
def _pieces(data_: Any, model_: Any, loss: Any, start: Any, points: int) -> tuple[Evidence, ...]:
    """Returns the starts of the runs of seeds 0, 1, ..., and of each piece a second point.

    A point with the same pattern nearby shows that the start is no kink: what is 0 there stays 0. Two seeds that start
    on one piece count as one.
    """
    ready = _ready(data_, model_, loss)
    goal, size = ready.objective, ready.objective.size
    facts = data.facts(data_)
    layers = zoo.FAMILIES[model_.family].layers(model_, facts.shape, facts.classes)
    network = zoo.build(model_.family, model_, inputs=facts.shape, outputs=facts.classes)
    signs = piece_of(layers, facts.shape, network, ready.exact.x)
    hessian = dense.matrix(operators.hessian(goal.risk), size)

    def evidence(theta: jax.Array, where: str, piece: str) -> Evidence:
        return Evidence("dense", where, dense.spectrum(np.asarray(hessian((theta, ready.exact)))), piece)

    def beside(theta: jax.Array, piece: str, move: jax.Array) -> tuple[jax.Array, int] | None:
        """Returns a point near theta with the same pattern, and how often the move was halved."""
        for halving in range(HALVINGS):
            near = theta + 2.0**-halving * move
            if signs(near) == piece:
                return near, halving
        return None

    found: list[Evidence] = []
    for seed in range(points):
        key = jax.random.split(jax.random.key(seed), 4)[0]  # as for the run of that seed
        theta, where = starts.start(start, goal, key).astype("float64"), f"start of seed {seed}"
        moves = np.random.default_rng(seed).standard_normal((2, size))
        piece = signs(theta)
        near = beside(theta, piece, jnp.asarray(moves[0]))
        if near is None:  # on a kink, as where a bias of 0 meets an input of 0: no inner point of a piece
            theta, where = theta + 2.0**-OFF * moves[1], f"{where}, moved off a kink by 2^-{OFF} times normal numbers"
            piece = signs(theta)
            near = beside(theta, piece, jnp.asarray(moves[0]))
        if near is None or any(one.piece == piece for one in found):
            continue
        found.append(evidence(theta, where, piece))
        found.append(evidence(near[0], f"{where}, plus 2^-{near[1]} times normal numbers", piece))
    return tuple(found)


def piece_of(layers: Any, inputs: tuple[int, ...], network: model.Model, x: jax.Array) -> Any:
    """Returns the function from theta (P,) to 16 hex digits that name its pattern: all its signs, ties included."""
    margins = pattern.margins(layers, inputs)
    unflatten = objective.flattening(jax.eval_shape(network.init, jax.random.key(0)))

    @jax.jit
    def signs(theta: jax.Array) -> list[jax.Array]:
        found = margins(unflatten(theta), x)
        return [jnp.sign(found[name]).astype("int8") for name in sorted(found)]

    def name(theta: jax.Array) -> str:
        return hashlib.sha256(b"".join(np.asarray(array).tobytes() for array in signs(theta))).hexdigest()[:16]

    return name


class _Ready(NamedTuple):
    """The part of a problem that does not depend on how it is trained."""

    objective: objective.Objective
    exact: objective.Batch


@functools.lru_cache(maxsize=2)
def _ready(data_: Any, model_: Any, loss: Any) -> _Ready:
    facts = data.facts(data_)
    network = zoo.build(model_.family, model_, inputs=facts.shape, outputs=facts.classes)
    goal = objective.objective(network, loss)
    arrays = experiment.planted(data_, data.load(data_), goal, loss)
    return _Ready(goal, experiment.batch(arrays, "float64"))
