# SPDX-License-Identifier: Apache-2.0
"""Evidence: points at which enough is known of the spectrum to certify the map, or the piece they lie on.

Closed points (F8) cost a forward pass at any size; dense spectra know all eigenvalues; Lanczos knows the outer ones and
bounds the others, which fails with a stated probability (harness/curvature/exclusion.py).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import zoo
from harness import config, data, starts
from harness.curvature import dense, exclusion, operators, survey
from harness.curvature import spectrum as spectra
from harness.data import Facts
from harness.records import verdict
from harness.risk import networks, objective
from harness.runtime import memory
from harness.starts import blank_point, closed_point, heads, saddles
from harness.theory import origin, step_sizes
from harness.training import problem
from zoo import layer, model, pattern
from zoo.model import Model

HALVINGS = 30
"""How often a move is halved to stay on a piece; at a kink, that is in vain."""

OFF = 10
"""A start on a kink is moved off it by 2^-OFF times normal numbers."""


class Evidence(NamedTuple):
    """A point at which all eigenvalues are known, or all above some level.

    Attributes:
        method: `closed form`, `dense` or `Lanczos`; `closed form, every piece` where the spectrum is that of each fixed
            pattern at the point.
        where: Which point, in words that find it again.
        spectrum: All eigenvalues, from a closed form without their multiplicities; from Lanczos the outer ones.
        piece: Names the piece of a risk that has several; empty where the point speaks of the whole map.
    """

    method: str
    where: str
    spectrum: spectra.Spectrum
    piece: str

    def sigma(self, eta: float) -> tuple[float, float]:
        """Returns sigma_min(I - eta H) at the point and its error bar, which reaches down to its lower bound."""
        value, error = spectra.distance_from_one(self.spectrum, eta)
        return value, error if self.spectrum.complete else max(error, value - spectra.lower_bound(self.spectrum, eta))

    def certifies(self, eta: float) -> bool:
        """Says whether the point certifies its piece at eta."""
        return verdict.apart(spectra.lower_bound(self.spectrum, eta), spectra.lower_error(self.spectrum, eta))

    @property
    def error(self) -> float:
        """The error bar of the eigenvalues that are listed as known."""
        return float(self.spectrum.errors.max()) if self.spectrum.complete else self.spectrum.coupling

    @property
    def unseen(self) -> float | None:
        """Below which level eigenvalues were not seen; None if all are known."""
        return None if self.spectrum.complete else self.spectrum.rest + self.spectrum.coupling


class Landscape(NamedTuple):
    """A risk: the parts of a cell that it depends on."""

    data: config.Data
    model: config.Model
    loss: config.Loss

    @property
    def facts(self) -> Facts:
        """What is known of the training set without reading it."""
        return data.facts(self.data)

    @property
    def layers(self) -> layer.Layers:
        """The layers of the network."""
        return zoo.made_of(self.model, self.facts.shape, self.facts.classes)

    @property
    def network(self) -> Model:
        """The network."""
        return networks.build(self.model, self.facts.shape, self.facts.classes)


def whole_map(risk: Landscape, points: int, eta: float, *, whole: bool) -> tuple[tuple[Evidence, ...], str]:
    """Returns points of a risk that is one piece: closed ones, and dense ones where those leave something open.

    Where no whole matrix is made, one closed point is drawn, for a forward pass of a large network is dear, and the
    others have nothing below, where they may; if there are no closed points, blank ones, else points by Lanczos.
    """
    free = () if whole else every_piece(risk, points, first=1)
    closed, missing = _closed_points(risk, points - len(free))
    if not whole:
        return closed + free or _blank_points(risk, points) or _lanczos(risk, points), missing
    left = step_sizes.certified(one.spectrum for one in closed)
    if closed and not left.candidates and any(one.certifies(eta) for one in closed):
        return closed, missing
    return closed + _dense(risk, 1 if closed else points), missing


def every_piece(risk: Landscape, points: int, first: int = 0) -> tuple[Evidence, ...]:
    """Returns closed points at which what lies below B is 0 whatever its pattern, so that H is that of each; or none.

    Their seeds are `first` to `points` - 1. They speak of the whole map of a risk with pieces: F8 holds for the fixed
    network of every pattern.
    """
    head, _ = heads.find(risk.layers)
    if head is None or not origin.defined(risk.layers) or not origin.near(head.body, risk.facts.shape).zero:
        return ()
    return _closed_points(risk, points, first, zero=True)[0]


@functools.lru_cache(maxsize=8)
def _closed_points(
    risk: Landscape, points: int, first: int = 0, *, zero: bool = False
) -> tuple[tuple[Evidence, ...], str]:
    """Returns closed points, or none and why; with `zero` such as have all parameters below B 0."""
    if not risk.layers:
        return (), "the layers of code of one's own are not known"
    head, missing = heads.find(risk.layers)
    if head is None:
        return (), missing
    ready = _ready(risk)
    found: list[Evidence] = []
    for seed in range(first, points):
        shift = 0.5 * seed if head.shifts else 0.0
        place = closed_point.ClosedPoint(seed, shift, 0.5 if seed else 0.0, bare=zero, zero=zero)
        try:
            with _explaining(ready, rows=1):
                spectrum = closed_point.spectrum(head, risk.facts.shape, risk.loss, ready.exact, place)
        except (ValueError, FloatingPointError) as error:
            return (), str(error)
        where = f"{head.inner} = 0, {head.outer} = 0, seed {seed}, shift {shift:g}, offset {place.offset:g}"
        if zero:
            where = f"{where}, all below {head.inner} 0"
        found.append(Evidence("closed form, every piece" if zero else "closed form", where, spectrum, ""))
    return tuple(found), ""


@functools.lru_cache(maxsize=8)
def _blank_points(risk: Landscape, points: int) -> tuple[Evidence, ...]:
    """Returns blank points of a network that ends in a residual sum (F13, its residual case), or none."""
    layers, shape = risk.layers, risk.facts.shape
    *body, (_, last) = layers.items()
    sums = any(isinstance(node, layer.Residual) for _, node in body)
    if not sums or not isinstance(last, layer.Dense) or not origin.fades(dict(body), shape):
        return ()
    ready = _ready(risk)
    found: list[Evidence] = []
    for seed in range(points):
        place = closed_point.ClosedPoint(seed, 0.5 * seed, 0.5 if seed else 0.0)
        try:
            with _explaining(ready, rows=1):
                spectrum = blank_point.spectrum(layers, shape, risk.loss, ready.exact, place)
        except (ValueError, FloatingPointError):
            return ()
        where = f"all parameters 0, seed {seed}, last shift {place.shift:g}, offset {place.offset:g}"
        found.append(Evidence("closed form", where, spectrum, ""))
    return tuple(found)


@functools.lru_cache(maxsize=8)
def _dense(risk: Landscape, points: int) -> tuple[Evidence, ...]:
    """Returns random points with their dense spectra, where these are finite."""
    ready = _ready(risk)
    size = ready.objective.size
    spectrum_at = dense.known(operators.hessian(ready.objective.risk), size)
    found = []
    for seed in range(points):
        theta = ready.objective.init(jax.random.key(seed)).astype("float64")
        theta = theta + 0.1 * np.random.default_rng(seed).standard_normal(size)
        with contextlib.suppress(FloatingPointError), _explaining(ready, rows=0):
            spectrum = spectrum_at((theta, ready.exact))
            found.append(Evidence("dense", f"random start of seed {seed} plus 0.1 times normal numbers", spectrum, ""))
    return tuple(found)


@functools.lru_cache(maxsize=8)
def _lanczos(risk: Landscape, points: int) -> tuple[Evidence, ...]:
    """Returns random starts, each half as large as the one before, with their outer eigenvalues where they are finite.

    Smaller parameters make for smaller curvature, and so for a longer range of step sizes; the first is not shrunk.
    """
    ready = _ready(risk)
    goal, size = ready.objective, ready.objective.size
    capacity = survey.capacity(size)
    outer = exclusion.outer(operators.hessian(goal.risk), size, capacity)
    found = []
    for seed in range(points):
        key = jax.random.key(seed)
        theta = 2.0**-seed * goal.init(key).astype("float64")
        with contextlib.suppress(FloatingPointError), _explaining(ready, rows=min(capacity, exclusion.ROWS) + 1):
            spectrum = outer((theta, ready.exact), jax.random.fold_in(key, 1))
            found.append(Evidence("Lanczos", f"random start of seed {seed} times 2^-{seed}", spectrum, ""))
    return tuple(found)


@functools.lru_cache(maxsize=8)
def pieces(risk: Landscape, start: config.Start, points: int) -> tuple[Evidence, ...]:
    """Returns the starts of the runs of seeds 0, 1, ..., and of each piece a second point.

    A point with the same pattern nearby shows that the start is no kink: what is 0 there stays 0. Two seeds that start
    on one piece count as one.
    """
    ready = _ready(risk)
    goal, size = ready.objective, ready.objective.size
    facts, layers = risk.facts, risk.layers
    signs = piece_of(layers, facts.shape, risk.network, ready.exact.x)
    spectrum_at = dense.known(operators.hessian(goal.risk), size)
    place = saddles.Setting(*risk, layers, facts.shape, goal, ready.exact)

    def evidence(theta: jax.Array, where: str, piece: str) -> list[Evidence]:
        with contextlib.suppress(FloatingPointError), _explaining(ready, rows=0):
            return [Evidence("dense", where, spectrum_at((theta, ready.exact)), piece)]
        return []

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
        theta = starts.start(start, goal, lambda start: problem.point(start, place), key).astype("float64")
        where = f"start of seed {seed}"
        moves = np.random.default_rng(seed).standard_normal((2, size))
        piece = signs(theta)
        near = beside(theta, piece, jnp.asarray(moves[0]))
        if near is None:  # on a kink, as where a bias of 0 meets an input of 0: no inner point of a piece
            theta, where = theta + 2.0**-OFF * moves[1], f"{where}, moved off a kink by 2^-{OFF} times normal numbers"
            piece = signs(theta)
            near = beside(theta, piece, jnp.asarray(moves[0]))
        if near is None or any(one.piece == piece for one in found):
            continue
        found += evidence(theta, where, piece)
        found += evidence(near[0], f"{where}, plus 2^-{near[1]} times normal numbers", piece)
    return tuple(found)


def piece_of(layers: layer.Layers, inputs: layer.Shape, network: model.Model, x: jax.Array) -> Any:
    """Returns the function from theta (P,) to 16 hex digits that name its pattern: all its signs, ties included."""
    margins = pattern.margins(layers, inputs)
    unflatten = objective.flattening(jax.eval_shape(network.init, jax.random.key(0)))

    @jax.jit
    def signs(theta: jax.Array) -> list[jax.Array]:
        found = margins(unflatten(theta), x)
        return [jnp.sign(found[name]).astype("int8") for name in sorted(found)]

    def name(theta: jax.Array) -> str:
        arrays = jax.block_until_ready(signs(theta))  # see curvature/dense.py
        return hashlib.sha256(b"".join(np.asarray(array).tobytes() for array in arrays)).hexdigest()[:16]

    return name


def _explaining(ready: _Ready, *, rows: int) -> contextlib.AbstractContextManager[None]:
    """Returns what says of a point that did not fit into memory what would; `rows` as in memory.explained."""
    goal = ready.objective
    return memory.explaining(parameters=goal.size, examples=len(ready.exact.weights), chunk=goal.chunk, rows=rows)


class _Ready(NamedTuple):
    """The part of a problem that does not depend on how it is trained."""

    objective: objective.Objective
    exact: objective.Batch


@functools.lru_cache(maxsize=2)
def _ready(risk: Landscape) -> _Ready:
    network = risk.network
    activity = networks.activity(network, risk.layers, risk.facts.shape)
    goal = objective.fitting(network, risk.loss, activity, risk.facts.examples)
    arrays = problem.planted(risk.data, data.load(risk.data), goal, risk.loss)
    return _Ready(goal, problem.batch(arrays, "float64"))
